//! SqueezeNet 1.0 and 1.1 (Iandola et al. 2016), in torchvision's layout.

use candle_core::Tensor;
use toml::Table;

use crate::{
    Assembly, Builder, OptionError, Output, Pass,
    init::{BiasInit, WeightInit},
    layers::{
        Activation, Conv2d, ConvOptions, ConvUnit, Dropout, GlobalAvgPool, Layer, MaxPool2d,
        Sequential,
    },
    options::{DROPOUT, only_dropout},
    registry::{Entry, IMAGENET_MEAN, IMAGENET_STD, WeightSource, at_least, same_name},
};

pub(crate) const SQUEEZENET1_0: Entry = Entry {
    name: "squeezenet1_0",
    about: "SqueezeNet 1.0: as accurate as AlexNet with 1/50 of its parameters (Iandola et al. 2016)",
    weights: &[WeightSource {
        spec: "https://download.pytorch.org/models/squeezenet1_0-b66bff10.pth",
        trained_on: "ImageNet-1k",
    }],
    // The third pool needs 2×2 values, which smaller pictures do not leave.
    check_size: |_, size| at_least(21, size),
    build: |table, assembly| Ok(build(&VERSION_1_0, read(table)?.0, assembly)?),
    ..SQUEEZENET1_1
};

pub(crate) const SQUEEZENET1_1: Entry = Entry {
    name: "squeezenet1_1",
    about: "SqueezeNet 1.1: as accurate as 1.0 with less than half of its multiplications (Iandola et al. 2016)",
    options: &[DROPOUT],
    default_size: 224,
    mean: IMAGENET_MEAN,
    std: IMAGENET_STD,
    classifier: "classifier.",
    auxiliary: &[],
    weights: &[WeightSource {
        spec: "https://download.pytorch.org/models/squeezenet1_1-b8a52dc0.pth",
        trained_on: "ImageNet-1k",
    }],
    extractor: false,
    rename: same_name,
    check: |table| Ok(read(table)?.1),
    // The third pool needs 2×2 values, which smaller pictures do not leave.
    check_size: |_, size| at_least(17, size),
    build: |table, assembly| Ok(build(&VERSION_1_1, read(table)?.0, assembly)?),
};

fn read(table: &Table) -> Result<(f64, Table), OptionError> {
    only_dropout(table, 0.5)
}

/// What tells the versions apart.
struct Version {
    /// Maps of the first convolution.
    stem: usize,
    /// Height and width of its kernel.
    kernel: usize,
    /// The numbers of the pools between fire modules.
    pools: [usize; 2],
}

const VERSION_1_0: Version = Version {
    stem: 96,
    kernel: 7,
    pools: [6, 11],
};

const VERSION_1_1: Version = Version {
    stem: 64,
    kernel: 3,
    pools: [5, 8],
};

/// A convolution drawn as torchvision's SqueezeNets draw it.
fn conv(
    builder: &Builder,
    inputs: usize,
    outputs: usize,
    options: ConvOptions,
) -> candle_core::Result<Conv2d> {
    let options = options
        .weight(WeightInit::KaimingUniform)
        .bias(BiasInit::Constant(0.0));
    Conv2d::new(builder, inputs, outputs, &options)
}

/// A few 1×1 maps, expanded by 1×1 and 3×3 convolutions side by side.
struct Fire {
    squeeze: ConvUnit,
    /// The convolutions side by side, each with its rectifier.
    expand: [(Conv2d, Activation); 2],
    /// The name of the concatenation.
    name: String,
}

impl Fire {
    fn new(
        builder: &Builder,
        inputs: usize,
        squeeze: usize,
        expand: usize,
    ) -> candle_core::Result<Self> {
        let unit = |name: &str, inputs, outputs, options| -> candle_core::Result<_> {
            let conv = conv(&builder.scope(name), inputs, outputs, options)?;
            let relu = Activation::relu(&builder.scope(format!("{name}_activation")));
            Ok((conv, relu))
        };
        let (point, same) = (ConvOptions::square(1), ConvOptions::square(3).padding(1));
        let (conv, relu) = unit("squeeze", inputs, squeeze, point)?;
        Ok(Self {
            squeeze: ConvUnit::new(conv).activation(relu),
            expand: [
                unit("expand1x1", squeeze, expand, point)?,
                unit("expand3x3", squeeze, expand, same)?,
            ],
            name: builder.scope("cat").path().to_owned(),
        })
    }
}

impl Layer for Fire {
    fn forward(&self, x: &Tensor, pass: &Pass<'_>) -> candle_core::Result<Tensor> {
        let x = self.squeeze.forward(x, pass)?;
        let mut parts = Vec::with_capacity(self.expand.len());
        for (conv, relu) in &self.expand {
            let y = conv.forward(&x, pass)?;
            // It is rectified on its way into the whole.
            relu.note(&y, pass);
            parts.push(y);
        }
        let parts: Vec<&Tensor> = parts.iter().collect();
        let y = graft_ops::cat_relu(pass.tape(), &parts, 3)?;
        if let Some(trace) = pass.trace() {
            trace.note(&self.name, "concatenate", &y, &[], 0);
        }
        Ok(y)
    }
}

/// What each fire module squeezes its input to, and half of what it expands that to.
const FIRES: [(usize, usize); 8] = [
    (16, 64),
    (16, 64),
    (32, 128),
    (32, 128),
    (48, 192),
    (48, 192),
    (64, 256),
    (64, 256),
];

/// Convolutions only: the classifier is a 1×1 convolution whose maps are averaged.
fn build(version: &Version, dropout: f64, assembly: &mut Assembly<'_>) -> candle_core::Result<()> {
    let &Version {
        stem,
        kernel,
        pools,
    } = version;
    assembly.stage("features.2", Output::Maps(stem), |builder| {
        let scope = builder.root().scope("features");
        let options = ConvOptions::square(kernel).stride(2);
        let conv = conv(&scope.scope(0), 3, stem, options)?;
        let relu = Activation::relu(&scope.scope(1));
        Ok(ConvUnit::new(conv).activation(relu).pool(pool(builder)))
    })?;
    let (mut number, mut inputs) = (3, stem);
    for (squeeze, expand) in FIRES {
        if pools.contains(&number) {
            let name = format!("features.{number}");
            assembly.stage(&name, Output::Maps(inputs), |builder| Ok(pool(builder)))?;
            number += 1;
        }
        let name = format!("features.{number}");
        assembly.stage(&name, Output::Maps(2 * expand), |builder| {
            Fire::new(builder, inputs, squeeze, expand)
        })?;
        (number, inputs) = (number + 1, 2 * expand);
    }
    assembly.head(|builder, classes| {
        let scope = builder.scope("classifier");
        let options = ConvOptions::square(1)
            .weight(WeightInit::Normal(0.01))
            .bias(BiasInit::Constant(0.0));
        let conv = Conv2d::new(&scope.scope(1), 512, classes, &options)?;
        Ok(Sequential::new()
            .with(Dropout::new(&scope.scope(0), dropout))
            .with(ConvUnit::new(conv).activation(Activation::relu(&scope.scope(2))))
            .with(GlobalAvgPool::new(&scope.scope(3))))
    })
}

fn pool(builder: &Builder) -> MaxPool2d {
    MaxPool2d::new(builder, 3, 2).ceil_mode()
}
