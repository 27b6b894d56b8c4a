//! A convolution and what follows it, with fewer passes over the memory than layer by layer.

use candle_core::{Result, Tensor};
use graft_ops::Then;

use super::{BatchNorm2d, Conv2d, Layer, MaxPool2d, Relu};
use crate::Pass;

/// A convolution, then batch norm, rectifier and max-pool, as far as they are there: the numbers of the layers one after
/// another.
pub struct ConvUnit {
    conv: Conv2d,
    norm: Option<BatchNorm2d>,
    relu: Option<Relu>,
    pool: Option<MaxPool2d>,
}

impl ConvUnit {
    /// The convolution alone.
    pub fn new(conv: Conv2d) -> Self {
        Self {
            conv,
            norm: None,
            relu: None,
            pool: None,
        }
    }

    /// With batch norm after the convolution.
    #[must_use]
    pub fn norm(mut self, norm: BatchNorm2d) -> Self {
        self.norm = Some(norm);
        self
    }

    /// With a rectifier after that.
    #[must_use]
    pub fn relu(mut self, relu: Relu) -> Self {
        self.relu = Some(relu);
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
        if let Some(relu) = &self.relu {
            relu.note(&y, pass);
        }
        let y = match (&self.norm, &self.relu, &self.pool) {
            (Some(norm), Some(_), Some(pool)) => {
                norm.then(y, Then::ReluMaxPool(pool.windows()), pass)?
            }
            (Some(norm), Some(_), None) => norm.then(y, Then::Relu, pass)?,
            (Some(norm), None, None) => norm.then(y, Then::Nothing, pass)?,
            (Some(norm), None, Some(pool)) => {
                let y = norm.then(y, Then::Nothing, pass)?;
                graft_ops::max_pool2d(pass.tape(), &y, pool.windows())?
            }
            (None, Some(_), Some(pool)) => {
                graft_ops::max_pool2d_relu(pass.tape(), &y, pool.windows())?
            }
            (None, Some(_), None) => graft_ops::relu_in_place(pass.tape(), y)?,
            (None, None, Some(pool)) => graft_ops::max_pool2d(pass.tape(), &y, pool.windows())?,
            (None, None, None) => y,
        };
        if let Some(pool) = &self.pool {
            pool.note(&y, pass);
        }
        Ok(y)
    }
}
