//! Batch norm and what follows it, forward and backward.

use std::rc::Rc;

use candle_core::{Result, Tensor, TensorId, Var};

use super::array::{Array, Buffer, Kind};
use super::columns::{Columns, Split};
use super::elementwise::number;
use super::gpu::Gpu;
use super::launch::Launch;
use super::pool;
use crate::activation::Activation;
use crate::batch_norm::{Affine, After, BatchStatistics, Then};
use crate::check;
use crate::pool::{Geometry, Pool2d};
use crate::tape::{Grad, Gradients, Tape};

/// Batch norm of one input: its sizes, and what each channel is normalised with.
struct Norm {
    gpu: Rc<Gpu>,
    columns: Columns,
    /// Mean, scale, shift and one over the standard deviation of each channel, (4, c).
    terms: Buffer<f32>,
    /// Whether mean and variance depend on the input.
    batch: bool,
}

/// Where gradients have to go.
#[derive(Clone, Copy)]
struct Targets {
    x: Option<TensorId>,
    weight: Option<TensorId>,
    bias: Option<TensorId>,
}

impl Targets {
    fn of(tape: &Tape, x: &Tensor, affine: &Affine) -> Self {
        Self {
            x: tape.target(x),
            weight: tape.target(affine.weight),
            bias: tape.target(affine.bias),
        }
    }

    fn any(&self) -> bool {
        self.x.is_some() || self.weight.is_some() || self.bias.is_some()
    }
}

/// Weight and bias on the device.
struct Factors {
    weight: Array,
    bias: Array,
}

impl Factors {
    fn of(op: &str, gpu: &Gpu, affine: &Affine, c: usize) -> Result<Self> {
        check::shape(op, "the weight", &[c], affine.weight)?;
        check::shape(op, "the bias", &[c], affine.bias)?;
        Ok(Self {
            weight: Array::of_f32(op, gpu, affine.weight)?,
            bias: Array::of_f32(op, gpu, affine.bias)?,
        })
    }
}

fn columns_of(x: &Tensor) -> Columns {
    let (rows, c) = match *x.dims() {
        [n, h, w, c] => (n * h * w, c),
        _ => (0, 0),
    };
    Columns { rows, c }
}

/// [`batch_norm_train_then`](crate::batch_norm_train_then) on CUDA tensors, whose sizes have been checked.
pub(crate) fn train(
    tape: &Tape,
    x: &Tensor,
    affine: &Affine,
    then: Then,
) -> Result<(Tensor, BatchStatistics)> {
    const OP: &str = "batch_norm_train";
    let gpu = Gpu::of(OP, &[x, affine.weight, affine.bias])?;
    let columns = columns_of(x);
    let factors = Factors::of(OP, &gpu, affine, columns.c)?;
    let input = Array::of(OP, &gpu, x)?;
    let (mean, var) = (
        Array::new(&gpu, columns.c, Kind::F32)?,
        Array::new(&gpu, columns.c, Kind::F32)?,
    );
    let terms = gpu.buffer(4 * columns.c)?;
    let split = columns.split(&[&input]);
    let pieces = columns.pieces(&split);
    let sums = pieces.sums(&gpu)?;
    let Columns { rows, c } = columns;
    pieces.form(
        Launch::of(&gpu, "batch_norm_sums", input.kind())
            .at(&input)
            .size(rows)
            .size(c)
            .size(pieces.chunk)
            .at(&sums)
            .flag(split.wide),
    )?;
    pieces.finish(
        Launch::of(&gpu, "batch_norm_statistics", input.kind())
            .at(&input)
            .at(&sums)
            .size(pieces.count)
            .size(rows)
            .size(c)
            .at(&factors.weight)
            .at(&factors.bias)
            .double(affine.eps)
            .at(&terms)
            .at(&mean)
            .at(&var),
    )?;
    let statistics = BatchStatistics {
        mean: mean.into_tensor(),
        var: var.into_tensor(),
        count: rows,
    };
    let norm = Norm {
        gpu,
        columns,
        terms,
        batch: true,
    };
    Ok((norm.forward(tape, x, input, affine, then)?, statistics))
}

/// [`batch_norm_eval_then`](crate::batch_norm_eval_then) on CUDA tensors. With `in_place` the memory of x may become that of the
/// result where nothing is recorded.
pub(crate) fn eval(
    tape: &Tape,
    x: &Tensor,
    [mean, var]: [&Tensor; 2],
    affine: &Affine,
    then: Then,
    in_place: bool,
) -> Result<Tensor> {
    const OP: &str = "batch_norm_eval";
    let gpu = Gpu::of(OP, &[x, mean, var, affine.weight, affine.bias])?;
    let columns = columns_of(x);
    let c = columns.c;
    check::shape(OP, "the running mean", &[c], mean)?;
    check::shape(OP, "the running variance", &[c], var)?;
    let factors = Factors::of(OP, &gpu, affine, c)?;
    let terms = gpu.buffer(4 * c)?;
    Launch::new(&gpu, "batch_norm_terms")
        .at(&Array::of_f32(OP, &gpu, mean)?)
        .at(&Array::of_f32(OP, &gpu, var)?)
        .at(&factors.weight)
        .at(&factors.bias)
        .double(affine.eps)
        .at(&terms)
        .size(c)
        .each(c)?;
    let input = Array::of(OP, &gpu, x)?;
    let norm = Norm {
        gpu,
        columns,
        terms,
        batch: false,
    };
    if in_place && let Ok(after) = then.split() {
        let (other, activation) = norm.unfolded(after)?;
        norm.normalise(&input, other.as_ref(), &input, activation)?;
        return Ok(input.into_tensor());
    }
    norm.forward(tape, x, input, affine, then)
}

impl Norm {
    /// The result, with its backward pass on the tape. `input` has the values of `x`.
    fn forward(
        self,
        tape: &Tape,
        x: &Tensor,
        input: Array,
        affine: &Affine,
        then: Then,
    ) -> Result<Tensor> {
        match then.split() {
            Ok(after) => self.unpooled(tape, x, input, affine, after),
            Err(pool) => self.pooled(tape, x, input, affine, pool),
        }
    }

    /// What is added to the normalised values, and the activation that follows.
    fn unfolded(&self, after: After) -> Result<(Option<Array>, Option<Activation>)> {
        Ok(match after {
            After::Activation(activation) => (None, activation),
            After::AddRelu(other) => (
                Some(Array::of("batch norm", &self.gpu, other)?),
                Some(Activation::Relu),
            ),
        })
    }

    /// Writes the activation of the normalised x plus `other` to y, which may be either.
    fn normalise(
        &self,
        x: &Array,
        other: Option<&Array>,
        y: &Array,
        activation: Option<Activation>,
    ) -> Result<()> {
        let mut arrays = vec![x, y];
        if let Some(other) = other {
            other.must_be("batch norm", x.kind())?;
            arrays.push(other);
        }
        let split = self.columns.split(&arrays);
        let launch = Launch::of(&self.gpu, "batch_norm", x.kind())
            .at(x)
            .maybe_at(other)
            .at(&self.terms)
            .at(y)
            .size(self.columns.rows)
            .size(self.columns.c)
            .int(number(activation))
            .flag(split.wide);
        self.columns.visit(&split, launch)
    }

    fn unpooled(
        self,
        tape: &Tape,
        x: &Tensor,
        input: Array,
        affine: &Affine,
        after: After,
    ) -> Result<Tensor> {
        let y = Array::new(&self.gpu, x.shape().clone(), input.kind())?;
        let (other, activation) = self.unfolded(after)?;
        self.normalise(&input, other.as_ref(), &y, activation)?;
        let targets = Targets::of(tape, x, affine);
        let result = y.tensor().clone();
        match after {
            After::AddRelu(other) => {
                let to_other = tape.target(other);
                if targets.any() || to_other.is_some() {
                    tape.record(&result, move |grad, grads| {
                        self.go_back_masked(grad, grads, &input, &y, &targets, to_other)
                    });
                }
            }
            After::Activation(activation) => {
                if targets.any() {
                    tape.record(&result, move |grad, grads| {
                        let dy = self.owned(grad)?;
                        self.go_back(grads, &dy, &input, &targets, activation)
                    });
                }
            }
        }
        Ok(result)
    }

    /// Batch norm, rectifier and max-pool: the pool's kernel normalises what it reads.
    fn pooled(
        self,
        tape: &Tape,
        x: &Tensor,
        input: Array,
        affine: &Affine,
        pool: &Pool2d,
    ) -> Result<Tensor> {
        let geometry = Geometry::new("max_pool2d", x, pool)?;
        let targets = Targets::of(tape, x, affine);
        let needed = targets.any();
        let (y, places) = pool::max_pool(
            &self.gpu,
            &input,
            Some(&self.terms),
            &geometry,
            true,
            needed,
        )?;
        let result = y.tensor().clone();
        if let Some(places) = places {
            tape.record(&result, move |grad, grads| {
                let dy = Array::of(GRADIENT, &self.gpu, grad.tensor())?;
                let dx = pool::max_pool_gradient(&self.gpu, &dy, Some(&y), &places, &geometry)?;
                self.go_back(grads, &dx, &input, &targets, None)
            });
        }
        Ok(result)
    }

    /// A gradient that may be overwritten.
    fn owned(&self, grad: Grad) -> Result<Array> {
        Array::of_changed(GRADIENT, &self.gpu, &grad.into_owned_tensor()?)
    }

    /// Gives the gradients of weight, bias and x, the last in the memory of `dy`, which has yet to pass the activation.
    fn go_back(
        &self,
        grads: &mut Gradients,
        dy: &Array,
        x: &Array,
        targets: &Targets,
        activation: Option<Activation>,
    ) -> Result<()> {
        x.must_be(GRADIENT, dy.kind())?;
        let mut slopes = None;
        if self.needs_sums(targets) {
            let split = self.columns.split(&[dy, x]);
            let launch = |chunk, sums: &Buffer<f64>| {
                Launch::of(&self.gpu, "batch_norm_products", dy.kind())
                    .at(dy)
                    .at(x)
                    .at(&self.terms)
                    .size(self.columns.rows)
                    .size(self.columns.c)
                    .size(chunk)
                    .at(sums)
                    .int(number(activation))
                    .flag(split.wide)
            };
            slopes = Some(self.slopes(grads, targets, &split, launch)?);
        }
        if let Some(to_x) = targets.x {
            self.input_gradient(dy, x, slopes.as_ref(), dy, activation)?;
            grads.give(to_x, dy.tensor().clone())?;
        }
        Ok(())
    }

    /// As [`Norm::go_back`] behind a sum and a rectifier, whose result was `y`: the gradient that passes it is also that of what
    /// was added.
    fn go_back_masked(
        &self,
        grad: Grad,
        grads: &mut Gradients,
        x: &Array,
        y: &Array,
        targets: &Targets,
        to_other: Option<TensorId>,
    ) -> Result<()> {
        let dy = self.owned(grad)?;
        x.must_be(GRADIENT, dy.kind())?;
        let split = self.columns.split(&[&dy, x, y]);
        let launch = |chunk, sums: &Buffer<f64>| {
            Launch::of(&self.gpu, "batch_norm_masked_products", dy.kind())
                .at(&dy)
                .at(y)
                .at(x)
                .at(&self.terms)
                .size(self.columns.rows)
                .size(self.columns.c)
                .size(chunk)
                .at(sums)
                .flag(split.wide)
        };
        let slopes = self.slopes(grads, targets, &split, launch)?;
        if let Some(to_x) = targets.x {
            let dx = if to_other.is_some() {
                Array::new(&self.gpu, dy.tensor().shape().clone(), dy.kind())?
            } else {
                dy.clone()
            };
            self.input_gradient(&dy, x, Some(&slopes), &dx, None)?;
            grads.give(to_x, dx.into_tensor())?;
        }
        match to_other {
            Some(id) => grads.give(id, dy.into_tensor()),
            None => Ok(()),
        }
    }

    fn needs_sums(&self, targets: &Targets) -> bool {
        targets.weight.is_some() || targets.bias.is_some() || (self.batch && targets.x.is_some())
    }

    /// Forms the sums by the kernel that `launch(rows of a piece, sums)` launches; gives weight and bias their gradients, and
    /// returns what the input's gradient takes of them.
    fn slopes<'a>(
        &'a self,
        grads: &mut Gradients,
        targets: &Targets,
        split: &Split,
        launch: impl FnOnce(usize, &Buffer<f64>) -> Launch<'a>,
    ) -> Result<Buffer<f32>> {
        let Columns { rows, c } = self.columns;
        let pieces = self.columns.pieces(split);
        let sums = pieces.sums(&self.gpu)?;
        pieces.form(launch(pieces.chunk, &sums))?;
        let slopes = self.gpu.buffer(2 * c)?;
        let vector = |target: Option<TensorId>| {
            let new = || Array::new(&self.gpu, c, Kind::F32);
            target.map(|_| new()).transpose()
        };
        let (weight, bias) = (vector(targets.weight)?, vector(targets.bias)?);
        pieces.finish(
            Launch::new(&self.gpu, "batch_norm_slopes")
                .at(&sums)
                .size(pieces.count)
                .size(rows)
                .size(c)
                .at(&self.terms)
                .flag(self.batch)
                .at(&slopes)
                .maybe_at(weight.as_ref())
                .maybe_at(bias.as_ref()),
        )?;
        for (target, gradient) in [(targets.weight, weight), (targets.bias, bias)] {
            if let (Some(id), Some(gradient)) = (target, gradient) {
                grads.give(id, gradient.into_tensor())?;
            }
        }
        Ok(slopes)
    }

    /// Writes the input's gradient to `dx`, which may be `dy`.
    fn input_gradient(
        &self,
        dy: &Array,
        x: &Array,
        slopes: Option<&Buffer<f32>>,
        dx: &Array,
        activation: Option<Activation>,
    ) -> Result<()> {
        let split = self.columns.split(&[dy, x, dx]);
        let launch = Launch::of(&self.gpu, "batch_norm_input_gradient", dy.kind())
            .at(dy)
            .at(x)
            .at(&self.terms)
            .maybe_at(slopes)
            .at(dx)
            .size(self.columns.rows)
            .size(self.columns.c)
            .int(number(activation))
            .flag(split.wide);
        self.columns.visit(&split, launch)
    }
}

const GRADIENT: &str = "batch norm's gradient";

/// [`update_running`](crate::update_running) on CUDA tensors, whose sizes have been checked. `factor` is that of the variance.
pub(crate) fn update_running(
    [mean, var]: [&Var; 2],
    batch: &BatchStatistics,
    momentum: f64,
    factor: f64,
) -> Result<()> {
    const OP: &str = "update_running";
    let gpu = Gpu::of(OP, &[mean, var, &batch.mean, &batch.var])?;
    let n = batch.mean.elem_count();
    Launch::new(&gpu, "update_running")
        .at(&changed(OP, &gpu, mean)?)
        .at(&changed(OP, &gpu, var)?)
        .at(&Array::of_f32(OP, &gpu, &batch.mean)?)
        .at(&Array::of_f32(OP, &gpu, &batch.var)?)
        .size(n)
        .double(momentum)
        .double(factor)
        .each(n)
}

fn changed(op: &str, gpu: &Gpu, var: &Var) -> Result<Array> {
    let array = Array::of_changed(op, gpu, var)?;
    array.must_be(op, Kind::F32)?;
    Ok(array)
}
