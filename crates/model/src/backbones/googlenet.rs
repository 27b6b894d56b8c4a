//! GoogLeNet (Szegedy et al. 2015) with batch norm, in torchvision's layout.

use candle_core::Result;
use toml::Table;

use super::basic_conv::basic_conv;
use crate::{
    Assembly, Builder, OptionError, Output,
    init::{BiasInit, WeightInit},
    layers::{
        Activation, AdaptiveAvgPool, Branches, ConvOptions, ConvUnit, Dropout, Flatten,
        GlobalAvgPool, Linear, MaxPool2d, Sequential,
    },
    options::{OptionInfo, Options},
    registry::{Entry, WeightSource, at_least, same_name},
};

pub(crate) const ENTRY: Entry = Entry {
    name: "googlenet",
    about: "GoogLeNet, or Inception v1, with batch norm and two auxiliary classifiers (Szegedy et al. 2015)",
    options: &[
        OptionInfo {
            name: "dropout",
            meaning: "probability of dropping a feature before the classifier",
        },
        OptionInfo {
            name: "auxiliary",
            meaning: "whether two more classifiers take part in training",
        },
        OptionInfo {
            name: "auxiliary_dropout",
            meaning: "probability of dropping a feature before the classes of those classifiers",
        },
    ],
    default_size: 224,
    // torchvision gives its weights pictures normalised with ImageNet's statistics and turns them into these (`transform_input`).
    mean: [0.5; 3],
    std: [0.5; 3],
    classifier: "fc.",
    auxiliary: &["aux1.", "aux2."],
    weights: &[WeightSource {
        spec: "https://download.pytorch.org/models/googlenet-1378be20.pth",
        trained_on: "ImageNet-1k",
    }],
    extractor: false,
    rename: same_name,
    check: |table| Ok(read(table)?.1),
    // The third pool needs 2×2 values, which smaller pictures do not leave.
    check_size: |_, size| at_least(15, size),
    build: |table, assembly| Ok(build(&read(table)?.0, assembly)?),
};

struct Choices {
    dropout: f64,
    auxiliary: bool,
    auxiliary_dropout: f64,
}

fn read(table: &Table) -> std::result::Result<(Choices, Table), OptionError> {
    let mut options = Options::new(table, ENTRY.options)?;
    let choices = Choices {
        dropout: options.probability("dropout", 0.2)?,
        auxiliary: options.flag("auxiliary", true)?,
        auxiliary_dropout: options.probability("auxiliary_dropout", 0.7)?,
    };
    Ok((choices, options.finish()))
}

/// The standard deviation of all initial weights.
const STD: f64 = 0.01;

fn unit(
    builder: &Builder,
    inputs: usize,
    outputs: usize,
    options: ConvOptions,
) -> Result<ConvUnit> {
    basic_conv(builder, inputs, outputs, options, STD)
}

/// A group of branches: 1×1 convolutions; two 3×3 ones, each on maps that a 1×1 convolution has made few; and a pool.
#[derive(Clone, Copy)]
struct Inception {
    name: &'static str,
    inputs: usize,
    /// Maps of the 1×1 convolution.
    point: usize,
    /// Few maps and maps of the first 3×3 convolution.
    first: [usize; 2],
    /// Few maps and maps of the second one, which was 5×5 in the paper.
    second: [usize; 2],
    /// Maps behind the pool.
    pool: usize,
}

impl Inception {
    const fn new(
        name: &'static str,
        inputs: usize,
        [point, few_first, first, few_second, second, pool]: [usize; 6],
    ) -> Self {
        Self {
            name,
            inputs,
            point,
            first: [few_first, first],
            second: [few_second, second],
            pool,
        }
    }

    fn outputs(&self) -> usize {
        self.point + self.first[1] + self.second[1] + self.pool
    }

    fn build(&self, builder: &Builder) -> Result<Branches> {
        let (inputs, point) = (self.inputs, ConvOptions::square(1));
        let same = ConvOptions::square(3).padding(1);
        let two = |name: &str, [few, outputs]: [usize; 2]| -> Result<Sequential> {
            let scope = builder.scope(name);
            Ok(Sequential::new()
                .with(unit(&scope.scope(0), inputs, few, point)?)
                .with(unit(&scope.scope(1), few, outputs, same)?))
        };
        let scope = builder.scope("branch4");
        let pool = MaxPool2d::new(&scope.scope(0), 3, 1).padding(1);
        let pooled = Sequential::new().with(pool.ceil_mode()).with(unit(
            &scope.scope(1),
            inputs,
            self.pool,
            point,
        )?);
        Ok(Branches::new(builder)
            .with(unit(&builder.scope("branch1"), inputs, self.point, point)?)
            .with(two("branch2", self.first)?)
            .with(two("branch3", self.second)?)
            .with(pooled))
    }
}

const GROUPS: [Inception; 9] = [
    Inception::new("inception3a", 192, [64, 96, 128, 16, 32, 32]),
    Inception::new("inception3b", 256, [128, 128, 192, 32, 96, 64]),
    Inception::new("inception4a", 480, [192, 96, 208, 16, 48, 64]),
    Inception::new("inception4b", 512, [160, 112, 224, 24, 64, 64]),
    Inception::new("inception4c", 512, [128, 128, 256, 24, 64, 64]),
    Inception::new("inception4d", 512, [112, 144, 288, 32, 64, 64]),
    Inception::new("inception4e", 528, [256, 160, 320, 32, 128, 128]),
    Inception::new("inception5a", 832, [256, 160, 320, 32, 128, 128]),
    Inception::new("inception5b", 832, [384, 192, 384, 48, 128, 128]),
];

/// A stem, nine groups of branches, the mean of each map, and a linear head.
fn build(choices: &Choices, assembly: &mut Assembly<'_>) -> Result<()> {
    stem(assembly)?;
    for group in GROUPS {
        let outputs = group.outputs();
        assembly.stage(group.name, Output::Maps(outputs), |builder| {
            group.build(builder)
        })?;
        match group.name {
            "inception3b" => pool(assembly, "maxpool3", outputs, 3)?,
            "inception4a" if choices.auxiliary => auxiliary(assembly, "aux1", outputs, choices)?,
            "inception4d" if choices.auxiliary => auxiliary(assembly, "aux2", outputs, choices)?,
            "inception4e" => pool(assembly, "maxpool4", outputs, 2)?,
            _ => {}
        }
    }
    assembly.stage("avgpool", Output::Vector(1024), |builder| {
        Ok(GlobalAvgPool::new(builder))
    })?;
    assembly.head(|builder, classes| {
        Ok(Sequential::new()
            .with(Dropout::new(&builder.scope("dropout"), choices.dropout))
            .with(linear(&builder.scope("fc"), 1024, classes)?))
    })
}

fn stem(assembly: &mut Assembly<'_>) -> Result<()> {
    assembly.stage("maxpool1", Output::Maps(64), |builder| {
        let options = ConvOptions::square(7).stride(2).padding(3);
        let unit = unit(&builder.root().scope("conv1"), 3, 64, options)?;
        Ok(unit.pool(MaxPool2d::new(builder, 3, 2).ceil_mode()))
    })?;
    assembly.stage("conv2", Output::Maps(64), |builder| {
        unit(builder, 64, 64, ConvOptions::square(1))
    })?;
    assembly.stage("maxpool2", Output::Maps(192), |builder| {
        let options = ConvOptions::square(3).padding(1);
        let unit = unit(&builder.root().scope("conv3"), 64, 192, options)?;
        Ok(unit.pool(MaxPool2d::new(builder, 3, 2).ceil_mode()))
    })
}

/// A pool that halves the maps.
fn pool(assembly: &mut Assembly<'_>, name: &str, maps: usize, kernel: usize) -> Result<()> {
    assembly.stage(name, Output::Maps(maps), |builder| {
        Ok(MaxPool2d::new(builder, kernel, 2).ceil_mode())
    })
}

/// Another classifier on so many maps.
fn auxiliary(
    assembly: &mut Assembly<'_>,
    name: &str,
    maps: usize,
    choices: &Choices,
) -> Result<()> {
    let point = ConvOptions::square(1);
    assembly.auxiliary(name, 0.3, |builder, classes| {
        let scope = |name: &str| builder.scope(name);
        Ok(Sequential::new()
            .with(AdaptiveAvgPool::new(&scope("avgpool"), 4, 4))
            .with(unit(&scope("conv"), maps, 128, point)?)
            .with(Flatten::new(&scope("flatten")))
            .with(linear(&scope("fc1"), 4 * 4 * 128, 1024)?)
            .with(Activation::relu(&scope("relu")))
            .with(Dropout::new(&scope("dropout"), choices.auxiliary_dropout))
            .with(linear(&scope("fc2").head(), 1024, classes)?))
    })
}

/// A linear layer with a weight drawn as those of the units, and a bias as PyTorch draws it.
fn linear(builder: &Builder, inputs: usize, outputs: usize) -> Result<Linear> {
    let weight = WeightInit::TruncatedNormal(STD);
    Linear::with_init(builder, inputs, outputs, weight, BiasInit::Torch)
}
