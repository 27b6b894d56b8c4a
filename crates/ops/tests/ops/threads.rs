//! The same bits for any number of threads.

use candle_core::{Result, Tensor, Var};
use graft_ops::{
    Affine, Conv2d, Pool2d, SgdStep, Tape, Then, add, avg_pool2d, batch_norm_eval,
    batch_norm_train, batch_norm_train_then, cat_relu, conv2d, cross_entropy, dropout, flatten,
    linear, max_pool2d_relu, relu, sgd_step, sgd_step_along,
};

use crate::arrays::{Array, bits};

fn conv(stride: usize, padding: usize, groups: usize) -> Conv2d {
    Conv2d {
        stride: (stride, stride),
        padding: (padding, padding),
        groups,
        ..Conv2d::default()
    }
}

/// A training step through every op that shares its work, with enough of it: all results, gradients and new parameters.
fn step() -> Result<Vec<Tensor>> {
    let shapes: [&[usize]; 9] = [
        &[5, 50, 46, 3],
        &[32, 3, 7, 7],
        &[32],
        &[32, 32, 3, 3],
        &[32, 1, 3, 3],
        &[64, 8, 3, 3],
        &[96, 64, 1, 1],
        &[300, 96 * 6 * 5],
        &[300],
    ];
    let vars: Vec<Var> = (0..)
        .zip(shapes)
        .map(|(i, s)| Array::normal(s, i).var())
        .collect();
    let v = |i: usize| vars[i].as_tensor();
    let tape = Tape::recording();
    let y0 = conv2d(&tape, v(0), v(1), None, &conv(2, 3, 1))?;
    let (y1, statistics) = batch_norm_train(&tape, &y0, v(2), v(2), 1e-5)?;
    let pool = Pool2d {
        kernel: (3, 3),
        stride: (2, 2),
        padding: (1, 1),
        ceil_mode: true,
    };
    let affine = Affine {
        weight: v(2),
        bias: v(2),
        eps: 1e-5,
    };
    let y1 = batch_norm_train_then(&tape, &y0, &affine, Then::AddRelu(&relu(&tape, &y1)?))?.0;
    let y1 = cat_relu(&tape, &[&y1, &y0], 0)?;
    let point = Pool2d::square(1);
    let y1 = batch_norm_train_then(&tape, &y1, &affine, Then::ReluMaxPool(&point))?.0;
    let y2 = max_pool2d_relu(&tape, &y1, &pool)?;
    let y3 = add(
        &tape,
        &conv2d(&tape, &y2, v(3), Some(v(2)), &conv(1, 1, 1))?,
        &y2,
    )?;
    let y4 = conv2d(&tape, &y3, v(4), Some(v(2)), &conv(1, 1, 32))?;
    let y5 = batch_norm_eval(
        &tape,
        &y4,
        &statistics.mean,
        &statistics.var,
        v(2),
        v(2),
        1e-5,
    )?;
    let y6 = conv2d(&tape, &y5, v(5), None, &conv(1, 1, 4))?;
    let y7 = conv2d(&tape, &y6, v(6), None, &conv(1, 0, 1))?;
    let pool = Pool2d {
        padding: (0, 0),
        ceil_mode: false,
        ..pool
    };
    let y8 = flatten(&tape, &avg_pool2d(&tape, &y7, &pool, true)?)?;
    let y9 = linear(&tape, &dropout(&tape, &y8, 0.5, 3)?, v(7), Some(v(8)))?;
    let loss = cross_entropy(&tape, &y9, &[0, 1, 2, 3, 299, 5, 6, 7, 8, 9])?;
    let mut all = vec![y0, y1, y2, y3, y4, y5, y6, y7, y8, y9, loss.clone()];
    all.extend([statistics.mean, statistics.var]);
    let mut gradients = tape.backward(&loss)?;
    let step = SgdStep {
        lr: 0.1,
        momentum: 0.9,
        weight_decay: 0.01,
        ..SgdStep::default()
    };
    for var in &vars {
        let velocity = Var::from_tensor(&var.zeros_like()?)?;
        sgd_step_along(&gradients, var, &velocity, &step)?;
        all.push(var.copy()?);
        let gradient = gradients
            .take(var)
            .expect("the loss depends on every variable");
        sgd_step(var, &gradient, &velocity, &step)?;
        all.extend([gradient, velocity.into_inner(), var.as_tensor().clone()]);
    }
    Ok(all)
}

#[test]
fn a_training_step_has_the_same_bits_with_one_two_and_three_threads() {
    let run = |threads| {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .expect("threads can be started");
        let tensors = pool.install(step).expect("the shapes fit");
        tensors.iter().map(bits).collect::<Vec<_>>()
    };
    let one = run(1);
    assert!(
        one.iter()
            .all(|t| t.iter().all(|b| f32::from_bits(*b).is_finite()))
    );
    for threads in [2, 3] {
        for (i, (a, b)) in one.iter().zip(run(threads)).enumerate() {
            assert!(*a == b, "tensor {i} differs with {threads} threads");
        }
    }
}
