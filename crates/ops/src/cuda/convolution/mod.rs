//! Convolutions: cuDNN, and own kernels where every channel is filtered for itself.

pub(super) mod bias;
mod dnn;
mod grouped;
mod passes;
mod plan;

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
use plan::Key;

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
    let convolution = Convolution {
        columns: Columns {
            rows: geometry.n * geometry.y.output * geometry.x.output,
            c: geometry.outputs,
        },
        geometry,
        kind: input.kind(),
        options: options(),
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
}

/// The weight as it is, and as cuDNN takes it once that has been made.
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

    /// The weight as cuDNN takes it.
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
        if self.is_empty() {
            elementwise::clear(gpu, &y)?;
        } else {
            let computed = !self.is_own() && {
                let dnn = gpu.dnn()?;
                let filter = self.filter(weights)?;
                let operands = Operands { x, filter, y: &y };
                dnn.plan(self.key())?.forward(gpu, &dnn, operands)?
            };
            if !computed {
                grouped::forward(gpu, g, [x, &weights.parameter, &y], bias)?;
                return Ok(y);
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
        let computed = !self.is_own() && {
            let dnn = gpu.dnn()?;
            let filter = self.filter(weights)?;
            let operands = Operands {
                x: &dx,
                filter,
                y: dy,
            };
            dnn.plan(self.key())?.input_gradient(gpu, &dnn, operands)?
        };
        if !computed {
            grouped::input_gradient(gpu, g, [dy, &weights.parameter, &dx])?;
        }
        Ok(dx)
    }

    fn weight_gradient(&self, x: &Array, dy: &Array) -> Result<Array> {
        let (g, gpu) = (&self.geometry, &self.gpu);
        if self.is_empty() {
            return Array::zeros(gpu, g.weight_shape(), Kind::F32);
        }
        if !self.is_own() {
            let dnn = gpu.dnn()?;
            let shape = (g.outputs, g.kernel_area(), g.group_channels());
            let filter = Array::new(gpu, shape, self.kind)?;
            let operands = Operands {
                x,
                filter: &filter,
                y: dy,
            };
            if dnn.plan(self.key())?.weight_gradient(gpu, &dnn, operands)? {
                return self.as_parameter(&filter);
            }
        }
        grouped::weight_gradient(gpu, g, x, dy)
    }

    /// A filter as cuDNN gives it in the order of the parameter, as f32.
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
