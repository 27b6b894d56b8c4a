//! Layers to build backbones from. Each knows its dotted name, runs on a [`Pass`] and, when asked, notes its shape.

mod batch_norm;
mod conv;
mod dropout;
mod linear;
mod pool;
mod relu;
mod unit;

use candle_core::{Result, Tensor};

pub use batch_norm::BatchNorm2d;
pub use conv::{Conv2d, ConvOptions};
pub use dropout::Dropout;
pub use linear::Linear;
pub use pool::{Flatten, GlobalAvgPool, MaxPool2d};
pub use relu::Relu;
pub use unit::ConvUnit;

use crate::Pass;

/// A part of a network that turns one tensor into another.
pub trait Layer: Send + Sync {
    /// Runs the layer. In the layers of this module `x` is `(n, h, w, c)` unless the layer says otherwise.
    fn forward(&self, x: &Tensor, pass: &Pass<'_>) -> Result<Tensor>;
}

/// Layers run one after another.
#[derive(Default)]
pub struct Sequential {
    layers: Vec<Box<dyn Layer>>,
}

impl Sequential {
    /// No layer yet; without one it returns its input.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a layer at the end.
    #[must_use]
    pub fn with(mut self, layer: impl Layer + 'static) -> Self {
        self.push(layer);
        self
    }

    /// Adds a layer at the end.
    pub fn push(&mut self, layer: impl Layer + 'static) {
        self.layers.push(Box::new(layer));
    }
}

impl Layer for Sequential {
    fn forward(&self, x: &Tensor, pass: &Pass<'_>) -> Result<Tensor> {
        let mut x = x.clone();
        for layer in &self.layers {
            x = layer.forward(&x, pass)?;
        }
        Ok(x)
    }
}
