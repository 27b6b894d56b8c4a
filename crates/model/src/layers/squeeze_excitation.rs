//! Squeeze-and-excitation (Hu et al. 2018), as `torchvision.ops.SqueezeExcitation`.

use candle_core::{Result, Tensor};

use super::{Activation, Conv2d, ConvOptions, ConvUnit, GlobalAvgPool, Layer, Nonlinearity};
use crate::{
    Builder, Pass,
    init::{BiasInit, WeightInit},
};

/// Scales each map by a number between 0 and 1 that two small layers compute from the means of all maps.
pub struct SqueezeExcitation {
    pool: GlobalAvgPool,
    squeeze: ConvUnit,
    excite: ConvUnit,
    /// The name of the product.
    name: String,
}

impl SqueezeExcitation {
    /// For `channels` maps, whose means are squeezed to `squeezed` numbers; `gate` is the function at the end. The weights of
    /// `fc1` and `fc2`, 1×1 convolutions with bias, are drawn as `weight` says and their biases are 0.
    pub fn new(
        builder: &Builder,
        channels: usize,
        squeezed: usize,
        gate: Nonlinearity,
        weight: WeightInit,
    ) -> Result<Self> {
        let options = ConvOptions::square(1)
            .weight(weight)
            .bias(BiasInit::Constant(0.0));
        let scope = |name: &str| builder.scope(name);
        let squeeze = Conv2d::new(&scope("fc1"), channels, squeezed, &options)?;
        let excite = Conv2d::new(&scope("fc2"), squeezed, channels, &options)?;
        let gate = Activation::new(&scope("scale_activation"), gate);
        Ok(Self {
            pool: GlobalAvgPool::new(&scope("avgpool")),
            squeeze: ConvUnit::new(squeeze).activation(Activation::relu(&scope("activation"))),
            excite: ConvUnit::new(excite).activation(gate),
            name: scope("scale").path().to_owned(),
        })
    }
}

impl Layer for SqueezeExcitation {
    fn forward(&self, x: &Tensor, pass: &Pass<'_>) -> Result<Tensor> {
        let means = self.pool.forward(x, pass)?;
        let (n, channels) = means.dims2()?;
        let means = graft_ops::reshape(pass.tape(), &means, (n, 1, 1, channels))?;
        let squeezed = self.squeeze.forward(&means, pass)?;
        let gate = self.excite.forward(&squeezed, pass)?;
        let gate = graft_ops::reshape(pass.tape(), &gate, (n, channels))?;
        let y = graft_ops::scale_channels(pass.tape(), x, &gate)?;
        if let Some(trace) = pass.trace() {
            trace.note(&self.name, "scale", &y, &[], 0);
        }
        Ok(y)
    }
}
