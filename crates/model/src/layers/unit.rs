//! A convolution and what follows it, with fewer passes over the memory than layer by layer.

use candle_core::{Result, Tensor};
use graft_ops::Then;

use super::{Activation, BatchNorm2d, Conv2d, Layer, MaxPool2d, Nonlinearity};
use crate::Pass;

/// A convolution, then batch norm, activation and max-pool, as far as they are there: the numbers of the layers one after
/// another.
pub struct ConvUnit {
    conv: Conv2d,
    norm: Option<BatchNorm2d>,
    activation: Option<Activation>,
    pool: Option<MaxPool2d>,
}

impl ConvUnit {
    /// The convolution alone.
    pub fn new(conv: Conv2d) -> Self {
        Self {
            conv,
            norm: None,
            activation: None,
            pool: None,
        }
    }

    /// With batch norm after the convolution.
    #[must_use]
    pub fn norm(mut self, norm: BatchNorm2d) -> Self {
        self.norm = Some(norm);
        self
    }

    /// With a function of each element after that.
    #[must_use]
    pub fn activation(mut self, activation: Activation) -> Self {
        self.activation = Some(activation);
        self
    }

    /// With a max-pool at the end.
    #[must_use]
    pub fn pool(mut self, pool: MaxPool2d) -> Self {
        self.pool = Some(pool);
        self
    }
}

impl Layer for ConvUnit {
    fn forward(&self, x: &Tensor, pass: &Pass<'_>) -> Result<Tensor> {
        let y = self.conv.forward(x, pass)?;
        // Everything up to the pool has the shape of the convolution's output.
        if let Some(norm) = &self.norm {
            norm.note(&y, pass);
        }
        if let Some(activation) = &self.activation {
            activation.note(&y, pass);
        }
        let (tape, function) = (
            pass.tape(),
            self.activation.as_ref().map(Activation::function),
        );
        let windows = self.pool.as_ref().map(MaxPool2d::windows);
        let y = match (&self.norm, function, windows) {
            (Some(norm), Some(Nonlinearity::Relu), Some(windows)) => {
                norm.then(y, Then::ReluMaxPool(windows), pass)?
            }
            (None, Some(Nonlinearity::Relu), Some(windows)) => {
                graft_ops::max_pool2d_relu(tape, &y, windows)?
            }
            (norm, function, windows) => {
                let y = match (norm, function) {
                    (Some(norm), function) => {
                        let then = function.map_or(Then::Nothing, Then::Activation);
                        norm.then(y, then, pass)?
                    }
                    (None, Some(function)) => graft_ops::activate_in_place(tape, y, function)?,
                    (None, None) => y,
                };
                match windows {
                    Some(windows) => graft_ops::max_pool2d(tape, &y, windows)?,
                    None => y,
                }
            }
        };
        if let Some(pool) = &self.pool {
            pool.note(&y, pass);
        }
        Ok(y)
    }
}
