//! The loops of the backward pass.

use super::normalise::{each2, normal};
use super::rows::{GROUP, LANES, Short, Terms, rows_of, tree, vectors};
use crate::activation::curves::{Curve, Relu};
use crate::simd::vectorized;

/// Adds to `short` the columns' sums of the gradient and of its product with x − mean.
#[inline(always)]
fn add_group_products(short: &mut Short, dy: &[f32], x: &[f32], terms: &Terms) {
    let width = terms.means.len();
    let (dy, x) = (rows_of(dy, width), rows_of(x, width));
    let means = vectors(&terms.means);
    let (sums, products) = short.rows();
    for (v, (sum, product)) in sums.iter_mut().zip(products).enumerate() {
        let mean = &means[v];
        let (mut s, mut p) = (*sum, *product);
        for i in 0..LANES {
            let g: [f32; GROUP] = std::array::from_fn(|r| dy[r][v][i]);
            s[i] += tree(g);
            p[i] += tree(std::array::from_fn(|r| g[r] * (x[r][v][i] - mean[i])));
        }
        (*sum, *product) = (s, p);
    }
}

/// Adds to `sums`, two rows, what [`add_group_products`] does, of rows that are no whole group.
#[inline(always)]
fn add_rest_products(sums: &mut [f64], dy: &[f32], x: &[f32], terms: &Terms) {
    let width = terms.means.len();
    let (sums, products) = sums.split_at_mut(width);
    for (dy, x) in dy.chunks(width).zip(x.chunks(width)) {
        let means = &terms.means[..dy.len()];
        for i in 0..dy.len() {
            sums[i] += f64::from(dy[i]);
            products[i] += f64::from(dy[i] * (x[i] - means[i]));
        }
    }
}

/// Writes what of the gradient passes the activation behind the normalisation.
#[inline(always)]
fn pass<C: Curve>(out: &mut [f32], dy: &[f32], x: &[f32], terms: &Terms) {
    each2(out, x, dy, terms, |out, x, dy, terms| {
        *out = C::gradient(dy, normal(x, terms));
    });
}

vectorized! {
    /// Adds to `sums`, two rows, the columns' sums of the gradient and of its product with x − mean. The gradient is what of
    /// `dy` passes the activation behind the normalisation.
    pub(super) fn add_products<C: Curve>(sums: &mut [f64], dy: &[f32], x: &[f32], terms: &Terms) {
        let group = GROUP * terms.means.len();
        let mut short = Short::new(terms.means.len());
        let mut passed = vec![0.0; if C::IS_IDENTITY { 0 } else { group }];
        for (dy, x) in dy.chunks(group).zip(x.chunks(group)) {
            let dy = if C::IS_IDENTITY {
                dy
            } else {
                let passed = &mut passed[..dy.len()];
                pass::<C>(passed, dy, x, terms);
                passed
            };
            if dy.len() == group {
                add_group_products(&mut short, dy, x, terms);
                short.count(sums);
            } else {
                add_rest_products(sums, dy, x, terms);
            }
        }
        short.flush(sums);
    }
}

vectorized! {
    /// Clears the gradient where the rectifier's result `y` was not positive, and adds it to `sums` as
    /// [`add_products`] does.
    pub(super) fn mask_and_add_products(sums: &mut [f64], dy: &mut [f32], y: &[f32], x: &[f32], terms: &Terms) {
        let group = GROUP * terms.means.len();
        let mut short = Short::new(terms.means.len());
        for ((dy, y), x) in dy.chunks_mut(group).zip(y.chunks(group)).zip(x.chunks(group)) {
            for (dy, y) in dy.iter_mut().zip(y) {
                *dy = Relu::gradient(*dy, *y);
            }
            if dy.len() == group {
                add_group_products(&mut short, dy, x, terms);
                short.count(sums);
            } else {
                add_rest_products(sums, dy, x, terms);
            }
        }
        short.flush(sums);
    }
}

/// What the gradient of the input takes beside [`Terms`], as rows.
pub(super) struct Slopes {
    pub(super) offsets: Vec<f32>,
    pub(super) slopes: Vec<f32>,
}

#[inline(always)]
fn slope(g: f32, x: f32, [mean, scale]: [f32; 2], [offset, slope]: [f32; 2]) -> f32 {
    (g - offset - (x - mean) * slope) * scale
}

vectorized! {
    /// Turns the gradient of the result into that of the input, in place.
    pub(super) fn input_gradient_in_place<C: Curve>(dy: &mut [f32], x: &[f32], terms: &Terms, of: &Slopes) {
        let width = terms.means.len();
        for (dy, x) in dy.chunks_mut(width).zip(x.chunks(width)) {
            let x = &x[..dy.len()];
            let [means, scales, shifts] = terms.cut(dy.len());
            let (offsets, slopes) = (&of.offsets[..dy.len()], &of.slopes[..dy.len()]);
            for i in 0..dy.len() {
                let g = C::gradient(dy[i], normal(x[i], [means[i], scales[i], shifts[i]]));
                dy[i] = slope(g, x[i], [means[i], scales[i]], [offsets[i], slopes[i]]);
            }
        }
    }
}

vectorized! {
    /// The gradient of the input from that of the result.
    pub(super) fn input_gradient(out: &mut [f32], dy: &[f32], x: &[f32], terms: &Terms, of: &Slopes) {
        let width = terms.means.len();
        for ((out, dy), x) in out.chunks_mut(width).zip(dy.chunks(width)).zip(x.chunks(width)) {
            let (dy, x) = (&dy[..out.len()], &x[..out.len()]);
            let [means, scales, _] = terms.cut(out.len());
            let (offsets, slopes) = (&of.offsets[..out.len()], &of.slopes[..out.len()]);
            for i in 0..out.len() {
                out[i] = slope(dy[i], x[i], [means[i], scales[i]], [offsets[i], slopes[i]]);
            }
        }
    }
}
