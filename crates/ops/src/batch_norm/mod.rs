//! Batch normalisation over (n, h, w) per channel (Ioffe and Szegedy 2015), as `torch.nn.functional.batch_norm`, alone or
//! in one pass with what usually follows it.

mod backward;
mod forward;
mod normalise;
mod pooled;
mod rows;
mod slopes;

use candle_core::{Result, Tensor, Var};

use crate::activation::Activation;
use crate::check::{self, invalid};
#[cfg(feature = "cuda")]
use crate::cuda;
use crate::kernel::{InPlace, change1, cpu_only};
use crate::pool::Pool2d;
use crate::tape::Tape;
use backward::Backward;

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

/// What batch norm does with the normalised values.
#[derive(Clone, Copy, Debug)]
pub struct Affine<'a> {
    /// What they are multiplied by, (c).
    pub weight: &'a Tensor,
    /// What is added then, (c).
    pub bias: &'a Tensor,
    /// What is added to the variance before the root is taken.
    pub eps: f64,
}

/// What follows batch norm in the same pass over the memory.
#[derive(Clone, Copy, Debug)]
pub enum Then<'a> {
    /// Nothing.
    Nothing,
    /// The rectifier.
    Relu,
    /// Any activation.
    Activation(Activation),
    /// The sum with a tensor of the input's shape, and the rectifier: the end of a residual block.
    AddRelu(&'a Tensor),
    /// The rectifier, and the maximum of each window: the stem of residual networks.
    ReluMaxPool(&'a Pool2d),
}

/// [`Then`] without the pool.
#[derive(Clone, Copy)]
pub(crate) enum After<'a> {
    Activation(Option<Activation>),
    AddRelu(&'a Tensor),
}

impl<'a> Then<'a> {
    /// What comes before the pool, or the pool.
    pub(crate) fn split(self) -> std::result::Result<After<'a>, &'a Pool2d> {
        match self {
            Self::Nothing => Ok(After::Activation(None)),
            Self::Relu => Ok(After::Activation(Some(Activation::Relu))),
            Self::Activation(activation) => Ok(After::Activation(Some(activation))),
            Self::AddRelu(other) => Ok(After::AddRelu(other)),
            Self::ReluMaxPool(pool) => Err(pool),
        }
    }
}

/// Normalises each channel of x, (n, h, w, c), by the batch's own mean and biased variance, then multiplies it by
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
    let affine = Affine { weight, bias, eps };
    batch_norm_train_then(tape, x, &affine, Then::Nothing)
}

/// [`batch_norm_train`] and what follows it.
pub fn batch_norm_train_then(
    tape: &Tape,
    x: &Tensor,
    affine: &Affine,
    then: Then,
) -> Result<(Tensor, BatchStatistics)> {
    const OP: &str = "batch_norm_train";
    let size = Size::of(OP, x, then)?;
    #[cfg(feature = "cuda")]
    if cuda::has(x) {
        enough_values(OP, size.count(), x)?;
        return cuda::batch_norm::train(tape, x, affine, then);
    }
    let (weight, bias) = affine.values(OP, size.c)?;
    enough_values(OP, size.count(), x)?;

    let channels = forward::statistics(x, &size, affine.eps)?;
    let terms = size.rows().terms(&channels, &weight, &bias);
    let vector = |value: fn(&Channel) -> f64| {
        let values: Vec<f32> = channels.iter().map(|c| value(c) as f32).collect();
        Tensor::from_vec(values, size.c, x.device())
    };
    let statistics = BatchStatistics {
        mean: vector(|c| c.mean)?,
        var: vector(|c| c.var)?,
        count: size.count(),
    };
    let batch = true;
    let backward = Backward {
        size,
        channels,
        terms,
        batch,
    };
    let y = backward.forward(tape, x, affine, then)?;
    Ok((y, statistics))
}

/// Normalises each channel of x, (n, h, w, c), by the given mean and variance, then multiplies it by `weight` and adds
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
    let affine = Affine { weight, bias, eps };
    #[cfg(feature = "cuda")]
    if cuda::has(x) {
        Size::of("batch_norm_eval", x, Then::Nothing)?;
        let running = [running_mean, running_var];
        return cuda::batch_norm::eval(tape, x, running, &affine, Then::Nothing, false);
    }
    let backward = given([running_mean, running_var], x, &affine, Then::Nothing)?;
    backward.forward(tape, x, &affine, Then::Nothing)
}

/// [`batch_norm_eval`] and what follows it, for an `x` that has just been computed: where nothing is recorded, its memory
/// may become that of the result. So nobody else may go on using it, or a view of it.
pub fn batch_norm_eval_then(
    tape: &Tape,
    x: Tensor,
    running: [&Tensor; 2],
    affine: &Affine,
    then: Then,
) -> Result<Tensor> {
    #[cfg(feature = "cuda")]
    if cuda::has(&x) {
        Size::of("batch_norm_eval", &x, then)?;
        let in_place = may_become_result(tape, &x, affine, then);
        return cuda::batch_norm::eval(tape, &x, running, affine, then, in_place);
    }
    let backward = given(running, &x, affine, then)?;
    let Ok(after) = then.split() else {
        return backward.forward(tape, &x, affine, then);
    };
    if !may_become_result(tape, &x, affine, then) {
        return backward.forward(tape, &x, affine, then);
    }
    forward::normalise_in_place(&x, &backward.size, &backward.terms, after)?;
    Ok(x)
}

/// Whether the memory of x, which nobody else uses, may become that of the result.
fn may_become_result(tape: &Tape, x: &Tensor, affine: &Affine, then: Then) -> bool {
    let other = match then {
        Then::AddRelu(other) => Some(other),
        _ => None,
    };
    let inputs = [Some(x), Some(affine.weight), Some(affine.bias), other];
    let needed = inputs.into_iter().flatten().any(|t| tape.needs_grad(t));
    !(needed || x.is_variable() || !x.is_contiguous() || other.is_some_and(|o| o.id() == x.id()))
}

/// Batch norm by the given mean and variance.
fn given([mean, var]: [&Tensor; 2], x: &Tensor, affine: &Affine, then: Then) -> Result<Backward> {
    const OP: &str = "batch_norm_eval";
    let size = Size::of(OP, x, then)?;
    let mean = values(OP, "the running mean", size.c, mean)?;
    let var = values(OP, "the running variance", size.c, var)?;
    let (weight, bias) = affine.values(OP, size.c)?;
    let channels: Vec<Channel> = mean
        .iter()
        .zip(var)
        .map(|(&mean, var)| Channel::new(f64::from(mean), f64::from(var), affine.eps))
        .collect();
    let terms = size.rows().terms(&channels, &weight, &bias);
    let batch = false;
    Ok(Backward {
        size,
        channels,
        terms,
        batch,
    })
}

impl Backward {
    /// The result, with its backward pass on the tape.
    fn forward(self, tape: &Tape, x: &Tensor, affine: &Affine, then: Then) -> Result<Tensor> {
        match then.split() {
            Ok(after) => self.unpooled(tape, x, affine, after),
            Err(pool) => self.pooled(tape, x, affine, pool),
        }
    }
}

impl Affine<'_> {
    /// Weight and bias of `c` channels.
    fn values(&self, op: &str, c: usize) -> Result<(Vec<f32>, Vec<f32>)> {
        Ok((
            values(op, "the weight", c, self.weight)?,
            values(op, "the bias", c, self.bias)?,
        ))
    }
}

fn values(op: &str, what: &str, c: usize, vector: &Tensor) -> Result<Vec<f32>> {
    check::shape(op, what, &[c], vector)?;
    vector.to_vec1()
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
    #[cfg(feature = "cuda")]
    if cuda::has(mean) {
        return cuda::batch_norm::update_running([mean, var], batch, momentum, n / (n - 1.0));
    }
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

    cpu_only!(in place of 1);
}

#[derive(Clone, Copy)]
struct Size {
    n: usize,
    h: usize,
    w: usize,
    c: usize,
}

impl Size {
    fn of(op: &str, x: &Tensor, then: Then) -> Result<Self> {
        let [n, h, w, c] = check::dims(op, "the input", "(n, h, w, c)", x)?;
        if let Then::AddRelu(other) = then {
            check::shape(op, "the tensor that is added", x.dims(), other)?;
        }
        Ok(Self { n, h, w, c })
    }

    fn shape(&self) -> candle_core::Shape {
        (self.n, self.h, self.w, self.c).into()
    }

    fn count(&self) -> usize {
        self.n * self.h * self.w
    }

    fn rows(&self) -> rows::Rows {
        rows::Rows::new(self.count() * self.c, self.c)
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
