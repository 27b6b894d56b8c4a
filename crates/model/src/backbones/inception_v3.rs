//! Inception v3 (Szegedy et al. 2016), in torchvision's layout.

use candle_core::Result;
use toml::Table;

use super::basic_conv::basic_conv;
use crate::{
    Assembly, Builder, OptionError, Output,
    init::{BiasInit, WeightInit},
    layers::{
        AvgPool2d, Branches, ConvOptions, ConvUnit, Dropout, GlobalAvgPool, Linear, MaxPool2d,
        Sequential,
    },
    options::{OptionInfo, Options},
    registry::{Entry, WeightSource, at_least, same_name},
};

pub(crate) const ENTRY: Entry = Entry {
    name: "inception_v3",
    about: "Inception v3, 48 layers deep, with an auxiliary classifier (Szegedy et al. 2016)",
    options: &[
        OptionInfo {
            name: "dropout",
            meaning: "probability of dropping a feature before the classifier",
        },
        OptionInfo {
            name: "auxiliary",
            meaning: "whether a second classifier takes part in training",
        },
    ],
    default_size: 299,
    // torchvision gives its weights pictures normalised with ImageNet's statistics and turns them into these (`transform_input`).
    mean: [0.5; 3],
    std: [0.5; 3],
    classifier: "fc.",
    auxiliary: &["AuxLogits."],
    weights: &[WeightSource {
        spec: "https://download.pytorch.org/models/inception_v3_google-0cc3c7bd.pth",
        trained_on: "ImageNet-1k",
    }],
    extractor: false,
    rename: same_name,
    check: |table| Ok(read(table)?.1),
    check_size: |table, size| check_size(&read(table)?.0, size),
    build: |table, assembly| Ok(build(&read(table)?.0, assembly)?),
};

struct Choices {
    dropout: f64,
    auxiliary: bool,
}

fn read(table: &Table) -> std::result::Result<(Choices, Table), OptionError> {
    let mut options = Options::new(table, ENTRY.options)?;
    let choices = Choices {
        dropout: options.probability("dropout", 0.5)?,
        auxiliary: options.flag("auxiliary", true)?,
    };
    Ok((choices, options.finish()))
}

/// The second classifier's 5×5 convolution needs a map of 5×5 after a pool of stride 3; the rest gets by with less.
fn check_size(choices: &Choices, size: usize) -> std::result::Result<(), OptionError> {
    if choices.auxiliary && size < 299 {
        let expected = "pictures of at least 299×299 pixels, or `auxiliary = false`";
        return Err(OptionError::new("size", expected, size));
    }
    at_least(75, size)
}

/// A unit of the network.
fn unit(
    builder: &Builder,
    inputs: usize,
    outputs: usize,
    options: ConvOptions,
) -> Result<ConvUnit> {
    basic_conv(builder, inputs, outputs, options, 0.1)
}

fn point() -> ConvOptions {
    ConvOptions::square(1)
}

/// A square kernel that keeps the size of the maps.
fn same(kernel: usize) -> ConvOptions {
    ConvOptions::square(kernel).padding(kernel / 2)
}

/// One row of a kernel, keeping the size of the maps.
fn row(kernel: usize) -> ConvOptions {
    ConvOptions::rectangular(1, kernel).paddings(0, kernel / 2)
}

/// One column of a kernel, keeping the size of the maps.
fn column(kernel: usize) -> ConvOptions {
    ConvOptions::rectangular(kernel, 1).paddings(kernel / 2, 0)
}

/// A 3×3 kernel that halves the maps.
fn halving() -> ConvOptions {
    ConvOptions::square(3).stride(2)
}

/// Units one after another: the name, the outputs and the kernel of each.
fn chain(
    builder: &Builder,
    mut inputs: usize,
    units: &[(&str, usize, ConvOptions)],
) -> Result<Sequential> {
    let mut layers = Sequential::new();
    for &(name, outputs, options) in units {
        layers.push(unit(&builder.scope(name), inputs, outputs, options)?);
        inputs = outputs;
    }
    Ok(layers)
}

/// Means of 3×3 windows, and a 1×1 convolution on them.
fn pooled(builder: &Builder, inputs: usize, outputs: usize) -> Result<Sequential> {
    let scope = builder.scope("branch_pool");
    let pool = AvgPool2d::new(&scope.scope("pool"), 3, 1).padding(1);
    Ok(Sequential::new()
        .with(pool)
        .with(unit(&scope, inputs, outputs, point())?))
}

/// 1×1, 5×5 and two 3×3 convolutions side by side: 224 maps and as many as `pool` says.
fn mixed_a(builder: &Builder, inputs: usize, pool: usize) -> Result<Branches> {
    let five = [("branch5x5_1", 48, point()), ("branch5x5_2", 64, same(5))];
    let threes = [
        ("branch3x3dbl_1", 64, point()),
        ("branch3x3dbl_2", 96, same(3)),
        ("branch3x3dbl_3", 96, same(3)),
    ];
    Ok(Branches::new(builder)
        .with(unit(&builder.scope("branch1x1"), inputs, 64, point())?)
        .with(chain(builder, inputs, &five)?)
        .with(chain(builder, inputs, &threes)?)
        .with(pooled(builder, inputs, pool)?))
}

/// Halves the maps: 480 new ones beside those that come in.
fn mixed_b(builder: &Builder, inputs: usize) -> Result<Branches> {
    let threes = [
        ("branch3x3dbl_1", 64, point()),
        ("branch3x3dbl_2", 96, same(3)),
        ("branch3x3dbl_3", 96, halving()),
    ];
    Ok(Branches::new(builder)
        .with(unit(&builder.scope("branch3x3"), inputs, 384, halving())?)
        .with(chain(builder, inputs, &threes)?)
        .with(MaxPool2d::new(&builder.scope("branch_pool"), 3, 2)))
}

/// 7×7 convolutions, taken apart into rows and columns with `between` maps: 768 maps.
fn mixed_c(builder: &Builder, inputs: usize, between: usize) -> Result<Branches> {
    let one = [
        ("branch7x7_1", between, point()),
        ("branch7x7_2", between, row(7)),
        ("branch7x7_3", 192, column(7)),
    ];
    let two = [
        ("branch7x7dbl_1", between, point()),
        ("branch7x7dbl_2", between, column(7)),
        ("branch7x7dbl_3", between, row(7)),
        ("branch7x7dbl_4", between, column(7)),
        ("branch7x7dbl_5", 192, row(7)),
    ];
    Ok(Branches::new(builder)
        .with(unit(&builder.scope("branch1x1"), inputs, 192, point())?)
        .with(chain(builder, inputs, &one)?)
        .with(chain(builder, inputs, &two)?)
        .with(pooled(builder, inputs, 192)?))
}

/// Halves the maps: 512 new ones beside those that come in.
fn mixed_d(builder: &Builder, inputs: usize) -> Result<Branches> {
    let three = [
        ("branch3x3_1", 192, point()),
        ("branch3x3_2", 320, halving()),
    ];
    let seven = [
        ("branch7x7x3_1", 192, point()),
        ("branch7x7x3_2", 192, row(7)),
        ("branch7x7x3_3", 192, column(7)),
        ("branch7x7x3_4", 192, halving()),
    ];
    Ok(Branches::new(builder)
        .with(chain(builder, inputs, &three)?)
        .with(chain(builder, inputs, &seven)?)
        .with(MaxPool2d::new(&builder.scope("branch_pool"), 3, 2)))
}

/// 3×3 convolutions, taken apart into a row and a column side by side: 2048 maps.
fn mixed_e(builder: &Builder, inputs: usize) -> Result<Branches> {
    let split = |branch: &str, [row_name, column_name]: [&str; 2]| -> Result<Branches> {
        let row = unit(&builder.scope(row_name), 384, 384, row(3))?;
        let column = unit(&builder.scope(column_name), 384, 384, column(3))?;
        Ok(Branches::new(&builder.scope(branch)).with(row).with(column))
    };
    let one = chain(builder, inputs, &[("branch3x3_1", 384, point())])?;
    let one = one.with(split("branch3x3", ["branch3x3_2a", "branch3x3_2b"])?);
    let two = [
        ("branch3x3dbl_1", 448, point()),
        ("branch3x3dbl_2", 384, same(3)),
    ];
    let two = chain(builder, inputs, &two)?;
    let two = two.with(split(
        "branch3x3dbl",
        ["branch3x3dbl_3a", "branch3x3dbl_3b"],
    )?);
    Ok(Branches::new(builder)
        .with(unit(&builder.scope("branch1x1"), inputs, 320, point())?)
        .with(one)
        .with(two)
        .with(pooled(builder, inputs, 192)?))
}

/// A stem, eleven groups of branches, the mean of each map, and a linear head.
fn build(choices: &Choices, assembly: &mut Assembly<'_>) -> Result<()> {
    stem(assembly)?;
    mixed(assembly, choices.auxiliary)?;
    assembly.stage("avgpool", Output::Vector(2048), |builder| {
        Ok(GlobalAvgPool::new(builder))
    })?;
    assembly.head(|builder, classes| {
        Ok(Sequential::new()
            .with(Dropout::new(&builder.scope("dropout"), choices.dropout))
            .with(linear(&builder.scope("fc"), 2048, classes, 0.1)?))
    })
}

fn stem(assembly: &mut Assembly<'_>) -> Result<()> {
    assembly.stage("Conv2d_1a_3x3", Output::Maps(32), |builder| {
        unit(builder, 3, 32, halving())
    })?;
    assembly.stage("Conv2d_2a_3x3", Output::Maps(32), |builder| {
        unit(builder, 32, 32, ConvOptions::square(3))
    })?;
    assembly.stage("maxpool1", Output::Maps(64), |builder| {
        let unit = unit(&builder.root().scope("Conv2d_2b_3x3"), 32, 64, same(3))?;
        Ok(unit.pool(MaxPool2d::new(builder, 3, 2)))
    })?;
    assembly.stage("Conv2d_3b_1x1", Output::Maps(80), |builder| {
        unit(builder, 64, 80, point())
    })?;
    assembly.stage("maxpool2", Output::Maps(192), |builder| {
        let scope = builder.root().scope("Conv2d_4a_3x3");
        let unit = unit(&scope, 80, 192, ConvOptions::square(3))?;
        Ok(unit.pool(MaxPool2d::new(builder, 3, 2)))
    })
}

fn mixed(assembly: &mut Assembly<'_>, with_auxiliary: bool) -> Result<()> {
    for (name, inputs, pool) in [
        ("Mixed_5b", 192, 32),
        ("Mixed_5c", 256, 64),
        ("Mixed_5d", 288, 64),
    ] {
        assembly.stage(name, Output::Maps(224 + pool), |builder| {
            mixed_a(builder, inputs, pool)
        })?;
    }
    assembly.stage("Mixed_6a", Output::Maps(768), |builder| {
        mixed_b(builder, 288)
    })?;
    for (name, between) in [
        ("Mixed_6b", 128),
        ("Mixed_6c", 160),
        ("Mixed_6d", 160),
        ("Mixed_6e", 192),
    ] {
        assembly.stage(name, Output::Maps(768), |builder| {
            mixed_c(builder, 768, between)
        })?;
    }
    if with_auxiliary {
        assembly.auxiliary("AuxLogits", 0.4, auxiliary)?;
    }
    assembly.stage("Mixed_7a", Output::Maps(1280), |builder| {
        mixed_d(builder, 768)
    })?;
    for (name, inputs) in [("Mixed_7b", 1280), ("Mixed_7c", 2048)] {
        assembly.stage(name, Output::Maps(2048), |builder| mixed_e(builder, inputs))?;
    }
    Ok(())
}

/// The second classifier, on 768 maps.
fn auxiliary(builder: &Builder, classes: usize) -> Result<Sequential> {
    let wide = ConvOptions::square(5);
    let fc = builder.scope("fc").head();
    Ok(Sequential::new()
        .with(AvgPool2d::new(&builder.scope("pool"), 5, 3))
        .with(unit(&builder.scope("conv0"), 768, 128, point())?)
        .with(unit(&builder.scope("conv1"), 128, 768, wide)?)
        .with(GlobalAvgPool::new(&builder.scope("avgpool")))
        .with(linear(&fc, 768, classes, 0.001)?))
}

/// A linear layer with a weight drawn as those of the units, and a bias as PyTorch draws it.
fn linear(builder: &Builder, inputs: usize, outputs: usize, std: f64) -> Result<Linear> {
    let weight = WeightInit::TruncatedNormal(std);
    Linear::with_init(builder, inputs, outputs, weight, BiasInit::Torch)
}
