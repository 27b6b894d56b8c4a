//! The three passes of a convolution, as cuDNN names them.

use std::ffi::c_void;

use candle_core::cuda::cudarc::cudnn::sys;

use super::dnn::Dnn;
use super::offers::Offer;
use super::plan::Plan;
use crate::cuda::array::{Array, Buffer, Located};

/// Input, filter and output, or their gradients; each pass writes one of them from the two others.
#[derive(Clone, Copy)]
pub(super) struct Operands<'a> {
    pub(super) x: &'a Array,
    pub(super) filter: &'a Array,
    pub(super) y: &'a Array,
}

/// The algorithms that cuDNN has, or what it answered instead.
pub(super) type Offered<A> = Result<Vec<Offer<A>>, sys::cudnnStatus_t>;

/// A pass.
pub(super) trait Pass {
    /// The names of the pass's algorithms.
    type Algorithm: Copy + PartialEq;

    /// The function of cuDNN's that computes the result.
    const COMPUTES: &'static str;

    /// The algorithms that cuDNN expects to be the fastest, the fastest first.
    fn offers(plan: &Plan, dnn: &Dnn) -> Offered<Self::Algorithm>;

    /// The algorithms that were the fastest when tried, the fastest first. Writes the result's memory.
    fn tried(
        plan: &Plan,
        dnn: &Dnn,
        operands: Operands,
        workspace: (&Buffer<u8>, usize),
    ) -> Offered<Self::Algorithm>;

    /// Bytes that an algorithm takes beside its operands, by the math type that is set.
    fn workspace(
        plan: &Plan,
        dnn: &Dnn,
        algorithm: Self::Algorithm,
    ) -> Result<usize, sys::cudnnStatus_t>;

    /// Computes the result.
    fn compute(
        plan: &Plan,
        dnn: &Dnn,
        operands: Operands,
        algorithm: Self::Algorithm,
        workspace: (&Buffer<u8>, usize),
    ) -> sys::cudnnStatus_t;
}

/// The most algorithms that are asked for: more than any pass has.
const ASKED: usize = 16;

/// Calls `ask(how many, how many there are, where to put them)` of cuDNN and turns what it answers into offers.
macro_rules! offers {
    ($perf:ty, $ask:expr) => {{
        // SAFETY: it is plain numbers, of which 0 is a valid value of every type.
        let mut found: [$perf; ASKED] = unsafe { std::mem::zeroed() };
        let mut count = 0;
        let ask: &dyn Fn(i32, *mut i32, *mut $perf) -> sys::cudnnStatus_t = &$ask;
        let status = ask(ASKED as i32, &raw mut count, found.as_mut_ptr());
        if status != sys::cudnnStatus_t::CUDNN_STATUS_SUCCESS {
            return Err(status);
        }
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

fn pointer(place: &impl Located) -> *mut c_void {
    place.address() as *mut c_void
}

const ONE: *const c_void = (&raw const ONE_FLOAT).cast();
const ZERO: *const c_void = (&raw const ZERO_FLOAT).cast();
static ONE_FLOAT: f32 = 1.0;
static ZERO_FLOAT: f32 = 0.0;

fn sized(status: sys::cudnnStatus_t, bytes: usize) -> Result<usize, sys::cudnnStatus_t> {
    match status {
        sys::cudnnStatus_t::CUDNN_STATUS_SUCCESS => Ok(bytes),
        other => Err(other),
    }
}

/// The output from input and filter.
pub(super) struct Forward;

impl Pass for Forward {
    type Algorithm = sys::cudnnConvolutionFwdAlgo_t;

    const COMPUTES: &'static str = "cudnnConvolutionForward";

    fn offers(p: &Plan, dnn: &Dnn) -> Offered<Self::Algorithm> {
        offers!(
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
    ) -> Offered<Self::Algorithm> {
        offers!(
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

    fn workspace(
        p: &Plan,
        dnn: &Dnn,
        algorithm: Self::Algorithm,
    ) -> Result<usize, sys::cudnnStatus_t> {
        let mut bytes = 0;
        // SAFETY: handle and descriptors are open, and there is room for the answer.
        let status = unsafe {
            sys::cudnnGetConvolutionForwardWorkspaceSize(
                dnn.handle(),
                p.x.0,
                p.filter.0,
                p.convolution.0,
                p.y.0,
                algorithm,
                &raw mut bytes,
            )
        };
        sized(status, bytes)
    }

    fn compute(
        p: &Plan,
        dnn: &Dnn,
        of: Operands,
        algorithm: Self::Algorithm,
        (workspace, bytes): (&Buffer<u8>, usize),
    ) -> sys::cudnnStatus_t {
        // SAFETY: handle and descriptors are open, and the arrays have the sizes that these say.
        unsafe {
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
        }
    }
}

/// The input's gradient from the output's and the filter.
pub(super) struct InputGradient;

impl Pass for InputGradient {
    type Algorithm = sys::cudnnConvolutionBwdDataAlgo_t;

    const COMPUTES: &'static str = "cudnnConvolutionBackwardData";

    fn offers(p: &Plan, dnn: &Dnn) -> Offered<Self::Algorithm> {
        offers!(
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
    ) -> Offered<Self::Algorithm> {
        offers!(
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

    fn workspace(
        p: &Plan,
        dnn: &Dnn,
        algorithm: Self::Algorithm,
    ) -> Result<usize, sys::cudnnStatus_t> {
        let mut bytes = 0;
        // SAFETY: handle and descriptors are open, and there is room for the answer.
        let status = unsafe {
            sys::cudnnGetConvolutionBackwardDataWorkspaceSize(
                dnn.handle(),
                p.filter.0,
                p.y.0,
                p.convolution.0,
                p.x.0,
                algorithm,
                &raw mut bytes,
            )
        };
        sized(status, bytes)
    }

    fn compute(
        p: &Plan,
        dnn: &Dnn,
        of: Operands,
        algorithm: Self::Algorithm,
        (workspace, bytes): (&Buffer<u8>, usize),
    ) -> sys::cudnnStatus_t {
        // SAFETY: handle and descriptors are open, and the arrays have the sizes that these say.
        unsafe {
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
        }
    }
}

/// The filter's gradient from the input and the output's gradient.
pub(super) struct WeightGradient;

impl Pass for WeightGradient {
    type Algorithm = sys::cudnnConvolutionBwdFilterAlgo_t;

    const COMPUTES: &'static str = "cudnnConvolutionBackwardFilter";

    fn offers(p: &Plan, dnn: &Dnn) -> Offered<Self::Algorithm> {
        offers!(
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
    ) -> Offered<Self::Algorithm> {
        offers!(
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

    fn workspace(
        p: &Plan,
        dnn: &Dnn,
        algorithm: Self::Algorithm,
    ) -> Result<usize, sys::cudnnStatus_t> {
        let mut bytes = 0;
        // SAFETY: handle and descriptors are open, and there is room for the answer.
        let status = unsafe {
            sys::cudnnGetConvolutionBackwardFilterWorkspaceSize(
                dnn.handle(),
                p.x.0,
                p.y.0,
                p.convolution.0,
                p.filter.0,
                algorithm,
                &raw mut bytes,
            )
        };
        sized(status, bytes)
    }

    fn compute(
        p: &Plan,
        dnn: &Dnn,
        of: Operands,
        algorithm: Self::Algorithm,
        (workspace, bytes): (&Buffer<u8>, usize),
    ) -> sys::cudnnStatus_t {
        // SAFETY: handle and descriptors are open, and the arrays have the sizes that these say.
        unsafe {
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
        }
    }
}
