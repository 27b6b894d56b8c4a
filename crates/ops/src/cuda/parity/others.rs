//! Functions of each value, sums, changes of shape, dropout and losses.

use candle_core::DType;

use super::case;
use super::comparison::{Case, activation};
use crate::{
    Activation, Weighing, activate, activate_in_place, add, add_scaled, cast, cat, cat_relu,
    cross_entropy, dropout, mean_squared_error, reshape, softmax, weighted_cross_entropy,
};

const ACTIVATIONS: [Activation; 6] = [
    Activation::Relu,
    Activation::Relu6,
    Activation::Sigmoid,
    Activation::Hardsigmoid,
    Activation::Silu,
    Activation::Hardswish,
];

fn curves() -> Vec<Case> {
    let mut cases = Vec::new();
    for function in ACTIVATIONS {
        cases.push(case!(
            format!("{function:?}"),
            [activation([3, 7, 5])],
            |tape, [x]| activate(tape, x, function)
        ));
        cases.push(case!(
            format!("{function:?} in place"),
            [activation([3, 100, 41]), activation([3, 100, 41])],
            |tape, [a, b]| activate_in_place(tape, add(tape, a, b)?, function)
        ));
    }
    cases.push(case!(
        "Silu, strided input",
        [activation([4, 3, 5]).strided()],
        |tape, [x]| activate(tape, x, Activation::Silu)
    ));
    cases
}

fn sums() -> Vec<Case> {
    let shape = [2, 5, 3, 7];
    vec![
        case!(
            "add",
            [activation(shape), activation(shape)],
            |tape, [a, b]| add(tape, a, b)
        ),
        case!(
            "add, strided input",
            [activation(shape), activation(shape).strided()],
            |tape, [a, b]| add(tape, a, b)
        ),
        case!("add to itself", [activation(shape)], |tape, [a]| {
            let twice = add(tape, a, a)?;
            add(tape, &twice, a)
        }),
        case!(
            "add_scaled",
            [activation(shape), activation(shape)],
            |tape, [a, b]| add_scaled(tape, a, b, 0.3)
        ),
        case!(
            "cat of channels",
            [
                activation([2, 3, 4, 5]),
                activation([2, 3, 4, 1]),
                activation([2, 3, 4, 8])
            ],
            |tape, [a, b, c]| cat(tape, &[a, b, c], 3)
        ),
        case!(
            "rectified cat of channels",
            [activation([2, 3, 4, 5]), activation([2, 3, 4, 2])],
            |tape, [a, b]| cat_relu(tape, &[a, b], 3)
        ),
        case!(
            "cat of rows",
            [activation([2, 3, 4]), activation([5, 3, 4])],
            |tape, [a, b]| cat(tape, &[a, b], 0)
        ),
        case!("reshape", [activation([4, 6])], |tape, [x]| {
            reshape(tape, x, (3, 8))
        }),
        case!(
            "reshape, strided input",
            [activation([4, 6]).strided(), activation([3, 8])],
            |tape, [x, other]| add(tape, &reshape(tape, x, (3, 8))?, other)
        ),
        case!("dropout", [activation([5, 1031])], |tape, [x]| dropout(
            tape,
            x,
            0.4,
            0x1234_5678_9abc_def0
        )),
        case!(
            "cast to bf16 and back",
            [activation([3, 37])],
            |tape, [x]| {
                if !x.device().is_cuda() {
                    return cast(tape, x, DType::F32);
                }
                let narrow = cast(tape, x, DType::BF16)?;
                let wide = cast(tape, &narrow, DType::F32)?;
                cast(tape, &wide, x.dtype())
            }
        )
        .only_bf16(),
    ]
}

fn losses() -> Vec<Case> {
    const LABELS: [u32; 5] = [0, 6, 3, 3, 1];
    const WEIGHTS: [f64; 7] = [0.5, 1.0, 0.0, 2.0, 1.5, 1.0, 0.25];
    let smoothed = Weighing {
        label_smoothing: 0.1,
        class_weights: None,
    };
    let weighted = Weighing {
        label_smoothing: 0.2,
        class_weights: Some(&WEIGHTS),
    };
    vec![
        case!("cross_entropy", [activation([5, 7])], |tape, [x]| {
            cross_entropy(tape, x, &LABELS)
        }),
        case!(
            "cross_entropy of 1000 classes",
            [activation([3, 1000])],
            |tape, [x]| cross_entropy(tape, x, &[999, 0, 500])
        ),
        case!(
            "cross_entropy, smoothed",
            [activation([5, 7])],
            |tape, [x]| weighted_cross_entropy(tape, x, &LABELS, &smoothed)
        ),
        case!(
            "cross_entropy, smoothed and weighted",
            [activation([5, 7])],
            |tape, [x]| weighted_cross_entropy(tape, x, &LABELS, &weighted)
        ),
        case!("mean_squared_error", [activation([5, 1])], |tape, [x]| {
            mean_squared_error(tape, x, &[0.5, -1.0, 2.0, 0.0, 1.0])
        }),
        case!("softmax", [activation([4, 300])], |_, [x]| softmax(x)),
    ]
}

pub(super) fn cases() -> Vec<Case> {
    [curves(), sums(), losses()].into_iter().flatten().collect()
}
