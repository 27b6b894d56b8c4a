//! Every op and its gradients against plain loops in double precision: the values directly, the gradients by central
//! differences of the plain loops. Also with inputs and gradients that are not contiguous.

use candle_core::{Result, Tensor, Var};
use graft_ops::{
    Affine, Conv2d, Pool2d, Tape, Then, add, avg_pool2d, batch_norm_eval, batch_norm_eval_then,
    batch_norm_train, batch_norm_train_then, cat, cat_relu, conv2d, cross_entropy, dropout,
    flatten, global_avg_pool, linear, max_pool2d, max_pool2d_relu, relu, relu_in_place, reshape,
};

use crate::arrays::{Array, assert_close};
use crate::plain;

/// Compares `op` with `plain` at `inputs`: dense and tracked, then strided; and with a strided gradient.
pub(crate) fn check(
    inputs: &[Array],
    op: impl Fn(&Tape, &[Tensor]) -> Result<Tensor>,
    plain: impl Fn(&[Array]) -> Array,
) {
    let expected = plain(inputs);
    let strided: Vec<Tensor> = inputs.iter().map(Array::strided).collect();
    let y = op(&Tape::disabled(), &strided).expect("strided inputs are fine");
    assert_close("the result from strided inputs", &y, &expected, 2e-6);

    let vars: Vec<Var> = inputs.iter().map(Array::var).collect();
    let tensors: Vec<Tensor> = vars.iter().map(|v| v.as_tensor().clone()).collect();
    let dy = Array::normal(&expected.dims, 99);
    let upstream = if dy.dims.is_empty() {
        dy.tensor()
    } else {
        dy.strided()
    };
    let tape = Tape::recording();
    let y = op(&tape, &tensors).expect("the arguments are right");
    assert_close("the result", &y, &expected, 2e-6);
    let gradients = tape
        .backward_from(&y, &upstream)
        .expect("the op was recorded");

    for (i, var) in vars.iter().enumerate() {
        let found = gradients
            .get(var)
            .unwrap_or_else(|| panic!("input {i} has no gradient"));
        let slope = differences(inputs, i, &dy, &plain);
        assert_close(&format!("the gradient of input {i}"), found, &slope, 3e-6);
    }

    // One input at a time: only the one that is a variable gets a gradient, and the same one.
    for (i, var) in vars.iter().enumerate() {
        let mut mixed = strided.clone();
        mixed[i] = var.as_tensor().clone();
        let tape = Tape::recording();
        let y = op(&tape, &mixed).expect("the arguments are right");
        let alone = tape
            .backward_from(&y, &dy.tensor())
            .expect("the op was recorded");
        let slope = differences(inputs, i, &dy, &plain);
        assert_close(
            "a single gradient",
            alone.get(var).expect("it is there"),
            &slope,
            3e-6,
        );
        assert!(
            mixed
                .iter()
                .enumerate()
                .all(|(j, t)| j == i || alone.get(t).is_none())
        );
    }
}

/// The slope of Σ dy·plain(inputs) in each element of input `which`.
fn differences(
    inputs: &[Array],
    which: usize,
    dy: &Array,
    plain: &impl Fn(&[Array]) -> Array,
) -> Array {
    const STEP: f64 = 1e-5;
    let mut slope = Array::zeros(&inputs[which].dims);
    let mut moved = inputs.to_vec();
    for i in 0..slope.values.len() {
        let mut loss = |step: f64| {
            moved[which].values[i] = inputs[which].values[i] + step;
            let y = plain(&moved);
            y.values
                .iter()
                .zip(&dy.values)
                .map(|(y, d)| y * d)
                .sum::<f64>()
        };
        let rise = loss(STEP) - loss(-STEP);
        moved[which].values[i] = inputs[which].values[i];
        slope.values[i] = rise / (2.0 * STEP);
    }
    slope
}

fn check_conv(x: [usize; 4], w: [usize; 4], conv: Conv2d) {
    let inputs = [
        Array::normal(&x, 1),
        Array::normal(&w, 2),
        Array::normal(&[w[0]], 3),
    ];
    check(
        &inputs,
        |tape, t| conv2d(tape, &t[0], &t[1], Some(&t[2]), &conv),
        |a| plain::conv2d(&a[0], &a[1], Some(&a[2]), &conv),
    );
    check(
        &inputs[..2],
        |tape, t| conv2d(tape, &t[0], &t[1], None, &conv),
        |a| plain::conv2d(&a[0], &a[1], None, &conv),
    );
}

#[test]
fn conv2d_odd_and_not_square() {
    check_conv(
        [2, 5, 7, 3],
        [4, 3, 3, 3],
        Conv2d {
            padding: (1, 1),
            ..Conv2d::default()
        },
    );
    check_conv(
        [1, 7, 4, 2],
        [3, 2, 3, 2],
        Conv2d {
            stride: (2, 1),
            padding: (0, 1),
            ..Conv2d::default()
        },
    );
}

#[test]
fn conv2d_strided_past_the_end() {
    check_conv(
        [2, 6, 5, 2],
        [3, 2, 2, 3],
        Conv2d {
            stride: (3, 2),
            ..Conv2d::default()
        },
    );
}

#[test]
fn conv2d_dilated() {
    let conv = Conv2d {
        stride: (1, 2),
        padding: (2, 3),
        dilation: (2, 3),
        groups: 1,
    };
    check_conv([1, 6, 7, 2], [2, 2, 3, 3], conv);
}

#[test]
fn conv2d_padded_beyond_the_kernel() {
    check_conv(
        [2, 2, 3, 1],
        [2, 1, 2, 2],
        Conv2d {
            stride: (2, 2),
            padding: (4, 3),
            ..Conv2d::default()
        },
    );
}

#[test]
fn conv2d_one_row_kernels() {
    check_conv(
        [2, 5, 6, 2],
        [3, 2, 1, 5],
        Conv2d {
            padding: (0, 2),
            ..Conv2d::default()
        },
    );
    check_conv(
        [2, 6, 5, 2],
        [3, 2, 5, 1],
        Conv2d {
            padding: (2, 0),
            ..Conv2d::default()
        },
    );
}

#[test]
fn conv2d_points() {
    check_conv([2, 3, 4, 5], [3, 5, 1, 1], Conv2d::default());
    check_conv(
        [2, 5, 4, 3],
        [3, 3, 1, 1],
        Conv2d {
            stride: (2, 2),
            ..Conv2d::default()
        },
    );
    check_conv(
        [1, 2, 2, 3],
        [2, 3, 1, 1],
        Conv2d {
            padding: (1, 0),
            ..Conv2d::default()
        },
    );
}

#[test]
fn conv2d_grouped() {
    check_conv(
        [2, 5, 4, 4],
        [6, 2, 3, 3],
        Conv2d {
            padding: (1, 1),
            groups: 2,
            ..Conv2d::default()
        },
    );
    check_conv(
        [2, 3, 4, 4],
        [6, 2, 1, 1],
        Conv2d {
            groups: 2,
            ..Conv2d::default()
        },
    );
}

#[test]
fn conv2d_depthwise() {
    check_conv(
        [2, 5, 6, 3],
        [3, 1, 3, 3],
        Conv2d {
            padding: (1, 1),
            groups: 3,
            ..Conv2d::default()
        },
    );
    let conv = Conv2d {
        stride: (2, 2),
        padding: (1, 2),
        dilation: (1, 2),
        groups: 2,
    };
    check_conv([1, 7, 6, 2], [4, 1, 3, 3], conv);
}

#[test]
fn linear_with_and_without_bias() {
    let inputs = [
        Array::normal(&[3, 5], 1),
        Array::normal(&[4, 5], 2),
        Array::normal(&[4], 3),
    ];
    check(
        &inputs,
        |tape, t| linear(tape, &t[0], &t[1], Some(&t[2])),
        |a| plain::linear(&a[0], &a[1], Some(&a[2])),
    );
    check(
        &inputs[..2],
        |tape, t| linear(tape, &t[0], &t[1], None),
        |a| plain::linear(&a[0], &a[1], None),
    );
}

const POOLS: [Pool2d; 4] = [
    Pool2d {
        kernel: (3, 3),
        stride: (2, 2),
        padding: (1, 1),
        ceil_mode: false,
    },
    Pool2d {
        kernel: (2, 3),
        stride: (3, 2),
        padding: (1, 0),
        ceil_mode: true,
    },
    Pool2d {
        kernel: (3, 2),
        stride: (1, 1),
        padding: (1, 1),
        ceil_mode: false,
    },
    Pool2d {
        kernel: (1, 4),
        stride: (2, 5),
        padding: (0, 2),
        ceil_mode: true,
    },
];

#[test]
fn max_pool() {
    for pool in POOLS {
        check(
            &[Array::distinct(&[2, 5, 6, 2], 1)],
            |tape, t| max_pool2d(tape, &t[0], &pool),
            |a| plain::max_pool2d(&a[0], &pool),
        );
        check(
            &[Array::distinct(&[2, 5, 6, 5], 1)],
            |tape, t| max_pool2d_relu(tape, &t[0], &pool),
            |a| plain::relu(&plain::max_pool2d(&a[0], &pool)),
        );
    }
}

#[test]
fn average_pool() {
    for pool in POOLS {
        for count in [false, true] {
            check(
                &[Array::normal(&[2, 5, 6, 2], 1)],
                |tape, t| avg_pool2d(tape, &t[0], &pool, count),
                |a| plain::avg_pool2d(&a[0], &pool, count),
            );
        }
    }
    check(
        &[Array::normal(&[2, 5, 3, 3], 1)],
        |tape, t| global_avg_pool(tape, &t[0]),
        |a| plain::global_avg_pool(&a[0]),
    );
}

#[test]
fn batch_norm() {
    let inputs = [
        Array::normal(&[2, 3, 5, 3], 1),
        Array::normal(&[3], 2),
        Array::normal(&[3], 3),
    ];
    check(
        &inputs,
        |tape, t| Ok(batch_norm_train(tape, &t[0], &t[1], &t[2], 1e-3)?.0),
        |a| plain::batch_norm_train(&a[0], &a[1], &a[2], 1e-3),
    );
    let mean = Array::normal(&[3], 4);
    let var = Array {
        dims: vec![3],
        values: vec![0.25, 1.5, 0.5],
    };
    check(
        &inputs,
        |tape, t| {
            batch_norm_eval(
                tape,
                &t[0],
                &mean.tensor(),
                &var.tensor(),
                &t[1],
                &t[2],
                1e-5,
            )
        },
        |a| plain::batch_norm(&a[0], &mean.values, &var.values, &a[1], &a[2], 1e-5),
    );
}

#[test]
fn batch_norm_and_what_follows() {
    let mean = Array::normal(&[3], 4);
    let var = Array {
        dims: vec![3],
        values: vec![0.25, 1.5, 0.5],
    };
    let inputs = [
        Array::normal(&[2, 3, 5, 3], 1),
        Array::normal(&[3], 2),
        Array::normal(&[3], 3),
        Array::normal(&[2, 3, 5, 3], 6),
    ];
    for adds in [false, true] {
        let inputs = if adds { &inputs[..] } else { &inputs[..3] };
        let then = |t: &[Tensor]| t.get(3).cloned();
        let sum =
            |y: Array, a: &[Array]| plain::relu(&a.get(3).map_or(y.clone(), |z| plain::add(&y, z)));
        check(
            inputs,
            |tape, t| {
                let other = then(t);
                let then = other.as_ref().map_or(Then::Relu, Then::AddRelu);
                Ok(batch_norm_train_then(tape, &t[0], &affine(t), then)?.0)
            },
            |a| sum(plain::batch_norm_train(&a[0], &a[1], &a[2], 1e-3), a),
        );
        check(
            inputs,
            |tape, t| {
                let other = then(t);
                let then = other.as_ref().map_or(Then::Relu, Then::AddRelu);
                // A fresh x, whose memory may be written over.
                let x = reshape(tape, &t[0], t[0].shape())?;
                let x = add(tape, &x, &x.zeros_like()?)?;
                batch_norm_eval_then(tape, x, [&mean.tensor(), &var.tensor()], &affine(t), then)
            },
            |a| {
                let y = plain::batch_norm(&a[0], &mean.values, &var.values, &a[1], &a[2], 1e-3);
                sum(y, a)
            },
        );
    }
}

/// Batch norm's second and third input.
pub(crate) fn affine(t: &[Tensor]) -> Affine<'_> {
    Affine {
        weight: &t[1],
        bias: &t[2],
        eps: 1e-3,
    }
}

#[test]
fn batch_norm_and_pool() {
    let mean = Array::normal(&[3], 4);
    let var = Array {
        dims: vec![3],
        values: vec![0.25, 1.5, 0.5],
    };
    let inputs = [
        Array::normal(&[2, 5, 6, 3], 1),
        Array::normal(&[3], 2),
        Array::normal(&[3], 3),
    ];
    let after = |y: &Array, pool: &Pool2d| plain::relu(&plain::max_pool2d(y, pool));
    for pool in POOLS {
        let then = Then::ReluMaxPool(&pool);
        check(
            &inputs,
            |tape, t| Ok(batch_norm_train_then(tape, &t[0], &affine(t), then)?.0),
            |a| after(&plain::batch_norm_train(&a[0], &a[1], &a[2], 1e-3), &pool),
        );
        check(
            &inputs,
            |tape, t| {
                let running = [&mean.tensor(), &var.tensor()];
                batch_norm_eval_then(tape, t[0].clone(), running, &affine(t), then)
            },
            |a| {
                let y = plain::batch_norm(&a[0], &mean.values, &var.values, &a[1], &a[2], 1e-3);
                after(&y, &pool)
            },
        );
    }
}

#[test]
fn rectifier() {
    let x = [Array::distinct(&[3, 4, 5], 1)];
    check(&x, |tape, t| relu(tape, &t[0]), |a| plain::relu(&a[0]));
    let inputs = [Array::normal(&[3, 5], 1), Array::normal(&[4, 5], 2)];
    check(
        &inputs,
        |tape, t| relu_in_place(tape, linear(tape, &t[0], &t[1], None)?),
        |a| plain::relu(&plain::linear(&a[0], &a[1], None)),
    );
}

#[test]
fn masked_by_dropout() {
    let key = 77;
    check(
        &[Array::normal(&[3, 7], 1)],
        |tape, t| dropout(tape, &t[0], 0.25, key),
        |a| {
            let mut y = a[0].clone();
            for (i, v) in y.values.iter_mut().enumerate() {
                let word = graft_stream::block(key, i as u64 / 4)[i % 4];
                *v = if graft_stream::unit_f32(word) >= 0.25 {
                    *v / 0.75
                } else {
                    0.0
                };
            }
            y
        },
    );
}

#[test]
fn sums_and_shapes() {
    let two = [Array::normal(&[2, 3, 4], 1), Array::normal(&[2, 3, 4], 2)];
    check(
        &two,
        |tape, t| add(tape, &t[0], &t[1]),
        |a| {
            let mut y = a[0].clone();
            y.values
                .iter_mut()
                .zip(&a[1].values)
                .for_each(|(y, b)| *y += b);
            y
        },
    );
    check(
        &two[..1],
        |tape, t| add(tape, &t[0], &t[0]),
        |a| {
            let mut y = a[0].clone();
            y.values.iter_mut().for_each(|y| *y *= 2.0);
            y
        },
    );
    check(
        &two[..1],
        |tape, t| flatten(tape, &t[0]),
        |a| Array {
            dims: vec![2, 12],
            ..a[0].clone()
        },
    );
    for dims in [[2, 3, 4, 5], [3, 1, 1, 4], [2, 3, 2, 1]] {
        check(
            &[Array::normal(&dims, 3)],
            |tape, t| flatten(tape, &t[0]),
            |a| plain::flatten(&a[0]),
        );
    }
    check(
        &two[..1],
        |tape, t| reshape(tape, &t[0], (4, 6)),
        |a| Array {
            dims: vec![4, 6],
            ..a[0].clone()
        },
    );
}

#[test]
fn concatenation_along_each_dimension() {
    for dim in 0..3 {
        let mut wide = [2, 3, 4];
        wide[dim] = 5;
        let parts = [
            Array::normal(&[2, 3, 4], 1),
            Array::normal(&wide, 2),
            Array::normal(&[2, 3, 4], 3),
        ];
        check(
            &parts,
            |tape, t| cat(tape, &t.iter().collect::<Vec<_>>(), dim),
            |a| plain::cat(a, dim),
        );
        check(
            &parts,
            |tape, t| cat_relu(tape, &t.iter().collect::<Vec<_>>(), dim),
            |a| plain::relu(&plain::cat(a, dim)),
        );
    }
}

#[test]
fn cross_entropy_of_rows() {
    let labels = [2, 0, 3];
    check(
        &[Array::normal(&[3, 4], 1)],
        |tape, t| cross_entropy(tape, &t[0], &labels),
        |a| plain::cross_entropy(&a[0], &labels),
    );
}
