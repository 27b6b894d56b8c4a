//! How cuDNN computes a convolution of given sizes: found out once.

use std::cell::RefCell;

use candle_core::cuda::cudarc::cudnn::{result::CudnnError, sys};
use candle_core::{Error, Result};

use super::dnn::{Convolution, Dnn, Filter, Maps};
use super::offers::{Attempt, Offer, Offers};
use super::passes::{Forward, InputGradient, Operands, Pass, WeightGradient};
use crate::conv2d::Geometry;
use crate::cuda::array::Kind;
use crate::cuda::gpu::{Gpu, failed};
use crate::cuda::options::Options;

/// The most bytes that an algorithm may take beside its operands.
const WORKSPACE: usize = 1 << 30;
/// Where fewer bytes are free, cuDNN's failures are taken for want of memory: it loads its kernels when it needs them.
const SCARCE: usize = 1 << 30;

/// What an algorithm is chosen by.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) geometry: Geometry,
    pub(super) kind: Kind,
    pub(super) options: Options,
}

impl Key {
    /// Which units may compute the products.
    fn math(&self) -> sys::cudnnMathType_t {
        match self.kind {
            Kind::Bf16 => sys::cudnnMathType_t::CUDNN_TENSOR_OP_MATH,
            // Which rounds factors to TF32 where that is faster.
            Kind::F32 if self.options.tf32 => sys::cudnnMathType_t::CUDNN_DEFAULT_MATH,
            Kind::F32 => sys::cudnnMathType_t::CUDNN_FMA_MATH,
        }
    }
}

/// The algorithms of a pass, once they have been asked for.
type Found<P> = RefCell<Option<Offers<<P as Pass>::Algorithm>>>;

/// The descriptors of a convolution, and the algorithms of its passes.
pub(super) struct Plan {
    key: Key,
    pub(super) x: Maps,
    pub(super) y: Maps,
    pub(super) filter: Filter,
    pub(super) convolution: Convolution,
    forward: Found<Forward>,
    input: Found<InputGradient>,
    weight: Found<WeightGradient>,
}

impl Plan {
    pub(super) fn new(key: &Key) -> Result<Self> {
        let (g, kind) = (&key.geometry, key.kind);
        let int = |size: usize| size as i32;
        let maps = |c, h, w| Maps::new(kind, [g.n, c, h, w].map(int));
        let filter = [g.outputs, g.group_channels(), g.y.kernel, g.x.kernel];
        let pair = |y: usize, x: usize| [int(y), int(x)];
        let convolution = Convolution::new(
            pair(g.y.padding, g.x.padding),
            pair(g.y.stride, g.x.stride),
            pair(g.y.dilation, g.x.dilation),
            int(g.groups),
        )?;
        convolution.set_math(key.math())?;
        Ok(Self {
            key: *key,
            x: maps(g.channels, g.y.input, g.x.input)?,
            y: maps(g.outputs, g.y.output, g.x.output)?,
            filter: Filter::new(kind, filter.map(int))?,
            convolution,
            forward: RefCell::default(),
            input: RefCell::default(),
            weight: RefCell::default(),
        })
    }

    /// Computes the output; false if cuDNN can't.
    pub(super) fn forward(&self, gpu: &Gpu, dnn: &Dnn, operands: Operands) -> Result<bool> {
        self.run::<Forward>(&self.forward, gpu, dnn, operands)
    }

    /// Computes the input's gradient; false if cuDNN can't.
    pub(super) fn input_gradient(&self, gpu: &Gpu, dnn: &Dnn, operands: Operands) -> Result<bool> {
        self.run::<InputGradient>(&self.input, gpu, dnn, operands)
    }

    /// Computes the weight's gradient; false if cuDNN can't.
    pub(super) fn weight_gradient(&self, gpu: &Gpu, dnn: &Dnn, operands: Operands) -> Result<bool> {
        self.run::<WeightGradient>(&self.weight, gpu, dnn, operands)
    }

    fn run<P: Pass>(
        &self,
        found: &Found<P>,
        gpu: &Gpu,
        dnn: &Dnn,
        operands: Operands,
    ) -> Result<bool> {
        let mut found = found.borrow_mut();
        let offers = match &mut *found {
            Some(offers) => offers,
            none => none.insert(Offers::new(self.suitable::<P>(gpu, dnn, operands)?)),
        };
        let proven = offers.proven();
        offers.compute(self.key.options.deterministic, |offer| {
            self.attempt::<P>(gpu, dnn, operands, offer, proven)
        })
    }

    /// Computes by an algorithm. A failure of one that has computed these sizes before is not taken for a refusal.
    fn attempt<P: Pass>(
        &self,
        gpu: &Gpu,
        dnn: &Dnn,
        operands: Operands,
        offer: &Offer<P::Algorithm>,
        proven: bool,
    ) -> Attempt {
        if self.convolution.set_math(offer.math).is_err() {
            return Attempt::Refused;
        }
        let workspace = match gpu.buffer::<u8>(offer.workspace) {
            Ok(workspace) => workspace,
            Err(error) => return Attempt::NoMemory(error),
        };
        let memory = (&workspace, offer.workspace);
        let status = P::compute(self, dnn, operands, offer.algorithm, memory);
        match outcome(gpu, P::COMPUTES, status) {
            Attempt::Refused if proven => Attempt::Failed(failed(P::COMPUTES, CudnnError(status))),
            outcome => outcome,
        }
    }

    /// The algorithms that the options allow, the fastest first: by cuDNN's experience, or by having tried all.
    fn suitable<P: Pass>(
        &self,
        gpu: &Gpu,
        dnn: &Dnn,
        operands: Operands,
    ) -> Result<Vec<Offer<P::Algorithm>>> {
        self.convolution.set_math(self.key.math())?;
        let deterministic = self.key.options.deterministic;
        let tried = if deterministic {
            None
        } else {
            self.tried::<P>(gpu, dnn, operands)
        };
        let expected = match P::offers(self, dnn) {
            Ok(offers) => offers,
            Err(status) => match outcome(gpu, "asking cuDNN for algorithms", status) {
                Attempt::NoMemory(error) | Attempt::Failed(error) => return Err(error),
                // Where it can't say what it has, it has nothing.
                Attempt::Computed | Attempt::Refused => Vec::new(),
            },
        };
        let mut suitable: Vec<Offer<P::Algorithm>> = Vec::new();
        for mut offer in tried.into_iter().flatten().chain(expected) {
            if !(offer.works && self.allows(offer.math)) {
                continue;
            }
            let exact = sys::cudnnMathType_t::CUDNN_FMA_MATH;
            if self.key.math() == exact && offer.math != exact {
                // By the default math type factors would be rounded to TF32. Other units may need other room.
                let Ok(workspace) = P::workspace(self, dnn, offer.algorithm) else {
                    continue;
                };
                offer.workspace = workspace;
                offer.math = exact;
            }
            let suits = offer.workspace <= WORKSPACE && (offer.deterministic || !deterministic);
            let same = |other: &Offer<P::Algorithm>| {
                other.algorithm == offer.algorithm && other.math == offer.math
            };
            if suits && !suitable.iter().any(same) {
                suitable.push(offer);
            }
        }
        Ok(suitable)
    }

    /// What cuDNN found by trying all algorithms, or nothing where it could not.
    fn tried<P: Pass>(
        &self,
        gpu: &Gpu,
        dnn: &Dnn,
        operands: Operands,
    ) -> Option<Vec<Offer<P::Algorithm>>> {
        let workspace = gpu.buffer::<u8>(WORKSPACE).ok()?;
        let offers = P::tried(self, dnn, operands, (&workspace, WORKSPACE)).ok()?;
        (!offers.is_empty()).then_some(offers)
    }

    /// Whether the options let an algorithm use these units.
    fn allows(&self, math: sys::cudnnMathType_t) -> bool {
        self.key.math() != sys::cudnnMathType_t::CUDNN_FMA_MATH
            || math == sys::cudnnMathType_t::CUDNN_FMA_MATH
            || math == sys::cudnnMathType_t::CUDNN_DEFAULT_MATH
    }
}

/// What a status tells, by the groups that statuses are numbered in.
fn outcome(gpu: &Gpu, call: &str, status: sys::cudnnStatus_t) -> Attempt {
    use sys::cudnnStatus_t as Status;
    match status {
        Status::CUDNN_STATUS_SUCCESS => Attempt::Computed,
        Status::CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED
        | Status::CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED => {
            Attempt::NoMemory(no_memory(call, status))
        }
        // Sizes or layouts that it does not compute.
        _ if (2000..4000).contains(&(status as u32)) => Attempt::Refused,
        _ => unexplained(gpu, call, status),
    }
}

/// What a failure for no certain reason comes from: a device that no longer computes anything, too little memory, or a part of
/// cuDNN that is missing or does not run here, in whose place others may be there.
fn unexplained(gpu: &Gpu, call: &str, status: sys::cudnnStatus_t) -> Attempt {
    if let Err(error) = gpu.stream().synchronize() {
        return Attempt::Failed(failed(call, format!("{status:?}, then {error}")));
    }
    match gpu.stream().context().mem_get_info() {
        Ok((free, _)) if free < SCARCE => Attempt::NoMemory(no_memory(call, status)),
        Ok(_) => Attempt::Refused,
        Err(error) => Attempt::Failed(failed(call, format!("{status:?}, then {error}"))),
    }
}

/// The error that says that a call of cuDNN's had too little memory.
fn no_memory(call: &str, status: sys::cudnnStatus_t) -> Error {
    let text = format!("{status:?}, for want of memory (CUDA_ERROR_OUT_OF_MEMORY)");
    failed(call, text)
}
