//! Layers to build backbones from. Each knows its dotted name, runs on a [`Pass`] and, when asked, notes its shape.

mod activation;
mod avg_pool;
mod batch_norm;
mod branches;
mod conv;
mod dropout;
mod extractor;
mod linear;
mod pool;
mod resample;
mod residual;
mod squeeze_excitation;
mod unit;

use candle_core::{Result, Tensor};

pub use activation::{Activation, Nonlinearity};
pub use avg_pool::AvgPool2d;
pub use batch_norm::BatchNorm2d;
pub use branches::Branches;
pub use conv::{Conv2d, ConvOptions};
pub use dropout::Dropout;
pub(crate) use extractor::{Recipe, extract};
pub use linear::Linear;
pub use pool::{AdaptiveAvgPool, Flatten, GlobalAvgPool, MaxPool2d};
pub(crate) use resample::bicubic;
pub use residual::Residual;
pub use squeeze_excitation::SqueezeExcitation;
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

    /// Adds a layer at the end if there is one.
    #[must_use]
    pub fn with_some(self, layer: Option<impl Layer + 'static>) -> Self {
        match layer {
            Some(layer) => self.with(layer),
            None => self,
        }
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

/// Passes on pictures of one size and refuses others, before layers that count on it.
pub struct FixedSize {
    size: usize,
}

impl FixedSize {
    /// Pictures of `size` × `size` pixels.
    pub fn new(size: usize) -> Self {
        Self { size }
    }
}

impl Layer for FixedSize {
    fn forward(&self, x: &Tensor, _: &Pass<'_>) -> Result<Tensor> {
        let (_, height, width, _) = x.dims4()?;
        if (height, width) == (self.size, self.size) {
            return Ok(x.clone());
        }
        candle_core::bail!(
            "the network was built for pictures of {0}×{0} pixels and got {height}×{width}",
            self.size
        )
    }
}
