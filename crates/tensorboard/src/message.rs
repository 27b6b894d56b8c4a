//! Messages of Protocol Buffers, as far as event files need them.

/// A message that is being written. Fields are written in the order of their numbers; one that has its default is left
/// out, as in proto3.
#[derive(Clone, Debug, Default)]
pub(crate) struct Message(Vec<u8>);

/// Kinds of encoding.
const VARINT: u64 = 0;
const FIXED64: u64 = 1;
const BYTES: u64 = 2;
const FIXED32: u64 = 5;

impl Message {
    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    pub(crate) fn whole(mut self, field: u64, number: u64) -> Self {
        if number != 0 {
            self.key(field, VARINT);
            write_varint(number, &mut self.0);
        }
        self
    }

    pub(crate) fn double(mut self, field: u64, number: f64) -> Self {
        if number.to_bits() != 0 {
            self.key(field, FIXED64);
            self.0.extend(number.to_le_bytes());
        }
        self
    }

    /// A float of a `oneof`, which is written whatever it is.
    pub(crate) fn float(mut self, field: u64, number: f32) -> Self {
        self.key(field, FIXED32);
        self.0.extend(number.to_le_bytes());
        self
    }

    /// Packed doubles.
    pub(crate) fn doubles(self, field: u64, numbers: &[f64]) -> Self {
        if numbers.is_empty() {
            return self;
        }
        let bytes: Vec<u8> = numbers.iter().flat_map(|n| n.to_le_bytes()).collect();
        self.bytes(field, &bytes)
    }

    /// Bytes, a text, or an element of a list of them, also an empty one.
    pub(crate) fn bytes(mut self, field: u64, bytes: &[u8]) -> Self {
        self.key(field, BYTES);
        write_varint(bytes.len() as u64, &mut self.0);
        self.0.extend(bytes);
        self
    }

    pub(crate) fn message(self, field: u64, message: &Self) -> Self {
        self.bytes(field, &message.0)
    }

    fn key(&mut self, field: u64, kind: u64) {
        write_varint(field << 3 | kind, &mut self.0);
    }
}

fn write_varint(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// A field that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Field<'m> {
    Whole(u64),
    Bytes(&'m [u8]),
    /// A number of 4 or 8 bytes.
    Fixed,
}

/// The fields of a message with their numbers, up to its end or to what is none.
pub(crate) fn fields(message: &[u8]) -> impl Iterator<Item = (u64, Field<'_>)> {
    let mut rest = message;
    std::iter::from_fn(move || {
        let key = read_varint(&mut rest)?;
        let field = match key & 7 {
            VARINT => Field::Whole(read_varint(&mut rest)?),
            FIXED64 => take(&mut rest, 8).map(|_| Field::Fixed)?,
            FIXED32 => take(&mut rest, 4).map(|_| Field::Fixed)?,
            BYTES => {
                let length = usize::try_from(read_varint(&mut rest)?).ok()?;
                Field::Bytes(take(&mut rest, length)?)
            }
            _ => return None,
        };
        Some((key >> 3, field))
    })
}

fn take<'m>(rest: &mut &'m [u8], length: usize) -> Option<&'m [u8]> {
    let (taken, after) = rest.split_at_checked(length)?;
    *rest = after;
    Some(taken)
}

fn read_varint(rest: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let byte = take(rest, 1)?[0];
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_any_size_are_written_and_read() {
        for number in [1, 127, 128, 300, 1 << 20, u64::MAX] {
            let bytes = Message::default().whole(7, number).into_bytes();
            let read: Vec<_> = fields(&bytes).collect();
            assert_eq!(read, [(7, Field::Whole(number))]);
        }
        // The example of the encoding's documentation.
        assert_eq!(
            Message::default().whole(1, 150).into_bytes(),
            [0x08, 0x96, 0x01]
        );
        assert_eq!(
            Message::default().bytes(2, b"testing").into_bytes(),
            *b"\x12\x07testing"
        );
        assert!(
            Message::default()
                .whole(1, 0)
                .double(2, 0.0)
                .into_bytes()
                .is_empty()
        );
    }

    #[test]
    fn what_is_no_message_ends_the_reading() {
        assert_eq!(fields(b"\x12\x07test").count(), 0);
        assert_eq!(fields(b"\x08\x96").count(), 0);
        assert_eq!(fields(b"\x0b\x01").count(), 0);
        assert_eq!(fields(&[0xff; 30]).count(), 0);
        assert_eq!(fields(b"\x08\x01\x0d\x00\x00").count(), 1);
    }
}
