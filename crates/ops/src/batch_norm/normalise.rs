//! The loops of the forward pass.

use super::rows::{GROUP, LANES, Short, Terms, rows_of, tree, vectors};
use crate::activation::curves::{Curve, Relu};
use crate::simd::vectorized;

vectorized! {
    /// Adds to `sums`, two rows, the columns' sums of x − around and of its square.
    pub(super) fn add_squares(sums: &mut [f64], x: &[f32], around: &[f32]) {
        let width = around.len();
        let mut short = Short::new(width);
        let groups = x.chunks_exact(GROUP * width);
        let rest = groups.remainder();
        for group in groups {
            let x = rows_of(group, width);
            let (short_sums, short_squares) = short.rows();
            let columns = short_sums.iter_mut().zip(short_squares).zip(vectors(around));
            for (v, ((sum, square), around)) in columns.enumerate() {
                let (mut s, mut q) = (*sum, *square);
                for i in 0..LANES {
                    let d: [f32; GROUP] = std::array::from_fn(|r| x[r][v][i] - around[i]);
                    s[i] += tree(d);
                    q[i] += tree(d.map(|d| d * d));
                }
                (*sum, *square) = (s, q);
            }
            short.count(sums);
        }
        short.flush(sums);
        let (sums, squares) = sums.split_at_mut(width);
        for row in rest.chunks(width) {
            let columns = sums.iter_mut().zip(squares.iter_mut()).zip(around);
            for (((sum, square), around), x) in columns.zip(row) {
                let d = x - around;
                *sum += f64::from(d);
                *square += f64::from(d * d);
            }
        }
    }
}

/// One value, normalised.
#[inline(always)]
pub(super) fn normal(x: f32, [mean, scale, shift]: [f32; 3]) -> f32 {
    (x - mean) * scale + shift
}

/// Calls `set(out, x, terms)` for each value.
#[inline(always)]
fn each(out: &mut [f32], x: &[f32], terms: &Terms, set: impl Fn(&mut f32, f32, [f32; 3])) {
    let width = terms.means.len();
    for (out, x) in out.chunks_mut(width).zip(x.chunks(width)) {
        let x = &x[..out.len()];
        let [means, scales, shifts] = terms.cut(out.len());
        for i in 0..out.len() {
            set(&mut out[i], x[i], [means[i], scales[i], shifts[i]]);
        }
    }
}

/// Calls `set(out, x, z, terms)` for each value.
#[inline(always)]
pub(super) fn each2(
    out: &mut [f32],
    x: &[f32],
    z: &[f32],
    terms: &Terms,
    set: impl Fn(&mut f32, f32, f32, [f32; 3]),
) {
    let width = terms.means.len();
    for ((out, x), z) in out
        .chunks_mut(width)
        .zip(x.chunks(width))
        .zip(z.chunks(width))
    {
        let (x, z) = (&x[..out.len()], &z[..out.len()]);
        let [means, scales, shifts] = terms.cut(out.len());
        for i in 0..out.len() {
            set(&mut out[i], x[i], z[i], [means[i], scales[i], shifts[i]]);
        }
    }
}

vectorized! {
    /// Writes the activation of the normalised x.
    pub(super) fn normalise<C: Curve>(out: &mut [f32], x: &[f32], terms: &Terms) {
        each(out, x, terms, |out, x, terms| *out = C::value(normal(x, terms)));
    }
}

vectorized! {
    /// Writes what is positive of the normalised x plus `other`.
    pub(super) fn normalise_and_add(out: &mut [f32], x: &[f32], other: &[f32], terms: &Terms) {
        each2(out, x, other, terms, |out, x, other, terms| {
            *out = Relu::value(normal(x, terms) + other);
        });
    }
}

vectorized! {
    /// As [`normalise`], in place.
    pub(super) fn normalise_in_place<C: Curve>(x: &mut [f32], terms: &Terms) {
        let width = terms.means.len();
        for x in x.chunks_mut(width) {
            let [means, scales, shifts] = terms.cut(x.len());
            for i in 0..x.len() {
                x[i] = C::value(normal(x[i], [means[i], scales[i], shifts[i]]));
            }
        }
    }
}

vectorized! {
    /// As [`normalise_and_add`], in place.
    pub(super) fn normalise_and_add_in_place(x: &mut [f32], other: &[f32], terms: &Terms) {
        each(x, other, terms, |x, other, terms| *x = Relu::value(normal(*x, terms) + other));
    }
}
