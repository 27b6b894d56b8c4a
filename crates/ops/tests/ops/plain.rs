//! The operations as plain loops in double precision, straight from the documentation of `torch`.

use graft_ops::{Conv2d, Pool2d};

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
    let oh = out(x[2], w[2], conv.stride.0, conv.padding.0, conv.dilation.0);
    let ow = out(x[3], w[3], conv.stride.1, conv.padding.1, conv.dilation.1);
    let y = [x[0], w[0], oh, ow];
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
                                    && iy < x[2]
                                    && ix < x[3]
                                {
                                    let channel = o / per_group * w[1] + c;
                                    term(
                                        at(y, [n, o, i, j]),
                                        at(x, [n, channel, iy, ix]),
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
    let dims = conv_terms([0, 0, four(x)[2], four(x)[3]], four(w), conv, |_, _, _| {});
    let mut y = Array::zeros(&[x.dims[0], dims[1], dims[2], dims[3]]);
    conv_terms(four(x), four(w), conv, |o, i, k| {
        y.values[o] += x.values[i] * w.values[k];
    });
    if let Some(b) = b {
        let plane = dims[2] * dims[3];
        for (i, y) in y.values.iter_mut().enumerate() {
            *y += b.values[i / plane % dims[1]];
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
    let plane = dy.dims[2] * dy.dims[3];
    for (i, dy) in dy.values.iter().enumerate() {
        db.values[i / plane % w.dims[0]] += dy;
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
        dims[2],
        pool.kernel.0,
        pool.stride.0,
        pool.padding.0,
        pool.ceil_mode,
    );
    let xs = windows(
        dims[3],
        pool.kernel.1,
        pool.stride.1,
        pool.padding.1,
        pool.ceil_mode,
    );
    let mut out = Array::zeros(&[dims[0], dims[1], ys.len(), xs.len()]);
    let mut results = Vec::new();
    for plane in x.values.chunks_exact(dims[2] * dims[3]) {
        for &(top, bottom, height) in &ys {
            for &(left, right, width) in &xs {
                let values: Vec<f64> = (top..bottom)
                    .flat_map(|i| plane[i * dims[3] + left..i * dims[3] + right].to_vec())
                    .collect();
                results.push(window(&values, height * width));
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
    let plane = x.dims[2] * x.dims[3];
    let mut y = Array::zeros(&x.dims[..2]);
    for (y, x) in y.values.iter_mut().zip(x.values.chunks_exact(plane)) {
        *y = x.iter().sum::<f64>() / plane as f64;
    }
    y
}

/// Mean and biased variance of each channel.
pub(crate) fn statistics(x: &Array) -> (Vec<f64>, Vec<f64>) {
    let plane = x.dims[2] * x.dims[3];
    (0..x.dims[1])
        .map(|c| {
            let values: Vec<f64> = (0..x.dims[0])
                .flat_map(|n| x.values[(n * x.dims[1] + c) * plane..][..plane].to_vec())
                .collect();
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
    let plane = x.dims[2] * x.dims[3];
    let mut y = x.clone();
    for (i, y) in y.values.iter_mut().enumerate() {
        let c = i / plane % x.dims[1];
        *y = (*y - mean[c]) / (var[c] + eps).sqrt() * w.values[c] + b.values[c];
    }
    y
}

pub(crate) fn batch_norm_train(x: &Array, w: &Array, b: &Array, eps: f64) -> Array {
    let (mean, var) = statistics(x);
    batch_norm(x, &mean, &var, w, b, eps)
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
