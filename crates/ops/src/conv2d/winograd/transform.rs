//! The transforms of F(4×4, 3×3): of a tile of 6×6 inputs, of a 3×3 filter, of 4×4 outputs, and the transposed ones of the
//! gradients.
//!
//! Toom and Cook's evaluation points are 0, ±√½, ±√2 and ∞. They are each other's inverses, which keeps the constants, and
//! with them the rounding errors, several times smaller than those of the usual 0, ±1, ±2, ∞ (Barabasz et al. 2020, "Error
//! analysis and improving the accuracy of Winograd convolution for deep neural networks").
//!
//! The rows, and columns, of a transformed tile come in pairs: those of 0 and ∞, of ±√½, and of ±√2. Within a pair work is
//! shared, and a pair of rows needs few registers, so the transforms go pair by pair.

use std::f32::consts::{FRAC_1_SQRT_2, SQRT_2};

use crate::lanes::Lanes;

/// Rows and columns of outputs of a tile.
pub(super) const OUTPUT: usize = 4;
/// Rows and columns of inputs of a tile.
pub(super) const INPUT: usize = 6;
/// Values of a transformed tile.
pub(super) const VALUES: usize = INPUT * INPUT;
/// Values of a pair of rows of a transformed tile.
pub(super) const PAIR: usize = 2 * INPUT;
/// Pairs of rows of a transformed tile.
pub(super) const PAIRS: usize = 3;

/// `constant · a + b`.
#[inline(always)]
unsafe fn scaled_add<L: Lanes>(constant: f32, a: L, b: L) -> L {
    // SAFETY: the caller answers for the processor, here and below.
    unsafe { L::splat(constant).mul_add(a, b) }
}

/// The inputs' transform Bᵀd along one axis: the two values of a pair.
#[inline(always)]
pub(super) unsafe fn input_pair<L: Lanes>(pair: usize, d: [L; INPUT]) -> [L; 2] {
    // SAFETY: the caller answers for the processor.
    unsafe {
        match pair {
            0 => [
                scaled_add(-2.5, d[2], d[0].add(d[4])),
                scaled_add(-2.5, d[3], d[1].add(d[5])),
            ],
            1 => {
                let even = scaled_add(-2.0, d[2], d[4]);
                let odd = scaled_add(-2.0, d[1], d[3]);
                [
                    scaled_add(FRAC_1_SQRT_2, odd, even),
                    scaled_add(-FRAC_1_SQRT_2, odd, even),
                ]
            }
            _ => {
                let even = scaled_add(-0.5, d[2], d[4]);
                let odd = scaled_add(-0.5, d[1], d[3]);
                [
                    scaled_add(SQRT_2, odd, even),
                    scaled_add(-SQRT_2, odd, even),
                ]
            }
        }
    }
}

/// All six values of the inputs' transform along one axis, in the order of the pairs.
#[inline(always)]
pub(super) unsafe fn input<L: Lanes>(d: [L; INPUT]) -> [L; INPUT] {
    // SAFETY: the caller answers for the processor.
    unsafe {
        let [a, b] = input_pair(0, d);
        let [c, e] = input_pair(1, d);
        let [f, g] = input_pair(2, d);
        [a, b, c, e, f, g]
    }
}

/// The filter's transform Gg along one axis: the two values of a pair.
#[inline(always)]
pub(super) unsafe fn filter_pair<L: Lanes>(pair: usize, g: [L; 3]) -> [L; 2] {
    // SAFETY: the caller answers for the processor.
    unsafe {
        // At ±√½ the factor is −2/3, at ±√2 it is 1/6.
        let (even, odd) = match pair {
            0 => return [g[0], g[2]],
            1 => (
                scaled_add(-1.0 / 3.0, g[2], L::splat(-2.0 / 3.0).mul(g[0])),
                L::splat(-SQRT_2 / 3.0).mul(g[1]),
            ),
            _ => (
                scaled_add(1.0 / 3.0, g[2], L::splat(1.0 / 6.0).mul(g[0])),
                L::splat(SQRT_2 / 6.0).mul(g[1]),
            ),
        };
        [even.add(odd), even.sub(odd)]
    }
}

/// All six values of the filter's transform along one axis.
#[inline(always)]
pub(super) unsafe fn filter<L: Lanes>(g: [L; 3]) -> [L; INPUT] {
    // SAFETY: the caller answers for the processor.
    unsafe {
        let [a, b] = filter_pair(0, g);
        let [c, d] = filter_pair(1, g);
        let [e, f] = filter_pair(2, g);
        [a, b, c, d, e, f]
    }
}

/// The outputs' transform Aᵀm along one axis.
#[inline(always)]
pub(super) unsafe fn output<L: Lanes>(m: [L; INPUT]) -> [L; OUTPUT] {
    // SAFETY: the caller answers for the processor.
    unsafe {
        let [zero, infinity, near, near_minus, far, far_minus] = m;
        let (near_sum, near_difference) = (near.add(near_minus), near.sub(near_minus));
        let (far_sum, far_difference) = (far.add(far_minus), far.sub(far_minus));
        [
            zero.add(near_sum).add(far_sum),
            scaled_add(
                SQRT_2,
                far_difference,
                L::splat(FRAC_1_SQRT_2).mul(near_difference),
            ),
            scaled_add(2.0, far_sum, L::splat(0.5).mul(near_sum)),
            scaled_add(
                2.0 * SQRT_2,
                far_difference,
                scaled_add(0.5 * FRAC_1_SQRT_2, near_difference, infinity),
            ),
        ]
    }
}

/// The transposed transform of the outputs, A·y, along one axis, for their gradients: the two values of a pair.
#[inline(always)]
pub(super) unsafe fn output_gradient_pair<L: Lanes>(pair: usize, y: [L; OUTPUT]) -> [L; 2] {
    // SAFETY: the caller answers for the processor.
    unsafe {
        match pair {
            0 => [y[0], y[3]],
            1 => {
                let even = scaled_add(0.5, y[2], y[0]);
                let odd = scaled_add(0.5 * FRAC_1_SQRT_2, y[3], L::splat(FRAC_1_SQRT_2).mul(y[1]));
                [even.add(odd), even.sub(odd)]
            }
            _ => {
                let even = scaled_add(2.0, y[2], y[0]);
                let odd = scaled_add(2.0 * SQRT_2, y[3], L::splat(SQRT_2).mul(y[1]));
                [even.add(odd), even.sub(odd)]
            }
        }
    }
}

/// All six values of the transposed transform of the outputs.
#[inline(always)]
pub(super) unsafe fn output_gradient<L: Lanes>(y: [L; OUTPUT]) -> [L; INPUT] {
    // SAFETY: the caller answers for the processor.
    unsafe {
        let [a, b] = output_gradient_pair(0, y);
        let [c, d] = output_gradient_pair(1, y);
        let [e, f] = output_gradient_pair(2, y);
        [a, b, c, d, e, f]
    }
}

/// The transposed transform of the filter, Gᵀs, along one axis.
#[inline(always)]
pub(super) unsafe fn filter_gradient<L: Lanes>(s: [L; INPUT]) -> [L; 3] {
    // SAFETY: the caller answers for the processor.
    unsafe {
        let [zero, infinity, near, near_minus, far, far_minus] = s;
        let (near_sum, near_difference) = (near.add(near_minus), near.sub(near_minus));
        let (far_sum, far_difference) = (far.add(far_minus), far.sub(far_minus));
        [
            scaled_add(1.0 / 6.0, far_sum, scaled_add(-2.0 / 3.0, near_sum, zero)),
            scaled_add(
                SQRT_2 / 6.0,
                far_difference,
                L::splat(-SQRT_2 / 3.0).mul(near_difference),
            ),
            scaled_add(1.0 / 3.0, far_sum.sub(near_sum), infinity),
        ]
    }
}
