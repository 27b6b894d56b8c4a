//! The time that the ResNet-18 convolutions take at 224 × 224: forward, input gradient and weight gradient, per picture.
//!
//! `cargo run --release -p graft-ops --example resnet18_convs -- [BATCH] [THREADS] [REPEATS]`
//! prints medians in milliseconds; `scripts/bench_convs.py` prints the same for `torch`.

use std::time::{Duration, Instant};

use candle_core::Result;
use graft_ops::Tape;

#[path = "../benches/common/mod.rs"]
mod common;
#[path = "../benches/common/convolution.rs"]
mod convolution;

use convolution::Convolution;

#[global_allocator]
static ALLOCATOR: graft_ops::Allocator = graft_ops::Allocator;

/// (times in the network, channels in, channels out, kernel, stride, input size)
const LAYERS: [(usize, usize, usize, usize, usize, usize); 11] = [
    (1, 3, 64, 7, 2, 224),
    (4, 64, 64, 3, 1, 56),
    (1, 64, 128, 3, 2, 56),
    (1, 64, 128, 1, 2, 56),
    (3, 128, 128, 3, 1, 28),
    (1, 128, 256, 3, 2, 28),
    (1, 128, 256, 1, 2, 28),
    (3, 256, 256, 3, 1, 14),
    (1, 256, 512, 3, 2, 14),
    (1, 256, 512, 1, 2, 14),
    (3, 512, 512, 3, 1, 7),
];

fn main() -> Result<()> {
    graft_ops::keep_freed_memory(Duration::from_secs(10));
    let arguments: Vec<usize> = std::env::args()
        .skip(1)
        .filter_map(|a| a.parse().ok())
        .collect();
    let argument = |i: usize, default| arguments.get(i).copied().unwrap_or(default);
    let (batch, threads, repeats) = (argument(0, 4), argument(1, 1), argument(2, 9));
    let pool = common::threads(threads)?;
    let mut totals = [0.0; 3];
    for layer in LAYERS {
        let times = pool.install(|| measure(layer, batch, repeats))?;
        let (count, c, o, k, stride, size) = layer;
        println!(
            "{count} x {c:3} -> {o:3} {k}x{k}/{stride} at {size:3}: forward {:7.3}  input gradient {:7.3}  weight gradient {:7.3} ms a picture",
            times[0], times[1], times[2]
        );
        for (total, time) in totals.iter_mut().zip(times) {
            *total += count as f64 * time;
        }
    }
    println!(
        "batch {batch}, {threads} threads: forward {:.2} + input gradient {:.2} + weight gradient {:.2} = {:.2} ms a picture",
        totals[0],
        totals[1],
        totals[2],
        totals.iter().sum::<f64>()
    );
    Ok(())
}

/// Median times a picture of forward, input gradient and weight gradient.
fn measure(
    (_, c, o, k, stride, size): (usize, usize, usize, usize, usize, usize),
    batch: usize,
    repeats: usize,
) -> Result<[f64; 3]> {
    let layer = Convolution::new([c, o], [k, stride], size, batch)?;
    let (x, weight, dy) = (&layer.x, &layer.weight, &layer.dy);
    let (plain_x, plain_weight) = (x.detach(), weight.detach());
    let mut times = [const { Vec::new() }; 3];
    for _ in 0..=repeats {
        let start = Instant::now();
        layer.forward(&Tape::disabled(), x, weight)?;
        times[0].push(start.elapsed());

        let tape = Tape::recording();
        let y = layer.forward(&tape, x, &plain_weight)?;
        let start = Instant::now();
        if c > 3 {
            tape.backward_from(&y, dy)?;
        }
        times[1].push(start.elapsed());

        let tape = Tape::recording();
        let y = layer.forward(&tape, &plain_x, weight)?;
        let start = Instant::now();
        tape.backward_from(&y, dy)?;
        times[2].push(start.elapsed());
    }
    Ok(times.map(|mut times| {
        let measured = &mut times[1..];
        measured.sort_unstable();
        measured[measured.len() / 2].as_secs_f64() * 1e3 / batch as f64
    }))
}
