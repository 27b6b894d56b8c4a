//! `RMSprop`, as `torch.optim.RMSprop` defines it.

use std::collections::BTreeMap;

use candle_core::{Result, Tensor};
use graft_ops::{Gradients, RmspropStep, rmsprop_steps};

use super::{Optimizer, Slots, Step, Target, slots::Slot};

pub(super) struct Rmsprop {
    slots: Slots<2>,
    step: RmspropStep,
}

impl Rmsprop {
    pub(super) fn new(targets: Vec<Target>, step: RmspropStep) -> Result<Self> {
        Ok(Self {
            slots: Slots::new(targets, ["square", "velocity"])?,
            step,
        })
    }
}

impl Optimizer for Rmsprop {
    fn step(&mut self, gradients: &Gradients, step: &Step) -> Result<()> {
        let targets = self.slots.iter().map(|Slot { target, state }| {
            let of_slot = RmspropStep {
                lr: step.lr * target.lr_factor,
                weight_decay: target.decay(self.step.weight_decay),
                clipping: step.clipping,
                ..self.step
            };
            (&target.values, state.each_ref(), of_slot)
        });
        rmsprop_steps(gradients, &targets.collect::<Vec<_>>())
    }

    fn state(&self) -> Vec<(String, Tensor)> {
        self.slots.state()
    }

    fn restore(&mut self, state: &BTreeMap<String, Tensor>) -> Result<()> {
        self.slots.restore(state)
    }
}
