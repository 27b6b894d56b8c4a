//! Fully connected layers: products by cuBLAS.

use candle_core::{Result, Tensor};

use super::array::{Array, Kind};
use super::columns::Columns;
use super::convolution::bias;
use super::elementwise;
use super::gpu::Gpu;
use super::product::{Matrix, Product};
use crate::tape::Tape;

const OP: &str = "linear";
const GRADIENT: &str = "linear's gradient";

/// The sizes of a layer: rows, inputs and outputs.
#[derive(Clone, Copy)]
pub(crate) struct Sizes {
    pub(crate) n: usize,
    pub(crate) i: usize,
    pub(crate) o: usize,
}

/// [`linear`](crate::linear()) on CUDA tensors, whose sizes have been checked.
pub(crate) fn linear(
    tape: &Tape,
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    sizes: Sizes,
) -> Result<Tensor> {
    let mut all = vec![x, weight];
    all.extend(bias);
    let gpu = Gpu::of(OP, &all)?;
    let Sizes { n, i, o } = sizes;
    let columns = Columns { rows: n, c: o };
    let input = Array::of(OP, &gpu, x)?;
    let factors = Array::of_f32(OP, &gpu, weight)?;
    let factors = elementwise::converted(&gpu, &factors, input.kind())?;
    let kind = input.kind();
    let y = Array::new(&gpu, (n, o), kind)?;
    let by_weight = [Matrix::of(&input, i), Matrix::of(&factors, i).turned()];
    multiply(&gpu, by_weight, &y, [n, o, i])?;
    if let Some(tensor) = bias {
        bias::add(&gpu, &y, &Array::of_f32(OP, &gpu, tensor)?, columns)?;
    }
    let (to_x, to_weight) = (tape.target(x), tape.target(weight));
    let to_bias = bias.and_then(|bias| tape.target(bias));
    let y = y.into_tensor();
    if to_x.is_some() || to_weight.is_some() || to_bias.is_some() {
        let input = to_weight.map(|_| input);
        let factors = to_x.map(|_| factors);
        tape.record(&y, move |grad, grads| {
            let dy = Array::of(GRADIENT, &gpu, grad.tensor())?;
            dy.must_be(GRADIENT, kind)?;
            let rows = Matrix::of(&dy, o);
            if let (Some(id), Some(input)) = (to_weight, &input) {
                let dw = Array::new(&gpu, (o, i), Kind::F32)?;
                multiply(&gpu, [rows.turned(), Matrix::of(input, i)], &dw, [o, i, n])?;
                grads.give(id, dw.into_tensor())?;
            }
            if let Some(id) = to_bias {
                grads.give(id, bias::gradient(&gpu, &dy, columns)?.into_tensor())?;
            }
            if let (Some(id), Some(factors)) = (to_x, &factors) {
                let dx = Array::new(&gpu, (n, i), kind)?;
                multiply(&gpu, [rows, Matrix::of(factors, i)], &dx, [n, i, o])?;
                grads.give(id, dx.into_tensor())?;
            }
            Ok(())
        });
    }
    Ok(y)
}

/// `to = a · b`.
fn multiply(
    gpu: &Gpu,
    [a, b]: [Matrix; 2],
    to: &Array,
    [rows, columns, inner]: [usize; 3],
) -> Result<()> {
    if rows * columns == 0 {
        return Ok(());
    }
    if inner == 0 {
        return elementwise::clear(gpu, to);
    }
    let product = Product {
        rows,
        columns,
        inner,
        count: 1,
        adds: false,
    };
    product.compute(gpu, a, b, Matrix::of(to, columns))
}
