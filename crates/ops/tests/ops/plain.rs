//! The operations as plain loops in double precision, straight from the documentation of `torch`; maps are (n, h, w, c).

use graft_ops::{Activation, Conv2d, Pool2d};

use crate::arrays::Array;

fn four(a: &Array) -> [usize; 4] {
    a.dims.as_slice().try_into().expect("four dimensions")
}

fn at([_, b, c, d]: [usize; 4], [i, j, k, l]: [usize; 4]) -> usize {
    ((i * b + j) * c + k) * d + l
}

/// Calls `term(output, input, weight)` with the places of each product of a convolution.
fn conv_terms(
    x: [usize; 4],
    w: [usize; 4],
    conv: &Conv2d,
    mut term: impl FnMut(usize, usize, usize),
) -> Vec<usize> {
    let out =
        |i: usize, k: usize, s: usize, p: usize, d: usize| (i + 2 * p - d * (k - 1) - 1) / s + 1;
    let oh = out(x[1], w[2], conv.stride.0, conv.padding.0, conv.dilation.0);
    let ow = out(x[2], w[3], conv.stride.1, conv.padding.1, conv.dilation.1);
    let y = [x[0], oh, ow, w[0]];
    let per_group = w[0] / conv.groups;
    for n in 0..x[0] {
        for o in 0..w[0] {
            for i in 0..oh {
                for j in 0..ow {
                    for c in 0..w[1] {
                        for ky in 0..w[2] {
                            for kx in 0..w[3] {
                                let iy = (i * conv.stride.0 + ky * conv.dilation.0)
                                    .checked_sub(conv.padding.0);
                                let ix = (j * conv.stride.1 + kx * conv.dilation.1)
                                    .checked_sub(conv.padding.1);
                                if let (Some(iy), Some(ix)) = (iy, ix)
                                    && iy < x[1]
                                    && ix < x[2]
                                {
                                    let channel = o / per_group * w[1] + c;
                                    term(
                                        at(y, [n, i, j, o]),
                                        at(x, [n, iy, ix, channel]),
                                        at(w, [o, c, ky, kx]),
                                    );
                                }
                            }
                        }
                    }
                }
            }
        }
    }
    y.to_vec()
}

pub(crate) fn conv2d(x: &Array, w: &Array, b: Option<&Array>, conv: &Conv2d) -> Array {
    let dims = conv_terms([0, four(x)[1], four(x)[2], 0], four(w), conv, |_, _, _| {});
    let mut y = Array::zeros(&[x.dims[0], dims[1], dims[2], dims[3]]);
    conv_terms(four(x), four(w), conv, |o, i, k| {
        y.values[o] += x.values[i] * w.values[k];
    });
    if let Some(b) = b {
        for (i, y) in y.values.iter_mut().enumerate() {
            *y += b.values[i % dims[3]];
        }
    }
    y
}

/// The gradients of input, weight and bias.
pub(crate) fn conv2d_gradients(x: &Array, w: &Array, dy: &Array, conv: &Conv2d) -> [Array; 3] {
    let (mut dx, mut dw) = (Array::zeros(&x.dims), Array::zeros(&w.dims));
    conv_terms(four(x), four(w), conv, |o, i, k| {
        dx.values[i] += dy.values[o] * w.values[k];
        dw.values[k] += dy.values[o] * x.values[i];
    });
    let mut db = Array::zeros(&[w.dims[0]]);
    for (i, dy) in dy.values.iter().enumerate() {
        db.values[i % w.dims[0]] += dy;
    }
    [dx, dw, db]
}

pub(crate) fn linear(x: &Array, w: &Array, b: Option<&Array>) -> Array {
    let (n, i, o) = (x.dims[0], x.dims[1], w.dims[0]);
    let mut y = Array::zeros(&[n, o]);
    for r in 0..n {
        for c in 0..o {
            let sum: f64 = (0..i)
                .map(|k| x.values[r * i + k] * w.values[c * i + k])
                .sum();
            y.values[r * o + c] = sum + b.map_or(0.0, |b| b.values[c]);
        }
    }
    y
}

/// The output size and, for each window, the part inside the input and its length with padding: `pooling_shape.h`.
pub(crate) fn windows(
    input: usize,
    k: usize,
    s: usize,
    p: usize,
    ceil: bool,
) -> Vec<(usize, usize, usize)> {
    let (input, k, s, p) = (input as i64, k as i64, s as i64, p as i64);
    let mut count = (input + 2 * p - k + if ceil { s - 1 } else { 0 }) / s + 1;
    if ceil && (count - 1) * s >= input + p {
        count -= 1;
    }
    (0..count)
        .map(|i| {
            let start = i * s - p;
            let end = (start + k).min(input + p);
            (
                start.max(0) as usize,
                end.min(input) as usize,
                (end - start) as usize,
            )
        })
        .collect()
}

/// Pools with `window(values in row-major order, size with padding)`.
fn pool(x: &Array, pool: &Pool2d, window: impl Fn(&[f64], usize) -> f64) -> Array {
    let dims = four(x);
    let ys = windows(
        dims[1],
        pool.kernel.0,
        pool.stride.0,
        pool.padding.0,
        pool.ceil_mode,
    );
    let xs = windows(
        dims[2],
        pool.kernel.1,
        pool.stride.1,
        pool.padding.1,
        pool.ceil_mode,
    );
    let mut out = Array::zeros(&[dims[0], ys.len(), xs.len(), dims[3]]);
    let mut results = Vec::new();
    for n in 0..dims[0] {
        for &(top, bottom, height) in &ys {
            for &(left, right, width) in &xs {
                for c in 0..dims[3] {
                    let values: Vec<f64> = (top..bottom)
                        .flat_map(|i| (left..right).map(move |j| [n, i, j, c]))
                        .map(|place| x.values[at(dims, place)])
                        .collect();
                    results.push(window(&values, height * width));
                }
            }
        }
    }
    out.values = results;
    out
}

pub(crate) fn max_pool2d(x: &Array, p: &Pool2d) -> Array {
    pool(x, p, |values, _| {
        values.iter().copied().fold(f64::NEG_INFINITY, f64::max)
    })
}

pub(crate) fn avg_pool2d(x: &Array, p: &Pool2d, count_include_pad: bool) -> Array {
    pool(x, p, |values, padded| {
        let count = if count_include_pad {
            padded
        } else {
            values.len()
        };
        values.iter().sum::<f64>() / count as f64
    })
}

pub(crate) fn global_avg_pool(x: &Array) -> Array {
    let (n, c) = (x.dims[0], x.dims[3]);
    let map = x.dims[1] * x.dims[2];
    let mut y = Array::zeros(&[n, c]);
    for (i, x) in x.values.iter().enumerate() {
        y.values[i / (map * c) * c + i % c] += x / map as f64;
    }
    y
}

/// The maps of each picture one after another: (n, h, w, c) to (n, c·h·w).
pub(crate) fn flatten(x: &Array) -> Array {
    let dims = four(x);
    let [n, h, w, c] = dims;
    let mut y = Array::zeros(&[n, c * h * w]);
    let mut places = (0..n).flat_map(|n| {
        (0..c).flat_map(move |c| (0..h).flat_map(move |i| (0..w).map(move |j| [n, i, j, c])))
    });
    y.values
        .fill_with(|| x.values[at(dims, places.next().expect("as many places as values"))]);
    y
}

/// Mean and biased variance of each channel.
pub(crate) fn statistics(x: &Array) -> (Vec<f64>, Vec<f64>) {
    (0..x.dims[3])
        .map(|c| {
            let values: Vec<f64> = x.values[c..].iter().copied().step_by(x.dims[3]).collect();
            let mean = values.iter().sum::<f64>() / values.len() as f64;
            let var = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / values.len() as f64;
            (mean, var)
        })
        .unzip()
}

pub(crate) fn batch_norm(
    x: &Array,
    mean: &[f64],
    var: &[f64],
    w: &Array,
    b: &Array,
    eps: f64,
) -> Array {
    let mut y = x.clone();
    for (i, y) in y.values.iter_mut().enumerate() {
        let c = i % x.dims[3];
        *y = (*y - mean[c]) / (var[c] + eps).sqrt() * w.values[c] + b.values[c];
    }
    y
}

pub(crate) fn batch_norm_train(x: &Array, w: &Array, b: &Array, eps: f64) -> Array {
    let (mean, var) = statistics(x);
    batch_norm(x, &mean, &var, w, b, eps)
}

pub(crate) fn relu(x: &Array) -> Array {
    activate(x, Activation::Relu)
}

pub(crate) fn activate(x: &Array, activation: Activation) -> Array {
    let relu6 = |x: f64| x.clamp(0.0, 6.0);
    let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
    let mut y = x.clone();
    for v in &mut y.values {
        let x = *v;
        *v = match activation {
            Activation::Relu => x.max(0.0),
            Activation::Relu6 => relu6(x),
            Activation::Sigmoid => sigmoid(x),
            Activation::Hardsigmoid => relu6(x + 3.0) / 6.0,
            Activation::Silu => x * sigmoid(x),
            Activation::Hardswish => x * relu6(x + 3.0) / 6.0,
        };
    }
    y
}

/// x, (n, h, w, c), times one number per picture and channel.
pub(crate) fn scale_channels(x: &Array, gate: &Array) -> Array {
    let [_, h, w, c] = four(x);
    let mut y = x.clone();
    for (i, y) in y.values.iter_mut().enumerate() {
        *y *= gate.values[i / (h * w * c) * c + i % c];
    }
    y
}

/// The mean over windows that divide the maps into `size` parts.
pub(crate) fn adaptive_avg_pool2d(x: &Array, size: (usize, usize)) -> Array {
    let dims = four(x);
    let part = |i: usize, input: usize, output: usize| {
        let (from, to) = (i as f64, (i + 1) as f64);
        let scale = input as f64 / output as f64;
        // Without the last bit of the quotient, which may be above a whole number.
        (
            (from * scale + 1e-9) as usize,
            (to * scale - 1e-9).ceil() as usize,
        )
    };
    let mut out = Array::zeros(&[dims[0], size.0, size.1, dims[3]]);
    let mut means = Vec::new();
    for n in 0..dims[0] {
        for (top, bottom) in (0..size.0).map(|i| part(i, dims[1], size.0)) {
            for (left, right) in (0..size.1).map(|j| part(j, dims[2], size.1)) {
                for c in 0..dims[3] {
                    let mut sum = 0.0;
                    for i in top..bottom {
                        for j in left..right {
                            sum += x.values[at(dims, [n, i, j, c])];
                        }
                    }
                    means.push(sum / ((bottom - top) * (right - left)) as f64);
                }
            }
        }
    }
    out.values = means;
    out
}

pub(crate) fn add(a: &Array, b: &Array) -> Array {
    let mut y = a.clone();
    y.values
        .iter_mut()
        .zip(&b.values)
        .for_each(|(y, b)| *y += b);
    y
}

pub(crate) fn cat(parts: &[Array], dim: usize) -> Array {
    let outer: usize = parts[0].dims[..dim].iter().product();
    let mut dims = parts[0].dims.clone();
    dims[dim] = parts.iter().map(|part| part.dims[dim]).sum();
    let mut values = Vec::new();
    for i in 0..outer {
        for part in parts {
            let len = part.values.len() / outer;
            values.extend_from_slice(&part.values[i * len..][..len]);
        }
    }
    Array { dims, values }
}

/// The gradients of input, weight and bias.
pub(crate) fn linear_gradients(x: &Array, w: &Array, dy: &Array) -> [Array; 3] {
    let (n, i, o) = (x.dims[0], x.dims[1], w.dims[0]);
    let (mut dx, mut dw) = (Array::zeros(&x.dims), Array::zeros(&w.dims));
    let mut db = Array::zeros(&[o]);
    for r in 0..n {
        for c in 0..o {
            let dy = dy.values[r * o + c];
            db.values[c] += dy;
            for k in 0..i {
                dx.values[r * i + k] += dy * w.values[c * i + k];
                dw.values[c * i + k] += dy * x.values[r * i + k];
            }
        }
    }
    [dx, dw, db]
}

pub(crate) fn softmax(x: &Array) -> Array {
    let mut y = x.clone();
    for row in y.values.chunks_exact_mut(x.dims[1]) {
        let largest = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let total: f64 = row.iter().map(|v| (v - largest).exp()).sum();
        for v in row.iter_mut() {
            *v = (*v - largest).exp() / total;
        }
    }
    y
}

pub(crate) fn cross_entropy(x: &Array, labels: &[u32]) -> Array {
    let k = x.dims[1];
    let mut loss = Array::zeros(&[]);
    for (row, &label) in x.values.chunks_exact(k).zip(labels) {
        let total: f64 = row.iter().map(|v| (v - row[label as usize]).exp()).sum();
        loss.values[0] += total.ln() / labels.len() as f64;
    }
    loss
}
