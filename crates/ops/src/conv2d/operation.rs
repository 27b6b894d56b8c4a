//! The operation and its place on the tape.

use candle_core::{Result, Shape, Tensor};

use super::algorithm::Algorithm;
use super::geometry::{Conv2d, Geometry};
use crate::check;
use crate::kernel::{Kernel, run1, run2, run3};
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
    let y = if let Some(bias) = bias {
        check::shape("conv2d", "the bias", &[geometry.outputs], bias)?;
        run3(&Forward(geometry), x, weight, bias)?
    } else {
        run2(&Forward(geometry), x, weight)?
    };
    let (to_x, to_weight) = (tape.target(x), tape.target(weight));
    let to_bias = bias.and_then(|bias| tape.target(bias));
    if to_x.is_some() || to_weight.is_some() || to_bias.is_some() {
        let x = to_weight.map(|_| x.clone());
        let weight = to_x.map(|_| weight.clone());
        tape.record(&y, move |grad, grads| {
            if let (Some(id), Some(x)) = (to_weight, &x) {
                grads.give(id, run2(&WeightGrad(geometry), x, grad.tensor())?)?;
            }
            if let Some(id) = to_bias {
                grads.give(id, run1(&BiasGrad(geometry), grad.tensor())?)?;
            }
            if let (Some(id), Some(weight)) = (to_x, &weight) {
                grads.give(id, run2(&InputGrad(geometry), grad.tensor(), weight)?)?;
            }
            Ok(())
        });
    }
    Ok(y)
}

struct Forward(Geometry);

impl Kernel<2> for Forward {
    const NAME: &'static str = "conv2d";

    fn shape(&self) -> Shape {
        self.0.output_shape()
    }

    fn cpu(&self, [x, weight]: [&[f32]; 2]) -> Result<Vec<f32>> {
        Ok(Algorithm::of(&self.0).forward(&self.0, x, weight, None))
    }
}

impl Kernel<3> for Forward {
    const NAME: &'static str = "conv2d";

    fn shape(&self) -> Shape {
        self.0.output_shape()
    }

    fn cpu(&self, [x, weight, bias]: [&[f32]; 3]) -> Result<Vec<f32>> {
        Ok(Algorithm::of(&self.0).forward(&self.0, x, weight, Some(bias)))
    }
}

struct InputGrad(Geometry);

impl Kernel<2> for InputGrad {
    const NAME: &'static str = "conv2d's input gradient";

    fn shape(&self) -> Shape {
        self.0.input_shape()
    }

    fn cpu(&self, [dy, weight]: [&[f32]; 2]) -> Result<Vec<f32>> {
        Ok(Algorithm::of(&self.0).input_gradient(&self.0, dy, weight))
    }
}

struct WeightGrad(Geometry);

impl Kernel<2> for WeightGrad {
    const NAME: &'static str = "conv2d's weight gradient";

    fn shape(&self) -> Shape {
        self.0.weight_shape()
    }

    fn cpu(&self, [x, dy]: [&[f32]; 2]) -> Result<Vec<f32>> {
        Ok(Algorithm::of(&self.0).weight_gradient(&self.0, x, dy))
    }
}

struct BiasGrad(Geometry);

impl Kernel<1> for BiasGrad {
    const NAME: &'static str = "conv2d's bias gradient";

    fn shape(&self) -> Shape {
        self.0.outputs.into()
    }

    fn cpu(&self, [dy]: [&[f32]; 1]) -> Result<Vec<f32>> {
        Ok(column_sums(dy, self.0.outputs))
    }
}
