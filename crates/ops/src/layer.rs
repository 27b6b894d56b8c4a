//! Layers with a weight and a bias: what convolutions and linear layers have in common.

use candle_core::{Result, Shape, Tensor};

use crate::check;
use crate::kernel::{Kernel, cpu_only, run1, run2, run3};
use crate::tape::{Grad, Tape};

/// A layer that is linear in its input and in its weight, to which a bias may be added.
pub(crate) trait Layer: Copy + 'static {
    /// The operation's name in messages, and its gradients' name.
    const NAME: &'static str;
    const GRADIENT: &'static str;

    /// The shapes of input, weight and result.
    fn input(&self) -> Shape;
    fn weight(&self) -> Shape;
    fn output(&self) -> Shape;

    /// The length of the bias.
    fn outputs(&self) -> usize;

    /// The result.
    fn forward(&self, x: &[f32], weight: &[f32], bias: Option<&[f32]>) -> Vec<f32>;

    /// The input's gradient from the result's.
    fn input_gradient(&self, dy: &[f32], weight: &[f32]) -> Vec<f32>;

    /// The weight's gradient from input and result's gradient.
    fn weight_gradient(&self, x: &[f32], dy: &[f32]) -> Vec<f32>;

    /// The bias's gradient from the result's.
    fn bias_gradient(&self, dy: &[f32]) -> Vec<f32>;

    /// The weight's gradient as it is handed on: written out, or not yet.
    fn weight_grad(&self, x: &Tensor, dy: &Tensor) -> Result<Grad> {
        weight_grad(self, x, dy)
    }
}

/// The weight's gradient, written out.
pub(crate) fn weight_grad<L: Layer>(layer: &L, x: &Tensor, dy: &Tensor) -> Result<Grad> {
    Ok(Grad::owned(run2(&WeightGradient(*layer), x, dy)?))
}

/// The result of `layer`, whose sizes are those of input and weight, with its backward pass on the tape.
pub(crate) fn apply<L: Layer>(
    tape: &Tape,
    layer: L,
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
) -> Result<Tensor> {
    let y = if let Some(bias) = bias {
        check::shape(L::NAME, "the bias", &[layer.outputs()], bias)?;
        run3(&Forward(layer), x, weight, bias)?
    } else {
        run2(&Forward(layer), x, weight)?
    };
    let (to_x, to_weight) = (tape.target(x), tape.target(weight));
    let to_bias = bias.and_then(|bias| tape.target(bias));
    if to_x.is_some() || to_weight.is_some() || to_bias.is_some() {
        let x = to_weight.map(|_| x.clone());
        let weight = to_x.map(|_| weight.clone());
        tape.record(&y, move |grad, grads| {
            let dy = grad.tensor();
            if let (Some(id), Some(x)) = (to_weight, &x) {
                grads.add(id, layer.weight_grad(x, dy)?)?;
            }
            if let Some(id) = to_bias {
                grads.give(id, run1(&BiasGradient(layer), dy)?)?;
            }
            if let (Some(id), Some(weight)) = (to_x, &weight) {
                grads.give(id, run2(&InputGradient(layer), dy, weight)?)?;
            }
            Ok(())
        });
    }
    Ok(y)
}

struct Forward<L>(L);

impl<L: Layer> Kernel<2> for Forward<L> {
    const NAME: &'static str = L::NAME;

    fn shape(&self) -> Shape {
        self.0.output()
    }

    fn cpu(&self, [x, weight]: [&[f32]; 2]) -> Result<Vec<f32>> {
        Ok(self.0.forward(x, weight, None))
    }

    cpu_only!(kernel of 2);
}

impl<L: Layer> Kernel<3> for Forward<L> {
    const NAME: &'static str = L::NAME;

    fn shape(&self) -> Shape {
        self.0.output()
    }

    fn cpu(&self, [x, weight, bias]: [&[f32]; 3]) -> Result<Vec<f32>> {
        Ok(self.0.forward(x, weight, Some(bias)))
    }

    cpu_only!(kernel of 3);
}

struct InputGradient<L>(L);

impl<L: Layer> Kernel<2> for InputGradient<L> {
    const NAME: &'static str = L::GRADIENT;

    fn shape(&self) -> Shape {
        self.0.input()
    }

    fn cpu(&self, [dy, weight]: [&[f32]; 2]) -> Result<Vec<f32>> {
        Ok(self.0.input_gradient(dy, weight))
    }

    cpu_only!(kernel of 2);
}

struct WeightGradient<L>(L);

impl<L: Layer> Kernel<2> for WeightGradient<L> {
    const NAME: &'static str = L::GRADIENT;

    fn shape(&self) -> Shape {
        self.0.weight()
    }

    fn cpu(&self, [x, dy]: [&[f32]; 2]) -> Result<Vec<f32>> {
        Ok(self.0.weight_gradient(x, dy))
    }

    cpu_only!(kernel of 2);
}

struct BiasGradient<L>(L);

impl<L: Layer> Kernel<1> for BiasGradient<L> {
    const NAME: &'static str = L::GRADIENT;

    fn shape(&self) -> Shape {
        self.0.outputs().into()
    }

    fn cpu(&self, [dy]: [&[f32]; 1]) -> Result<Vec<f32>> {
        Ok(self.0.bias_gradient(dy))
    }

    cpu_only!(kernel of 1);
}
