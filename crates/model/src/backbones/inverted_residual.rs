//! What MobileNet v2 and v3 have in common, in torchvision's layout.

use candle_core::Result;

use crate::{
    Builder,
    init::{BiasInit, WeightInit},
    layers::{
        Activation, BatchNorm2d, Conv2d, ConvOptions, ConvUnit, Linear, Nonlinearity, Residual,
        Sequential,
    },
};

/// Weights of convolutions are drawn like this.
pub(super) const WEIGHT: WeightInit = WeightInit::KaimingNormalFanOut;

/// How batch norm is set up.
#[derive(Clone, Copy)]
pub(super) struct Norm {
    pub(super) eps: f64,
    pub(super) momentum: f64,
}

/// Convolutions with batch norm, from one number of maps to another.
#[derive(Clone, Copy)]
pub(super) struct Units {
    pub(super) norm: Norm,
    pub(super) nonlinearity: Nonlinearity,
}

impl Units {
    /// A convolution and batch norm, with these two scopes.
    pub(super) fn linear(
        self,
        scopes: [&Builder; 2],
        inputs: usize,
        outputs: usize,
        options: ConvOptions,
    ) -> Result<ConvUnit> {
        let Norm { eps, momentum } = self.norm;
        let options = options.without_bias().weight(WEIGHT);
        let conv = Conv2d::new(scopes[0], inputs, outputs, &options)?;
        let norm = BatchNorm2d::with_options(scopes[1], outputs, eps, momentum)?;
        Ok(ConvUnit::new(conv).norm(norm))
    }

    /// A convolution, batch norm and what follows: modules 0, 1 and 2 of the scope.
    pub(super) fn with_nonlinearity(
        self,
        scope: &Builder,
        inputs: usize,
        outputs: usize,
        options: ConvOptions,
    ) -> Result<ConvUnit> {
        let scopes = [&scope.scope(0), &scope.scope(1)];
        let unit = self.linear(scopes, inputs, outputs, options)?;
        Ok(unit.activation(Activation::new(&scope.scope(2), self.nonlinearity)))
    }

    /// A filter of `kernel` × `kernel` for each map.
    pub(super) fn depthwise(
        self,
        scope: &Builder,
        maps: usize,
        kernel: usize,
        stride: usize,
    ) -> Result<ConvUnit> {
        let filters = ConvOptions::square(kernel).padding(kernel / 2).groups(maps);
        self.with_nonlinearity(scope, maps, maps, filters.stride(stride))
    }
}

/// Layers with a shortcut beside them if they keep the shape of the maps.
pub(super) fn block(builder: &Builder, layers: Sequential, keeps_shape: bool) -> Sequential {
    if keeps_shape {
        Sequential::new().with(Residual::new(builder, layers))
    } else {
        layers
    }
}

/// A linear layer drawn as torchvision's MobileNets draw it.
pub(super) fn linear(builder: &Builder, inputs: usize, outputs: usize) -> Result<Linear> {
    let (weight, bias) = (WeightInit::Normal(0.01), BiasInit::Constant(0.0));
    Linear::with_init(builder, inputs, outputs, weight, bias)
}
