//! Convolution, as `torch.nn.Conv2d`.

use std::sync::Arc;

use candle_core::{Result, Tensor};

use super::Layer;
use crate::{
    Builder, Pass,
    init::{BiasInit, WeightInit},
    parameter::{Kind, Parameter},
};

/// The options of a convolution; sizes are (height, width).
#[derive(Clone, Copy, Debug)]
pub struct ConvOptions {
    /// Size of the kernel.
    pub kernel: (usize, usize),
    /// Stride, padding, dilation and groups.
    pub geometry: graft_ops::Conv2d,
    /// How the weight is drawn.
    pub weight: WeightInit,
    /// How the bias is drawn; `None` for no bias.
    pub bias: Option<BiasInit>,
}

impl ConvOptions {
    /// A square kernel with stride 1, no padding, and a bias, drawn as PyTorch does.
    pub fn square(kernel: usize) -> Self {
        Self::rectangular(kernel, kernel)
    }

    /// A kernel of `height` × `width` with stride 1, no padding, and a bias, drawn as PyTorch does.
    pub fn rectangular(height: usize, width: usize) -> Self {
        Self {
            kernel: (height, width),
            geometry: graft_ops::Conv2d::default(),
            weight: WeightInit::Torch,
            bias: Some(BiasInit::Torch),
        }
    }

    /// The same stride in both directions.
    #[must_use]
    pub fn stride(mut self, stride: usize) -> Self {
        self.geometry.stride = (stride, stride);
        self
    }

    /// The same padding on all sides.
    #[must_use]
    pub fn padding(self, padding: usize) -> Self {
        self.paddings(padding, padding)
    }

    /// Padding above and below, and left and right.
    #[must_use]
    pub fn paddings(mut self, vertical: usize, horizontal: usize) -> Self {
        self.geometry.padding = (vertical, horizontal);
        self
    }

    /// Groups of channels that do not mix; as many as channels for a depthwise convolution.
    #[must_use]
    pub fn groups(mut self, groups: usize) -> Self {
        self.geometry.groups = groups;
        self
    }

    /// How the weight is drawn.
    #[must_use]
    pub fn weight(mut self, weight: WeightInit) -> Self {
        self.weight = weight;
        self
    }

    /// How the bias is drawn.
    #[must_use]
    pub fn bias(mut self, bias: BiasInit) -> Self {
        self.bias = Some(bias);
        self
    }

    /// No bias: usual before batch norm.
    #[must_use]
    pub fn without_bias(mut self) -> Self {
        self.bias = None;
        self
    }
}

/// A convolution over `(n, h, w, c)`.
pub struct Conv2d {
    name: String,
    weight: Arc<Parameter>,
    bias: Option<Arc<Parameter>>,
    geometry: graft_ops::Conv2d,
}

impl Conv2d {
    /// A convolution from `inputs` to `outputs` maps with parameters `weight` and `bias` in the scope of `builder`.
    pub fn new(
        builder: &Builder,
        inputs: usize,
        outputs: usize,
        options: &ConvOptions,
    ) -> Result<Self> {
        let (height, width) = options.kernel;
        let shape = [outputs, inputs / options.geometry.groups, height, width];
        let torch = WeightInit::Torch.initial(&shape);
        let weight = builder.parameter(
            "weight",
            &shape,
            Kind::Weight,
            options.weight.initial(&shape),
            torch,
        )?;
        let bias = match options.bias {
            Some(bias) => Some(builder.parameter(
                "bias",
                &[outputs],
                Kind::Bias,
                bias.initial(&shape),
                torch,
            )?),
            None => None,
        };
        Ok(Self {
            name: builder.path().to_owned(),
            weight,
            bias,
            geometry: options.geometry,
        })
    }
}

impl Layer for Conv2d {
    fn forward(&self, x: &Tensor, pass: &Pass<'_>) -> Result<Tensor> {
        let bias = self.bias.as_ref().map(|bias| bias.tensor());
        let y = graft_ops::conv2d(pass.tape(), x, self.weight.tensor(), bias, &self.geometry)?;
        if let Some(trace) = pass.trace() {
            // Every output element takes one multiplication per weight of its map.
            let per_output = self.weight.var.elem_count() / self.weight.var.dim(0)?;
            let parameters = [Some(&self.weight), self.bias.as_ref()];
            trace.note(
                &self.name,
                "conv2d",
                &y,
                &parameters,
                y.elem_count() * per_output,
            );
        }
        Ok(y)
    }
}
