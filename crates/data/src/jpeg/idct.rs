//! The inverse cosine transform of [`LANES`] blocks at a time, to the bit as libjpeg's default (`jidctint.c`, after
//! Loeffler, Ligtenberg and Moschytz, "Practical fast 1-D DCT algorithms with 11 multiplications", 1989).

use super::entropy::{Coefficients, LANES};

/// Samples of [`LANES`] blocks side by side: eight rows.
pub(super) type Samples = [[u8; 8 * LANES]; 8];

/// Fractional bits of the constants, and of what is between the passes.
const CONST_BITS: u32 = 13;
const PASS1_BITS: u32 = 2;

/// One dimension, times 2^13.
#[inline(always)]
fn one_dimension(x: [i32; 8]) -> [i32; 8] {
    let z1 = (x[2] + x[6]) * 4433;
    let (even2, even3) = (z1 - x[6] * 15137, z1 + x[2] * 6270);
    let (even0, even1) = ((x[0] + x[4]) << CONST_BITS, (x[0] - x[4]) << CONST_BITS);
    let (a0, a3) = (even0 + even3, even0 - even3);
    let (a1, a2) = (even1 + even2, even1 - even2);

    let (t0, t1, t2, t3) = (x[7], x[5], x[3], x[1]);
    let (z3, z4) = (t0 + t2, t1 + t3);
    let z5 = (z3 + z4) * 9633;
    let (z1, z2) = ((t0 + t3) * -7373, (t1 + t2) * -20995);
    let (z3, z4) = (z3 * -16069 + z5, z4 * -3196 + z5);
    let b0 = t0 * 2446 + z1 + z3;
    let b1 = t1 * 16819 + z2 + z4;
    let b2 = t2 * 25172 + z2 + z3;
    let b3 = t3 * 12299 + z1 + z4;
    [
        a0 + b3,
        a1 + b2,
        a2 + b1,
        a3 + b0,
        a3 - b0,
        a2 - b1,
        a1 - b2,
        a0 - b3,
    ]
}

/// Coefficients times their factors to samples.
#[inline(always)]
pub(super) fn inverse(coefficients: &Coefficients, factors: &[u16; 64], samples: &mut Samples) {
    let coefficients = coefficients.as_chunks::<LANES>().0;
    let mut between = [[0i32; LANES]; 64];
    for column in 0..8 {
        for lane in 0..LANES {
            let x = std::array::from_fn(|row| {
                let at = row * 8 + column;
                i32::from(coefficients[at][lane].wrapping_mul(factors[at] as i16))
            });
            let y = one_dimension(x);
            for row in 0..8 {
                const SHIFT: u32 = CONST_BITS - PASS1_BITS;
                between[row * 8 + column][lane] = (y[row] + (1 << (SHIFT - 1))) >> SHIFT;
            }
        }
    }
    for (between, samples) in between.as_chunks::<8>().0.iter().zip(samples) {
        let mut row = [0u8; 8 * LANES];
        for lane in 0..LANES {
            let y = one_dimension(std::array::from_fn(|column| between[column][lane]));
            for column in 0..8 {
                const SHIFT: u32 = CONST_BITS + PASS1_BITS + 3;
                // 128 more, since samples are unsigned, and a half to round.
                let value = (y[column] + (257 << (SHIFT - 1))) >> SHIFT;
                row[column * LANES + lane] = value.clamp(0, 255) as u8;
            }
        }
        // Column by column with the lanes inside becomes lane by lane with the columns inside.
        *samples = zip_halves(&zip_halves(&zip_halves(&row)));
    }
}

/// The first and second half, element by element in turn: with 2^k elements this rotates the index's bits by one.
#[inline(always)]
fn zip_halves(row: &[u8; 8 * LANES]) -> [u8; 8 * LANES] {
    let mut zipped = [0; 8 * LANES];
    for i in 0..4 * LANES {
        zipped[2 * i] = row[i];
        zipped[2 * i + 1] = row[4 * LANES + i];
    }
    zipped
}
