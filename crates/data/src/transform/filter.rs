//! Pillow's antialiased bilinear filter on 8-bit RGB (`Image.resize` with `BILINEAR`), to the bit.
//!
//! Rows and columns are resized one after the other, the columns first where they lose much more than the rows, and
//! what is between is rounded to bytes; a direction that keeps its length is left alone. A pixel is a weighted mean of
//! those that a triangle over it covers, which is as wide as two pixels, of the source where that becomes larger and of
//! the target where it becomes smaller. Weights are whole numbers of 2^-22.

#![expect(
    clippy::inline_always,
    reason = "what is not inlined is not compiled for the processor that is chosen when it runs"
)]

use std::ops::Range;

use pulp::{Arch, Simd, WithSimd};

use super::resize::Rect;
use crate::Picture;

/// Fractional bits of the weights: as many as leave room for eight bits, a sign and a sum a little above 1.
const BITS: u32 = 22;

/// One half, to round.
const HALF: i32 = 1 << (BITS - 1);

/// Rows that are resized beside each other.
const ROWS: usize = 8;

/// Lanes for a pixel of each of [`ROWS`]: three colours and one that is not used.
const LANES: usize = 4 * ROWS;

/// Bytes of rows that are added up at once.
const STRIP: usize = 64;

/// What the pixels of a line are made of, along one direction: each is the sum of some of the source's times their factors,
/// plus one half, cut off to whole numbers and limited to a byte.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Weights {
    ranges: Vec<Range<usize>>,
    factors: Vec<i32>,
    stride: usize,
}

impl Weights {
    /// Fractional bits of the factors.
    pub const BITS: u32 = BITS;

    /// For `part` of a line of `length` pixels that becomes `target` pixels long.
    pub(super) fn new(length: u32, target: u32, part: Range<u32>) -> Self {
        let mut weights = Self::default();
        weights.set(length, target, part);
        weights
    }

    /// The pixels of the source, for each of the target; at least one.
    pub fn ranges(&self) -> &[Range<usize>] {
        &self.ranges
    }

    /// Their factors: [`Self::stride`] for each pixel of the target, of which the last are 0 where there are fewer pixels.
    pub fn factors(&self) -> &[i32] {
        &self.factors
    }

    /// Factors of a pixel of the target.
    pub fn stride(&self) -> usize {
        self.stride
    }

    /// For `part` of a line of `length` pixels that becomes `target` pixels long.
    fn set(&mut self, length: u32, target: u32, part: Range<u32>) {
        // Pillow keeps the borders of what it resizes as 32-bit floats.
        let scale = f64::from(length as f32) / f64::from(target);
        let reach = scale.max(1.0);
        self.stride = 2 * reach.ceil() as usize + 1;
        self.ranges.clear();
        self.factors.clear();
        self.factors.resize(self.stride * part.len(), 0);
        let mut triangle = Vec::with_capacity(self.stride);
        for (place, factors) in part.zip(self.factors.chunks_exact_mut(self.stride)) {
            let center = (f64::from(place) + 0.5) * scale;
            // Casts cut fractions off, and what is below 0.
            let start = (center - reach + 0.5) as usize;
            let end = ((center + reach + 0.5) as usize).min(length as usize);
            triangle.clear();
            triangle.extend((start..end).map(|pixel| {
                let distance = (pixel as f64 - center + 0.5) * reach.recip();
                (1.0 - distance.abs()).max(0.0)
            }));
            let sum: f64 = triangle.iter().sum();
            for (factor, weight) in factors.iter_mut().zip(&triangle) {
                *factor = (weight / sum * f64::from(1 << BITS) + 0.5) as i32;
            }
            self.ranges.push(start..end);
        }
    }

    /// All pixels of the source that count.
    fn span(&self) -> Range<usize> {
        let end = |range: Option<&Range<usize>>| range.map_or(0, |range| range.end);
        self.ranges.first().map_or(0, |range| range.start)..end(self.ranges.last())
    }

    /// The source's pixels and their weights for each pixel of the target.
    fn iter(&self) -> impl Iterator<Item = (&Range<usize>, &[i32])> {
        self.ranges
            .iter()
            .zip(self.factors.chunks_exact(self.stride))
    }
}

/// [`ROWS`] rows, their pixels beside each other.
#[derive(Default)]
struct Rows {
    before: Vec<[u8; LANES]>,
    after: Vec<[u8; LANES]>,
}

/// Resizes, and keeps its memory for the next picture.
#[derive(Default)]
pub(super) struct Resampler {
    across: Weights,
    down: Weights,
    rows: Rows,
    /// What is between the two directions.
    between: Vec<u8>,
}

impl Resampler {
    /// Writes `part` of what `window` of `source` is in the size `target` to `bytes`, which has its length.
    pub(super) fn resample(
        &mut self,
        source: &Picture,
        window: Rect,
        target: (u32, u32),
        part: Rect,
        bytes: &mut [u8],
    ) {
        if part.width > 0 && part.height > 0 {
            Arch::new().dispatch(Pass {
                resampler: self,
                source,
                window,
                target,
                part,
                bytes,
            });
        }
    }
}

/// One picture, compiled for several processors.
struct Pass<'a> {
    resampler: &'a mut Resampler,
    source: &'a Picture,
    window: Rect,
    target: (u32, u32),
    part: Rect,
    bytes: &'a mut [u8],
}

impl WithSimd for Pass<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self {
            resampler,
            source,
            window,
            target,
            part,
            bytes,
        } = self;
        let Resampler {
            across,
            down,
            rows,
            between,
        } = resampler;
        let (has_rows, has_columns) = (target.0 != window.width, target.1 != window.height);
        let mut columns = part.x as usize..(part.x + part.width) as usize;
        let mut lines = part.y as usize..(part.y + part.height) as usize;
        if has_rows {
            across.set(window.width, target.0, part.x..part.x + part.width);
            columns = across.span();
        }
        if has_columns {
            down.set(window.height, target.1, part.y..part.y + part.height);
            lines = down.span();
        }
        let stride = 3 * source.width as usize;
        let start = (window.y as usize + lines.start) * stride;
        let from = Grid {
            bytes: &source.rgb[start + 3 * (window.x as usize + columns.start)..],
            stride,
            left: columns.start,
            top: lines.start,
        };
        if !has_columns {
            resize_rows(from, across, rows, bytes);
        } else if !has_rows {
            resize_columns(from, down, 3 * columns.len(), bytes);
        } else if columns_come_first(window, target) {
            let stride = 3 * columns.len();
            between.resize(stride * part.height as usize, 0);
            resize_columns(from, down, stride, between);
            let from = Grid {
                bytes: between,
                stride,
                left: columns.start,
                top: 0,
            };
            resize_rows(from, across, rows, bytes);
        } else {
            let stride = 3 * part.width as usize;
            between.resize(stride * lines.len(), 0);
            resize_rows(from, across, rows, between);
            let from = Grid {
                bytes: between,
                stride,
                left: 0,
                top: lines.start,
            };
            resize_columns(from, down, stride, bytes);
        }
    }
}

/// Whether Pillow (13.0.0) resizes the columns before the rows: where they lose more than twice as many pixels.
pub(super) fn columns_come_first(window: Rect, target: (u32, u32)) -> bool {
    let lost = |length: u32, target: u32| i64::from(length) - i64::from(target);
    let (across, down) = (lost(window.width, target.0), lost(window.height, target.1));
    down > 0 && down > 2 * across
}

/// Pixels to be resized.
#[derive(Clone, Copy)]
struct Grid<'a> {
    bytes: &'a [u8],
    /// Bytes from one row to the next.
    stride: usize,
    /// Column and row of the first pixel.
    left: usize,
    top: usize,
}

/// Resizes as many rows as `out` has.
#[inline(always)]
fn resize_rows(from: Grid, weights: &Weights, rows: &mut Rows, out: &mut [u8]) {
    let Rows { before, after } = rows;
    let pixels = weights.span().len();
    before.resize(pixels, [0; LANES]);
    after.resize(weights.ranges.len(), [0; LANES]);
    let length = 3 * weights.ranges.len();
    let groups = from.bytes.chunks(ROWS * from.stride);
    for (lines, bytes) in out.chunks_mut(ROWS * length).zip(groups) {
        for (row, bytes) in bytes.chunks(from.stride).enumerate().take(ROWS) {
            let pixels = bytes.as_chunks::<3>().0;
            for (lanes, &[r, g, b]) in before.iter_mut().zip(pixels) {
                lanes.as_chunks_mut().0[row] = [r, g, b, 0];
            }
        }
        resize_lanes(before, from.left, weights, after);
        for (row, line) in lines.chunks_exact_mut(length).enumerate().take(ROWS) {
            for (to, lanes) in line.as_chunks_mut().0.iter_mut().zip(&*after) {
                let [r, g, b, _] = lanes.as_chunks().0[row];
                *to = [r, g, b];
            }
        }
    }
}

/// Resizes rows that lie beside each other and begin with the pixel `left`.
#[inline(always)]
fn resize_lanes(before: &[[u8; LANES]], left: usize, weights: &Weights, after: &mut [[u8; LANES]]) {
    for (after, (range, factors)) in after.iter_mut().zip(weights.iter()) {
        let before = &before[range.start - left..range.end - left];
        let mut sums = [HALF; LANES];
        for (bytes, &factor) in before.iter().zip(factors) {
            for i in 0..LANES {
                sums[i] += i32::from(bytes[i]) * factor;
            }
        }
        *after = sums.map(byte);
    }
}

/// Resizes columns to rows of `length` bytes.
#[inline(always)]
fn resize_columns(from: Grid, weights: &Weights, length: usize, out: &mut [u8]) {
    for (row, (range, factors)) in out.chunks_exact_mut(length).zip(weights.iter()) {
        let lines = &from.bytes[(range.start - from.top) * from.stride..];
        for at in (0..length).step_by(STRIP) {
            let mut sums = [HALF; STRIP];
            for (line, &factor) in factors[..range.len()].iter().enumerate() {
                let bytes = strip(&lines[line * from.stride + at..]);
                for i in 0..STRIP {
                    sums[i] += i32::from(bytes[i]) * factor;
                }
            }
            let strip = sums.map(byte);
            if let Some(row) = row[at..].first_chunk_mut() {
                *row = strip;
            } else {
                let row = &mut row[at..];
                row.copy_from_slice(&strip[..row.len()]);
            }
        }
    }
}

/// The first bytes, and zeros where there are no more.
#[inline(always)]
fn strip(bytes: &[u8]) -> [u8; STRIP] {
    bytes.first_chunk().copied().unwrap_or_else(|| {
        let mut strip = [0; STRIP];
        strip[..bytes.len()].copy_from_slice(bytes);
        strip
    })
}

/// A sum of weighted bytes as a byte.
#[inline(always)]
fn byte(sum: i32) -> u8 {
    (sum >> BITS).clamp(0, 255) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Weights are those of the triangle, cut off at the border and made to sum to 1, in the pixels that it covers.
    #[test]
    fn weights_are_a_triangle() {
        let mut weights = Weights::default();
        weights.set(4, 8, 0..3);
        let one = f64::from(1 << BITS);
        let near = |part: f64| (part * one + 0.5) as i32;
        assert_eq!(weights.ranges, [0..1, 0..2, 0..2]);
        assert_eq!(weights.factors[..2], [near(1.0), 0]);
        assert_eq!(weights.factors[3..5], [near(0.75), near(0.25)]);
        assert_eq!(weights.factors[6..8], [near(0.25), near(0.75)]);
        weights.set(4, 2, 1..2);
        assert_eq!(
            weights.factors[..3],
            [1, 3, 3].map(|w| near(f64::from(w) / 7.0))
        );
        assert_eq!(weights.span(), 1..4);
    }

    /// The processor's best against code without vectors, and parts against the whole.
    #[test]
    fn the_bits_depend_neither_on_the_processor_nor_on_the_part() {
        let (width, height) = (61, 47);
        let rgb = (0..3 * width * height).map(|i| (i * i % 251) as u8);
        let source = Picture {
            width,
            height,
            rgb: rgb.collect(),
        };
        let window = Rect {
            x: 3,
            y: 2,
            width: 50,
            height: 40,
        };
        for target in [
            (50, 9),
            (17, 40),
            (33, 21),
            (90, 70),
            (1, 1),
            (120, 13),
            (45, 20),
        ] {
            let run = |part: Rect, is_plain: bool| {
                let mut bytes = vec![0; (3 * part.width * part.height) as usize];
                let mut resampler = Resampler::default();
                if is_plain {
                    let plain = Pass {
                        resampler: &mut resampler,
                        source: &source,
                        window,
                        target,
                        part,
                        bytes: &mut bytes,
                    };
                    plain.with_simd(pulp::Scalar::new());
                } else {
                    resampler.resample(&source, window, target, part, &mut bytes);
                }
                bytes
            };
            let whole = Rect {
                x: 0,
                y: 0,
                width: target.0,
                height: target.1,
            };
            let all = run(whole, false);
            assert_eq!(run(whole, true), all, "{target:?}");
            let part = Rect {
                x: target.0 / 3,
                y: target.1 / 4,
                width: target.0.div_ceil(2),
                height: target.1.div_ceil(2),
            };
            let rows = all
                .chunks_exact(3 * target.0 as usize)
                .skip(part.y as usize);
            let expected = rows
                .take(part.height as usize)
                .flat_map(|row| &row[3 * part.x as usize..][..3 * part.width as usize]);
            assert_eq!(run(part, false), expected.copied().collect::<Vec<_>>());
        }
    }
}
