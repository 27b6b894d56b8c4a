//! JPEG of the usual kinds, fast and to the bit as libjpeg-turbo decodes it: 8-bit, Huffman-coded, grey or luma and
//! chroma, sequential in one scan or progressive.
//!
//! Blocks are decoded sixteen at a time into lanes beside each other, so that what follows the Huffman codes is
//! vectors throughout, for whichever processor it runs on. Any other kind of file and every irregularity is left to the
//! general decoder, which also says what is wrong.

#![expect(
    clippy::inline_always,
    reason = "what is not inlined is not compiled for the processor that is chosen when it runs"
)]

mod color;
mod entropy;
mod headers;
mod idct;
mod planes;
mod progressive;
mod scan;

use std::{cell::RefCell, ops::Range};

use pulp::{Simd, WithSimd};

use entropy::{BitReader, Coefficients, HuffmanTable, LANES};
use headers::{Component, Headers};
use planes::{Plane, Rows};

/// A decoded file.
pub(crate) struct Decoded<'a> {
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) rgb: Vec<u8>,
    /// The TIFF structure that a camera left.
    pub(crate) exif: Option<&'a [u8]>,
}

/// Buffers larger than this are not kept for the next picture.
const KEPT_BYTES: usize = 8 << 20;

thread_local! {
    static MEMORY: RefCell<Memory> = RefCell::default();
}

/// Runs the decoder for AVX2 where there is that. Wider vectors gain nothing here: Huffman codes take most of the time; and
/// each kind of vectors takes the compiler as long as the rest of the crate.
#[cfg(target_arch = "x86_64")]
fn dispatch<O: WithSimd>(decoding: O) -> O::Output {
    match pulp::x86::V3::try_new() {
        Some(simd) => Simd::vectorize(simd, decoding),
        None => Simd::vectorize(pulp::Scalar::new(), decoding),
    }
}

/// Runs the decoder for the processor at hand.
#[cfg(not(target_arch = "x86_64"))]
fn dispatch<O: WithSimd>(decoding: O) -> O::Output {
    pulp::Arch::new().dispatch(decoding)
}

/// Decodes `bytes` if they are of a kind known here, faultless, and of at most `max_pixels`.
pub(crate) fn decode(bytes: &[u8], max_pixels: u64) -> Option<Decoded<'_>> {
    MEMORY.with_borrow_mut(|memory| {
        let decoded = sequential(bytes, max_pixels, memory)
            .or_else(|| progressive::decode(bytes, max_pixels, memory));
        let planes = memory.planes.iter();
        if planes.map(|plane| plane.samples.len()).sum::<usize>() > KEPT_BYTES {
            *memory = Memory::default();
        }
        decoded
    })
}

/// Decodes a sequential file.
fn sequential<'a>(bytes: &'a [u8], max_pixels: u64, memory: &mut Memory) -> Option<Decoded<'a>> {
    let headers = headers::read(bytes)?;
    if (headers.width * headers.height) as u64 > max_pixels {
        return None;
    }
    Some(Decoded {
        width: headers.width as u32,
        height: headers.height as u32,
        exif: headers.exif,
        rgb: dispatch(Decoding {
            headers: &headers,
            memory,
        })?,
    })
}

/// Memory that is used again for the next picture.
#[derive(Default)]
struct Memory {
    data: Vec<u8>,
    /// The parts of `data` between restart markers, without the padding behind each.
    segments: Vec<Range<usize>>,
    planes: [Plane; 3],
    rows: Rows,
}

/// One decoding, compiled for several processors.
struct Decoding<'a> {
    headers: &'a Headers<'a>,
    memory: &'a mut Memory,
}

impl WithSimd for Decoding<'_> {
    type Output = Option<Vec<u8>>;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> Self::Output {
        let Self { headers, memory } = self;
        let rest = unstuff(headers.data, &mut memory.data, &mut memory.segments)?;
        if !rest.starts_with(&[0xFF, 0xD9]) {
            return None;
        }
        decode_planes(headers, memory)?;
        Some(planes::pixels(headers, &memory.planes, &mut memory.rows))
    }
}

/// The compressed data of a scan without the zeros stuffed behind each 0xFF, and what follows, from its marker on. `None`
/// if restart markers are out of order.
fn unstuff<'a>(
    mut rest: &'a [u8],
    data: &mut Vec<u8>,
    segments: &mut Vec<Range<usize>>,
) -> Option<&'a [u8]> {
    data.clear();
    segments.clear();
    data.reserve(rest.len() + BitReader::PADDING);
    let mut start = 0;
    loop {
        let at = memchr::memchr(0xFF, rest)?;
        data.extend_from_slice(&rest[..at]);
        let marker = *rest.get(at + 1)?;
        if marker == 0 {
            data.push(0xFF);
            rest = &rest[at + 2..];
            continue;
        }
        segments.push(start..data.len());
        data.resize(data.len() + BitReader::PADDING, 0);
        start = data.len();
        if !(0xD0..=0xD7).contains(&marker) {
            return Some(&rest[at..]);
        }
        if usize::from(marker & 7) != (segments.len() - 1) % 8 {
            return None;
        }
        rest = &rest[at + 2..];
    }
}

/// What a channel needs while its blocks are decoded.
struct Channel<'a> {
    component: Component,
    dc_table: &'a HuffmanTable,
    ac_table: &'a HuffmanTable,
    factors: [u16; 64],
    /// The last block's first coefficient.
    dc: i32,
    /// As many as the component has blocks in a unit.
    coefficients: Vec<Coefficients>,
}

impl<'a> Channel<'a> {
    fn new(component: Component, headers: &'a Headers) -> Option<Self> {
        Some(Self {
            component,
            dc_table: headers.dc[component.dc].as_deref()?,
            ac_table: headers.ac[component.ac].as_deref()?,
            factors: headers.quantization[component.quantization]?,
            dc: 0,
            coefficients: vec![[0; 128 * LANES]; component.h * component.v],
        })
    }

    /// Decodes the blocks of a unit, the `unit`th of its group. False if that could not be.
    #[inline(always)]
    fn unit(&mut self, unit: usize, reader: &mut BitReader) -> bool {
        let mut sound = true;
        let Component { h, v, .. } = self.component;
        for y in 0..v {
            for x in 0..h {
                let column = unit * h + x;
                sound &= reader.block(
                    self.dc_table,
                    self.ac_table,
                    &mut self.dc,
                    &mut self.coefficients[y * h + column / LANES],
                    column % LANES,
                );
            }
        }
        sound
    }

    /// Transforms the blocks of a group whose first unit is at (x, y), and clears them for the next.
    #[inline(always)]
    fn transform(&mut self, x: usize, y: usize, plane: &mut Plane) {
        let Component { h, v, .. } = self.component;
        for (number, coefficients) in self.coefficients.iter_mut().enumerate() {
            let (row, group) = (number / h, number % h);
            let mut samples = [[0; 8 * LANES]; 8];
            idct::inverse(coefficients, &self.factors, &mut samples);
            coefficients[..64 * LANES].fill(0);
            plane.put(8 * (x * h + group * LANES), 8 * (y * v + row), &samples);
        }
    }
}

/// Decodes all blocks into the planes.
#[inline(always)]
fn decode_planes(headers: &Headers, memory: &mut Memory) -> Option<()> {
    let (across, down) = headers.units();
    let mut channels = Vec::with_capacity(3);
    for (&component, plane) in headers.components.iter().zip(&mut memory.planes) {
        plane.shape(component, headers);
        channels.push(Channel::new(component, headers)?);
    }
    let interval = match headers.restart_interval {
        0 => across * down,
        interval => interval,
    };
    if memory.segments.len() != (across * down).div_ceil(interval) {
        return None;
    }
    let mut segments = memory.segments.iter();
    let mut reader = BitReader::new(&[]);
    let mut until_restart = 0;
    for y in 0..down {
        for x in (0..across).step_by(LANES) {
            for unit in 0..LANES.min(across - x) {
                if until_restart == 0 {
                    if !reader.is_at_end() {
                        return None;
                    }
                    let segment = segments.next()?;
                    let padded = segment.start..segment.end + BitReader::PADDING;
                    reader = BitReader::new(&memory.data[padded]);
                    until_restart = interval;
                    for channel in &mut channels {
                        channel.dc = 0;
                    }
                }
                until_restart -= 1;
                for channel in &mut channels {
                    if !channel.unit(unit, &mut reader) {
                        return None;
                    }
                }
            }
            for (channel, plane) in channels.iter_mut().zip(&mut memory.planes) {
                channel.transform(x, y, plane);
            }
        }
    }
    reader.is_at_end().then_some(())
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn golden(name: &str) -> Vec<u8> {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
        std::fs::read(folder.join(name)).unwrap()
    }

    /// What is not decoded here would still be decoded by the general decoder, later and with other bits.
    #[test]
    fn ordinary_files_are_decoded_here() {
        for name in [
            "444.jpg",
            "422.jpg",
            "420.jpg",
            "restart.jpg",
            "grey.jpg",
            "progressive.jpg",
        ] {
            let bytes = golden(name);
            let decoded = decode(&bytes, 57 * 41).unwrap();
            assert_eq!((decoded.width, decoded.height), (57, 41), "{name}");
            assert_eq!(decoded.rgb.len(), 57 * 41 * 3);
            assert!(decode(&bytes, 57 * 41 - 1).is_none());
        }
        assert!(
            decode(&golden("turned.jpg"), 57 * 41)
                .unwrap()
                .exif
                .is_some()
        );
    }

    #[test]
    fn other_files_and_cut_files_are_left_to_the_general_decoder() {
        for name in ["cmyk.jpg", "rgb.png"] {
            assert!(decode(&golden(name), 1 << 20).is_none(), "{name}");
        }
        for name in ["444.jpg", "420.jpg", "restart.jpg", "grey.jpg"] {
            let bytes = golden(name);
            for length in 0..bytes.len() {
                assert!(
                    decode(&bytes[..length], 1 << 20).is_none(),
                    "{name} {length}"
                );
            }
            // Compressed data that are missing or too many before the end of the picture.
            let (data, end) = bytes.split_at(bytes.len() - 2);
            assert!(decode(&[&data[..data.len() - 3], end].concat(), 1 << 20).is_none());
            assert!(decode(&[data, &[0x55, 0x55], end].concat(), 1 << 20).is_none());
        }
    }

    /// A restart marker out of turn, and one too few.
    #[test]
    fn restart_markers_come_in_turn() {
        let bytes = golden("restart.jpg");
        let at = bytes
            .windows(2)
            .position(|pair| pair == [0xFF, 0xD1])
            .unwrap();
        let mut swapped = bytes.clone();
        swapped[at + 1] = 0xD2;
        assert!(decode(&swapped, 1 << 20).is_none());
        let missing = [&bytes[..at], &bytes[at + 2..]].concat();
        assert!(decode(&missing, 1 << 20).is_none());
    }

    /// The processor's best against code without vectors.
    #[test]
    fn the_bits_do_not_depend_on_the_processor() {
        for name in ["444.jpg", "wide-420.jpg", "422-17x33.jpg", "noise-444.jpg"] {
            let bytes = golden(name);
            let headers = headers::read(&bytes).unwrap();
            let best = decode(&bytes, 1 << 20).unwrap().rgb;
            let plain = Decoding {
                headers: &headers,
                memory: &mut Memory::default(),
            };
            assert_eq!(plain.with_simd(pulp::Scalar), Some(best), "{name}");
        }
    }
}
