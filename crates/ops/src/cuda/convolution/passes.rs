//! The three passes of a convolution, as cuDNN names them.

use std::ffi::c_void;

use candle_core::Result;
use candle_core::cuda::cudarc::cudnn::result::CudnnError;
use candle_core::cuda::cudarc::cudnn::sys;

use super::dnn::Dnn;
use super::plan::Plan;
use crate::cuda::array::{Array, Buffer, Located};
use crate::cuda::gpu::failed;

/// Input, filter and output, or their gradients; each pass writes one of them from the two others.
#[derive(Clone, Copy)]
pub(super) struct Operands<'a> {
    pub(super) x: &'a Array,
    pub(super) filter: &'a Array,
    pub(super) y: &'a Array,
}

/// An algorithm that cuDNN offers.
pub(super) struct Offer<A> {
    pub(super) algorithm: A,
    /// Whether it computes convolutions of these sizes at all.
    pub(super) works: bool,
    /// Bytes that it takes beside its operands.
    pub(super) workspace: usize,
    pub(super) deterministic: bool,
    pub(super) math: sys::cudnnMathType_t,
}

/// A pass.
pub(super) trait Pass {
    /// The names of the pass's algorithms.
    type Algorithm: Copy;

    /// The algorithms that cuDNN expects to be the fastest, the fastest first.
    fn offers(plan: &Plan, dnn: &Dnn) -> Result<Vec<Offer<Self::Algorithm>>>;

    /// The algorithms that were the fastest when tried, the fastest first. Writes the result's memory.
    fn tried(
        plan: &Plan,
        dnn: &Dnn,
        operands: Operands,
        workspace: (&Buffer<u8>, usize),
    ) -> Result<Vec<Offer<Self::Algorithm>>>;

    /// Computes the result.
    fn compute(
        plan: &Plan,
        dnn: &Dnn,
        operands: Operands,
        algorithm: Self::Algorithm,
        workspace: (&Buffer<u8>, usize),
    ) -> Result<()>;
}

/// The most algorithms that are asked for: more than any pass has.
const ASKED: usize = 16;

/// Calls `ask(how many, how many there are, where to put them)` of cuDNN and turns what it answers into offers.
macro_rules! offers {
    ($name:literal, $perf:ty, $ask:expr) => {{
        // SAFETY: it is plain numbers, of which 0 is a valid value of every type.
        let mut found: [$perf; ASKED] = unsafe { std::mem::zeroed() };
        let mut count = 0;
        let ask: &dyn Fn(i32, *mut i32, *mut $perf) -> sys::cudnnStatus_t = &$ask;
        done($name, ask(ASKED as i32, &raw mut count, found.as_mut_ptr()))?;
        let found = &found[..(count.max(0) as usize).min(ASKED)];
        Ok(found
            .iter()
            .map(|offer| Offer {
                algorithm: offer.algo,
                works: offer.status == sys::cudnnStatus_t::CUDNN_STATUS_SUCCESS,
                workspace: offer.memory,
                deterministic: offer.determinism == sys::cudnnDeterminism_t::CUDNN_DETERMINISTIC,
                math: offer.mathType,
            })
            .collect())
    }};
}

fn done(name: &str, status: sys::cudnnStatus_t) -> Result<()> {
    if status == sys::cudnnStatus_t::CUDNN_STATUS_SUCCESS {
        return Ok(());
    }
    Err(failed(name, CudnnError(status)))
}

fn pointer(place: &impl Located) -> *mut c_void {
    place.address() as *mut c_void
}

const ONE: *const c_void = (&raw const ONE_FLOAT).cast();
const ZERO: *const c_void = (&raw const ZERO_FLOAT).cast();
static ONE_FLOAT: f32 = 1.0;
static ZERO_FLOAT: f32 = 0.0;

/// The output from input and filter.
pub(super) struct Forward;

impl Pass for Forward {
    type Algorithm = sys::cudnnConvolutionFwdAlgo_t;

    fn offers(p: &Plan, dnn: &Dnn) -> Result<Vec<Offer<Self::Algorithm>>> {
        offers!(
            "cudnnGetConvolutionForwardAlgorithm_v7",
            sys::cudnnConvolutionFwdAlgoPerf_t,
            // SAFETY: handle and descriptors are open, and there is room for the answers.
            |asked, count, found| unsafe {
                sys::cudnnGetConvolutionForwardAlgorithm_v7(
                    dnn.handle(),
                    p.x.0,
                    p.filter.0,
                    p.convolution.0,
                    p.y.0,
                    asked,
                    count,
                    found,
                )
            }
        )
    }

    fn tried(
        p: &Plan,
        dnn: &Dnn,
        of: Operands,
        (workspace, bytes): (&Buffer<u8>, usize),
    ) -> Result<Vec<Offer<Self::Algorithm>>> {
        offers!(
            "cudnnFindConvolutionForwardAlgorithmEx",
            sys::cudnnConvolutionFwdAlgoPerf_t,
            // SAFETY: as for `offers`; the arrays have the sizes that the descriptors say.
            |asked, count, found| unsafe {
                sys::cudnnFindConvolutionForwardAlgorithmEx(
                    dnn.handle(),
                    p.x.0,
                    pointer(of.x),
                    p.filter.0,
                    pointer(of.filter),
                    p.convolution.0,
                    p.y.0,
                    pointer(of.y),
                    asked,
                    count,
                    found,
                    pointer(workspace),
                    bytes,
                )
            }
        )
    }

    fn compute(
        p: &Plan,
        dnn: &Dnn,
        of: Operands,
        algorithm: Self::Algorithm,
        (workspace, bytes): (&Buffer<u8>, usize),
    ) -> Result<()> {
        // SAFETY: handle and descriptors are open, and the arrays have the sizes that these say.
        let status = unsafe {
            sys::cudnnConvolutionForward(
                dnn.handle(),
                ONE,
                p.x.0,
                pointer(of.x),
                p.filter.0,
                pointer(of.filter),
                p.convolution.0,
                algorithm,
                pointer(workspace),
                bytes,
                ZERO,
                p.y.0,
                pointer(of.y),
            )
        };
        done("cudnnConvolutionForward", status)
    }
}

/// The input's gradient from the output's and the filter.
pub(super) struct InputGradient;

impl Pass for InputGradient {
    type Algorithm = sys::cudnnConvolutionBwdDataAlgo_t;

    fn offers(p: &Plan, dnn: &Dnn) -> Result<Vec<Offer<Self::Algorithm>>> {
        offers!(
            "cudnnGetConvolutionBackwardDataAlgorithm_v7",
            sys::cudnnConvolutionBwdDataAlgoPerf_t,
            // SAFETY: handle and descriptors are open, and there is room for the answers.
            |asked, count, found| unsafe {
                sys::cudnnGetConvolutionBackwardDataAlgorithm_v7(
                    dnn.handle(),
                    p.filter.0,
                    p.y.0,
                    p.convolution.0,
                    p.x.0,
                    asked,
                    count,
                    found,
                )
            }
        )
    }

    fn tried(
        p: &Plan,
        dnn: &Dnn,
        of: Operands,
        (workspace, bytes): (&Buffer<u8>, usize),
    ) -> Result<Vec<Offer<Self::Algorithm>>> {
        offers!(
            "cudnnFindConvolutionBackwardDataAlgorithmEx",
            sys::cudnnConvolutionBwdDataAlgoPerf_t,
            // SAFETY: as for `offers`; the arrays have the sizes that the descriptors say.
            |asked, count, found| unsafe {
                sys::cudnnFindConvolutionBackwardDataAlgorithmEx(
                    dnn.handle(),
                    p.filter.0,
                    pointer(of.filter),
                    p.y.0,
                    pointer(of.y),
                    p.convolution.0,
                    p.x.0,
                    pointer(of.x),
                    asked,
                    count,
                    found,
                    pointer(workspace),
                    bytes,
                )
            }
        )
    }

    fn compute(
        p: &Plan,
        dnn: &Dnn,
        of: Operands,
        algorithm: Self::Algorithm,
        (workspace, bytes): (&Buffer<u8>, usize),
    ) -> Result<()> {
        // SAFETY: handle and descriptors are open, and the arrays have the sizes that these say.
        let status = unsafe {
            sys::cudnnConvolutionBackwardData(
                dnn.handle(),
                ONE,
                p.filter.0,
                pointer(of.filter),
                p.y.0,
                pointer(of.y),
                p.convolution.0,
                algorithm,
                pointer(workspace),
                bytes,
                ZERO,
                p.x.0,
                pointer(of.x),
            )
        };
        done("cudnnConvolutionBackwardData", status)
    }
}

/// The filter's gradient from the input and the output's gradient.
pub(super) struct WeightGradient;

impl Pass for WeightGradient {
    type Algorithm = sys::cudnnConvolutionBwdFilterAlgo_t;

    fn offers(p: &Plan, dnn: &Dnn) -> Result<Vec<Offer<Self::Algorithm>>> {
        offers!(
            "cudnnGetConvolutionBackwardFilterAlgorithm_v7",
            sys::cudnnConvolutionBwdFilterAlgoPerf_t,
            // SAFETY: handle and descriptors are open, and there is room for the answers.
            |asked, count, found| unsafe {
                sys::cudnnGetConvolutionBackwardFilterAlgorithm_v7(
                    dnn.handle(),
                    p.x.0,
                    p.y.0,
                    p.convolution.0,
                    p.filter.0,
                    asked,
                    count,
                    found,
                )
            }
        )
    }

    fn tried(
        p: &Plan,
        dnn: &Dnn,
        of: Operands,
        (workspace, bytes): (&Buffer<u8>, usize),
    ) -> Result<Vec<Offer<Self::Algorithm>>> {
        offers!(
            "cudnnFindConvolutionBackwardFilterAlgorithmEx",
            sys::cudnnConvolutionBwdFilterAlgoPerf_t,
            // SAFETY: as for `offers`; the arrays have the sizes that the descriptors say.
            |asked, count, found| unsafe {
                sys::cudnnFindConvolutionBackwardFilterAlgorithmEx(
                    dnn.handle(),
                    p.x.0,
                    pointer(of.x),
                    p.y.0,
                    pointer(of.y),
                    p.convolution.0,
                    p.filter.0,
                    pointer(of.filter),
                    asked,
                    count,
                    found,
                    pointer(workspace),
                    bytes,
                )
            }
        )
    }

    fn compute(
        p: &Plan,
        dnn: &Dnn,
        of: Operands,
        algorithm: Self::Algorithm,
        (workspace, bytes): (&Buffer<u8>, usize),
    ) -> Result<()> {
        // SAFETY: handle and descriptors are open, and the arrays have the sizes that these say.
        let status = unsafe {
            sys::cudnnConvolutionBackwardFilter(
                dnn.handle(),
                ONE,
                p.x.0,
                pointer(of.x),
                p.y.0,
                pointer(of.y),
                p.convolution.0,
                algorithm,
                pointer(workspace),
                bytes,
                ZERO,
                p.filter.0,
                pointer(of.filter),
            )
        };
        done("cudnnConvolutionBackwardFilter", status)
    }
}
