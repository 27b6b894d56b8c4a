//! The network of `LeCun` et al. (1998), for pictures of three colours, as it is mostly built today: rectifiers in place of scaled
//! hyperbolic tangents, max-pools in place of trained means, the second convolution on all maps of the first, and a linear
//! layer in place of radial basis functions. Names as in the PyTorch tutorial: `conv1`, `conv2`, `fc1`, `fc2`, `fc3`.

use candle_core::Result;
use toml::Table;

use super::convnet::MOST_PARAMETERS;
use crate::{
    Assembly, OptionError, Output,
    layers::{
        Activation, Conv2d, ConvOptions, ConvUnit, FixedSize, Flatten, Linear, MaxPool2d,
        Sequential,
    },
    options::Options,
    registry::{Entry, IMAGENET_MEAN, IMAGENET_STD, at_least, same_name},
};

pub(crate) const ENTRY: Entry = Entry {
    name: "lenet5",
    about: "LeNet-5: 2 convolutions and 3 linear layers, with rectifiers and max-pools (LeCun et al. 1998)",
    options: &[],
    default_size: 32,
    mean: IMAGENET_MEAN,
    std: IMAGENET_STD,
    classifier: "fc3.",
    auxiliary: &[],
    weights: &[],
    extractor: false,
    rename: same_name,
    check: |table: &Table| Ok(Options::new(table, &[])?.finish()),
    check_size: |_, size| check_size(size),
    build: |_, assembly| Ok(build(assembly)?),
};

/// Units of the two hidden linear layers. The first is the paper's third convolution, whose 5×5 kernels see all of the maps
/// of pictures of 32×32 pixels.
const UNITS: [usize; 2] = [120, 84];

/// Height and width of the maps after both convolutions, which take 4 pixels off, and their pools, which halve.
fn last_size(size: usize) -> usize {
    (size.saturating_sub(4) / 2).saturating_sub(4) / 2
}

fn check_size(size: usize) -> std::result::Result<(), OptionError> {
    at_least(16, size)?;
    let last = last_size(size);
    if last.saturating_mul(last) <= MOST_PARAMETERS / (16 * UNITS[0]) {
        return Ok(());
    }
    let expected =
        format!("pictures so small that the network has at most {MOST_PARAMETERS} parameters");
    Err(OptionError::new("size", expected, size))
}

/// The backbone ends with the second hidden layer; the last linear layer is the head.
fn build(assembly: &mut Assembly<'_>) -> Result<()> {
    let size = assembly.dimensions().size;
    for (layer, inputs, outputs) in [(1, 3, 6), (2, 6, 16)] {
        let name = format!("pool{layer}");
        assembly.stage(&name, Output::Maps(outputs), |builder| {
            let root = builder.root();
            let scope = |name: &str| root.scope(format!("{name}{layer}"));
            let conv = Conv2d::new(&scope("conv"), inputs, outputs, &ConvOptions::square(5))?;
            let unit = ConvUnit::new(conv).activation(Activation::relu(&scope("relu")));
            let first = (layer == 1).then(|| FixedSize::new(size));
            Ok(Sequential::new()
                .with_some(first)
                .with(unit.pool(MaxPool2d::new(builder, 2, 2))))
        })?;
    }
    let mut inputs = 16 * last_size(size).pow(2);
    for (layer, units) in (1..).zip(UNITS) {
        let name = format!("relu{}", layer + 2);
        assembly.stage(&name, Output::Vector(units), |builder| {
            let root = builder.root();
            let flatten = (layer == 1).then(|| Flatten::new(&root.scope("flatten")));
            let linear = Linear::new(&root.scope(format!("fc{layer}")), inputs, units)?;
            Ok(Sequential::new()
                .with_some(flatten)
                .with(linear)
                .with(Activation::relu(builder)))
        })?;
        inputs = units;
    }
    assembly.head(|builder, classes| {
        let fc = Linear::new(&builder.scope("fc3"), inputs, classes)?;
        Ok(Sequential::new().with(fc))
    })
}
