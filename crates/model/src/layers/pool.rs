//! Pooling and flattening.

use candle_core::{Result, Tensor};
use graft_ops::Pool2d;

use super::Layer;
use crate::{Builder, Pass};

/// The largest value of each window, as `torch.nn.MaxPool2d`.
pub struct MaxPool2d {
    name: String,
    pool: Pool2d,
}

impl MaxPool2d {
    /// Square windows without padding; the last window that does not fit is left out.
    pub fn new(builder: &Builder, kernel: usize, stride: usize) -> Self {
        let pool = Pool2d {
            kernel: (kernel, kernel),
            stride: (stride, stride),
            padding: (0, 0),
            ceil_mode: false,
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

    /// Keeps the last window also when it reaches over the edge.
    #[must_use]
    pub fn ceil_mode(mut self) -> Self {
        self.pool.ceil_mode = true;
        self
    }
}

impl MaxPool2d {
    /// The windows.
    pub fn windows(&self) -> &Pool2d {
        &self.pool
    }

    /// Notes the layer with its output `y`.
    pub fn note(&self, y: &Tensor, pass: &Pass<'_>) {
        if let Some(trace) = pass.trace() {
            trace.note(&self.name, "max pool", y, &[], 0);
        }
    }
}

impl Layer for MaxPool2d {
    fn forward(&self, x: &Tensor, pass: &Pass<'_>) -> Result<Tensor> {
        let y = graft_ops::max_pool2d(pass.tape(), x, &self.pool)?;
        self.note(&y, pass);
        Ok(y)
    }
}

/// The mean of each map: `(n, h, w, c)` to `(n, c)`.
pub struct GlobalAvgPool {
    name: String,
}

impl GlobalAvgPool {
    /// A pool that is named after its scope.
    pub fn new(builder: &Builder) -> Self {
        Self {
            name: builder.path().to_owned(),
        }
    }
}

impl Layer for GlobalAvgPool {
    fn forward(&self, x: &Tensor, pass: &Pass<'_>) -> Result<Tensor> {
        let y = graft_ops::global_avg_pool(pass.tape(), x)?;
        if let Some(trace) = pass.trace() {
            trace.note(&self.name, "global avg pool", &y, &[], 0);
        }
        Ok(y)
    }
}

/// The mean of each of `height` × `width` windows that cover the map evenly, as `torch.nn.AdaptiveAvgPool2d`.
pub struct AdaptiveAvgPool {
    name: String,
    size: (usize, usize),
}

impl AdaptiveAvgPool {
    /// A pool to maps of `height` × `width`, which is named after its scope.
    pub fn new(builder: &Builder, height: usize, width: usize) -> Self {
        Self {
            name: builder.path().to_owned(),
            size: (height, width),
        }
    }
}

impl Layer for AdaptiveAvgPool {
    fn forward(&self, x: &Tensor, pass: &Pass<'_>) -> Result<Tensor> {
        let (_, height, width, _) = x.dims4()?;
        let y = if (height, width) == self.size {
            // Each window is one value.
            x.clone()
        } else {
            graft_ops::adaptive_avg_pool2d(pass.tape(), x, self.size)?
        };
        if let Some(trace) = pass.trace() {
            trace.note(&self.name, "adaptive avg pool", &y, &[], 0);
        }
        Ok(y)
    }
}

/// `(n, …)` to `(n, k)`.
pub struct Flatten {
    name: String,
}

impl Flatten {
    /// A layer that is named after its scope.
    pub fn new(builder: &Builder) -> Self {
        Self {
            name: builder.path().to_owned(),
        }
    }
}

impl Layer for Flatten {
    fn forward(&self, x: &Tensor, pass: &Pass<'_>) -> Result<Tensor> {
        let y = graft_ops::flatten(pass.tape(), x)?;
        if let Some(trace) = pass.trace() {
            trace.note(&self.name, "flatten", &y, &[], 0);
        }
        Ok(y)
    }
}
