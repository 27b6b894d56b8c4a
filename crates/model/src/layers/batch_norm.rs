//! Batch norm (Ioffe and Szegedy 2015), as `torch.nn.BatchNorm2d`.

use std::sync::Arc;

use candle_core::{Result, Tensor};

use super::Layer;
use crate::{
    Builder, Pass,
    init::Initial,
    parameter::{Buffer, Kind, Parameter},
};

/// Batch norm over the channels of `(n, c, h, w)`.
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

impl Layer for BatchNorm2d {
    fn forward(&self, x: &Tensor, pass: &Pass<'_>) -> Result<Tensor> {
        let (weight, bias) = (self.weight.tensor(), self.bias.tensor());
        let y = if pass.uses_batch_statistics() {
            let (y, statistics) =
                graft_ops::batch_norm_train(pass.tape(), x, weight, bias, self.eps)?;
            let (mean, var) = (&self.running_mean.var, &self.running_var.var);
            graft_ops::update_running(mean, var, &statistics, self.momentum)?;
            y
        } else {
            let (mean, var) = (self.running_mean.values(), self.running_var.values());
            graft_ops::batch_norm_eval(pass.tape(), x, mean, var, weight, bias, self.eps)?
        };
        if let Some(trace) = pass.trace() {
            trace.note(
                &self.name,
                "batch norm",
                &y,
                &[Some(&self.weight), Some(&self.bias)],
                0,
            );
        }
        Ok(y)
    }
}
