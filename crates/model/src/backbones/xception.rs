//! Xception (Chollet 2017), in the layout of timm's `legacy_xception`.

use candle_core::Result;
use toml::Table;

use crate::{
    Assembly, Builder, OptionError, Output,
    init::WeightInit,
    layers::{
        Activation, BatchNorm2d, Conv2d, ConvOptions, ConvUnit, Dropout, GlobalAvgPool, Linear,
        MaxPool2d, Residual, Sequential,
    },
    options::{DROPOUT, only_dropout},
    registry::{Entry, WeightSource, at_least, same_name},
};

pub(crate) const ENTRY: Entry = Entry {
    name: "xception",
    about: "Xception: separable convolutions in residual blocks (Chollet 2017)",
    options: &[DROPOUT],
    default_size: 299,
    mean: [0.5; 3],
    std: [0.5; 3],
    classifier: "fc.",
    auxiliary: &[],
    weights: &[
        WeightSource {
            spec: "hf:timm/legacy_xception.tf_in1k",
            trained_on: "ImageNet-1k",
        },
        WeightSource {
            spec: "https://github.com/rwightman/pytorch-image-models/releases/download/v0.1-cadene/xception-43020ad28.pth",
            trained_on: "ImageNet-1k",
        },
    ],
    extractor: false,
    rename: same_name,
    check: |table| Ok(read(table)?.1),
    // The two convolutions of the stem have no padding.
    check_size: |_, size| at_least(7, size),
    build: |table, assembly| Ok(build(read(table)?.0, assembly)?),
};

fn read(table: &Table) -> std::result::Result<(f64, Table), OptionError> {
    only_dropout(table, 0.0)
}

/// A convolution before batch norm, drawn as timm draws it.
fn conv(builder: &Builder, inputs: usize, outputs: usize, options: ConvOptions) -> Result<Conv2d> {
    let options = options
        .without_bias()
        .weight(WeightInit::KaimingNormalFanOut);
    Conv2d::new(builder, inputs, outputs, &options)
}

/// A separable convolution: a 3×3 filter for each map, then a 1×1 convolution, to which more may be added.
fn separable(builder: &Builder, inputs: usize, outputs: usize) -> Result<(Conv2d, ConvUnit)> {
    let filters = ConvOptions::square(3).padding(1).groups(inputs);
    let depthwise = conv(&builder.scope("conv1"), inputs, inputs, filters)?;
    let point = ConvOptions::square(1);
    let pointwise = conv(&builder.scope("pointwise"), inputs, outputs, point)?;
    Ok((depthwise, ConvUnit::new(pointwise)))
}

/// Separable convolutions with batch norm, beside a shortcut.
#[derive(Clone, Copy)]
struct Block {
    number: usize,
    inputs: usize,
    outputs: usize,
    /// How many separable convolutions there are.
    convolutions: usize,
    stride: usize,
    /// Whether a rectifier comes first.
    rectified: bool,
    /// Whether the number of maps grows in the first convolution rather than in the last.
    grows_first: bool,
}

impl Block {
    /// A block that halves the maps.
    fn halving(number: usize, inputs: usize, outputs: usize) -> Self {
        Self {
            number,
            inputs,
            outputs,
            convolutions: 2,
            stride: 2,
            rectified: true,
            grows_first: true,
        }
    }

    /// A block that keeps the maps' size and number.
    fn keeping(number: usize, maps: usize) -> Self {
        Self {
            convolutions: 3,
            stride: 1,
            ..Self::halving(number, maps, maps)
        }
    }

    fn build(self, builder: &Builder) -> Result<Residual> {
        let block = Residual::new(builder, self.layers(&builder.scope("rep"))?);
        if self.stride == 1 && self.inputs == self.outputs {
            return Ok(block);
        }
        let options = ConvOptions::square(1).stride(self.stride);
        let shortcut = conv(&builder.scope("skip"), self.inputs, self.outputs, options)?;
        let norm = BatchNorm2d::new(&builder.scope("skipbn"), self.outputs)?;
        Ok(block.shortcut(ConvUnit::new(shortcut).norm(norm)))
    }

    /// The layers beside the shortcut, numbered one by one.
    fn layers(self, scope: &Builder) -> Result<Sequential> {
        let mut layers = Sequential::new();
        let mut place = 0;
        let mut next = || {
            place += 1;
            scope.scope(place - 1)
        };
        if self.rectified {
            layers.push(Activation::relu(&next()));
        }
        for i in 1..=self.convolutions {
            let last = i == self.convolutions;
            let inputs = if self.grows_first && i > 1 {
                self.outputs
            } else {
                self.inputs
            };
            let outputs = if self.grows_first || last {
                self.outputs
            } else {
                self.inputs
            };
            let (depthwise, unit) = separable(&next(), inputs, outputs)?;
            layers.push(depthwise);
            let unit = unit.norm(BatchNorm2d::new(&next(), outputs)?);
            layers.push(match (last, self.stride) {
                (false, _) => unit.activation(Activation::relu(&next())),
                (true, 1) => unit,
                (true, stride) => unit.pool(MaxPool2d::new(&next(), 3, stride).padding(1)),
            });
        }
        Ok(layers)
    }
}

/// Two convolutions, twelve blocks, two separable convolutions, the mean of each map, and a linear head.
fn build(dropout: f64, assembly: &mut Assembly<'_>) -> Result<()> {
    assembly.stage("act1", Output::Maps(32), |builder| {
        let root = builder.root();
        let stem = conv(
            &root.scope("conv1"),
            3,
            32,
            ConvOptions::square(3).stride(2),
        )?;
        let norm = BatchNorm2d::new(&root.scope("bn1"), 32)?;
        Ok(ConvUnit::new(stem)
            .norm(norm)
            .activation(Activation::relu(builder)))
    })?;
    assembly.stage("act2", Output::Maps(64), |builder| {
        let root = builder.root();
        let stem = conv(&root.scope("conv2"), 32, 64, ConvOptions::square(3))?;
        let norm = BatchNorm2d::new(&root.scope("bn2"), 64)?;
        Ok(ConvUnit::new(stem)
            .norm(norm)
            .activation(Activation::relu(builder)))
    })?;
    let first = Block {
        rectified: false,
        ..Block::halving(1, 64, 128)
    };
    let entry = [
        first,
        Block::halving(2, 128, 256),
        Block::halving(3, 256, 728),
    ];
    let middle = (4..=11).map(|number| Block::keeping(number, 728));
    let exit = Block {
        grows_first: false,
        ..Block::halving(12, 728, 1024)
    };
    for block in entry.into_iter().chain(middle).chain([exit]) {
        let name = format!("block{}", block.number);
        assembly.stage(&name, Output::Maps(block.outputs), |builder| {
            block.build(builder)
        })?;
    }
    for (number, inputs, outputs) in [(3, 1024, 1536), (4, 1536, 2048)] {
        let name = format!("act{number}");
        assembly.stage(&name, Output::Maps(outputs), |builder| {
            let root = builder.root();
            let scope = root.scope(format!("conv{number}"));
            let (depthwise, unit) = separable(&scope, inputs, outputs)?;
            let norm = BatchNorm2d::new(&root.scope(format!("bn{number}")), outputs)?;
            let unit = unit.norm(norm).activation(Activation::relu(builder));
            Ok(Sequential::new().with(depthwise).with(unit))
        })?;
    }
    assembly.stage("global_pool", Output::Vector(2048), |builder| {
        Ok(GlobalAvgPool::new(builder))
    })?;
    assembly.head(|builder, classes| {
        Ok(Sequential::new()
            .with(Dropout::new(&builder.scope("dropout"), dropout))
            .with(Linear::new(&builder.scope("fc"), 2048, classes)?))
    })
}
