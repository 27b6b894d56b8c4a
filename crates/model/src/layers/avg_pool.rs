//! Means over windows.

use candle_core::{Result, Tensor};
use graft_ops::Pool2d;

use super::Layer;
use crate::{Builder, Pass};

/// The mean of each window, as `torch.nn.AvgPool2d`: the zeros of the padding count.
pub struct AvgPool2d {
    name: String,
    pool: Pool2d,
}

impl AvgPool2d {
    /// Square windows without padding; the last window that does not fit is left out.
    pub fn new(builder: &Builder, kernel: usize, stride: usize) -> Self {
        let pool = Pool2d {
            stride: (stride, stride),
            ..Pool2d::square(kernel)
        };
        Self {
            name: builder.path().to_owned(),
            pool,
        }
    }

    /// The same padding on all sides.
    #[must_use]
    pub fn padding(mut self, padding: usize) -> Self {
        self.pool.padding = (padding, padding);
        self
    }
}

impl Layer for AvgPool2d {
    fn forward(&self, x: &Tensor, pass: &Pass<'_>) -> Result<Tensor> {
        let y = graft_ops::avg_pool2d(pass.tape(), x, &self.pool, true)?;
        if let Some(trace) = pass.trace() {
            trace.note(&self.name, "avg pool", &y, &[], 0);
        }
        Ok(y)
    }
}
