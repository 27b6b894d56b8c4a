//! Adam and `AdamW`, as `torch.optim.Adam` and `torch.optim.AdamW` define them.

use std::collections::BTreeMap;

use candle_core::{Result, Tensor};
use graft_ops::{AdamStep, Gradients, adam_steps};

use super::{Optimizer, Slots, Step, Target, slots::Slot};

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
        let targets = self.slots.iter().map(|Slot { target, state }| {
            let of_slot = AdamStep {
                lr: step.lr * target.lr_factor,
                weight_decay: target.decay(self.step.weight_decay),
                number: step.number,
                clipping: step.clipping,
                ..self.step
            };
            (&target.values, state.each_ref(), of_slot)
        });
        adam_steps(gradients, &targets.collect::<Vec<_>>())
    }

    fn state(&self) -> Vec<(String, Tensor)> {
        self.slots.state()
    }

    fn restore(&mut self, state: &BTreeMap<String, Tensor>) -> Result<()> {
        self.slots.restore(state)
    }
}
