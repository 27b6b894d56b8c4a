//! Fully connected layers: products by cuBLAS.

use std::ffi::c_void;
use std::rc::Rc;

use candle_core::cuda::cudarc::cublas::{result, sys};
use candle_core::{Result, Tensor};

use super::array::{Array, Kind, Located};
use super::columns::Columns;
use super::convolution::bias;
use super::elementwise;
use super::gpu::{Gpu, failed};
use super::options::options;
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
    let y = Array::new(&gpu, (n, o), input.kind())?;
    // Seen by columns, as cuBLAS does, every matrix is its transpose: yᵀ = weight · xᵀ.
    multiply(&gpu, [&factors, &input, &y], [true, false], [o, n, i])?;
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
            if let (Some(id), Some(input)) = (to_weight, &input) {
                let dw = Array::new(&gpu, (o, i), Kind::F32)?;
                multiply(&gpu, [input, &dy, &dw], [false, true], [i, o, n])?;
                grads.give(id, dw.into_tensor())?;
            }
            if let Some(id) = to_bias {
                grads.give(id, bias::gradient(&gpu, &dy, columns)?.into_tensor())?;
            }
            if let (Some(id), Some(factors)) = (to_x, &factors) {
                let dx = Array::new(&gpu, (n, i), dy.kind())?;
                multiply(&gpu, [factors, &dy, &dx], [false, false], [i, n, o])?;
                grads.give(id, dx.into_tensor())?;
            }
            Ok(())
        });
    }
    Ok(y)
}

/// `to = a · b`, all of them seen by columns and so many of the first two transposed: (m, k) · (k, n).
fn multiply(
    gpu: &Rc<Gpu>,
    [a, b, to]: [&Array; 3],
    transposed: [bool; 2],
    [m, n, k]: [usize; 3],
) -> Result<()> {
    b.must_be(OP, a.kind())?;
    if m * n == 0 {
        return Ok(());
    }
    if k == 0 {
        return elementwise::clear(gpu, to);
    }
    let operation = |transposed: bool| {
        if transposed {
            sys::cublasOperation_t::CUBLAS_OP_T
        } else {
            sys::cublasOperation_t::CUBLAS_OP_N
        }
    };
    // Rows of a matrix as it lies in memory.
    let leading = |transposed: bool, rows: usize, columns: usize| {
        (if transposed { columns } else { rows }) as i32
    };
    let compute = if a.kind() == Kind::F32 && options().tf32 {
        sys::cublasComputeType_t::CUBLAS_COMPUTE_32F_FAST_TF32
    } else {
        sys::cublasComputeType_t::CUBLAS_COMPUTE_32F
    };
    let (one, zero) = (1.0f32, 0.0f32);
    let pointer = |array: &Array| array.address() as *mut c_void;
    let blas = gpu.device().cublas_handle();
    // SAFETY: the arrays have the sizes of the matrices, alpha and beta are floats of the host as the compute type asks, and the
    // handle works in the device's stream (see the module for the rest).
    unsafe {
        result::gemm_ex(
            *blas.handle(),
            operation(transposed[0]),
            operation(transposed[1]),
            m as i32,
            n as i32,
            k as i32,
            (&raw const one).cast(),
            pointer(a),
            number_type(a),
            leading(transposed[0], m, k),
            pointer(b),
            number_type(b),
            leading(transposed[1], k, n),
            (&raw const zero).cast(),
            pointer(to),
            number_type(to),
            m as i32,
            compute,
            sys::cublasGemmAlgo_t::CUBLAS_GEMM_DEFAULT,
        )
    }
    .map_err(|error| failed("cublasGemmEx", error))
}

fn number_type(array: &Array) -> sys::cudaDataType {
    match array.kind() {
        Kind::F32 => sys::cudaDataType::CUDA_R_32F,
        Kind::Bf16 => sys::cudaDataType::CUDA_R_16BF,
    }
}
