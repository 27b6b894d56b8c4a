//! Batch norm (Ioffe and Szegedy 2015), as `torch.nn.BatchNorm2d`.

use std::sync::Arc;

use candle_core::{Result, Tensor};
use graft_ops::{Affine, BatchStatistics, Then};

use super::Layer;
use crate::{
    Builder, Pass,
    init::Initial,
    parameter::{Buffer, Kind, Parameter},
};

/// Batch norm over the channels of `(n, h, w, c)`.
pub struct BatchNorm2d {
    name: String,
    weight: Arc<Parameter>,
    bias: Arc<Parameter>,
    running_mean: Arc<Buffer>,
    running_var: Arc<Buffer>,
    eps: f64,
    momentum: f64,
}

impl BatchNorm2d {
    /// PyTorch's defaults: eps 1e-5, momentum 0.1, scale 1, shift 0.
    pub fn new(builder: &Builder, channels: usize) -> Result<Self> {
        Self::with_options(builder, channels, 1e-5, 0.1)
    }

    /// Scale 1 and shift 0, with `eps` added to the variance and `momentum` the share of a batch in the running
    /// statistics.
    pub fn with_options(
        builder: &Builder,
        channels: usize,
        eps: f64,
        momentum: f64,
    ) -> Result<Self> {
        let (one, zero) = (Initial::Constant(1.0), Initial::Constant(0.0));
        Ok(Self {
            name: builder.path().to_owned(),
            weight: builder.parameter("weight", &[channels], Kind::Norm, one, one)?,
            bias: builder.parameter("bias", &[channels], Kind::Norm, zero, zero)?,
            running_mean: builder.buffer("running_mean", &[channels], 0.0)?,
            running_var: builder.buffer("running_var", &[channels], 1.0)?,
            eps,
            momentum,
        })
    }
}

impl BatchNorm2d {
    /// Batch norm and what follows it in one pass, for an `x` that has just been computed and that nobody else goes on using:
    /// its memory may become that of the result. The layer is not noted: see [`BatchNorm2d::note`].
    pub fn then(&self, x: Tensor, then: Then<'_>, pass: &Pass<'_>) -> Result<Tensor> {
        let affine = Affine {
            weight: self.weight.tensor(),
            bias: self.bias.tensor(),
            eps: self.eps,
        };
        if !pass.uses_batch_statistics() {
            let running = [self.running_mean.values(), self.running_var.values()];
            return graft_ops::batch_norm_eval_then(pass.tape(), x, running, &affine, then);
        }
        let (y, statistics) = graft_ops::batch_norm_train_then(pass.tape(), &x, &affine, then)?;
        self.update_running(&statistics)?;
        Ok(y)
    }

    fn update_running(&self, batch: &BatchStatistics) -> Result<()> {
        let (mean, var) = (&self.running_mean.var, &self.running_var.var);
        graft_ops::update_running(mean, var, batch, self.momentum)
    }

    /// Notes the layer, whose output has the shape of `y`.
    pub fn note(&self, y: &Tensor, pass: &Pass<'_>) {
        if let Some(trace) = pass.trace() {
            let parameters = [Some(&self.weight), Some(&self.bias)];
            trace.note(&self.name, "batch norm", y, &parameters, 0);
        }
    }
}

impl Layer for BatchNorm2d {
    fn forward(&self, x: &Tensor, pass: &Pass<'_>) -> Result<Tensor> {
        let (weight, bias) = (self.weight.tensor(), self.bias.tensor());
        let y = if pass.uses_batch_statistics() {
            let (y, statistics) =
                graft_ops::batch_norm_train(pass.tape(), x, weight, bias, self.eps)?;
            self.update_running(&statistics)?;
            y
        } else {
            let (mean, var) = (self.running_mean.values(), self.running_var.values());
            graft_ops::batch_norm_eval(pass.tape(), x, mean, var, weight, bias, self.eps)?
        };
        self.note(&y, pass);
        Ok(y)
    }
}
