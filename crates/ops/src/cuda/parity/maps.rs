//! Batch norm, pools, and what else goes over maps.

use super::case;
use super::comparison::{Case, activation, parameter};
use crate::{
    Activation, Affine, Pool2d, Tape, Then, adaptive_avg_pool2d, avg_pool2d, batch_norm_eval,
    batch_norm_eval_then, batch_norm_train_then, flatten, global_avg_pool, max_pool2d,
    max_pool2d_relu, scale_channels,
};

const EPS: f64 = 1e-5;

const WINDOWS: Pool2d = Pool2d {
    kernel: (3, 3),
    stride: (2, 2),
    padding: (1, 1),
    ceil_mode: false,
};

/// What may follow batch norm, but for a sum.
fn followers() -> Vec<(&'static str, Then<'static>)> {
    vec![
        ("", Then::Nothing),
        (" and relu", Then::Relu),
        (" and relu6", Then::Activation(Activation::Relu6)),
        (" and silu", Then::Activation(Activation::Silu)),
        (" and hardswish", Then::Activation(Activation::Hardswish)),
        (" and a pool", Then::ReluMaxPool(&WINDOWS)),
    ]
}

fn norms(shape: [usize; 4]) -> Vec<Case> {
    let c = shape[3];
    let inputs = || (activation(shape), parameter([c]), parameter([c]));
    let mut cases = Vec::new();
    for (name, then) in followers() {
        let (x, weight, bias) = inputs();
        cases.push(case!(
            format!("batch norm{name} {shape:?}"),
            [x, weight, bias],
            |tape, [x, weight, bias]| {
                let eps = EPS;
                let affine = Affine { weight, bias, eps };
                Ok(batch_norm_train_then(tape, x, &affine, then)?.0)
            }
        ));
    }
    let (x, weight, bias) = inputs();
    cases.push(case!(
        format!("batch norm, sum and relu {shape:?}"),
        [x, weight, bias, activation(shape)],
        |tape, [x, weight, bias, other]| {
            let eps = EPS;
            let affine = Affine { weight, bias, eps };
            Ok(batch_norm_train_then(tape, x, &affine, Then::AddRelu(other))?.0)
        }
    ));
    for variance in [false, true] {
        let (x, weight, bias) = inputs();
        let what = if variance { "variance" } else { "mean" };
        cases.push(case!(
            format!("batch norm's {what} {shape:?}"),
            [x, weight, bias],
            |_, [x, weight, bias]| {
                let eps = EPS;
                let affine = Affine { weight, bias, eps };
                let tape = Tape::disabled();
                let (_, found) = batch_norm_train_then(&tape, x, &affine, Then::Nothing)?;
                Ok(if variance { found.var } else { found.mean })
            }
        ));
    }
    cases
}

fn given_norms() -> Vec<Case> {
    let shape = [2, 5, 3, 6];
    let channels = || parameter([6]);
    let mut cases = vec![
        case!(
            "batch norm by given statistics",
            [
                activation(shape),
                channels(),
                channels().positive(),
                channels(),
                channels(),
            ],
            |tape, [x, mean, var, weight, bias]| {
                batch_norm_eval(tape, x, &mean.detach(), &var.detach(), weight, bias, EPS)
            }
        ),
        case!(
            "batch norm by given statistics, strided input",
            [
                activation(shape).strided(),
                channels(),
                channels().positive(),
                channels(),
                channels(),
            ],
            |tape, [x, mean, var, weight, bias]| {
                batch_norm_eval(tape, x, &mean.detach(), &var.detach(), weight, bias, EPS)
            }
        ),
    ];
    for (name, then) in followers() {
        cases.push(case!(
            format!("batch norm by given statistics in place{name}"),
            [
                activation(shape),
                channels(),
                channels().positive(),
                channels(),
                channels(),
            ],
            |_, [x, mean, var, weight, bias]| {
                let eps = EPS;
                let affine = Affine { weight, bias, eps };
                // Nobody else sees this x.
                let x = crate::kernel::copied(&x.detach())?;
                batch_norm_eval_then(&Tape::disabled(), x, [mean, var], &affine, then)
            }
        ));
    }
    cases.push(case!(
        "batch norm by given statistics in place, sum and relu",
        [
            activation(shape),
            channels(),
            channels().positive(),
            channels(),
            channels(),
            activation(shape),
        ],
        |_, [x, mean, var, weight, bias, other]| {
            let eps = EPS;
            let affine = Affine { weight, bias, eps };
            let x = crate::kernel::copied(&x.detach())?;
            let then = Then::AddRelu(other);
            batch_norm_eval_then(&Tape::disabled(), x, [mean, var], &affine, then)
        }
    ));
    cases
}

fn pools() -> Vec<Case> {
    let shape = [2, 9, 7, 5];
    let overlapping = Pool2d {
        ceil_mode: true,
        ..WINDOWS
    };
    let wide = Pool2d {
        kernel: (2, 3),
        stride: (1, 2),
        padding: (0, 1),
        ceil_mode: false,
    };
    let large = Pool2d::square(17);
    let mut cases = Vec::new();
    for (name, pool, shape) in [
        ("3×3 stride 2", WINDOWS, shape),
        ("in ceil mode", overlapping, shape),
        ("2×3", wide, shape),
        ("of 289 pixels", large, [1, 18, 35, 3]),
    ] {
        cases.push(case!(
            format!("max pool {name}"),
            [activation(shape)],
            |tape, [x]| max_pool2d(tape, x, &pool)
        ));
        cases.push(case!(
            format!("rectified max pool {name}"),
            [activation(shape)],
            |tape, [x]| max_pool2d_relu(tape, x, &pool)
        ));
        for padding in [false, true] {
            let counted = if padding { ", padding counted" } else { "" };
            cases.push(case!(
                format!("average pool {name}{counted}"),
                [activation(shape)],
                |tape, [x]| avg_pool2d(tape, x, &pool, padding)
            ));
        }
    }
    for size in [(1, 1), (3, 2), (9, 7), (10, 8)] {
        cases.push(case!(
            format!("adaptive average pool to {size:?}"),
            [activation(shape)],
            |tape, [x]| adaptive_avg_pool2d(tape, x, size)
        ));
    }
    cases
}

pub(super) fn cases() -> Vec<Case> {
    let mut cases = norms([2, 5, 3, 6]);
    cases.extend(norms([3, 40, 33, 8]));
    cases.extend(norms([2, 3, 4, 133]));
    cases.extend(given_norms());
    cases.extend(pools());
    for shape in [[2, 7, 5, 6], [3, 1, 1, 40], [1, 31, 29, 3]] {
        let gate = [shape[0], shape[3]];
        cases.extend([
            case!(
                format!("global average pool {shape:?}"),
                [activation(shape)],
                |tape, [x]| global_avg_pool(tape, x)
            ),
            case!(
                format!("scale_channels {shape:?}"),
                [activation(shape), activation(gate)],
                |tape, [x, gate]| scale_channels(tape, x, gate)
            ),
            case!(
                format!("flatten {shape:?}"),
                [activation(shape)],
                |tape, [x]| flatten(tape, x)
            ),
        ]);
    }
    cases
}
