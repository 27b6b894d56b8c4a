//! The unit that GoogLeNet and Inception v3 are made of, in torchvision's layout.

use candle_core::Result;

use crate::{
    Builder,
    init::WeightInit,
    layers::{Activation, BatchNorm2d, Conv2d, ConvOptions, ConvUnit},
};

/// A convolution without bias, batch norm and a rectifier. The weight is drawn from a normal distribution with this standard
/// deviation, cut off at ±2.
pub(super) fn basic_conv(
    builder: &Builder,
    inputs: usize,
    outputs: usize,
    options: ConvOptions,
    std: f64,
) -> Result<ConvUnit> {
    let options = options
        .without_bias()
        .weight(WeightInit::TruncatedNormal(std));
    let conv = Conv2d::new(&builder.scope("conv"), inputs, outputs, &options)?;
    let norm = BatchNorm2d::with_options(&builder.scope("bn"), outputs, 0.001, 0.1)?;
    let relu = Activation::relu(&builder.scope("relu"));
    Ok(ConvUnit::new(conv).norm(norm).activation(relu))
}
