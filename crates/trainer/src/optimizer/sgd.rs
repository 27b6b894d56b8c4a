//! Stochastic gradient descent with momentum, as `torch.optim.SGD` defines it.

use std::collections::BTreeMap;

use candle_core::{Result, Tensor};
use graft_ops::{Gradients, SgdStep, sgd_steps};

use super::{Optimizer, Slots, Step, Target, slots::Slot};

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
        let targets = self.slots.iter().map(|Slot { target, state }| {
            let of_slot = SgdStep {
                lr: step.lr * target.lr_factor,
                weight_decay: target.decay(self.step.weight_decay),
                clipping: step.clipping,
                ..self.step
            };
            (&target.values, &state[0], of_slot)
        });
        sgd_steps(gradients, &targets.collect::<Vec<_>>())
    }

    fn state(&self) -> Vec<(String, Tensor)> {
        self.slots.state()
    }

    fn restore(&mut self, state: &BTreeMap<String, Tensor>) -> Result<()> {
        self.slots.restore(state)
    }
}
