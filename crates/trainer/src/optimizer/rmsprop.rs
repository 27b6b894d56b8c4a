//! `RMSprop`, as `torch.optim.RMSprop` defines it.

use std::collections::BTreeMap;

use candle_core::{Result, Tensor};
use graft_ops::{Gradients, RmspropStep, rmsprop_step};

use super::{Optimizer, Slots, Step, Target};

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
        for slot in self.slots.iter() {
            let Some(gradient) = gradients.get(&slot.target.values) else {
                continue;
            };
            let [square, velocity] = &slot.state;
            let of_slot = RmspropStep {
                lr: step.lr * slot.target.lr_factor,
                weight_decay: slot.target.decay(self.step.weight_decay),
                clipping: step.clipping,
                ..self.step
            };
            rmsprop_step(&slot.target.values, gradient, square, velocity, &of_slot)?;
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
