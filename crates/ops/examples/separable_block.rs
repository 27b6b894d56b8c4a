//! The time of a depthwise-separable block of `MobileNet` v1 (arXiv:1704.04861): depthwise 3x3 and pointwise 1x1
//! convolution of 128 channels at 56 × 56, each with batch norm and rectifier, then an average pool and a cross entropy.
//!
//! `cargo run --release -p graft-ops --example separable_block -- [BATCH] [THREADS] [SECONDS]`
//! prints one line of JSON with medians: a forward pass in evaluation, and forward and backward in training, the input's
//! gradient included. `scripts/bench_torch.py --model separable-block` prints the same for `torch`.

use std::time::{Duration, Instant};

use candle_core::{Device, Result, Tensor, Var};
use graft_ops::{
    Affine, Conv2d, Tape, Then, batch_norm_eval_then, batch_norm_train_then, conv2d, cross_entropy,
    global_avg_pool,
};

#[path = "../benches/common/mod.rs"]
mod common;

use common::wave;

#[global_allocator]
static ALLOCATOR: graft_ops::Allocator = graft_ops::Allocator;

const CHANNELS: usize = 128;
const SIZE: usize = 56;

/// A convolution and its batch norm.
struct Unit {
    weight: Var,
    geometry: Conv2d,
    scale: Var,
    shift: Var,
}

impl Unit {
    fn new(shape: [usize; 4], geometry: Conv2d) -> Result<Self> {
        Ok(Self {
            weight: Var::from_tensor(&wave(&shape)?)?,
            geometry,
            scale: Var::from_tensor(&vector(1.0)?)?,
            shift: Var::from_tensor(&vector(0.0)?)?,
        })
    }

    fn forward(&self, tape: &Tape, x: &Tensor, training: bool) -> Result<Tensor> {
        let affine = Affine {
            weight: &self.scale,
            bias: &self.shift,
            eps: 1e-5,
        };
        let y = conv2d(tape, x, &self.weight, None, &self.geometry)?;
        if training {
            Ok(batch_norm_train_then(tape, &y, &affine, Then::Relu)?.0)
        } else {
            let running = [&vector(0.0)?, &vector(1.0)?];
            batch_norm_eval_then(tape, y, running, &affine, Then::Relu)
        }
    }
}

fn main() -> Result<()> {
    graft_ops::keep_freed_memory(Duration::from_secs(10));
    let arguments: Vec<f64> = std::env::args()
        .skip(1)
        .filter_map(|a| a.parse().ok())
        .collect();
    let argument = |i: usize, default| arguments.get(i).copied().unwrap_or(default);
    let (batch, threads, seconds) = (
        argument(0, 4.0) as usize,
        argument(1, 2.0) as usize,
        argument(2, 3.0),
    );
    let pool = common::threads(threads)?;
    let (train, forward) = pool.install(|| measure(batch, seconds))?;
    println!(
        "{{\"program\":\"graft\",\"version\":\"{}\",\"model\":\"separable-block\",\"batch_size\":{batch},\
         \"size\":{SIZE},\"threads\":{threads},\"dtype\":\"f32\",\"device\":\"cpu\",\
         \"forward_ms_per_image\":{},\"train_step_ms_per_image\":{}}}",
        env!("CARGO_PKG_VERSION"),
        forward / batch as f64,
        train / batch as f64,
    );
    Ok(())
}

/// Median milliseconds of forward and backward, and of a forward pass in evaluation.
fn measure(batch: usize, seconds: f64) -> Result<(f64, f64)> {
    let same = Conv2d {
        padding: (1, 1),
        groups: CHANNELS,
        ..Conv2d::default()
    };
    let units = [
        Unit::new([CHANNELS, 1, 3, 3], same)?,
        Unit::new([CHANNELS, CHANNELS, 1, 1], Conv2d::default())?,
    ];
    let x = Var::from_tensor(&wave(&[batch, SIZE, SIZE, CHANNELS])?)?;
    let labels: Vec<u32> = (0..batch).map(|i| (i % CHANNELS) as u32).collect();
    let run = |tape: &Tape, training: bool| {
        let y = units[0].forward(tape, &x, training)?;
        global_avg_pool(tape, &units[1].forward(tape, &y, training)?)
    };
    let train = median(seconds, || {
        let tape = Tape::recording();
        let loss = cross_entropy(&tape, &run(&tape, true)?, &labels)?;
        let gradients = tape.backward(&loss)?;
        let found = gradients.get(&x).is_some() && gradients.get(&units[0].weight).is_some();
        assert!(found, "the gradients of input and weights");
        Ok(())
    })?;
    let forward = median(seconds, || run(&Tape::disabled(), false).map(drop))?;
    Ok((train, forward))
}

/// The median over `seconds` and at least five calls, after a warm-up of two calls and a fifth of the time.
fn median(seconds: f64, mut action: impl FnMut() -> Result<()>) -> Result<f64> {
    let mut repeat = |least: usize, seconds: f64| -> Result<Vec<f64>> {
        let (begin, mut times) = (Instant::now(), Vec::new());
        while times.len() < least || begin.elapsed().as_secs_f64() < seconds {
            let start = Instant::now();
            action()?;
            times.push(start.elapsed().as_secs_f64() * 1e3);
        }
        Ok(times)
    };
    repeat(2, seconds / 5.0)?;
    let mut times = repeat(5, seconds)?;
    times.sort_by(f64::total_cmp);
    Ok(times[times.len() / 2])
}

fn vector(value: f32) -> Result<Tensor> {
    Tensor::full(value, CHANNELS, &Device::Cpu)
}
