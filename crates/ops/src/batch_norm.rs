//! Batch normalisation over (n, h, w) per channel (Ioffe and Szegedy 2015), as `torch.nn.functional.batch_norm`.

use std::cell::Cell;

use candle_core::{Result, Shape, Tensor, Var};

use crate::check::{self, invalid};
use crate::kernel::{InPlace, Kernel, change1, run2, run3};
use crate::parallel::{SharedMut, for_each};
use crate::reduce::{sum_and_product, sum_and_squares};
use crate::simd::vectorized;
use crate::tape::Tape;

/// What [`batch_norm_train`] found in a batch.
#[derive(Clone, Debug)]
pub struct BatchStatistics {
    /// The mean of each channel, (c).
    pub mean: Tensor,
    /// The variance of each channel, (c), biased: the sum of squares divided by `count`.
    pub var: Tensor,
    /// The number of values per channel, n · h · w.
    pub count: usize,
}

/// Normalises each channel of x, (n, c, h, w), by the batch's own mean and biased variance, then multiplies it by
/// `weight` and adds `bias`, both (c).
///
/// An error if there is only one value per channel, as for `torch.nn.functional.batch_norm`: its variance says nothing.
pub fn batch_norm_train(
    tape: &Tape,
    x: &Tensor,
    weight: &Tensor,
    bias: &Tensor,
    eps: f64,
) -> Result<(Tensor, BatchStatistics)> {
    const OP: &str = "batch_norm_train";
    let size = Size::of(OP, x)?;
    check::shape(OP, "the weight", &[size.c], weight)?;
    check::shape(OP, "the bias", &[size.c], bias)?;
    enough_values(OP, size.count(), x)?;

    let forward = Train {
        size,
        eps,
        found: Cell::default(),
    };
    let y = run3(&forward, x, weight, bias)?;
    let channels = forward.found.take();
    let vector = |value: fn(&Channel) -> f64| {
        let values: Vec<f32> = channels.iter().map(|c| value(c) as f32).collect();
        Tensor::from_vec(values, size.c, x.device())
    };
    let statistics = BatchStatistics {
        mean: vector(|c| c.mean)?,
        var: vector(|c| c.var)?,
        count: size.count(),
    };
    record_backward(tape, &y, [x, weight, bias], size, channels, true);
    Ok((y, statistics))
}

/// Normalises each channel of x, (n, c, h, w), by the given mean and variance, then multiplies it by `weight` and adds
/// `bias`; all four are (c). Differentiable in `x`, `weight` and `bias`.
pub fn batch_norm_eval(
    tape: &Tape,
    x: &Tensor,
    running_mean: &Tensor,
    running_var: &Tensor,
    weight: &Tensor,
    bias: &Tensor,
    eps: f64,
) -> Result<Tensor> {
    const OP: &str = "batch_norm_eval";
    let size = Size::of(OP, x)?;
    let vectors = [running_mean, running_var, weight, bias];
    for (what, vector) in [
        "the running mean",
        "the running variance",
        "the weight",
        "the bias",
    ]
    .into_iter()
    .zip(vectors)
    {
        check::shape(OP, what, &[size.c], vector)?;
    }
    let table = Tensor::stack(&vectors.map(Tensor::detach), 0)?;
    let forward = Eval {
        size,
        eps,
        found: Cell::default(),
    };
    let y = run2(&forward, x, &table)?;
    record_backward(
        tape,
        &y,
        [x, weight, bias],
        size,
        forward.found.take(),
        false,
    );
    Ok(y)
}

/// Moves the running statistics towards those of a batch, in place:
/// `running = (1 − momentum) · running + momentum · batch`, with the unbiased variance, as `torch` does.
///
/// An error if the batch had only one value per channel.
pub fn update_running(mean: &Var, var: &Var, batch: &BatchStatistics, momentum: f64) -> Result<()> {
    const OP: &str = "update_running";
    check::shape(OP, "the running mean", batch.mean.dims(), mean)?;
    check::shape(OP, "the running variance", batch.var.dims(), var)?;
    enough_values(OP, batch.count, &batch.mean)?;
    let n = batch.count as f64;
    let step = |factor| Move { momentum, factor };
    change1(&step(1.0), mean, &batch.mean)?;
    change1(&step(n / (n - 1.0)), var, &batch.var)
}

fn enough_values(op: &str, count: usize, t: &Tensor) -> Result<()> {
    if count > 1 {
        return Ok(());
    }
    Err(invalid(
        op,
        format_args!(
            "expected more than 1 value per channel when training, found {count} (shape {:?}); use a larger batch",
            t.dims()
        ),
    ))
}

struct Move {
    momentum: f64,
    factor: f64,
}

impl InPlace<1> for Move {
    const NAME: &'static str = "update_running";

    fn cpu(&self, running: &mut [f32], [batch]: [&[f32]; 1]) -> Result<()> {
        for (running, &batch) in running.iter_mut().zip(batch) {
            let (old, new) = (f64::from(*running), f64::from(batch) * self.factor);
            *running = ((1.0 - self.momentum) * old + self.momentum * new) as f32;
        }
        Ok(())
    }
}

#[derive(Clone, Copy)]
struct Size {
    n: usize,
    c: usize,
    h: usize,
    w: usize,
}

impl Size {
    fn of(op: &str, x: &Tensor) -> Result<Self> {
        let [n, c, h, w] = check::dims(op, "the input", "(n, c, h, w)", x)?;
        Ok(Self { n, c, h, w })
    }

    fn shape(&self) -> Shape {
        (self.n, self.c, self.h, self.w).into()
    }

    fn plane(&self) -> usize {
        self.h * self.w
    }

    fn count(&self) -> usize {
        self.n * self.plane()
    }

    fn len(&self) -> usize {
        self.c * self.count()
    }

    /// Where the planes of channel `c` start.
    fn planes(&self, c: usize) -> impl Iterator<Item = usize> {
        let (channels, plane) = (self.c, self.plane());
        (0..self.n).map(move |n| (n * channels + c) * plane)
    }
}

/// What one channel was normalised with.
#[derive(Clone, Copy, Default)]
struct Channel {
    mean: f64,
    var: f64,
    inv_std: f64,
}

impl Channel {
    fn new(mean: f64, var: f64, eps: f64) -> Self {
        Self {
            mean,
            var,
            inv_std: 1.0 / (var + eps).sqrt(),
        }
    }
}

struct Train {
    size: Size,
    eps: f64,
    found: Cell<Vec<Channel>>,
}

impl Kernel<3> for Train {
    const NAME: &'static str = "batch_norm_train";

    fn shape(&self) -> Shape {
        self.size.shape()
    }

    fn cpu(&self, [x, weight, bias]: [&[f32]; 3]) -> Result<Vec<f32>> {
        let (size, eps) = (self.size, self.eps);
        let plane = size.plane();
        let mut y = vec![0.0; size.len()];
        let mut channels = vec![Channel::default(); size.c];
        let (out, found) = (SharedMut::new(&mut y), SharedMut::new(&mut channels));
        for_each(size.c, size.len(), |c| {
            let channel = statistics(x, &size, c, eps);
            let scale = (channel.inv_std * f64::from(weight[c])) as f32;
            for start in size.planes(c) {
                // SAFETY: a plane belongs to one channel, and each channel is visited once.
                let out = unsafe { out.slice(start, plane) };
                scale_and_shift(
                    out,
                    &x[start..][..plane],
                    channel.mean as f32,
                    scale,
                    bias[c],
                );
            }
            // SAFETY: as above, for the channel's statistics.
            unsafe { found.slice(c, 1)[0] = channel };
        });
        self.found.set(channels);
        Ok(y)
    }
}

/// Mean and variance of channel `c`, from sums of differences to its first value: the usual one-pass formula, but for
/// data that is already near its mean, where it loses nothing.
fn statistics(x: &[f32], size: &Size, c: usize, eps: f64) -> Channel {
    let plane = size.plane();
    let around = f64::from(x[c * plane]);
    let (mut sum, mut squares) = (0.0, 0.0);
    for start in size.planes(c) {
        let (s, q) = sum_and_squares(&x[start..][..plane], around);
        sum += s;
        squares += q;
    }
    let n = size.count() as f64;
    let mean = sum / n;
    let var = (squares / n - (mean - around) * (mean - around)).max(0.0);
    // `max` would hide a NaN, which has to reach the loss.
    let var = if squares.is_finite() { var } else { f64::NAN };
    Channel::new(mean, var, eps)
}

struct Eval {
    size: Size,
    eps: f64,
    found: Cell<Vec<Channel>>,
}

impl Kernel<2> for Eval {
    const NAME: &'static str = "batch_norm_eval";

    fn shape(&self) -> Shape {
        self.size.shape()
    }

    fn cpu(&self, [x, table]: [&[f32]; 2]) -> Result<Vec<f32>> {
        let size = self.size;
        let plane = size.plane();
        let (mean, rest) = table.split_at(size.c);
        let (var, rest) = rest.split_at(size.c);
        let (weight, bias) = rest.split_at(size.c);
        let channels: Vec<_> = mean
            .iter()
            .zip(var)
            .map(|(&mean, &var)| Channel::new(f64::from(mean), f64::from(var), self.eps))
            .collect();
        let mut y = vec![0.0; size.len()];
        let out = SharedMut::new(&mut y);
        for_each(size.n * size.c, size.len(), |i| {
            let c = i % size.c;
            let scale = (channels[c].inv_std * f64::from(weight[c])) as f32;
            // SAFETY: planes are disjoint and each is visited once.
            let out = unsafe { out.slice(i * plane, plane) };
            scale_and_shift(out, &x[i * plane..][..plane], mean[c], scale, bias[c]);
        });
        self.found.set(channels);
        Ok(y)
    }
}

fn record_backward(
    tape: &Tape,
    y: &Tensor,
    [x, weight, bias]: [&Tensor; 3],
    size: Size,
    channels: Vec<Channel>,
    batch: bool,
) {
    let (to_x, to_weight, to_bias) = (tape.target(x), tape.target(weight), tape.target(bias));
    if to_x.is_none() && to_weight.is_none() && to_bias.is_none() {
        return;
    }
    let (x, weight) = (x.clone(), weight.clone());
    tape.record(y, move |grad, grads| {
        let backward = Backward {
            size,
            channels,
            batch,
            with_input: to_x.is_some(),
            with_sums: batch || to_weight.is_some() || to_bias.is_some(),
            sums: Cell::default(),
        };
        let dx = run3(&backward, grad.tensor(), &x, &weight)?;
        let (dw, db) = backward
            .sums
            .take()
            .into_iter()
            .unzip::<_, _, Vec<_>, Vec<_>>();
        if let Some(id) = to_weight {
            grads.give(id, Tensor::from_vec(dw, size.c, x.device())?)?;
        }
        if let Some(id) = to_bias {
            grads.give(id, Tensor::from_vec(db, size.c, x.device())?)?;
        }
        match to_x {
            Some(id) => grads.give(id, dx),
            None => Ok(()),
        }
    });
}

struct Backward {
    size: Size,
    channels: Vec<Channel>,
    /// Whether mean and variance depend on the input.
    batch: bool,
    with_input: bool,
    with_sums: bool,
    /// The gradients of weight and bias.
    sums: Cell<Vec<(f32, f32)>>,
}

impl Kernel<3> for Backward {
    const NAME: &'static str = "batch norm's gradient";

    fn shape(&self) -> Shape {
        if self.with_input {
            self.size.shape()
        } else {
            0.into()
        }
    }

    fn cpu(&self, [dy, x, weight]: [&[f32]; 3]) -> Result<Vec<f32>> {
        let (size, channels) = (self.size, &self.channels);
        let (batch, with_input, with_sums) = (self.batch, self.with_input, self.with_sums);
        let plane = size.plane();
        let mut dx = vec![0.0; self.shape().elem_count()];
        let mut sums = vec![(0.0, 0.0); size.c];
        let (out, found) = (SharedMut::new(&mut dx), SharedMut::new(&mut sums));
        for_each(size.c, size.len(), |c| {
            let channel = channels[c];
            let (mut sum, mut product) = (0.0, 0.0);
            if with_sums {
                for start in size.planes(c) {
                    let (dy, x) = (&dy[start..][..plane], &x[start..][..plane]);
                    let (s, p) = sum_and_product(dy, x, channel.mean);
                    sum += s;
                    product += p;
                }
                let gradients = ((product * channel.inv_std) as f32, sum as f32);
                // SAFETY: each channel is visited once.
                unsafe { found.slice(c, 1)[0] = gradients };
            }
            if !with_input {
                return;
            }
            let scale = channel.inv_std * f64::from(weight[c]);
            let n = if batch {
                size.count() as f64
            } else {
                f64::INFINITY
            };
            let slope = product / n * channel.inv_std * channel.inv_std;
            let terms = [channel.mean, sum / n, slope, scale].map(|t| t as f32);
            for start in size.planes(c) {
                // SAFETY: a plane belongs to one channel, and each channel is visited once.
                let out = unsafe { out.slice(start, plane) };
                input_gradient(out, &dy[start..][..plane], &x[start..][..plane], terms);
            }
        });
        self.sums.set(sums);
        Ok(dx)
    }
}

vectorized! {
    fn scale_and_shift(out: &mut [f32], x: &[f32], mean: f32, scale: f32, shift: f32) {
        for (out, &x) in out.iter_mut().zip(x) {
            *out = (x - mean) * scale + shift;
        }
    }
}

vectorized! {
    fn input_gradient(out: &mut [f32], dy: &[f32], x: &[f32], terms: [f32; 4]) {
        let [mean, offset, slope, scale] = terms;
        for ((out, &dy), &x) in out.iter_mut().zip(dy).zip(x) {
            *out = (dy - offset - (x - mean) * slope) * scale;
        }
    }
}
