//! MobileNet v2 (Sandler et al. 2018), in torchvision's layout.

use candle_core::Result;
use toml::Table;

use super::inverted_residual::{Norm, Units, block, linear};
use crate::{
    Assembly, Builder, OptionError, Output,
    layers::{ConvOptions, Dropout, GlobalAvgPool, Nonlinearity, Sequential},
    options::{DROPOUT, only_dropout},
    registry::{Entry, IMAGENET_MEAN, IMAGENET_STD, WeightSource, at_least, same_name},
};

pub(crate) const ENTRY: Entry = Entry {
    name: "mobilenet_v2",
    about: "MobileNet v2: inverted residuals with linear bottlenecks (Sandler et al. 2018)",
    options: &[DROPOUT],
    default_size: 224,
    mean: IMAGENET_MEAN,
    std: IMAGENET_STD,
    classifier: "classifier.",
    auxiliary: &[],
    weights: &[
        WeightSource {
            spec: "https://download.pytorch.org/models/mobilenet_v2-b0353104.pth",
            trained_on: "ImageNet-1k",
        },
        WeightSource {
            spec: "https://download.pytorch.org/models/mobilenet_v2-7ebf99e0.pth",
            trained_on: "ImageNet-1k",
        },
    ],
    extractor: false,
    rename: same_name,
    check: |table| Ok(read(table)?.1),
    check_size: |_, size| at_least(1, size),
    build: |table, assembly| Ok(build(read(table)?.0, assembly)?),
};

fn read(table: &Table) -> std::result::Result<(f64, Table), OptionError> {
    only_dropout(table, 0.2)
}

const UNITS: Units = Units {
    norm: Norm {
        eps: 1e-5,
        momentum: 0.1,
    },
    nonlinearity: Nonlinearity::Relu6,
};

/// Groups of blocks: by what the maps are multiplied inside, the maps that come out, how many blocks, and the first one's
/// stride.
const GROUPS: [(usize, usize, usize, usize); 7] = [
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
];

/// Many maps, a filter for each, and few maps again, with a shortcut where the shape stays.
fn inverted_residual(
    builder: &Builder,
    inputs: usize,
    outputs: usize,
    expansion: usize,
    stride: usize,
) -> Result<Sequential> {
    let scope = builder.scope("conv");
    let (between, point) = (inputs * expansion, ConvOptions::square(1));
    let mut layers = Sequential::new();
    let mut place = 0;
    if expansion != 1 {
        layers.push(UNITS.with_nonlinearity(&scope.scope(0), inputs, between, point)?);
        place = 1;
    }
    layers.push(UNITS.depthwise(&scope.scope(place), between, 3, stride)?);
    let scopes = [&scope.scope(place + 1), &scope.scope(place + 2)];
    layers.push(UNITS.linear(scopes, between, outputs, point)?);
    let keeps_shape = stride == 1 && inputs == outputs;
    Ok(block(builder, layers, keeps_shape))
}

/// A stem, seventeen blocks, a wide 1×1 convolution, the mean of each map, and a linear head.
fn build(dropout: f64, assembly: &mut Assembly<'_>) -> Result<()> {
    let mut inputs = 32;
    assembly.stage("features.0", Output::Maps(inputs), |builder| {
        let stem = ConvOptions::square(3).stride(2).padding(1);
        UNITS.with_nonlinearity(builder, 3, inputs, stem)
    })?;
    let mut place = 1;
    for (expansion, outputs, count, first_stride) in GROUPS {
        for i in 0..count {
            let stride = if i == 0 { first_stride } else { 1 };
            let name = format!("features.{place}");
            assembly.stage(&name, Output::Maps(outputs), |builder| {
                inverted_residual(builder, inputs, outputs, expansion, stride)
            })?;
            (inputs, place) = (outputs, place + 1);
        }
    }
    let features = 1280;
    let name = format!("features.{place}");
    assembly.stage(&name, Output::Maps(features), |builder| {
        UNITS.with_nonlinearity(builder, inputs, features, ConvOptions::square(1))
    })?;
    assembly.stage("avgpool", Output::Vector(features), |builder| {
        Ok(GlobalAvgPool::new(builder))
    })?;
    assembly.head(|builder, classes| {
        let scope = builder.scope("classifier");
        Ok(Sequential::new()
            .with(Dropout::new(&scope.scope(0), dropout))
            .with(linear(&scope.scope(1), features, classes)?))
    })
}
