//! Convolutions: cuDNN, Winograd's algorithm, products of matrices where cuDNN has nothing, and own kernels where every channel is
//! filtered for itself.

pub(super) mod bias;
mod dnn;
mod grouped;
mod offers;
mod passes;
mod plan;
mod unfolded;
pub(super) mod winograd;

use std::rc::Rc;

use candle_core::{Result, Tensor};

use super::array::{Array, Kind};
use super::columns::Columns;
use super::elementwise;
use super::gpu::Gpu;
use super::options::{Options, options};
use super::rearrange::{Matrices, transposed};
use crate::conv2d::Geometry;
use crate::tape::Tape;
pub(super) use dnn::Dnn;
use passes::Operands;
use plan::{Key, Plan};
use unfolded::Unfolded;
pub(super) use unfolded::by_products;
use winograd::Winograd;

const OP: &str = "conv2d";
const GRADIENT: &str = "conv2d's gradient";

/// [`conv2d`](crate::conv2d()) on CUDA tensors, whose sizes have been checked.
pub(crate) fn conv2d(
    tape: &Tape,
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    geometry: Geometry,
) -> Result<Tensor> {
    let mut all = vec![x, weight];
    all.extend(bias);
    let gpu = Gpu::of(OP, &all)?;
    let input = Array::of(OP, &gpu, x)?;
    let forced = unfolded::forced();
    let convolution = Convolution {
        columns: Columns {
            rows: geometry.n * geometry.y.output * geometry.x.output,
            c: geometry.outputs,
        },
        geometry,
        kind: input.kind(),
        options: options(),
        forced,
        winograd: match forced {
            None => Winograd::of(&geometry, input.kind(), options()),
            Some(_) => None,
        },
        gpu: Rc::clone(&gpu),
    };
    let mut weights = Weights {
        parameter: Array::of_f32(OP, &gpu, weight)?,
        filter: None,
    };
    let bias_values = bias.map(|bias| Array::of_f32(OP, &gpu, bias)).transpose()?;
    let y = convolution.forward(&input, &mut weights, bias_values.as_ref())?;
    let (to_x, to_weight) = (tape.target(x), tape.target(weight));
    let to_bias = bias.and_then(|bias| tape.target(bias));
    let y = y.into_tensor();
    if to_x.is_some() || to_weight.is_some() || to_bias.is_some() {
        let input = to_weight.map(|_| input);
        let mut weights = to_x.map(|_| weights);
        tape.record(&y, move |grad, grads| {
            let dy = Array::of(GRADIENT, &gpu, grad.tensor())?;
            dy.must_be(GRADIENT, convolution.kind)?;
            if let (Some(id), Some(input)) = (to_weight, &input) {
                let dw = convolution.weight_gradient(input, &dy)?;
                grads.give(id, dw.into_tensor())?;
            }
            if let Some(id) = to_bias {
                let db = bias::gradient(&gpu, &dy, convolution.columns)?;
                grads.give(id, db.into_tensor())?;
            }
            if let (Some(id), Some(weights)) = (to_x, &mut weights) {
                let dx = convolution.input_gradient(&dy, weights)?;
                grads.give(id, dx.into_tensor())?;
            }
            Ok(())
        });
    }
    Ok(y)
}

/// A convolution of given sizes.
struct Convolution {
    gpu: Rc<Gpu>,
    geometry: Geometry,
    /// The pixels and channels of the output.
    columns: Columns,
    /// Of input and output.
    kind: Kind,
    options: Options,
    /// How many bytes matrices may take where cuDNN is not to be used.
    forced: Option<usize>,
    /// Where it is computed that way.
    winograd: Option<Winograd>,
}

/// The weight as it is, and as cuDNN and products take it once that has been made.
struct Weights {
    /// (o, c/groups, kh, kw).
    parameter: Array,
    /// (o, kh, kw, c/groups), as numbers of the activations' kind.
    filter: Option<Array>,
}

impl Convolution {
    /// Whether this crate's kernels compute it: where a group has a single channel, there is no product of matrices.
    fn is_own(&self) -> bool {
        self.geometry.groups > 1 && self.geometry.group_channels() == 1
    }

    fn is_empty(&self) -> bool {
        self.geometry.work() == 0
    }

    fn key(&self) -> Key {
        Key {
            geometry: self.geometry,
            kind: self.kind,
            options: self.options,
        }
    }

    /// Lets cuDNN compute a pass; false if it can't.
    fn by_cudnn(
        &self,
        operands: Operands,
        pass: impl FnOnce(&Plan, &Gpu, &Dnn, Operands) -> Result<bool>,
    ) -> Result<bool> {
        if self.forced.is_some() {
            return Ok(false);
        }
        let dnn = self.gpu.dnn()?;
        match dnn.plan(self.key()) {
            Some(plan) => pass(&plan, &self.gpu, &dnn, operands),
            None => Ok(false),
        }
    }

    fn unfolded(&self) -> Unfolded<'_> {
        Unfolded {
            gpu: &self.gpu,
            geometry: &self.geometry,
            limit: self.forced.unwrap_or(unfolded::LIMIT),
        }
    }

    /// The weight as cuDNN and products take it.
    fn filter<'w>(&self, weights: &'w mut Weights) -> Result<&'w Array> {
        let (g, gpu, parameter) = (&self.geometry, &self.gpu, &weights.parameter);
        let filter = match weights.filter.take() {
            Some(filter) => filter,
            None if g.kernel_area() == 1 => elementwise::converted(gpu, parameter, self.kind)?,
            None => {
                let matrices = Matrices {
                    n: g.outputs,
                    rows: g.group_channels(),
                    cols: g.kernel_area(),
                };
                transposed(gpu, parameter, matrices, self.kind)?
            }
        };
        Ok(weights.filter.insert(filter))
    }

    fn forward(&self, x: &Array, weights: &mut Weights, bias: Option<&Array>) -> Result<Array> {
        let (g, gpu) = (&self.geometry, &self.gpu);
        let y = Array::new(gpu, g.output_shape(), self.kind)?;
        if let Some(winograd) = &self.winograd {
            winograd.forward(gpu, [x, &weights.parameter, &y], bias)?;
            return Ok(y);
        }
        if self.is_empty() {
            elementwise::clear(gpu, &y)?;
        } else if self.is_own() {
            grouped::forward(gpu, g, [x, &weights.parameter, &y], bias)?;
            return Ok(y);
        } else {
            let filter = self.filter(weights)?;
            let operands = Operands { x, filter, y: &y };
            if !self.by_cudnn(operands, Plan::forward)? {
                self.unfolded().forward([x, filter, &y])?;
            }
        }
        if let Some(bias) = bias {
            bias::add(gpu, &y, bias, self.columns)?;
        }
        Ok(y)
    }

    fn input_gradient(&self, dy: &Array, weights: &mut Weights) -> Result<Array> {
        let (g, gpu) = (&self.geometry, &self.gpu);
        if self.is_empty() {
            return Array::zeros(gpu, g.input_shape(), self.kind);
        }
        let dx = Array::new(gpu, g.input_shape(), self.kind)?;
        if let Some(winograd) = &self.winograd {
            winograd.input_gradient(gpu, [dy, &weights.parameter, &dx])?;
            return Ok(dx);
        }
        if self.is_own() {
            grouped::input_gradient(gpu, g, [dy, &weights.parameter, &dx])?;
            return Ok(dx);
        }
        let filter = self.filter(weights)?;
        let operands = Operands {
            x: &dx,
            filter,
            y: dy,
        };
        if !self.by_cudnn(operands, Plan::input_gradient)? {
            self.unfolded().input_gradient([dy, filter, &dx])?;
        }
        Ok(dx)
    }

    fn weight_gradient(&self, x: &Array, dy: &Array) -> Result<Array> {
        let (g, gpu) = (&self.geometry, &self.gpu);
        if let Some(winograd) = &self.winograd {
            return winograd.weight_gradient(gpu, x, dy);
        }
        if self.is_empty() {
            return Array::zeros(gpu, g.weight_shape(), Kind::F32);
        }
        if self.is_own() {
            return grouped::weight_gradient(gpu, g, x, dy);
        }
        let shape = (g.outputs, g.kernel_area(), g.group_channels());
        let filter = Array::new(gpu, shape, self.kind)?;
        let operands = Operands {
            x,
            filter: &filter,
            y: dy,
        };
        if self.by_cudnn(operands, Plan::weight_gradient)? {
            self.as_parameter(&filter)
        } else {
            self.as_parameter(&self.unfolded().weight_gradient(x, dy)?)
        }
    }

    /// A filter (o, kh·kw, c/groups) in the order of the parameter, as f32.
    fn as_parameter(&self, filter: &Array) -> Result<Array> {
        let (g, gpu) = (&self.geometry, &self.gpu);
        let gradient = if g.kernel_area() == 1 {
            elementwise::converted(gpu, filter, Kind::F32)?
        } else {
            let matrices = Matrices {
                n: g.outputs,
                rows: g.kernel_area(),
                cols: g.group_channels(),
            };
            transposed(gpu, filter, matrices, Kind::F32)?
        };
        gradient.reshaped(g.weight_shape())
    }
}
