//! Stochastic gradient descent with momentum, as `torch.optim.SGD` defines it.

use std::collections::BTreeMap;

use candle_core::{Result, Tensor};
use graft_ops::{Gradients, SgdStep, sgd_step_along};

use super::{Optimizer, Slots, Step, Target};

pub(super) struct Sgd {
    slots: Slots<1>,
    step: SgdStep,
}

impl Sgd {
    pub(super) fn new(targets: Vec<Target>, step: SgdStep) -> Result<Self> {
        Ok(Self {
            slots: Slots::new(targets, ["velocity"])?,
            step,
        })
    }
}

impl Optimizer for Sgd {
    fn step(&mut self, gradients: &Gradients, step: &Step) -> Result<()> {
        for slot in self.slots.iter() {
            let [velocity] = &slot.state;
            let of_slot = SgdStep {
                lr: step.lr * slot.target.lr_factor,
                weight_decay: slot.target.decay(self.step.weight_decay),
                clipping: step.clipping,
                ..self.step
            };
            sgd_step_along(gradients, &slot.target.values, velocity, &of_slot)?;
        }
        Ok(())
    }

    fn state(&self) -> Vec<(String, Tensor)> {
        self.slots.state()
    }

    fn restore(&mut self, state: &BTreeMap<String, Tensor>) -> Result<()> {
        self.slots.restore(state)
    }
}
