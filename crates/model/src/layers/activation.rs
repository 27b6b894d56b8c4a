//! Functions of each element, such as the rectifier.

use candle_core::{Result, Tensor};
pub use graft_ops::Activation as Nonlinearity;

use super::Layer;
use crate::{Builder, Pass};

/// A function of each element, any shape.
pub struct Activation {
    name: String,
    function: Nonlinearity,
}

impl Activation {
    /// A layer that is named after its scope.
    pub fn new(builder: &Builder, function: Nonlinearity) -> Self {
        Self {
            name: builder.path().to_owned(),
            function,
        }
    }

    /// The rectifier, as `torch.nn.ReLU`, named after its scope.
    pub fn relu(builder: &Builder) -> Self {
        Self::new(builder, Nonlinearity::Relu)
    }

    /// The function.
    pub fn function(&self) -> Nonlinearity {
        self.function
    }

    /// Notes the layer, whose output has the shape of `y`.
    pub fn note(&self, y: &Tensor, pass: &Pass<'_>) {
        let kind = match self.function {
            Nonlinearity::Relu => "relu",
            Nonlinearity::Relu6 => "relu6",
            Nonlinearity::Sigmoid => "sigmoid",
            Nonlinearity::Hardsigmoid => "hardsigmoid",
            Nonlinearity::Silu => "silu",
            Nonlinearity::Hardswish => "hardswish",
        };
        if let Some(trace) = pass.trace() {
            trace.note(&self.name, kind, y, &[], 0);
        }
    }
}

impl Layer for Activation {
    fn forward(&self, x: &Tensor, pass: &Pass<'_>) -> Result<Tensor> {
        let y = graft_ops::activate(pass.tape(), x, self.function)?;
        self.note(&y, pass);
        Ok(y)
    }
}
