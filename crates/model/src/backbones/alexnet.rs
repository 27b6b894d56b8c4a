//! AlexNet (Krizhevsky 2014), in torchvision's layout.

use candle_core::Result;
use toml::Table;

use crate::{
    Assembly, OptionError, Output,
    layers::{
        Activation, AdaptiveAvgPool, Conv2d, ConvOptions, ConvUnit, Dropout, Flatten, Linear,
        MaxPool2d, Sequential,
    },
    options::{OptionInfo, only_dropout},
    registry::{Entry, IMAGENET_MEAN, IMAGENET_STD, WeightSource, at_least, same_name},
};

pub(crate) const ENTRY: Entry = Entry {
    name: "alexnet",
    about: "AlexNet: 5 convolutions and 3 linear layers, in the version for one device (Krizhevsky 2014)",
    options: &[OptionInfo {
        name: "dropout",
        meaning: "probability of dropping a unit before each of the first two linear layers",
    }],
    default_size: 224,
    mean: IMAGENET_MEAN,
    std: IMAGENET_STD,
    classifier: "classifier.6.",
    auxiliary: &[],
    weights: &[WeightSource {
        spec: "https://download.pytorch.org/models/alexnet-owt-7be5be79.pth",
        trained_on: "ImageNet-1k",
    }],
    extractor: false,
    rename: same_name,
    check: |table| Ok(read(table)?.1),
    // The third pool needs 3×3 values, which smaller pictures do not leave.
    check_size: |_, size| at_least(63, size),
    build: |table, assembly| Ok(build(read(table)?.0, assembly)?),
};

fn read(table: &Table) -> std::result::Result<(f64, Table), OptionError> {
    only_dropout(table, 0.5)
}

/// Height and width of the maps before the linear layers, to which those of other sizes are averaged.
const SIDE: usize = 6;
/// Units of each hidden linear layer.
const UNITS: usize = 4096;

fn build(dropout: f64, assembly: &mut Assembly<'_>) -> Result<()> {
    let same = |kernel: usize| ConvOptions::square(kernel).padding(kernel / 2);
    // Each convolution: its number among the features, its maps, and whether a pool follows.
    let convolutions = [
        (0, ConvOptions::square(11).stride(4).padding(2), 64, true),
        (3, same(5), 192, true),
        (6, same(3), 384, false),
        (8, same(3), 256, false),
        (10, same(3), 256, true),
    ];
    let mut inputs = 3;
    for (number, options, outputs, pool) in convolutions {
        let last = number + 1 + usize::from(pool);
        let name = format!("features.{last}");
        assembly.stage(&name, Output::Maps(outputs), |builder| {
            let scope = builder.root().scope("features");
            let conv = Conv2d::new(&scope.scope(number), inputs, outputs, &options)?;
            let unit = ConvUnit::new(conv).activation(Activation::relu(&scope.scope(number + 1)));
            Ok(if pool {
                unit.pool(MaxPool2d::new(builder, 3, 2))
            } else {
                unit
            })
        })?;
        inputs = outputs;
    }
    assembly.stage("avgpool", Output::Maps(inputs), |builder| {
        Ok(AdaptiveAvgPool::new(builder, SIDE, SIDE))
    })?;
    assembly.stage("classifier.2", Output::Vector(UNITS), |builder| {
        let root = builder.root();
        let scope = root.scope("classifier");
        let inputs = SIDE * SIDE * inputs;
        Ok(Sequential::new()
            .with(Flatten::new(&root.scope("flatten")))
            .with(Dropout::new(&scope.scope(0), dropout))
            .with(Linear::new(&scope.scope(1), inputs, UNITS)?)
            .with(Activation::relu(builder)))
    })?;
    assembly.stage("classifier.5", Output::Vector(UNITS), |builder| {
        let scope = builder.root().scope("classifier");
        Ok(Sequential::new()
            .with(Dropout::new(&scope.scope(3), dropout))
            .with(Linear::new(&scope.scope(4), UNITS, UNITS)?)
            .with(Activation::relu(builder)))
    })?;
    assembly.head(|builder, classes| {
        let scope = builder.scope("classifier").scope(6);
        Ok(Sequential::new().with(Linear::new(&scope, UNITS, classes)?))
    })
}
