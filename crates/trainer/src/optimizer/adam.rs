//! Adam and `AdamW`, as `torch.optim.Adam` and `torch.optim.AdamW` define them.

use std::collections::BTreeMap;

use candle_core::{Result, Tensor};
use graft_ops::{AdamStep, Gradients, adam_step};

use super::{Optimizer, Slots, Step, Target};

pub(super) struct Adam {
    slots: Slots<2>,
    step: AdamStep,
}

impl Adam {
    pub(super) fn new(targets: Vec<Target>, step: AdamStep) -> Result<Self> {
        Ok(Self {
            slots: Slots::new(targets, ["mean", "square"])?,
            step,
        })
    }
}

impl Optimizer for Adam {
    fn step(&mut self, gradients: &Gradients, step: &Step) -> Result<()> {
        for slot in self.slots.iter() {
            let Some(gradient) = gradients.get(&slot.target.values) else {
                continue;
            };
            let [mean, square] = &slot.state;
            let of_slot = AdamStep {
                lr: step.lr * slot.target.lr_factor,
                weight_decay: slot.target.decay(self.step.weight_decay),
                number: step.number,
                clipping: step.clipping,
                ..self.step
            };
            adam_step(&slot.target.values, gradient, mean, square, &of_slot)?;
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
