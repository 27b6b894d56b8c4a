//! The ordinary kind of JPEG, fast and to the bit as libjpeg-turbo decodes it: 8-bit sequential, Huffman-coded, one scan,
//! grey or luma and chroma.
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

use std::{cell::RefCell, ops::Range};

use pulp::{Simd, WithSimd};

use entropy::{BitReader, Coefficients, HuffmanTable, LANES};
use headers::{Component, Headers};
use idct::Samples;

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

/// Decodes `bytes` if they are of the ordinary kind, faultless, and of at most `max_pixels`.
pub(crate) fn decode(bytes: &[u8], max_pixels: u64) -> Option<Decoded<'_>> {
    let headers = headers::read(bytes)?;
    if (headers.width * headers.height) as u64 > max_pixels {
        return None;
    }
    let exif = headers.exif;
    let (width, height) = (headers.width as u32, headers.height as u32);
    let rgb = MEMORY.with_borrow_mut(|memory| {
        let rgb = dispatch(Decoding {
            headers: &headers,
            memory,
        });
        if memory
            .planes
            .iter()
            .map(|plane| plane.samples.len())
            .sum::<usize>()
            > KEPT_BYTES
        {
            *memory = Memory::default();
        }
        rgb
    })?;
    Some(Decoded {
        width,
        height,
        rgb,
        exif,
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

/// A channel's samples, padded to whole groups of blocks.
#[derive(Default)]
struct Plane {
    samples: Vec<u8>,
    stride: usize,
    /// What of it is picture.
    width: usize,
    height: usize,
}

impl Plane {
    /// A row with its padding.
    fn padded_row(&self, y: usize) -> &[u8] {
        &self.samples[y * self.stride..][..self.stride]
    }

    /// A row without its padding; those outside of the picture are the nearest inside.
    fn row(&self, y: isize) -> &[u8] {
        let y = y.clamp(0, self.height as isize - 1) as usize;
        &self.padded_row(y)[..self.width]
    }

    /// The place of a group of blocks whose top left is at (x, y).
    fn put(&mut self, x: usize, y: usize, samples: &Samples) {
        let rows = self.samples[y * self.stride..].chunks_exact_mut(self.stride);
        for (to, from) in rows.zip(samples) {
            to[x..x + from.len()].copy_from_slice(from);
        }
    }
}

/// Rows on their way to pixels.
#[derive(Default)]
struct Rows {
    blue: Vec<u8>,
    red: Vec<u8>,
    sums: Vec<u16>,
    rgb: Vec<u8>,
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
        unstuff(headers, &mut memory.data, &mut memory.segments)?;
        decode_planes(headers, memory)?;
        Some(pixels(headers, &memory.planes, &mut memory.rows))
    }
}

/// The compressed data without the zeros stuffed behind each 0xFF, up to the end of the picture. `None` if markers are
/// missing, superfluous or out of order.
fn unstuff(headers: &Headers, data: &mut Vec<u8>, segments: &mut Vec<Range<usize>>) -> Option<()> {
    data.clear();
    segments.clear();
    data.reserve(headers.data.len() + BitReader::PADDING);
    let (mut rest, mut start) = (headers.data, 0);
    loop {
        let at = memchr::memchr(0xFF, rest)?;
        data.extend_from_slice(&rest[..at]);
        let marker = *rest.get(at + 1)?;
        rest = &rest[at + 2..];
        if marker == 0 {
            data.push(0xFF);
            continue;
        }
        segments.push(start..data.len());
        data.resize(data.len() + BitReader::PADDING, 0);
        start = data.len();
        match marker {
            0xD9 => return Some(()),
            0xD0..=0xD7 if usize::from(marker & 7) == (segments.len() - 1) % 8 => {}
            _ => return None,
        }
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
    let luma = headers.components[0];
    let across = headers.width.div_ceil(8 * luma.h);
    let down = headers.height.div_ceil(8 * luma.v);
    let mut channels = Vec::with_capacity(3);
    for (&component, plane) in headers.components.iter().zip(&mut memory.planes) {
        plane.width = (headers.width * component.h).div_ceil(luma.h);
        plane.height = (headers.height * component.v).div_ceil(luma.v);
        plane.stride = across.next_multiple_of(LANES) * component.h * 8;
        plane
            .samples
            .resize(plane.stride * down * component.v * 8, 0);
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

/// The planes as RGB, interleaved.
#[inline(always)]
fn pixels(headers: &Headers, planes: &[Plane; 3], rows: &mut Rows) -> Vec<u8> {
    let Headers { width, height, .. } = *headers;
    let mut rgb = Vec::with_capacity(3 * width * height);
    let padded = width.next_multiple_of(color::GROUP);
    rows.rgb.resize(3 * padded, 0);
    let [luma, blue, red] = planes;
    let sampling = (headers.components[0].h, headers.components[0].v);
    for y in 0..height {
        if headers.components.len() == 1 {
            let row = luma.row(y as isize).iter();
            rgb.extend(row.flat_map(|&grey| [grey; 3]));
            continue;
        }
        let (blue, red) = if sampling == (1, 1) {
            (blue.padded_row(y), red.padded_row(y))
        } else {
            for (plane, row) in [(blue, &mut rows.blue), (red, &mut rows.red)] {
                upsample(plane, sampling, y as isize, &mut rows.sums, row);
                row.resize(padded, 0);
            }
            (&rows.blue[..], &rows.red[..])
        };
        color::to_rgb(luma.padded_row(y), blue, red, &mut rows.rgb);
        rgb.extend_from_slice(&rows.rgb[..3 * width]);
    }
    rgb
}

/// Row `y` of a chroma plane in full size.
#[inline(always)]
fn upsample(
    plane: &Plane,
    (h, v): (usize, usize),
    y: isize,
    sums: &mut Vec<u16>,
    row: &mut Vec<u8>,
) {
    // libjpeg interpolates to the sides only where a row has more than two samples.
    let is_narrow = plane.width <= 2;
    let is_upper = y % 2 == 0;
    let (near, far) = (y / 2, if is_upper { y / 2 - 1 } else { y / 2 + 1 });
    match (h, v) {
        (2, 1) if is_narrow => color::repeat(plane.row(y), row),
        (2, 1) => color::double_width(plane.row(y), row),
        (1, _) => color::double_height(plane.row(near), plane.row(far), is_upper, row),
        _ if is_narrow => color::repeat(plane.row(near), row),
        _ => color::double_both(plane.row(near), plane.row(far), sums, row),
    }
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
        for name in ["444.jpg", "422.jpg", "420.jpg", "restart.jpg", "grey.jpg"] {
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
        for name in ["progressive.jpg", "cmyk.jpg", "rgb.png"] {
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
