//! A fully connected layer, as `torch.nn.Linear`.

use std::sync::Arc;

use candle_core::{Result, Tensor};

use super::Layer;
use crate::{
    Builder, Pass,
    init::{BiasInit, WeightInit},
    parameter::{Kind, Parameter},
};

/// x·Wᵀ + b over `(n, inputs)`.
pub struct Linear {
    name: String,
    weight: Arc<Parameter>,
    bias: Arc<Parameter>,
}

impl Linear {
    /// A layer from `inputs` to `outputs` numbers, drawn as PyTorch does.
    pub fn new(builder: &Builder, inputs: usize, outputs: usize) -> Result<Self> {
        Self::with_init(builder, inputs, outputs, WeightInit::Torch, BiasInit::Torch)
    }

    /// A layer from `inputs` to `outputs` numbers.
    pub fn with_init(
        builder: &Builder,
        inputs: usize,
        outputs: usize,
        weight: WeightInit,
        bias: BiasInit,
    ) -> Result<Self> {
        let shape = [outputs, inputs];
        let torch = WeightInit::Torch.initial(&shape);
        Ok(Self {
            name: builder.path().to_owned(),
            weight: builder.parameter(
                "weight",
                &shape,
                Kind::Weight,
                weight.initial(&shape),
                torch,
            )?,
            bias: builder.parameter("bias", &[outputs], Kind::Bias, bias.initial(&shape), torch)?,
        })
    }
}

impl Layer for Linear {
    fn forward(&self, x: &Tensor, pass: &Pass<'_>) -> Result<Tensor> {
        let y = graft_ops::linear(
            pass.tape(),
            x,
            self.weight.tensor(),
            Some(self.bias.tensor()),
        )?;
        if let Some(trace) = pass.trace() {
            let products = x.dim(0)? * self.weight.var.elem_count();
            trace.note(
                &self.name,
                "linear",
                &y,
                &[Some(&self.weight), Some(&self.bias)],
                products,
            );
        }
        Ok(y)
    }
}
