//! Bytes to normalised numbers, rounded as torchvision's `ToTensor` and `Normalize` round them.

#![expect(
    clippy::inline_always,
    reason = "what is not inlined is not compiled for the processor that is chosen when it runs"
)]

use pulp::{Arch, Simd, WithSimd};

/// Mean and standard deviation of each channel, of values scaled to 0..1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Normalization {
    /// Subtracted.
    pub mean: [f32; 3],
    /// Divided by.
    pub std: [f32; 3],
}

/// Pixels that are computed side by side.
const PIXELS: usize = 16;

/// Computes (byte / 255 - mean) / std.
///
/// Divisions are slow, and so are tables without a way to look up several places at once. So where the processor has
/// fused multiply-add, a quotient is estimated with the reciprocal and corrected by its remainder, as in Markstein,
/// "Computation of elementary functions on the IBM RISC System/6000 processor" (1990): the last bit is right too. That
/// is made sure of for all bytes in advance; if it were not so, the table would be used.
#[derive(Clone, Debug)]
pub(super) struct Normalizer {
    normalization: Normalization,
    /// The value of every byte in every channel.
    values: Box<[[f32; 256]; 3]>,
    /// Whether the corrected estimates are these values.
    is_estimable: bool,
}

impl Normalizer {
    pub(super) fn new(normalization: Normalization) -> Self {
        let mut values = Box::new([[0.0; 256]; 3]);
        let mut is_estimable = true;
        for (c, channel) in values.iter_mut().enumerate() {
            let (mean, std) = (normalization.mean[c], normalization.std[c]);
            for (byte, value) in channel.iter_mut().enumerate() {
                let byte = byte as f32;
                *value = (byte / 255.0 - mean) / std;
                let estimate = estimate(byte, mean, std, std.recip());
                is_estimable &= estimate.to_bits() == value.to_bits();
            }
        }
        Self {
            normalization,
            values,
            is_estimable,
        }
    }

    /// The value of every byte in every channel.
    pub(super) fn values(&self) -> &[[f32; 256]; 3] {
        &self.values
    }

    /// The colour that comes nearest to 0 in every channel: the mean.
    pub(super) fn zero(&self) -> [u8; 3] {
        let mean = self.normalization.mean;
        // A cast of what is out of range gives the end of the range.
        mean.map(|mean| (255.0 * mean).round() as u8)
    }

    /// Writes the values of interleaved bytes in rows of `row` bytes, each mirrored if `flip`.
    pub(super) fn apply(&self, rgb: &[u8], row: usize, flip: bool, out: &mut [f32]) {
        Arch::new().dispatch(Pass {
            normalizer: self,
            rgb,
            row,
            flip,
            out,
        });
    }

    /// With the table.
    #[inline(always)]
    fn look_up(&self, rgb: &[u8], out: &mut [f32]) {
        let [red, green, blue] = &*self.values;
        for (out, pixel) in out.as_chunks_mut().0.iter_mut().zip(rgb.as_chunks::<3>().0) {
            *out = [
                red[usize::from(pixel[0])],
                green[usize::from(pixel[1])],
                blue[usize::from(pixel[2])],
            ];
        }
    }

    /// With estimates, as far as there are whole groups of pixels.
    #[inline(always)]
    fn compute(&self, rgb: &[u8], out: &mut [f32]) {
        let Normalization { mean, std } = self.normalization;
        let repeated = |values: [f32; 3]| std::array::from_fn(|i| values[i % 3]);
        let mean: [f32; 3 * PIXELS] = repeated(mean);
        let reciprocal: [f32; 3 * PIXELS] = repeated(std.map(f32::recip));
        let std: [f32; 3 * PIXELS] = repeated(std);
        let (groups, bytes) = (out.as_chunks_mut().0, rgb.as_chunks().0);
        for (out, bytes) in groups.iter_mut().zip(bytes) {
            let (out, bytes): (&mut [f32; 3 * PIXELS], &[u8; 3 * PIXELS]) = (out, bytes);
            for i in 0..3 * PIXELS {
                out[i] = estimate(f32::from(bytes[i]), mean[i], std[i], reciprocal[i]);
            }
        }
    }
}

/// (x / 255 - mean) / std without a division.
#[inline(always)]
fn estimate(x: f32, mean: f32, std: f32, reciprocal: f32) -> f32 {
    let quotient = |x: f32, divisor: f32, reciprocal: f32| {
        let estimate = x * reciprocal;
        let remainder = (-estimate).mul_add(divisor, x);
        remainder.mul_add(reciprocal, estimate)
    };
    quotient(quotient(x, 255.0, 1.0 / 255.0) - mean, std, reciprocal)
}

/// One picture, compiled for several processors.
struct Pass<'a> {
    normalizer: &'a Normalizer,
    rgb: &'a [u8],
    row: usize,
    flip: bool,
    out: &'a mut [f32],
}

impl WithSimd for Pass<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let mut mirrored = vec![0; self.row];
        let rows = self.out.chunks_exact_mut(self.row);
        for (out, rgb) in rows.zip(self.rgb.chunks_exact(self.row)) {
            let rgb = if self.flip {
                mirror(rgb, &mut mirrored);
                &mirrored
            } else {
                rgb
            };
            // Without vectors there is no fused multiply-add either.
            let computed = if S::IS_SCALAR || !self.normalizer.is_estimable {
                0
            } else {
                self.normalizer.compute(rgb, out);
                rgb.len() - rgb.len() % (3 * PIXELS)
            };
            self.normalizer
                .look_up(&rgb[computed..], &mut out[computed..]);
        }
    }
}

/// The pixels of a row in reverse order.
#[inline(always)]
fn mirror(row: &[u8], mirrored: &mut [u8]) {
    let n = row.len() / 3;
    let (row, mirrored) = (&row[..3 * n], &mut mirrored[..3 * n]);
    for i in 0..n {
        for c in 0..3 {
            mirrored[3 * i + c] = row[3 * (n - 1 - i) + c];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The statistics of `ImageNet`, of `CIFAR-10`, one half, and none.
    const STATISTICS: [([f32; 3], [f32; 3]); 4] = [
        ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
        ([0.4914, 0.4822, 0.4465], [0.2470, 0.2435, 0.2616]),
        ([0.5; 3], [0.5; 3]),
        ([0.0; 3], [1.0; 3]),
    ];

    /// torchvision: `Normalize(mean, std)(to_tensor(picture))`, in all three channels of all bytes, in rows of every
    /// length, straight and mirrored.
    #[test]
    fn every_byte_is_rounded_as_two_divisions_round_it() {
        for (mean, std) in STATISTICS {
            let normalizer = Normalizer::new(Normalization { mean, std });
            assert!(normalizer.is_estimable, "{mean:?} {std:?}");
            for pixels in [1, 15, 16, 17, 48, 77] {
                let n = 256usize.next_multiple_of(pixels);
                let rgb: Vec<u8> = (0..n)
                    .flat_map(|i| [i as u8, (i + 85) as u8, (i * 7) as u8])
                    .collect();
                for flip in [false, true] {
                    let mut out = vec![f32::NAN; rgb.len()];
                    normalizer.apply(&rgb, 3 * pixels, flip, &mut out);
                    for (place, found) in out.iter().enumerate() {
                        let (row, x, c) = (place / 3 / pixels, place / 3 % pixels, place % 3);
                        let x = if flip { pixels - 1 - x } else { x };
                        let byte = f32::from(rgb[(row * pixels + x) * 3 + c]);
                        let expected = (byte / 255.0 - mean[c]) / std[c];
                        assert_eq!(found.to_bits(), expected.to_bits());
                    }
                }
            }
        }
    }

    /// A deviation for which the estimate overflows or loses its last bits takes the table.
    #[test]
    fn strange_statistics_are_looked_up() {
        for std in [1e-39, 1e38, 0.0] {
            let normalizer = Normalizer::new(Normalization {
                mean: [0.5; 3],
                std: [std; 3],
            });
            let rgb: Vec<u8> = (0..=255).flat_map(|byte| [byte; 3]).collect();
            let mut out = vec![0.0; rgb.len()];
            normalizer.apply(&rgb, rgb.len(), false, &mut out);
            for (found, byte) in out.iter().zip(rgb) {
                let expected = (f32::from(byte) / 255.0 - 0.5) / std;
                assert_eq!(found.to_bits(), expected.to_bits(), "{byte} {std}");
            }
        }
    }
}
