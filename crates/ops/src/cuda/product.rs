//! Products of matrices by cuBLAS.

use std::ffi::c_void;

use candle_core::Result;
use candle_core::cuda::cudarc::cublas::{result, sys};

use super::array::{Array, Buffer, Kind, Located};
use super::gpu::{Gpu, failed};
use super::options::options;

/// A matrix that lies row by row on the device, or several of them.
#[derive(Clone, Copy)]
pub(crate) struct Matrix {
    address: u64,
    kind: Kind,
    /// Numbers from the beginning of a row to that of the next.
    pitch: usize,
    /// Numbers from a matrix to the next one.
    apart: usize,
    /// Whether what lies there is the transpose of the matrix that is meant.
    turned: bool,
}

impl Matrix {
    /// The array as rows of so many numbers.
    pub(crate) fn of(array: &Array, pitch: usize) -> Self {
        Self {
            address: array.address(),
            kind: array.kind(),
            pitch,
            apart: 0,
            turned: false,
        }
    }

    /// Floats as rows of so many.
    pub(crate) fn of_floats(buffer: &Buffer<f32>, pitch: usize) -> Self {
        Self {
            address: buffer.address(),
            kind: Kind::F32,
            pitch,
            apart: 0,
            turned: false,
        }
    }

    /// Without its first rows.
    pub(crate) fn skip(self, rows: usize) -> Self {
        let numbers = rows * self.pitch;
        Self {
            address: self.address + (numbers * self.kind.bytes()) as u64,
            ..self
        }
    }

    /// Several of them, so many numbers apart from each other.
    pub(crate) fn apart(self, apart: usize) -> Self {
        Self { apart, ..self }
    }

    /// What lies there transposed.
    pub(crate) fn turned(self) -> Self {
        Self {
            turned: !self.turned,
            ..self
        }
    }

    fn operation(&self) -> sys::cublasOperation_t {
        if self.turned {
            sys::cublasOperation_t::CUBLAS_OP_T
        } else {
            sys::cublasOperation_t::CUBLAS_OP_N
        }
    }

    fn pointer(&self) -> *mut c_void {
        self.address as *mut c_void
    }

    fn number_type(&self) -> sys::cudaDataType {
        match self.kind {
            Kind::F32 => sys::cudaDataType::CUDA_R_32F,
            Kind::Bf16 => sys::cudaDataType::CUDA_R_16BF,
        }
    }
}

/// Products (rows, inner) · (inner, columns), none of which is 0.
#[derive(Clone, Copy)]
pub(crate) struct Product {
    pub(crate) rows: usize,
    pub(crate) columns: usize,
    pub(crate) inner: usize,
    /// How many there are.
    pub(crate) count: usize,
    /// Whether they are added to what is there.
    pub(crate) adds: bool,
}

impl Product {
    /// `to = a · b`. Factors are of one kind; sums are formed as f32, of f32 factors without TF32 unless that is allowed. The
    /// matrices have to be there in these sizes, and the result must not be turned.
    pub(crate) fn compute(&self, gpu: &Gpu, a: Matrix, b: Matrix, to: Matrix) -> Result<()> {
        if a.kind != b.kind || to.turned {
            let text = "a product of matrices of two kinds, or into one that lies transposed";
            return Err(candle_core::Error::Msg(text.to_owned()));
        }
        let compute = if a.kind == Kind::F32 && options().tf32 {
            sys::cublasComputeType_t::CUBLAS_COMPUTE_32F_FAST_TF32
        } else {
            sys::cublasComputeType_t::CUBLAS_COMPUTE_32F
        };
        let (one, kept) = (1.0f32, if self.adds { 1.0f32 } else { 0.0 });
        let (alpha, beta) = ((&raw const one).cast(), (&raw const kept).cast());
        let blas = gpu.device().cublas_handle();
        // Seen by columns, as cuBLAS does, every matrix is its transpose: toᵀ = bᵀ · aᵀ.
        let (m, n, k) = (self.columns as i32, self.rows as i32, self.inner as i32);
        let (a, b, to) = (&a, &b, &to);
        // SAFETY: the matrices have these sizes, alpha and beta are floats of the host as the compute type asks, and the handle
        // works in the device's stream (see the module for the rest).
        let done = unsafe {
            if self.count == 1 {
                result::gemm_ex(
                    *blas.handle(),
                    b.operation(),
                    a.operation(),
                    m,
                    n,
                    k,
                    alpha,
                    b.pointer(),
                    b.number_type(),
                    b.pitch as i32,
                    a.pointer(),
                    a.number_type(),
                    a.pitch as i32,
                    beta,
                    to.pointer(),
                    to.number_type(),
                    to.pitch as i32,
                    compute,
                    sys::cublasGemmAlgo_t::CUBLAS_GEMM_DEFAULT,
                )
            } else {
                result::gemm_strided_batched_ex(
                    *blas.handle(),
                    b.operation(),
                    a.operation(),
                    m,
                    n,
                    k,
                    alpha,
                    b.pointer(),
                    b.number_type(),
                    b.pitch as i32,
                    b.apart as i64,
                    a.pointer(),
                    a.number_type(),
                    a.pitch as i32,
                    a.apart as i64,
                    beta,
                    to.pointer(),
                    to.number_type(),
                    to.pitch as i32,
                    to.apart as i64,
                    self.count as i32,
                    compute,
                    sys::cublasGemmAlgo_t::CUBLAS_GEMM_DEFAULT,
                )
            }
        };
        done.map_err(|error| failed("a product by cuBLAS", error))
    }
}
