//! The frames of an event file, which are those of `TFRecord`: length, checksum of the length, content, checksum of the
//! content; numbers in little-endian order.

use crate::checksum::masked;

/// Bytes of the length with its checksum.
const HEAD: usize = 12;
/// Bytes of the content's checksum.
const TAIL: usize = 4;

/// Adds a frame with this content to `out`.
pub fn write_frame(content: &[u8], out: &mut Vec<u8>) {
    let length = (content.len() as u64).to_le_bytes();
    out.extend(length);
    out.extend(masked(&length).to_le_bytes());
    out.extend(content);
    out.extend(masked(content).to_le_bytes());
}

/// The contents of the frames of a file, up to its end or the first frame that is cut off or damaged.
pub fn read_frames(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let (content, after) = split(rest)?;
        rest = after;
        Some(content)
    })
}

/// The content of the first frame, and what follows it.
fn split(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<8>()?;
    let (checksum, rest) = rest.split_first_chunk::<4>()?;
    if masked(length) != u32::from_le_bytes(*checksum) {
        return None;
    }
    let length = usize::try_from(u64::from_le_bytes(*length)).ok()?;
    if length > bytes.len().checked_sub(HEAD + TAIL)? {
        return None;
    }
    let (content, rest) = rest.split_at(length);
    let (checksum, rest) = rest.split_first_chunk::<4>()?;
    (masked(content) == u32::from_le_bytes(*checksum)).then_some((content, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_cut_off_or_damaged_ends_the_reading() {
        let contents: [&[u8]; 3] = [b"one", b"", b"three"];
        let mut bytes = Vec::new();
        let mut ends = vec![0];
        for content in contents {
            write_frame(content, &mut bytes);
            ends.push(bytes.len());
        }
        for length in 0..=bytes.len() {
            let whole = ends.iter().filter(|end| **end <= length).count() - 1;
            let read: Vec<&[u8]> = read_frames(&bytes[..length]).collect();
            assert_eq!(read, contents[..whole]);
        }
        for at in 0..bytes.len() {
            let mut spoilt = bytes.clone();
            spoilt[at] ^= 0x10;
            let before = ends.iter().filter(|end| **end <= at).count() - 1;
            assert_eq!(read_frames(&spoilt).count(), before, "byte {at}");
        }
    }
}
