//! The tensors of a network: parameters, which train, and buffers, which batch norm keeps.

use std::sync::atomic::{AtomicBool, Ordering};

use candle_core::{Device, Result, Tensor, Var};

use crate::init::{Init, Initial};

/// Which side of the transfer a tensor is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Part {
    /// The layers that are transferred.
    Backbone,
    /// The classifier on top, which is always new.
    Head,
}

/// What a parameter does in its layer. Weight decay and the like are often limited to weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The weight of a convolution or linear layer.
    Weight,
    /// A bias.
    Bias,
    /// Scale or shift of a normalisation layer.
    Norm,
}

/// A tensor that training may change.
#[derive(Debug)]
pub struct Parameter {
    /// Its name, as torchvision has it.
    pub name: String,
    /// Its values, changed in place.
    pub var: Var,
    /// Backbone or head.
    pub part: Part,
    /// What it does in its layer.
    pub kind: Kind,
    /// The same values, without being a variable to any tape.
    fixed: Tensor,
    /// What a new head of a pretrained network starts from.
    fresh: Initial,
    trainable: AtomicBool,
}

impl Parameter {
    pub(crate) fn new(name: String, var: Var, part: Part, kind: Kind, fresh: Initial) -> Self {
        let fixed = var.as_detached_tensor();
        Self {
            name,
            var,
            part,
            kind,
            fixed,
            fresh,
            trainable: AtomicBool::new(true),
        }
    }

    /// Whether training changes it.
    pub fn trainable(&self) -> bool {
        self.trainable.load(Ordering::Relaxed)
    }

    pub(crate) fn set_trainable(&self, trainable: bool) {
        self.trainable.store(trainable, Ordering::Relaxed);
    }

    /// The values for a forward pass: the variable if it trains, else a plain tensor, of which no tape takes note.
    pub fn tensor(&self) -> &Tensor {
        if self.trainable() {
            self.var.as_tensor()
        } else {
            &self.fixed
        }
    }

    /// The values as a plain tensor that shares their memory.
    pub fn values(&self) -> &Tensor {
        &self.fixed
    }

    /// Draws the values that a new head starts from.
    pub(crate) fn draw_afresh(&self, init: Init, device: &Device) -> Result<()> {
        let values = self.fresh.draw(self.var.elem_count(), &self.name, init);
        self.var
            .set(&Tensor::from_vec(values, self.var.shape(), device)?)
    }
}

/// A tensor that belongs to the network's state but does not train: a running mean or variance.
#[derive(Debug)]
pub struct Buffer {
    /// Its name, as torchvision has it.
    pub name: String,
    /// Its values, changed in place.
    pub var: Var,
    /// Backbone or head.
    pub part: Part,
    /// The same values, without being a variable to any tape.
    fixed: Tensor,
}

impl Buffer {
    pub(crate) fn new(name: String, var: Var, part: Part) -> Self {
        let fixed = var.as_detached_tensor();
        Self {
            name,
            var,
            part,
            fixed,
        }
    }

    /// The values as a plain tensor that shares their memory.
    pub fn values(&self) -> &Tensor {
        &self.fixed
    }
}
