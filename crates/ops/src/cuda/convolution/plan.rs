//! How cuDNN computes a convolution of given sizes: found out once.

use std::cell::OnceCell;

use candle_core::Result;
use candle_core::cuda::cudarc::cudnn::sys;

use super::dnn::{Convolution, Dnn, Filter, Maps};
use super::passes::{Forward, InputGradient, Offer, Operands, Pass, WeightGradient};
use crate::conv2d::Geometry;
use crate::cuda::array::Kind;
use crate::cuda::gpu::Gpu;
use crate::cuda::options::Options;

/// The most bytes that an algorithm may take beside its operands.
const WORKSPACE: usize = 1 << 30;

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
        if self.kind == Kind::Bf16 || self.options.tf32 {
            sys::cudnnMathType_t::CUDNN_TENSOR_OP_MATH
        } else {
            sys::cudnnMathType_t::CUDNN_FMA_MATH
        }
    }
}

/// An algorithm, and what it takes.
#[derive(Clone, Copy)]
pub(super) struct Chosen<A> {
    algorithm: A,
    workspace: usize,
    math: sys::cudnnMathType_t,
}

/// The descriptors of a convolution, and the algorithms of its passes: none where cuDNN has none.
pub(super) struct Plan {
    key: Key,
    pub(super) x: Maps,
    pub(super) y: Maps,
    pub(super) filter: Filter,
    pub(super) convolution: Convolution,
    forward: OnceCell<Option<Chosen<sys::cudnnConvolutionFwdAlgo_t>>>,
    input: OnceCell<Option<Chosen<sys::cudnnConvolutionBwdDataAlgo_t>>>,
    weight: OnceCell<Option<Chosen<sys::cudnnConvolutionBwdFilterAlgo_t>>>,
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
            forward: OnceCell::new(),
            input: OnceCell::new(),
            weight: OnceCell::new(),
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
        cell: &OnceCell<Option<Chosen<P::Algorithm>>>,
        gpu: &Gpu,
        dnn: &Dnn,
        operands: Operands,
    ) -> Result<bool> {
        let chosen = match cell.get() {
            Some(chosen) => *chosen,
            None => *cell.get_or_init(|| self.choose::<P>(gpu, dnn, operands)),
        };
        let Some(chosen) = chosen else {
            return Ok(false);
        };
        self.convolution.set_math(chosen.math)?;
        let workspace = gpu.buffer::<u8>(chosen.workspace)?;
        P::compute(
            self,
            dnn,
            operands,
            chosen.algorithm,
            (&workspace, chosen.workspace),
        )?;
        Ok(true)
    }

    /// The first algorithm that works: cuDNN offers the fastest first, by its experience or by having tried all.
    fn choose<P: Pass>(
        &self,
        gpu: &Gpu,
        dnn: &Dnn,
        operands: Operands,
    ) -> Option<Chosen<P::Algorithm>> {
        self.convolution.set_math(self.key.math()).ok()?;
        let deterministic = self.key.options.deterministic;
        let tried = if deterministic {
            None
        } else {
            self.tried::<P>(gpu, dnn, operands)
        };
        let offers = tried.or_else(|| P::offers(self, dnn).ok())?;
        let suits = |offer: &Offer<P::Algorithm>| {
            offer.works
                && offer.workspace <= WORKSPACE
                && (offer.deterministic || !deterministic)
                && self.allows(offer.math)
        };
        offers.into_iter().find(suits).map(|offer| Chosen {
            algorithm: offer.algorithm,
            workspace: offer.workspace,
            math: offer.math,
        })
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
        self.key.math() == sys::cudnnMathType_t::CUDNN_TENSOR_OP_MATH
            || math == sys::cudnnMathType_t::CUDNN_FMA_MATH
            || math == sys::cudnnMathType_t::CUDNN_DEFAULT_MATH
    }
}
