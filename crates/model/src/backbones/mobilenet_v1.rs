//! MobileNet v1 (Howard et al. 2017), in the layout of timm's `mobilenetv1_100`.

use candle_core::Result;
use toml::Table;

use crate::{
    Assembly, Builder, OptionError, Output,
    init::{BiasInit, WeightInit},
    layers::{
        Activation, BatchNorm2d, Conv2d, ConvOptions, ConvUnit, Dropout, GlobalAvgPool, Linear,
        Nonlinearity, Sequential,
    },
    options::{DROPOUT, only_dropout},
    registry::{Entry, WeightSource, at_least, same_name},
};

pub(crate) const ENTRY: Entry = Entry {
    name: "mobilenet_v1",
    about: "MobileNet: separable convolutions for phones (Howard et al. 2017)",
    options: &[DROPOUT],
    default_size: 224,
    mean: [0.5; 3],
    std: [0.5; 3],
    classifier: "classifier.",
    auxiliary: &[],
    weights: &[WeightSource {
        spec: "hf:timm/mobilenetv1_100.ra4_e3600_r224_in1k",
        trained_on: "ImageNet-1k",
    }],
    extractor: false,
    rename: same_name,
    check: |table| Ok(read(table)?.1),
    check_size: |_, size| at_least(1, size),
    build: |table, assembly| Ok(build(read(table)?.0, assembly)?),
};

fn read(table: &Table) -> std::result::Result<(f64, Table), OptionError> {
    only_dropout(table, 0.0)
}

/// A convolution, batch norm and a rectifier; `names` are those of the first two. The weight is drawn as timm draws it, from
/// N(0, 2 / (kernel · outputs / groups)).
fn unit(
    builder: &Builder,
    names: [&str; 2],
    inputs: usize,
    outputs: usize,
    options: ConvOptions,
) -> Result<ConvUnit> {
    let (height, width) = options.kernel;
    let fan_out = height * width * outputs / options.geometry.groups;
    let options = options
        .without_bias()
        .weight(WeightInit::Normal((2.0 / fan_out as f64).sqrt()));
    let [conv, norm] = names.map(|name| builder.scope(name));
    let unit = ConvUnit::new(Conv2d::new(&conv, inputs, outputs, &options)?)
        .norm(BatchNorm2d::new(&norm, outputs)?);
    let relu6 = Activation::new(&norm.scope("act"), Nonlinearity::Relu6);
    Ok(unit.activation(relu6))
}

/// A 3×3 filter for each map, then a 1×1 convolution.
fn separable(
    builder: &Builder,
    inputs: usize,
    outputs: usize,
    stride: usize,
) -> Result<Sequential> {
    let filters = ConvOptions::square(3).padding(1).groups(inputs);
    let filters = filters.stride(stride);
    let point = ConvOptions::square(1);
    Ok(Sequential::new()
        .with(unit(builder, ["conv_dw", "bn1"], inputs, inputs, filters)?)
        .with(unit(builder, ["conv_pw", "bn2"], inputs, outputs, point)?))
}

/// Groups of separable convolutions: how many, and their maps. All but the first group halve the maps' sides.
const GROUPS: [(usize, usize); 5] = [(1, 64), (2, 128), (2, 256), (6, 512), (2, 1024)];

/// A stem, thirteen separable convolutions, the mean of each map, and a linear head.
fn build(dropout: f64, assembly: &mut Assembly<'_>) -> Result<()> {
    let mut inputs = 32;
    assembly.stage("bn1", Output::Maps(inputs), |builder| {
        let options = ConvOptions::square(3).stride(2).padding(1);
        unit(&builder.root(), ["conv_stem", "bn1"], 3, inputs, options)
    })?;
    for (group, (count, outputs)) in GROUPS.into_iter().enumerate() {
        for block in 0..count {
            let stride = if group > 0 && block == 0 { 2 } else { 1 };
            let name = format!("blocks.{group}.{block}");
            assembly.stage(&name, Output::Maps(outputs), |builder| {
                separable(builder, inputs, outputs, stride)
            })?;
            inputs = outputs;
        }
    }
    assembly.stage("global_pool", Output::Vector(inputs), |builder| {
        Ok(GlobalAvgPool::new(builder))
    })?;
    assembly.head(|builder, classes| {
        let (weight, bias) = (
            WeightInit::Uniform((classes as f64).sqrt().recip()),
            BiasInit::Constant(0.0),
        );
        let linear =
            Linear::with_init(&builder.scope("classifier"), inputs, classes, weight, bias)?;
        Ok(Sequential::new()
            .with(Dropout::new(&builder.scope("dropout"), dropout))
            .with(linear))
    })
}
