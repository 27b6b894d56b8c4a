//! The rectified linear unit, as `torch.nn.ReLU`.

use candle_core::{Result, Tensor};

use super::Layer;
use crate::{Builder, Pass};

/// max(x, 0), any shape.
pub struct Relu {
    name: String,
}

impl Relu {
    /// A unit that is named after its scope.
    pub fn new(builder: &Builder) -> Self {
        Self {
            name: builder.path().to_owned(),
        }
    }

    /// Notes the layer, whose output has the shape of `y`.
    pub fn note(&self, y: &Tensor, pass: &Pass<'_>) {
        if let Some(trace) = pass.trace() {
            trace.note(&self.name, "relu", y, &[], 0);
        }
    }
}

impl Layer for Relu {
    fn forward(&self, x: &Tensor, pass: &Pass<'_>) -> Result<Tensor> {
        let y = graft_ops::relu(pass.tape(), x)?;
        self.note(&y, pass);
        Ok(y)
    }
}
