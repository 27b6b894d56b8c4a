//! Convolution with one input channel per group: every plane is filtered directly.

use super::geometry::Geometry;
use crate::parallel::for_each_chunk;
use crate::simd::vectorized;

/// The input plane that output channel `o` of picture `n` is computed from.
fn input_of<'a>(g: &Geometry, x: &'a [f32], n: usize, o: usize) -> &'a [f32] {
    let channel = o / g.group_outputs();
    &x[(n * g.channels + channel) * g.input_plane()..][..g.input_plane()]
}

/// Calls `row(ky, kx, output row's valid part, input row from its first value on)` for all rows where a kernel element
/// meets the input: as ranges of indices into the output and the input plane.
fn for_each_row(g: &Geometry, mut row: impl FnMut(usize, std::ops::Range<usize>, usize)) {
    for ky in 0..g.y.kernel {
        for kx in 0..g.x.kernel {
            let valid = g.x.valid(kx);
            if valid.is_empty() {
                continue;
            }
            for oy in g.y.valid(ky) {
                let start = oy * g.x.output;
                let input = g.y.input_at(oy, ky) * g.x.input + g.x.input_at(valid.start, kx);
                row(
                    ky * g.x.kernel + kx,
                    start + valid.start..start + valid.end,
                    input,
                );
            }
        }
    }
}

/// The output.
pub(super) fn forward(g: &Geometry, x: &[f32], weight: &[f32], bias: Option<&[f32]>) -> Vec<f32> {
    let area = g.kernel_area();
    let mut y = vec![0.0; g.output_shape().elem_count()];
    for_each_chunk(&mut y, g.output_plane(), g.work(), |i, out| {
        let (n, o) = (i / g.outputs, i % g.outputs);
        let (x, weight) = (input_of(g, x, n, o), &weight[o * area..][..area]);
        out.fill(bias.map_or(0.0, |bias| bias[o]));
        for_each_row(g, |k, outputs, input| {
            multiply_add(&mut out[outputs], &x[input..], g.x.stride, weight[k]);
        });
    });
    y
}

/// The input's gradient.
pub(super) fn input_gradient(g: &Geometry, dy: &[f32], weight: &[f32]) -> Vec<f32> {
    let (area, plane) = (g.kernel_area(), g.output_plane());
    let mut dx = vec![0.0; g.input_shape().elem_count()];
    for_each_chunk(&mut dx, g.input_plane(), g.work(), |i, dx| {
        let (n, c) = (i / g.channels, i % g.channels);
        for o in c * g.group_outputs()..(c + 1) * g.group_outputs() {
            let dy = &dy[(n * g.outputs + o) * plane..][..plane];
            let weight = &weight[o * area..][..area];
            for_each_row(g, |k, outputs, input| {
                spread(&mut dx[input..], g.x.stride, &dy[outputs], weight[k]);
            });
        }
    });
    dx
}

/// The weight's gradient, added up over the pictures in order.
pub(super) fn weight_gradient(g: &Geometry, x: &[f32], dy: &[f32]) -> Vec<f32> {
    let plane = g.output_plane();
    let mut dw = vec![0.0; g.weight_shape().elem_count()];
    for_each_chunk(&mut dw, g.kernel_area(), g.work(), |o, dw| {
        let mut totals = vec![0.0; dw.len()];
        for n in 0..g.n {
            let x = input_of(g, x, n, o);
            let dy = &dy[(n * g.outputs + o) * plane..][..plane];
            for_each_row(g, |k, outputs, input| {
                totals[k] += f64::from(dot(&dy[outputs], &x[input..], g.x.stride));
            });
        }
        for (dw, total) in dw.iter_mut().zip(totals) {
            *dw = total as f32;
        }
    });
    dw
}

vectorized! {
    /// `out[i] += x[i * stride] * factor`.
    fn multiply_add(out: &mut [f32], x: &[f32], stride: usize, factor: f32) {
        if stride == 1 {
            for (out, x) in out.iter_mut().zip(x) {
                *out += x * factor;
            }
        } else {
            for (out, x) in out.iter_mut().zip(x.iter().step_by(stride)) {
                *out += x * factor;
            }
        }
    }
}

vectorized! {
    /// `target[i * stride] += dy[i] * factor`.
    fn spread(target: &mut [f32], stride: usize, dy: &[f32], factor: f32) {
        if stride == 1 {
            for (target, dy) in target.iter_mut().zip(dy) {
                *target += dy * factor;
            }
        } else {
            for (target, dy) in target.iter_mut().step_by(stride).zip(dy) {
                *target += dy * factor;
            }
        }
    }
}

vectorized! {
    /// Σ a[i] · x[i * stride].
    fn dot(a: &[f32], x: &[f32], stride: usize) -> f32 {
        const LANES: usize = 8;
        if stride != 1 {
            return a.iter().zip(x.iter().step_by(stride)).map(|(a, x)| a * x).sum();
        }
        let x = &x[..a.len()];
        let mut lanes = [0f32; LANES];
        let (a_blocks, a_rest) = a.as_chunks::<LANES>();
        let (x_blocks, x_rest) = x.as_chunks::<LANES>();
        for (a, x) in a_blocks.iter().zip(x_blocks) {
            for i in 0..LANES {
                lanes[i] += a[i] * x[i];
            }
        }
        let mut width = LANES / 2;
        while width > 0 {
            for i in 0..width {
                lanes[i] += lanes[i + width];
            }
            width /= 2;
        }
        a_rest.iter().zip(x_rest).fold(lanes[0], |sum, (a, x)| sum + a * x)
    }
}
