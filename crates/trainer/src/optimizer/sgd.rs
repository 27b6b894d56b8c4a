//! Stochastic gradient descent with momentum, as `torch.optim.SGD` defines it.

use std::collections::BTreeMap;

use candle_core::{Result, Tensor, Var, bail};
use graft_ops::{Gradients, SgdStep, sgd_step_along};

use super::Optimizer;

pub(super) struct Sgd {
    slots: Vec<Slot>,
    momentum: f64,
    weight_decay: f64,
}

struct Slot {
    name: String,
    parameter: Var,
    lr_factor: f64,
    velocity: Var,
}

impl Sgd {
    pub(super) fn new(
        parameters: impl Iterator<Item = (String, Var, f64)>,
        momentum: f64,
        weight_decay: f64,
    ) -> Result<Self> {
        let slots = parameters
            .map(|(name, parameter, lr_factor)| {
                let velocity = Var::from_tensor(&parameter.as_tensor().zeros_like()?)?;
                Ok(Slot {
                    name: format!("{name}.velocity"),
                    parameter,
                    lr_factor,
                    velocity,
                })
            })
            .collect::<Result<_>>()?;
        Ok(Self {
            slots,
            momentum,
            weight_decay,
        })
    }
}

impl Optimizer for Sgd {
    fn step(&mut self, gradients: &Gradients, lr: f64) -> Result<()> {
        for slot in &self.slots {
            let step = SgdStep {
                lr: lr * slot.lr_factor,
                momentum: self.momentum,
                weight_decay: self.weight_decay,
            };
            sgd_step_along(gradients, &slot.parameter, &slot.velocity, &step)?;
        }
        Ok(())
    }

    fn state(&self) -> Vec<(String, Tensor)> {
        self.slots
            .iter()
            .map(|slot| (slot.name.clone(), slot.velocity.as_tensor().clone()))
            .collect()
    }

    fn restore(&mut self, state: &BTreeMap<String, Tensor>) -> Result<()> {
        for slot in &self.slots {
            match state.get(&slot.name) {
                Some(velocity) if velocity.dims() == slot.velocity.dims() => {}
                Some(velocity) => bail!(
                    "{}: expected shape {:?}, found {:?}",
                    slot.name,
                    slot.velocity.dims(),
                    velocity.dims()
                ),
                None => bail!("{}: missing from the optimizer's state", slot.name),
            }
        }
        for slot in &self.slots {
            slot.velocity.set(&state[&slot.name])?;
        }
        Ok(())
    }
}
