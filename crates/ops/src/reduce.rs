//! Sums over many floats, in double precision and in a fixed order.

use crate::simd::vectorized;

/// The number of partial sums that run side by side.
const LANES: usize = 16;

/// Adds the lanes pairwise.
#[inline]
fn fold(mut lanes: [f64; LANES]) -> f64 {
    let mut width = LANES / 2;
    while width > 0 {
        for i in 0..width {
            lanes[i] += lanes[i + width];
        }
        width /= 2;
    }
    lanes[0]
}

vectorized! {
    /// Σ x.
    pub(crate) fn sum(x: &[f32]) -> f64 {
        let mut lanes = [0f64; LANES];
        let (blocks, rest) = x.as_chunks::<LANES>();
        for block in blocks {
            for i in 0..LANES {
                lanes[i] += f64::from(block[i]);
            }
        }
        rest.iter().fold(fold(lanes), |sum, &x| sum + f64::from(x))
    }
}

vectorized! {
    /// Σ x and Σ (x − around)².
    pub(crate) fn sum_and_squares(x: &[f32], around: f64) -> (f64, f64) {
        let (mut sums, mut squares) = ([0f64; LANES], [0f64; LANES]);
        let (blocks, rest) = x.as_chunks::<LANES>();
        for block in blocks {
            for i in 0..LANES {
                let x = f64::from(block[i]);
                sums[i] += x;
                squares[i] += (x - around) * (x - around);
            }
        }
        rest.iter().fold((fold(sums), fold(squares)), |(s, q), &x| {
            let x = f64::from(x);
            (s + x, q + (x - around) * (x - around))
        })
    }
}

vectorized! {
    /// Σ a and Σ a·(x − around).
    pub(crate) fn sum_and_product(a: &[f32], x: &[f32], around: f64) -> (f64, f64) {
        let (mut sums, mut products) = ([0f64; LANES], [0f64; LANES]);
        let (a_blocks, a_rest) = a.as_chunks::<LANES>();
        let (x_blocks, x_rest) = x.as_chunks::<LANES>();
        for (a, x) in a_blocks.iter().zip(x_blocks) {
            for i in 0..LANES {
                let a = f64::from(a[i]);
                sums[i] += a;
                products[i] += a * (f64::from(x[i]) - around);
            }
        }
        a_rest.iter().zip(x_rest).fold((fold(sums), fold(products)), |(s, p), (&a, &x)| {
            let a = f64::from(a);
            (s + a, p + a * (f64::from(x) - around))
        })
    }
}
