//! VGG networks (Simonyan and Zisserman 2015), in torchvision's layout.

use candle_core::Result;
use toml::Table;

use crate::{
    Assembly, Builder, OptionError, Output,
    init::{BiasInit, WeightInit},
    layers::{
        Activation, AdaptiveAvgPool, BatchNorm2d, Conv2d, ConvOptions, ConvUnit, Dropout, Flatten,
        Linear, MaxPool2d, Sequential,
    },
    options::{OptionInfo, only_dropout},
    registry::{BuildError, Entry, IMAGENET_MEAN, IMAGENET_STD, WeightSource, at_least, same_name},
};

pub(crate) const VGG11: Entry = entry(
    "vgg11",
    "VGG of 8 convolutions and 3 linear layers (Simonyan and Zisserman 2015)",
    &[WeightSource {
        spec: "https://download.pytorch.org/models/vgg11-8a719046.pth",
        trained_on: "ImageNet-1k",
    }],
    |table, assembly| build([1, 1, 2, 2, 2], false, table, assembly),
);

pub(crate) const VGG11_BN: Entry = entry(
    "vgg11_bn",
    "VGG-11 with batch norm after each convolution",
    &[WeightSource {
        spec: "https://download.pytorch.org/models/vgg11_bn-6002323d.pth",
        trained_on: "ImageNet-1k",
    }],
    |table, assembly| build([1, 1, 2, 2, 2], true, table, assembly),
);

pub(crate) const VGG13: Entry = entry(
    "vgg13",
    "VGG of 10 convolutions and 3 linear layers (Simonyan and Zisserman 2015)",
    &[WeightSource {
        spec: "https://download.pytorch.org/models/vgg13-19584684.pth",
        trained_on: "ImageNet-1k",
    }],
    |table, assembly| build([2, 2, 2, 2, 2], false, table, assembly),
);

pub(crate) const VGG13_BN: Entry = entry(
    "vgg13_bn",
    "VGG-13 with batch norm after each convolution",
    &[WeightSource {
        spec: "https://download.pytorch.org/models/vgg13_bn-abd245e5.pth",
        trained_on: "ImageNet-1k",
    }],
    |table, assembly| build([2, 2, 2, 2, 2], true, table, assembly),
);

pub(crate) const VGG16: Entry = entry(
    "vgg16",
    "VGG of 13 convolutions and 3 linear layers (Simonyan and Zisserman 2015)",
    &[WeightSource {
        spec: "https://download.pytorch.org/models/vgg16-397923af.pth",
        trained_on: "ImageNet-1k",
    }],
    |table, assembly| build([2, 2, 3, 3, 3], false, table, assembly),
);

pub(crate) const VGG16_BN: Entry = entry(
    "vgg16_bn",
    "VGG-16 with batch norm after each convolution",
    &[WeightSource {
        spec: "https://download.pytorch.org/models/vgg16_bn-6c64b313.pth",
        trained_on: "ImageNet-1k",
    }],
    |table, assembly| build([2, 2, 3, 3, 3], true, table, assembly),
);

pub(crate) const VGG19: Entry = entry(
    "vgg19",
    "VGG of 16 convolutions and 3 linear layers (Simonyan and Zisserman 2015)",
    &[WeightSource {
        spec: "https://download.pytorch.org/models/vgg19-dcbb9e9d.pth",
        trained_on: "ImageNet-1k",
    }],
    |table, assembly| build([2, 2, 4, 4, 4], false, table, assembly),
);

pub(crate) const VGG19_BN: Entry = entry(
    "vgg19_bn",
    "VGG-19 with batch norm after each convolution",
    &[WeightSource {
        spec: "https://download.pytorch.org/models/vgg19_bn-c79401a0.pth",
        trained_on: "ImageNet-1k",
    }],
    |table, assembly| build([2, 2, 4, 4, 4], true, table, assembly),
);

const OPTIONS: &[OptionInfo] = &[OptionInfo {
    name: "dropout",
    meaning: "probability of dropping a unit before each of the last two linear layers",
}];

const fn entry(
    name: &'static str,
    about: &'static str,
    weights: &'static [WeightSource],
    build: fn(&Table, &mut Assembly<'_>) -> std::result::Result<(), BuildError>,
) -> Entry {
    Entry {
        name,
        about,
        options: OPTIONS,
        default_size: 224,
        mean: IMAGENET_MEAN,
        std: IMAGENET_STD,
        classifier: "classifier.6.",
        auxiliary: &[],
        weights,
        extractor: false,
        rename: same_name,
        check: |table| Ok(read(table)?.1),
        // Five pools halve the maps, and the last of them needs 2×2 values.
        check_size: |_, size| at_least(32, size),
        build,
    }
}

fn read(table: &Table) -> std::result::Result<(f64, Table), OptionError> {
    only_dropout(table, 0.5)
}

/// Maps of the convolutions of each group.
const MAPS: [usize; 5] = [64, 128, 256, 512, 512];
/// Height and width of the maps before the linear layers, to which those of other sizes are averaged.
const SIDE: usize = 7;
/// Units of each hidden linear layer.
const UNITS: usize = 4096;

/// Five groups of 3×3 convolutions, each group with a pool at its end, and three linear layers, the last of which is the head.
fn build(
    convolutions: [usize; 5],
    batch_norm: bool,
    table: &Table,
    assembly: &mut Assembly<'_>,
) -> std::result::Result<(), BuildError> {
    let dropout = read(table)?.0;
    let (mut inputs, mut first) = (3, 0);
    for (count, outputs) in convolutions.into_iter().zip(MAPS) {
        for i in 1..=count {
            let unit = Unit {
                first,
                batch_norm,
                pool: i == count,
            };
            let name = format!("features.{}", unit.last());
            assembly.stage(&name, Output::Maps(outputs), |builder| {
                unit.build(&builder.root().scope("features"), inputs, outputs)
            })?;
            (inputs, first) = (outputs, unit.last() + 1);
        }
    }
    assembly.stage("avgpool", Output::Maps(inputs), |builder| {
        Ok(AdaptiveAvgPool::new(builder, SIDE, SIDE))
    })?;
    assembly.stage("classifier.1", Output::Vector(UNITS), |builder| {
        let root = builder.root();
        let hidden = linear(&root.scope("classifier.0"), SIDE * SIDE * inputs, UNITS)?;
        Ok(Sequential::new()
            .with(Flatten::new(&root.scope("flatten")))
            .with(hidden)
            .with(Activation::relu(builder)))
    })?;
    assembly.stage("classifier.4", Output::Vector(UNITS), |builder| {
        let scope = builder.root().scope("classifier");
        Ok(Sequential::new()
            .with(Dropout::new(&scope.scope(2), dropout))
            .with(linear(&scope.scope(3), UNITS, UNITS)?)
            .with(Activation::relu(builder)))
    })?;
    assembly.head(|builder, classes| {
        let scope = builder.scope("classifier");
        Ok(Sequential::new()
            .with(Dropout::new(&scope.scope(5), dropout))
            .with(linear(&scope.scope(6), UNITS, classes)?))
    })?;
    Ok(())
}

/// A convolution and what follows it, numbered one by one among the features.
#[derive(Clone, Copy)]
struct Unit {
    /// The number of the convolution.
    first: usize,
    batch_norm: bool,
    pool: bool,
}

impl Unit {
    /// The number of the rectifier.
    fn relu(self) -> usize {
        self.first + 1 + usize::from(self.batch_norm)
    }

    /// The number of the last layer.
    fn last(self) -> usize {
        self.relu() + usize::from(self.pool)
    }

    fn build(self, scope: &Builder, inputs: usize, outputs: usize) -> Result<ConvUnit> {
        let options = ConvOptions::square(3)
            .padding(1)
            .weight(WeightInit::KaimingNormalFanOut)
            .bias(BiasInit::Constant(0.0));
        let conv = Conv2d::new(&scope.scope(self.first), inputs, outputs, &options)?;
        let mut unit = ConvUnit::new(conv);
        if self.batch_norm {
            unit = unit.norm(BatchNorm2d::new(&scope.scope(self.first + 1), outputs)?);
        }
        unit = unit.activation(Activation::relu(&scope.scope(self.relu())));
        if self.pool {
            unit = unit.pool(MaxPool2d::new(&scope.scope(self.last()), 2, 2));
        }
        Ok(unit)
    }
}

/// A linear layer drawn as torchvision's VGGs draw it.
fn linear(builder: &Builder, inputs: usize, outputs: usize) -> Result<Linear> {
    let (weight, bias) = (WeightInit::Normal(0.01), BiasInit::Constant(0.0));
    Linear::with_init(builder, inputs, outputs, weight, bias)
}
