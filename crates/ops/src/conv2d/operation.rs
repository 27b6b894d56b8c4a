//! The operation and its place on the tape.

use candle_core::{Result, Shape, Tensor};

use super::algorithm::Algorithm;
use super::geometry::{Conv2d, Geometry};
use crate::layer::{self, Layer};
use crate::reduce::column_sums;
use crate::tape::Tape;

/// The cross-correlation of x, (n, h, w, c), with `weight`, (o, c/groups, kh, kw), plus `bias`, (o), as
/// `torch.nn.functional.conv2d`: (n, h', w', o).
pub fn conv2d(
    tape: &Tape,
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    conv: &Conv2d,
) -> Result<Tensor> {
    let geometry = Geometry::new(x, weight, conv)?;
    #[cfg(feature = "cuda")]
    if crate::cuda::has(x) {
        if let Some(bias) = bias {
            crate::check::shape("conv2d", "the bias", &[geometry.outputs], bias)?;
        }
        return crate::cuda::convolution::conv2d(tape, x, weight, bias, geometry);
    }
    layer::apply(tape, geometry, x, weight, bias)
}

impl Layer for Geometry {
    const NAME: &'static str = "conv2d";
    const GRADIENT: &'static str = "conv2d's gradient";

    fn input(&self) -> Shape {
        self.input_shape()
    }

    fn weight(&self) -> Shape {
        self.weight_shape()
    }

    fn output(&self) -> Shape {
        self.output_shape()
    }

    fn outputs(&self) -> usize {
        self.outputs
    }

    fn forward(&self, x: &[f32], weight: &[f32], bias: Option<&[f32]>) -> Vec<f32> {
        Algorithm::of(self).forward(self, x, weight, bias)
    }

    fn input_gradient(&self, dy: &[f32], weight: &[f32]) -> Vec<f32> {
        Algorithm::of(self).input_gradient(self, dy, weight)
    }

    fn weight_gradient(&self, x: &[f32], dy: &[f32]) -> Vec<f32> {
        Algorithm::of(self).weight_gradient(self, x, dy)
    }

    fn bias_gradient(&self, dy: &[f32]) -> Vec<f32> {
        column_sums(dy, self.outputs)
    }
}
