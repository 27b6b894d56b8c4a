//! Optimizers: one file each, and one arm in [`build`].

mod sgd;

use std::collections::BTreeMap;

use candle_core::{Result, Tensor};
use graft_model::Network;
use graft_ops::Gradients;

use crate::OptimizerSpec;

/// Updates the trainable parameters of a network from their gradients.
pub(crate) trait Optimizer {
    /// One step at learning rate `lr`, which each parameter group scales by its own factor. A parameter without a
    /// gradient stays as it is.
    fn step(&mut self, gradients: &Gradients, lr: f64) -> Result<()>;

    /// What a checkpoint has to keep, by name and in a fixed order.
    fn state(&self) -> Vec<(String, Tensor)>;

    /// Takes over what [`Optimizer::state`] gave.
    ///
    /// # Errors
    /// When a tensor is missing or has another shape. Nothing is changed then.
    fn restore(&mut self, state: &BTreeMap<String, Tensor>) -> Result<()>;
}

/// The optimizer of `spec` over the parameters of `network` that train.
pub(crate) fn build(spec: &OptimizerSpec, network: &Network) -> Result<Box<dyn Optimizer>> {
    let trainable = network
        .parameters()
        .iter()
        .filter(|parameter| parameter.trainable());
    let trainable = trainable.map(|parameter| {
        (
            parameter.name.clone(),
            parameter.var.clone(),
            network.learning_rate_factor(parameter),
        )
    });
    match *spec {
        OptimizerSpec::Sgd {
            momentum,
            weight_decay,
            ..
        } => Ok(Box::new(sgd::Sgd::new(trainable, momentum, weight_decay)?)),
    }
}
