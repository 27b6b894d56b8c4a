//! What lies around the convolutions, at the sizes of ResNet-18, SqueezeNet 1.1 and the tutorials' network for pictures of
//! 224 × 224: batch norm with what follows it, pools, concatenation, and a wide linear layer with its optimizer step.
//!
//! `cargo bench -p graft-ops --bench layers [-- FILTER]`; `scripts/bench_ops.py` measures the same of `torch`.

use std::hint::black_box;

use candle_core::{Result, Tensor, Var};
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, criterion_group, criterion_main};
use graft_ops::{
    Affine, Pool2d, SgdStep, Tape, Then, batch_norm_eval_then, batch_norm_train_then, cat_relu,
    linear, max_pool2d_relu, sgd_step_along,
};

mod common;

use common::wave;

#[global_allocator]
static ALLOCATOR: graft_ops::Allocator = graft_ops::Allocator;

/// (height and width, channels) of the maps that ResNet-18 normalises.
const MAPS: [(usize, usize); 5] = [(112, 64), (56, 64), (28, 128), (14, 256), (7, 512)];
const BATCHES: [usize; 2] = [4, 32];
const THREADS: [usize; 2] = [1, 2];

fn var(shape: &[usize]) -> Result<Var> {
    Var::from_tensor(&wave(shape)?)
}

/// Measures `run` with one thread and with two.
fn measure(
    group: &mut BenchmarkGroup<WallTime>,
    name: &str,
    run: impl Fn() -> Result<bool> + Send + Sync,
) -> Result<()> {
    for threads in THREADS {
        let pool = common::threads(threads)?;
        group.bench_function(format!("{name}, {threads} threads"), |b| {
            pool.install(|| b.iter(|| black_box(run().is_ok_and(|done| done))));
        });
    }
    Ok(())
}

/// A step forward and back: whether `leaf` has got a gradient.
fn there_and_back(
    leaf: &Tensor,
    dy: &Tensor,
    op: impl Fn(&Tape) -> Result<Tensor>,
) -> Result<bool> {
    let tape = Tape::recording();
    let y = op(&tape)?;
    Ok(tape.backward_from(&y, dy)?.get(leaf).is_some())
}

fn batch_norm(criterion: &mut Criterion) -> Result<()> {
    for batch in BATCHES {
        for (size, c) in MAPS {
            let shape = [batch, size, size, c];
            let mut group = criterion.benchmark_group(format!("batch norm {shape:?}"));
            group.sample_size(10);
            let (x, other, dy) = (var(&shape)?, var(&shape)?, wave(&shape)?);
            let (weight, bias) = (var(&[c])?, var(&[c])?);
            let affine = Affine {
                weight: &weight,
                bias: &bias,
                eps: 1e-5,
            };
            for (name, then) in [
                ("relu", Then::Relu),
                ("add and relu", Then::AddRelu(&other)),
            ] {
                measure(&mut group, &format!("{name}, forward and backward"), || {
                    there_and_back(&x, &dy, |tape| {
                        Ok(batch_norm_train_then(tape, &x, &affine, then)?.0)
                    })
                })?;
            }
            let (fresh, var) = (x.copy()?, bias.abs()?);
            measure(&mut group, "relu, evaluation in place", || {
                let (tape, x) = (Tape::disabled(), fresh.clone());
                batch_norm_eval_then(&tape, x, [&bias, &var], &affine, Then::Relu)?;
                Ok(true)
            })?;
            if size == 112 {
                let pool = Pool2d {
                    kernel: (3, 3),
                    stride: (2, 2),
                    padding: (1, 1),
                    ceil_mode: false,
                };
                let dy = wave(&[batch, 56, 56, c])?;
                measure(
                    &mut group,
                    "relu and max-pool, forward and backward",
                    || {
                        there_and_back(&x, &dy, |tape| {
                            let then = Then::ReluMaxPool(&pool);
                            Ok(batch_norm_train_then(tape, &x, &affine, then)?.0)
                        })
                    },
                )?;
            }
        }
    }
    Ok(())
}

fn pools(criterion: &mut Criterion) -> Result<()> {
    // (name, size, channels, kernel, ceil_mode), all with stride 2
    for (name, size, c, kernel, ceil_mode) in [
        ("SqueezeNet's first", 111, 64, 3, true),
        ("SqueezeNet's second", 55, 128, 3, true),
        ("SqueezeNet's third", 27, 256, 3, true),
        ("the tutorials' first", 224, 4, 2, false),
        ("the tutorials' second", 112, 8, 2, false),
    ] {
        let mut group = criterion.benchmark_group(format!("relu and max-pool, {name}"));
        group.sample_size(10);
        let x = var(&[4, size, size, c])?;
        let pool = Pool2d {
            kernel: (kernel, kernel),
            stride: (2, 2),
            padding: (0, 0),
            ceil_mode,
        };
        let dy = wave(max_pool2d_relu(&Tape::disabled(), &x, &pool)?.dims())?;
        measure(&mut group, "forward and backward", || {
            there_and_back(&x, &dy, |tape| max_pool2d_relu(tape, &x, &pool))
        })?;
    }
    Ok(())
}

fn concatenation(criterion: &mut Criterion) -> Result<()> {
    for (size, c) in [(55, 64), (27, 128), (13, 192), (13, 256)] {
        let shape = [4, size, size, c];
        let mut group = criterion.benchmark_group(format!("cat and relu of two {shape:?}"));
        group.sample_size(10);
        let (a, b) = (var(&shape)?, var(&shape)?);
        let dy = wave(&[4, size, size, 2 * c])?;
        measure(&mut group, "forward and backward", || {
            there_and_back(&a, &dy, |tape| cat_relu(tape, &[&a, &b], 3))
        })?;
    }
    Ok(())
}

fn wide_linear(criterion: &mut Criterion) -> Result<()> {
    let (inputs, outputs) = (25_088, 512);
    for batch in BATCHES {
        let mut group =
            criterion.benchmark_group(format!("linear {batch} × {inputs} to {outputs}"));
        group.sample_size(10);
        let (x, weight, dy) = (
            var(&[batch, inputs])?,
            var(&[outputs, inputs])?,
            wave(&[batch, outputs])?,
        );
        let velocity = Var::from_tensor(&weight.zeros_like()?)?;
        let step = SgdStep {
            lr: 1e-6,
            momentum: 0.9,
            weight_decay: 0.0,
            ..SgdStep::default()
        };
        measure(&mut group, "forward", || {
            linear(&Tape::disabled(), &x, &weight, None)?;
            Ok(true)
        })?;
        measure(&mut group, "forward, backward and SGD", || {
            let tape = Tape::recording();
            let y = linear(&tape, &x, &weight, None)?;
            let gradients = tape.backward_from(&y, &dy)?;
            sgd_step_along(&gradients, &weight, &velocity, &step)
        })?;
    }
    Ok(())
}

fn all(criterion: &mut Criterion) {
    batch_norm(criterion).expect("the sizes fit");
    pools(criterion).expect("the sizes fit");
    concatenation(criterion).expect("the sizes fit");
    wide_linear(criterion).expect("the sizes fit");
}

criterion_group!(benches, all);
criterion_main!(benches);
