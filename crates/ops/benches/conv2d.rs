//! The convolutions of ResNet-18 at batch 4 on one thread: forward, and forward with both gradients.
//!
//! `cargo bench -p graft-ops`; the example `resnet18_convs` adds them up to a whole network.

use std::hint::black_box;

use candle_core::Result;
use criterion::{Criterion, criterion_group, criterion_main};
use graft_ops::Tape;

mod common;
#[path = "common/convolution.rs"]
mod convolution;

use convolution::Convolution;

/// (channels in, channels out, kernel, stride, input size)
const LAYERS: [(usize, usize, usize, usize, usize); 8] = [
    (3, 64, 7, 2, 224),
    (64, 64, 3, 1, 56),
    (64, 128, 3, 2, 56),
    (64, 128, 1, 2, 56),
    (128, 128, 3, 1, 28),
    (256, 256, 3, 1, 14),
    (256, 512, 3, 2, 14),
    (512, 512, 3, 1, 7),
];

const BATCH: usize = 4;

fn layers(criterion: &mut Criterion) -> Result<()> {
    let pool = common::threads(1)?;
    for (c, o, k, stride, size) in LAYERS {
        let layer = Convolution::new([c, o], [k, stride], size, BATCH)?;
        let mut group =
            criterion.benchmark_group(format!("{c}x{size}x{size} to {o}, {k}x{k}/{stride}"));
        group.sample_size(10);
        let forward = |tape: &Tape| layer.forward(tape, &layer.x, &layer.weight);
        group.bench_function("forward", |b| {
            pool.install(|| b.iter(|| black_box(forward(&Tape::disabled()).is_ok())));
        });
        let step = || -> Result<bool> {
            let tape = Tape::recording();
            let y = forward(&tape)?;
            let gradients = tape.backward_from(&y, &layer.dy)?;
            Ok(gradients.get(&layer.weight).is_some())
        };
        group.bench_function("forward and backward", |b| {
            pool.install(|| b.iter(|| black_box(step().is_ok_and(|found| found))));
        });
        group.finish();
    }
    Ok(())
}

fn all(criterion: &mut Criterion) {
    layers(criterion).expect("the layers' sizes fit");
}

criterion_group!(benches, all);
criterion_main!(benches);
