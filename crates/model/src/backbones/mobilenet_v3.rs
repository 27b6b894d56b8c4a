//! MobileNet v3 (Howard et al. 2019), in torchvision's layout.

use candle_core::Result;
use toml::Table;

use super::inverted_residual::{Norm, Units, WEIGHT, block, linear};
use crate::{
    Assembly, Builder, OptionError, Output,
    layers::{
        Activation, ConvOptions, Dropout, GlobalAvgPool, Nonlinearity, Sequential,
        SqueezeExcitation,
    },
    options::{DROPOUT, only_dropout},
    registry::{BuildError, Entry, IMAGENET_MEAN, IMAGENET_STD, WeightSource, at_least, same_name},
};

pub(crate) const LARGE: Entry = entry(
    "mobilenet_v3_large",
    "MobileNet v3, large: found by search, with squeeze-and-excitation (Howard et al. 2019)",
    &[
        WeightSource {
            spec: "https://download.pytorch.org/models/mobilenet_v3_large-8738ca79.pth",
            trained_on: "ImageNet-1k",
        },
        WeightSource {
            spec: "https://download.pytorch.org/models/mobilenet_v3_large-5c1a4163.pth",
            trained_on: "ImageNet-1k",
        },
    ],
    |table, assembly| Ok(build(&LARGE_BLOCKS, 1280, read(table)?.0, assembly)?),
);

pub(crate) const SMALL: Entry = entry(
    "mobilenet_v3_small",
    "MobileNet v3, small: found by search, with squeeze-and-excitation (Howard et al. 2019)",
    &[WeightSource {
        spec: "https://download.pytorch.org/models/mobilenet_v3_small-047dcff4.pth",
        trained_on: "ImageNet-1k",
    }],
    |table, assembly| Ok(build(&SMALL_BLOCKS, 1024, read(table)?.0, assembly)?),
);

const fn entry(
    name: &'static str,
    about: &'static str,
    weights: &'static [WeightSource],
    build: fn(&Table, &mut Assembly<'_>) -> std::result::Result<(), BuildError>,
) -> Entry {
    Entry {
        name,
        about,
        options: &[DROPOUT],
        default_size: 224,
        mean: IMAGENET_MEAN,
        std: IMAGENET_STD,
        classifier: "classifier.3.",
        auxiliary: &[],
        weights,
        extractor: false,
        rename: same_name,
        check: |table| Ok(read(table)?.1),
        check_size: |_, size| at_least(1, size),
        build,
    }
}

fn read(table: &Table) -> std::result::Result<(f64, Table), OptionError> {
    only_dropout(table, 0.2)
}

const NORM: Norm = Norm {
    eps: 0.001,
    momentum: 0.01,
};

/// Convolutions with hardswish, as at both ends of the network.
const HARDSWISH: Units = Units {
    norm: NORM,
    nonlinearity: Nonlinearity::Hardswish,
};

/// Many maps, a filter for each, squeeze-and-excitation, and few maps again, with a shortcut where the shape stays.
#[derive(Clone, Copy)]
struct Block {
    kernel: usize,
    /// Maps inside.
    between: usize,
    outputs: usize,
    squeezes: bool,
    nonlinearity: Nonlinearity,
    stride: usize,
}

impl Block {
    /// A row of the paper's tables: the filters' side, the maps between, the maps of the output, whether it squeezes, what
    /// follows the convolutions, and the stride.
    const fn new(
        kernel: usize,
        between: usize,
        outputs: usize,
        squeezes: bool,
        nonlinearity: Nonlinearity,
        stride: usize,
    ) -> Self {
        Self {
            kernel,
            between,
            outputs,
            squeezes,
            nonlinearity,
            stride,
        }
    }

    fn build(self, builder: &Builder, inputs: usize) -> Result<Sequential> {
        let units = Units {
            norm: NORM,
            nonlinearity: self.nonlinearity,
        };
        let (between, point) = (self.between, ConvOptions::square(1));
        let mut place = 0;
        let mut next = || {
            place += 1;
            builder.scope("block").scope(place - 1)
        };
        let mut layers = Sequential::new();
        if between != inputs {
            layers.push(units.with_nonlinearity(&next(), inputs, between, point)?);
        }
        layers.push(units.depthwise(&next(), between, self.kernel, self.stride)?);
        if self.squeezes {
            let squeezed = squeezed(between);
            let gate = Nonlinearity::Hardsigmoid;
            let squeeze = SqueezeExcitation::new(&next(), between, squeezed, gate, WEIGHT)?;
            layers.push(squeeze);
        }
        let scope = next();
        let scopes = [&scope.scope(0), &scope.scope(1)];
        layers.push(units.linear(scopes, between, self.outputs, point)?);
        let keeps_shape = self.stride == 1 && inputs == self.outputs;
        Ok(block(builder, layers, keeps_shape))
    }
}

/// A quarter of the maps, rounded to a multiple of 8 that is no less than 8 and than nine tenths of it.
fn squeezed(maps: usize) -> usize {
    let quarter = maps / 4;
    let rounded = ((quarter + 4) / 8 * 8).max(8);
    if 10 * rounded < 9 * quarter {
        rounded + 8
    } else {
        rounded
    }
}

const RE: Nonlinearity = Nonlinearity::Relu;
const HS: Nonlinearity = Nonlinearity::Hardswish;

const LARGE_BLOCKS: [Block; 15] = [
    Block::new(3, 16, 16, false, RE, 1),
    Block::new(3, 64, 24, false, RE, 2),
    Block::new(3, 72, 24, false, RE, 1),
    Block::new(5, 72, 40, true, RE, 2),
    Block::new(5, 120, 40, true, RE, 1),
    Block::new(5, 120, 40, true, RE, 1),
    Block::new(3, 240, 80, false, HS, 2),
    Block::new(3, 200, 80, false, HS, 1),
    Block::new(3, 184, 80, false, HS, 1),
    Block::new(3, 184, 80, false, HS, 1),
    Block::new(3, 480, 112, true, HS, 1),
    Block::new(3, 672, 112, true, HS, 1),
    Block::new(5, 672, 160, true, HS, 2),
    Block::new(5, 960, 160, true, HS, 1),
    Block::new(5, 960, 160, true, HS, 1),
];

const SMALL_BLOCKS: [Block; 11] = [
    Block::new(3, 16, 16, true, RE, 2),
    Block::new(3, 72, 24, false, RE, 2),
    Block::new(3, 88, 24, false, RE, 1),
    Block::new(5, 96, 40, true, HS, 2),
    Block::new(5, 240, 40, true, HS, 1),
    Block::new(5, 240, 40, true, HS, 1),
    Block::new(5, 120, 48, true, HS, 1),
    Block::new(5, 144, 48, true, HS, 1),
    Block::new(5, 288, 96, true, HS, 2),
    Block::new(5, 576, 96, true, HS, 1),
    Block::new(5, 576, 96, true, HS, 1),
];

/// A stem, blocks, a wide 1×1 convolution, the mean of each map, a hidden layer of `hidden` units, and a linear head.
fn build(blocks: &[Block], hidden: usize, dropout: f64, assembly: &mut Assembly<'_>) -> Result<()> {
    let mut inputs = 16;
    assembly.stage("features.0", Output::Maps(inputs), |builder| {
        let stem = ConvOptions::square(3).stride(2).padding(1);
        HARDSWISH.with_nonlinearity(builder, 3, inputs, stem)
    })?;
    for (i, block) in blocks.iter().enumerate() {
        let name = format!("features.{}", i + 1);
        assembly.stage(&name, Output::Maps(block.outputs), |builder| {
            block.build(builder, inputs)
        })?;
        inputs = block.outputs;
    }
    let features = 6 * inputs;
    let name = format!("features.{}", blocks.len() + 1);
    assembly.stage(&name, Output::Maps(features), |builder| {
        HARDSWISH.with_nonlinearity(builder, inputs, features, ConvOptions::square(1))
    })?;
    assembly.stage("avgpool", Output::Vector(features), |builder| {
        Ok(GlobalAvgPool::new(builder))
    })?;
    assembly.stage("classifier.1", Output::Vector(hidden), |builder| {
        let scope = builder.root().scope("classifier");
        Ok(Sequential::new()
            .with(linear(&scope.scope(0), features, hidden)?)
            .with(Activation::new(builder, HS)))
    })?;
    assembly.head(|builder, classes| {
        let scope = builder.scope("classifier");
        Ok(Sequential::new()
            .with(Dropout::new(&scope.scope(2), dropout))
            .with(linear(&scope.scope(3), hidden, classes)?))
    })
}

#[cfg(test)]
mod tests {
    use super::squeezed;

    /// `_make_divisible(maps // 4, 8)` of torchvision.
    #[test]
    fn a_quarter_is_rounded_as_in_torchvision() {
        let maps = [16, 72, 96, 120, 144, 240, 288, 480, 576, 672, 960];
        let expected = [8, 24, 24, 32, 40, 64, 72, 120, 144, 168, 240];
        assert_eq!(maps.map(squeezed), expected);
    }
}
