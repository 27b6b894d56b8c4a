//! The functions between the layers of mobile networks.

use candle_core::{Result, Tensor};

use super::{ConvUnit, Layer, Relu, Sequential};
use crate::{Builder, Pass};

/// What is computed of each element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nonlinearity {
    /// max(x, 0), as `torch.nn.ReLU`.
    Relu,
    /// min(max(x, 0), 6), as `torch.nn.ReLU6`.
    Relu6,
    /// x · relu6(x + 3) / 6, as `torch.nn.Hardswish`.
    Hardswish,
    /// relu6(x + 3) / 6, as `torch.nn.Hardsigmoid`.
    Hardsigmoid,
}

impl Nonlinearity {
    /// Its name in summaries.
    fn name(self) -> &'static str {
        match self {
            Self::Relu => "relu",
            Self::Relu6 => "relu6",
            Self::Hardswish => "hardswish",
            Self::Hardsigmoid => "hardsigmoid",
        }
    }

    /// `unit`, which has no rectifier, with this function at its end, named after the scope of `builder`.
    pub fn after(self, unit: ConvUnit, builder: &Builder) -> Sequential {
        match self {
            Self::Relu => Sequential::new().with(unit.relu(Relu::new(builder))),
            _ => Sequential::new()
                .with(unit)
                .with(Activation::new(builder, self)),
        }
    }
}

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
}

impl Layer for Activation {
    fn forward(&self, x: &Tensor, pass: &Pass<'_>) -> Result<Tensor> {
        let tape = pass.tape();
        let y = match self.function {
            Nonlinearity::Relu => graft_ops::relu(tape, x),
            Nonlinearity::Relu6 => graft_ops::relu6(tape, x),
            Nonlinearity::Hardswish => graft_ops::hardswish(tape, x),
            Nonlinearity::Hardsigmoid => graft_ops::hardsigmoid(tape, x),
        }?;
        if let Some(trace) = pass.trace() {
            trace.note(&self.name, self.function.name(), &y, &[], 0);
        }
        Ok(y)
    }
}
