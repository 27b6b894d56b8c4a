//! Wrong arguments are errors that say what was wrong; unusual ones work.

use candle_core::{DType, Device, Result, Tensor, Var};
use graft_ops::{
    Affine, BatchStatistics, Conv2d, Pool2d, SgdStep, Tape, Then, add, avg_pool2d, batch_norm_eval,
    batch_norm_train, batch_norm_train_then, cat, conv2d, cross_entropy, dropout, flatten,
    global_avg_pool, linear, max_pool2d, relu, reshape, sgd_step, softmax, update_running,
};

use crate::arrays::{Array, values};

pub(crate) fn t(dims: &[usize]) -> Tensor {
    Array::normal(dims, 1).tensor()
}

#[track_caller]
pub(crate) fn refused<T>(result: Result<T>, parts: &[&str]) {
    let Err(error) = result else {
        panic!("it was accepted");
    };
    let message = error.to_string();
    for part in parts {
        assert!(message.contains(part), "{message:?} does not say {part:?}");
    }
}

#[test]
fn convolutions_that_do_not_fit() {
    let tape = &Tape::recording();
    let conv = |x: &[usize], w: &[usize], conv: Conv2d| conv2d(tape, &t(x), &t(w), None, &conv);
    let plain = Conv2d::default();
    refused(
        conv(&[3, 5, 5], &[4, 3, 3, 3], plain),
        &["conv2d", "(n, h, w, c)", "[3, 5, 5]"],
    );
    refused(
        conv(&[1, 5, 5, 3], &[4, 3, 3], plain),
        &["conv2d", "weight", "[4, 3, 3]"],
    );
    refused(
        conv(&[1, 5, 5, 3], &[4, 2, 3, 3], plain),
        &["(4, 3, 3, 3)", "[4, 2, 3, 3]"],
    );
    refused(
        conv(&[1, 5, 5, 3], &[4, 3, 3, 3], Conv2d { groups: 2, ..plain }),
        &["3 input", "4 output", "2 groups"],
    );
    refused(
        conv(&[1, 5, 5, 3], &[4, 3, 3, 3], Conv2d { groups: 0, ..plain }),
        &["0 groups"],
    );
    refused(
        conv(
            &[1, 5, 5, 3],
            &[4, 3, 3, 3],
            Conv2d {
                stride: (0, 1),
                ..plain
            },
        ),
        &["stride", "at least 1", "height"],
    );
    refused(
        conv(
            &[1, 5, 5, 3],
            &[4, 3, 3, 3],
            Conv2d {
                dilation: (1, 0),
                ..plain
            },
        ),
        &["dilation", "width"],
    );
    refused(
        conv(&[1, 5, 2, 3], &[4, 3, 3, 3], plain),
        &["spans 3", "width", "input of 2"],
    );
    refused(
        conv(&[1, 5, 2, 3], &[4, 3, 0, 3], plain),
        &["kernel's height"],
    );
    refused(
        conv2d(
            tape,
            &t(&[1, 5, 5, 3]),
            &t(&[4, 3, 3, 3]),
            Some(&t(&[3])),
            &plain,
        ),
        &["bias", "[4]", "[3]"],
    );
    let halves = t(&[1, 5, 5, 3])
        .to_dtype(DType::F64)
        .expect("it can be converted");
    refused(
        conv2d(tape, &halves, &t(&[4, 3, 3, 3]), None, &plain),
        &["conv2d", "f32", "F64"],
    );
}

#[test]
fn pools_that_do_not_fit() {
    let tape = &Tape::recording();
    let pool = |p: Pool2d| max_pool2d(tape, &t(&[1, 4, 4, 2]), &p);
    let two = Pool2d::square(2);
    refused(
        pool(Pool2d {
            kernel: (0, 2),
            ..two
        }),
        &["max_pool2d", "kernel", "at least 1"],
    );
    refused(
        pool(Pool2d {
            stride: (2, 0),
            ..two
        }),
        &["stride", "at least 1"],
    );
    refused(
        pool(Pool2d {
            padding: (2, 0),
            ..two
        }),
        &["padding 2", "half"],
    );
    refused(pool(Pool2d::square(5)), &["window of 5", "input of 4"]);
    // In ceil mode less than a stride may be missing, as in PyTorch.
    let missing = |kernel| Pool2d {
        kernel: (kernel, kernel),
        ceil_mode: true,
        ..two
    };
    assert_eq!(pool(missing(5)).unwrap().dims(), [1, 1, 1, 2]);
    refused(pool(missing(6)), &["window of 6", "input of 4"]);
    refused(
        avg_pool2d(tape, &t(&[2, 4, 4]), &two, true),
        &["avg_pool2d", "[2, 4, 4]"],
    );
    refused(
        global_avg_pool(tape, &t(&[2, 4])),
        &["global_avg_pool", "[2, 4]"],
    );
    refused(
        global_avg_pool(tape, &t(&[2, 0, 3, 4])),
        &["global_avg_pool", "empty"],
    );
}

#[test]
fn batch_norms_that_say_nothing() {
    let tape = &Tape::recording();
    let one = t(&[3]);
    refused(
        batch_norm_train(tape, &t(&[1, 1, 1, 3]), &one, &one, 1e-5),
        &["more than 1 value per channel", "[1, 1, 1, 3]"],
    );
    refused(
        batch_norm_train(tape, &t(&[2, 3]), &one, &one, 1e-5),
        &["(n, h, w, c)", "[2, 3]"],
    );
    refused(
        batch_norm_train(tape, &t(&[2, 1, 1, 3]), &t(&[2]), &one, 1e-5),
        &["weight", "[3]", "[2]"],
    );
    refused(
        batch_norm_eval(tape, &t(&[2, 1, 1, 3]), &one, &t(&[4]), &one, &one, 1e-5),
        &["running variance", "[3]", "[4]"],
    );
    let affine = Affine {
        weight: &one,
        bias: &one,
        eps: 1e-5,
    };
    refused(
        batch_norm_train_then(
            tape,
            &t(&[2, 1, 2, 3]),
            &affine,
            Then::AddRelu(&t(&[2, 2, 1, 3])),
        ),
        &["added", "[2, 1, 2, 3]", "[2, 2, 1, 3]"],
    );
    let (mean, var) = (Array::zeros(&[3]).var(), Array::zeros(&[3]).var());
    let batch = BatchStatistics {
        mean: one.clone(),
        var: one.clone(),
        count: 1,
    };
    refused(
        update_running(&mean, &var, &batch, 0.1),
        &["more than 1 value per channel"],
    );
    assert_eq!(
        values(&mean),
        [0.0; 3],
        "nothing is changed on the way to an error"
    );
}

#[test]
fn other_arguments_that_do_not_fit() {
    let tape = &Tape::recording();
    refused(
        linear(tape, &t(&[2, 3]), &t(&[4, 5]), None),
        &["linear", "[4, 3]", "[4, 5]"],
    );
    refused(
        linear(tape, &t(&[2, 3, 1]), &t(&[4, 3]), None),
        &["(n, i)", "[2, 3, 1]"],
    );
    refused(
        linear(tape, &t(&[2, 3]), &t(&[4, 3]), Some(&t(&[5]))),
        &["bias", "[4]", "[5]"],
    );
    refused(add(tape, &t(&[2, 3]), &t(&[3])), &["add", "[2, 3]", "[3]"]);
    refused(cat(tape, &[], 0), &["cat", "nothing"]);
    refused(cat(tape, &[&t(&[2, 3])], 2), &["dimension 2", "[2, 3]"]);
    refused(
        cat(tape, &[&t(&[2, 3]), &t(&[3, 3])], 1),
        &["[2, 3]", "[3, 3]", "dimension 1"],
    );
    refused(
        reshape(tape, &t(&[2, 3]), (4, 2)),
        &["6 elements", "[4, 2]"],
    );
    refused(flatten(tape, &t(&[])), &["flatten"]);
    for p in [1.0, -0.1, f64::NAN] {
        refused(dropout(tape, &t(&[2]), p, 0), &["dropout", "below 1"]);
    }
    refused(
        cross_entropy(tape, &t(&[2, 3]), &[0]),
        &["2 labels", "found 1"],
    );
    refused(
        cross_entropy(tape, &t(&[2, 3]), &[0, 3]),
        &["label 3", "classes, 3"],
    );
    refused(cross_entropy(tape, &t(&[0, 3]), &[]), &["empty batch"]);
    refused(softmax(&t(&[3])), &["softmax", "(n, k)"]);
    let step = SgdStep {
        lr: 0.1,
        momentum: 0.0,
        weight_decay: 0.0,
        ..SgdStep::default()
    };
    let (p, v) = (Array::zeros(&[3]).var(), Array::zeros(&[3]).var());
    refused(
        sgd_step(&p, &t(&[2]), &v, &step),
        &["gradient", "[3]", "[2]"],
    );
    refused(sgd_step(&p, &t(&[3]), &p, &step), &["three tensors"]);
}

#[test]
fn backward_passes_that_lead_nowhere() -> Result<()> {
    let x = t(&[2, 3]);
    let loss = cross_entropy(&Tape::disabled(), &x, &[0, 1])?;
    refused(
        Tape::disabled().backward(&loss).map(drop),
        &["disabled", "Tape::recording()"],
    );
    refused(
        Tape::recording().backward(&loss).map(drop),
        &["depends on no variable"],
    );
    let tape = Tape::recording();
    let y = relu(&tape, &Array::zeros(&[2]).var())?;
    refused(tape.backward(&y).map(drop), &["single number", "[2]"]);
    Ok(())
}

#[test]
fn empty_batches_pass_through() -> Result<()> {
    let tape = Tape::recording();
    let w = Array::normal(&[4, 3, 3, 3], 1).var();
    let y = conv2d(
        &tape,
        &t(&[0, 5, 5, 3]),
        &w,
        None,
        &Conv2d {
            padding: (1, 1),
            ..Conv2d::default()
        },
    )?;
    assert_eq!(y.dims(), [0, 5, 5, 4]);
    let y = max_pool2d(&tape, &relu(&tape, &y)?, &Pool2d::square(2))?;
    let y = linear(
        &tape,
        &flatten(&tape, &y)?,
        &Array::normal(&[2, 16], 1).var(),
        None,
    )?;
    assert_eq!(y.dims(), [0, 2]);
    let gradients = tape.backward_from(&y, &Tensor::zeros((0, 2), DType::F32, &Device::Cpu)?)?;
    assert!(
        gradients
            .get(&w)
            .is_some_and(|g| values(g).iter().all(|&v| v == 0.0))
    );
    Ok(())
}

/// Each way of computing a convolution, after one that leaves its sums in the buffers.
#[test]
fn empty_batches_of_every_kind_of_convolution() -> Result<()> {
    let same = Conv2d {
        padding: (1, 1),
        ..Conv2d::default()
    };
    let halved = Conv2d {
        stride: (2, 2),
        ..same
    };
    let grouped = |groups| Conv2d { groups, ..same };
    for (c, weight, conv) in [
        (16, [16, 16, 3, 3], same),
        (40, [48, 40, 3, 3], halved),
        (3, [4, 3, 3, 3], same),
        (16, [32, 8, 3, 3], grouped(2)),
        (16, [16, 1, 3, 3], grouped(16)),
    ] {
        let (w, b) = (
            Array::normal(&weight, 1).var(),
            Array::normal(&weight[..1], 2).var(),
        );
        for n in [1, 0] {
            let x = Array::normal(&[n, 6, 6, c], 3).var();
            let tape = Tape::recording();
            let y = conv2d(&tape, &x, &w, Some(&b), &conv)?;
            assert_eq!((y.dims()[0], y.dims()[3]), (n, weight[0]));
            let gradients = tape.backward_from(&y, &t(y.dims()))?;
            let of = |var: &Var| values(gradients.get(var).expect("a variable"));
            assert_eq!(of(&x).len(), n * 36 * c);
            for var in [&w, &b] {
                let found = of(var);
                assert_eq!(found.len(), var.elem_count());
                assert_eq!(found.iter().all(|&v| v == 0.0), n == 0, "{weight:?}");
            }
        }
    }
    Ok(())
}

/// A loss that is no number has to be seen, not repaired on the way.
#[test]
fn nan_reaches_every_result() -> Result<()> {
    let tape = &Tape::disabled();
    let mut x = Array::normal(&[1, 4, 4, 1], 1);
    x.values[5] = f64::NAN;
    let x = x.tensor();
    let has_nan = |t: &Tensor| values(t).iter().any(|v| v.is_nan());
    let pool = Pool2d {
        kernel: (3, 3),
        stride: (1, 1),
        padding: (1, 1),
        ceil_mode: false,
    };
    let one = Tensor::ones(1, DType::F32, &Device::Cpu)?;
    assert!(has_nan(&relu(tape, &x)?));
    assert_eq!(
        values(&max_pool2d(tape, &x, &pool)?)
            .iter()
            .filter(|v| v.is_nan())
            .count(),
        9
    );
    assert!(has_nan(&avg_pool2d(tape, &x, &pool, true)?));
    let (y, statistics) = batch_norm_train(tape, &x, &one, &one, 1e-5)?;
    assert!(has_nan(&y) && has_nan(&statistics.var));
    assert!(has_nan(&conv2d(
        tape,
        &x,
        &t(&[1, 1, 3, 3]),
        None,
        &Conv2d::default()
    )?));
    assert!(has_nan(&softmax(&flatten(tape, &x)?)?));
    assert!(has_nan(&cross_entropy(tape, &flatten(tape, &x)?, &[0])?));
    Ok(())
}

#[test]
fn variables_keep_their_place_in_memory() -> Result<()> {
    let p = Array::normal(&[3], 1).var();
    let alias: Var = p.clone();
    let step = SgdStep {
        lr: 1.0,
        momentum: 0.0,
        weight_decay: 0.0,
        ..SgdStep::default()
    };
    sgd_step(&p, &t(&[3]), &Array::zeros(&[3]).var(), &step)?;
    assert_eq!(values(&alias), [0.0; 3]);
    Ok(())
}
