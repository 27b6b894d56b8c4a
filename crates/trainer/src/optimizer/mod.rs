//! Optimizers: one file each, and one arm in [`build`].

mod adam;
mod rmsprop;
mod sgd;
mod slots;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use candle_core::{Result, Tensor};
use graft_model::{Kind, Network};
use graft_ops::{AdamStep, Clipping, Gradients, RmspropStep, SgdStep};

use crate::{DecayOn, OptimizerSpec};
use slots::{Slots, Target};

/// One step of an optimizer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    /// The learning rate, which each parameter scales by its own factor.
    pub(crate) lr: f64,
    /// The number of the step, from 1.
    pub(crate) number: u64,
    /// What becomes of the gradients first.
    pub(crate) clipping: Clipping,
}

/// Updates the trainable parameters of a network from their gradients.
pub(crate) trait Optimizer {
    /// One step. A parameter without a gradient stays as it is.
    fn step(&mut self, gradients: &Gradients, step: &Step) -> Result<()>;

    /// What a checkpoint has to keep, by name and in a fixed order.
    fn state(&self) -> Vec<(String, Tensor)>;

    /// Takes over what [`Optimizer::state`] gave.
    ///
    /// # Errors
    /// When a tensor is missing or has another shape. Nothing is changed then.
    fn restore(&mut self, state: &BTreeMap<String, Tensor>) -> Result<()>;
}

impl Target {
    /// The weight decay of this parameter.
    fn decay(&self, weight_decay: f64) -> f64 {
        if self.decays { weight_decay } else { 0.0 }
    }
}

/// The optimizer of `spec` over the parameters of `network` that train.
pub(crate) fn build(
    spec: &OptimizerSpec,
    decay_on: DecayOn,
    network: &Network,
) -> Result<Box<dyn Optimizer>> {
    let trainable = network
        .parameters()
        .iter()
        .filter(|parameter| parameter.trainable());
    let targets = trainable
        .map(|parameter| Target {
            name: parameter.name.clone(),
            values: parameter.var.clone(),
            lr_factor: network.learning_rate_factor(parameter),
            decays: decay_on == DecayOn::All || parameter.kind == Kind::Weight,
        })
        .collect();
    of_targets(spec, targets)
}

/// The optimizer of `spec` over some parameters.
fn of_targets(spec: &OptimizerSpec, targets: Vec<Target>) -> Result<Box<dyn Optimizer>> {
    let clipping = Clipping::default();
    match *spec {
        OptimizerSpec::Sgd {
            lr,
            momentum,
            weight_decay,
            nesterov,
        } => {
            let step = SgdStep {
                lr,
                momentum,
                weight_decay,
                nesterov,
                clipping,
            };
            Ok(Box::new(sgd::Sgd::new(targets, step)?))
        }
        OptimizerSpec::Adam {
            lr,
            betas,
            eps,
            weight_decay,
        }
        | OptimizerSpec::Adamw {
            lr,
            betas,
            eps,
            weight_decay,
        } => {
            let step = AdamStep {
                lr,
                betas,
                eps,
                weight_decay,
                decoupled: matches!(spec, OptimizerSpec::Adamw { .. }),
                number: 1,
                clipping,
            };
            Ok(Box::new(adam::Adam::new(targets, step)?))
        }
        OptimizerSpec::Rmsprop {
            lr,
            alpha,
            eps,
            momentum,
            weight_decay,
        } => {
            let step = RmspropStep {
                lr,
                alpha,
                eps,
                momentum,
                weight_decay,
                clipping,
            };
            Ok(Box::new(rmsprop::Rmsprop::new(targets, step)?))
        }
    }
}
