//! Residual networks (He et al. 2016), in torchvision's layout.

use candle_core::{Result, Tensor};
use graft_ops::Then;
use toml::Table;

use crate::{
    Assembly, Builder, Output, Pass,
    init::WeightInit,
    layers::{
        Activation, BatchNorm2d, Conv2d, ConvOptions, ConvUnit, GlobalAvgPool, Layer, Linear,
        MaxPool2d, Sequential,
    },
    options::Options,
    registry::{BuildError, Entry, IMAGENET_MEAN, IMAGENET_STD, WeightSource, at_least, same_name},
};

pub(crate) const RESNET18: Entry = entry(
    "resnet18",
    "residual network of 18 layers (He et al. 2016)",
    &[
        WeightSource {
            spec: "https://download.pytorch.org/models/resnet18-f37072fd.pth",
            trained_on: "ImageNet-1k",
        },
        WeightSource {
            spec: "hf:timm/resnet18.tv_in1k",
            trained_on: "ImageNet-1k",
        },
    ],
    |_, assembly| Ok(build(Kind::Basic, [2, 2, 2, 2], assembly)?),
);

pub(crate) const RESNET34: Entry = entry(
    "resnet34",
    "residual network of 34 layers (He et al. 2016)",
    &[
        WeightSource {
            spec: "https://download.pytorch.org/models/resnet34-b627a593.pth",
            trained_on: "ImageNet-1k",
        },
        WeightSource {
            spec: "hf:timm/resnet34.tv_in1k",
            trained_on: "ImageNet-1k",
        },
    ],
    |_, assembly| Ok(build(Kind::Basic, [3, 4, 6, 3], assembly)?),
);

pub(crate) const RESNET50: Entry = entry(
    "resnet50",
    "residual network of 50 layers (He et al. 2016), the 3×3 convolution taking the stride",
    &[
        WeightSource {
            spec: "https://download.pytorch.org/models/resnet50-0676ba61.pth",
            trained_on: "ImageNet-1k",
        },
        WeightSource {
            spec: "hf:timm/resnet50.tv_in1k",
            trained_on: "ImageNet-1k",
        },
        WeightSource {
            spec: "https://download.pytorch.org/models/resnet50-11ad3fa6.pth",
            trained_on: NEW_RECIPE,
        },
    ],
    |_, assembly| Ok(build(Kind::Bottleneck, [3, 4, 6, 3], assembly)?),
);

pub(crate) const RESNET101: Entry = entry(
    "resnet101",
    "residual network of 101 layers (He et al. 2016), the 3×3 convolution taking the stride",
    &[
        WeightSource {
            spec: "https://download.pytorch.org/models/resnet101-63fe2227.pth",
            trained_on: "ImageNet-1k",
        },
        WeightSource {
            spec: "hf:timm/resnet101.tv_in1k",
            trained_on: "ImageNet-1k",
        },
        WeightSource {
            spec: "https://download.pytorch.org/models/resnet101-cd907fc2.pth",
            trained_on: NEW_RECIPE,
        },
    ],
    |_, assembly| Ok(build(Kind::Bottleneck, [3, 4, 23, 3], assembly)?),
);

pub(crate) const RESNET152: Entry = entry(
    "resnet152",
    "residual network of 152 layers (He et al. 2016), the 3×3 convolution taking the stride",
    &[
        WeightSource {
            spec: "https://download.pytorch.org/models/resnet152-394f9c45.pth",
            trained_on: "ImageNet-1k",
        },
        WeightSource {
            spec: "hf:timm/resnet152.tv_in1k",
            trained_on: "ImageNet-1k",
        },
        WeightSource {
            spec: "https://download.pytorch.org/models/resnet152-f82ba261.pth",
            trained_on: NEW_RECIPE,
        },
    ],
    |_, assembly| Ok(build(Kind::Bottleneck, [3, 8, 36, 3], assembly)?),
);

/// What torchvision calls `IMAGENET1K_V2`.
const NEW_RECIPE: &str = "ImageNet-1k, with torchvision's newer recipe";

const fn entry(
    name: &'static str,
    about: &'static str,
    weights: &'static [WeightSource],
    build: fn(&Table, &mut Assembly<'_>) -> std::result::Result<(), BuildError>,
) -> Entry {
    Entry {
        name,
        about,
        options: &[],
        default_size: 224,
        mean: IMAGENET_MEAN,
        std: IMAGENET_STD,
        classifier: "fc.",
        auxiliary: &[],
        weights,
        extractor: false,
        rename: same_name,
        check: |table| Ok(Options::new(table, &[])?.finish()),
        check_size: |_, size| at_least(1, size),
        build,
    }
}

/// What a residual network is made of.
#[derive(Clone, Copy)]
enum Kind {
    /// Blocks of two 3×3 convolutions.
    Basic,
    /// Blocks of a 3×3 convolution between 1×1 convolutions, the last of which gives four times as many maps.
    Bottleneck,
}

impl Kind {
    /// Maps that a block gives for each of its 3×3 convolutions' maps.
    fn expansion(self) -> usize {
        match self {
            Self::Basic => 1,
            Self::Bottleneck => 4,
        }
    }
}

/// A convolution before batch norm, drawn as torchvision's ResNets draw it.
fn conv(builder: &Builder, inputs: usize, outputs: usize, options: ConvOptions) -> Result<Conv2d> {
    let options = options
        .without_bias()
        .weight(WeightInit::KaimingNormalFanOut);
    Conv2d::new(builder, inputs, outputs, &options)
}

/// Two or three convolutions beside a shortcut.
struct Block {
    /// All but the last convolution.
    units: Vec<ConvUnit>,
    last: Conv2d,
    norm: BatchNorm2d,
    shortcut: Option<ConvUnit>,
    /// The name of the sum.
    name: String,
    relu: Activation,
}

impl Block {
    /// A block whose 3×3 convolutions give `width` maps, the first of them with this stride.
    fn new(
        kind: Kind,
        builder: &Builder,
        inputs: usize,
        width: usize,
        stride: usize,
    ) -> Result<Self> {
        let scope = |name: &str| builder.scope(name);
        let unit = |number: usize, inputs, options| -> Result<ConvUnit> {
            let scope = |name: &str| builder.scope(format!("{name}{number}"));
            Ok(ConvUnit::new(conv(&scope("conv"), inputs, width, options)?)
                .norm(BatchNorm2d::new(&scope("bn"), width)?)
                .activation(Activation::relu(&scope("relu"))))
        };
        let (point, same) = (ConvOptions::square(1), ConvOptions::square(3).padding(1));
        let outputs = width * kind.expansion();
        let (units, last) = match kind {
            Kind::Basic => (vec![unit(1, inputs, same.stride(stride))?], same),
            Kind::Bottleneck => {
                let narrow = unit(1, inputs, point)?;
                (vec![narrow, unit(2, width, same.stride(stride))?], point)
            }
        };
        let number = units.len() + 1;
        let last = conv(&scope(&format!("conv{number}")), width, outputs, last)?;
        let norm = BatchNorm2d::new(&scope(&format!("bn{number}")), outputs)?;
        let shortcut = if stride != 1 || inputs != outputs {
            let scope = scope("downsample");
            let unit = ConvUnit::new(conv(
                &scope.scope(0),
                inputs,
                outputs,
                point.stride(stride),
            )?);
            Some(unit.norm(BatchNorm2d::new(&scope.scope(1), outputs)?))
        } else {
            None
        };
        Ok(Self {
            units,
            last,
            norm,
            shortcut,
            name: scope("add").path().to_owned(),
            relu: Activation::relu(&scope(&format!("relu{number}"))),
        })
    }
}

impl Layer for Block {
    fn forward(&self, x: &Tensor, pass: &Pass<'_>) -> Result<Tensor> {
        let mut residual = x.clone();
        for unit in &self.units {
            residual = unit.forward(&residual, pass)?;
        }
        let residual = self.last.forward(&residual, pass)?;
        self.norm.note(&residual, pass);
        let shortcut = match &self.shortcut {
            Some(shortcut) => shortcut.forward(x, pass)?,
            None => x.clone(),
        };
        let y = self.norm.then(residual, Then::AddRelu(&shortcut), pass)?;
        if let Some(trace) = pass.trace() {
            trace.note(&self.name, "add", &y, &[], 0);
        }
        self.relu.note(&y, pass);
        Ok(y)
    }
}

/// A stem, four groups of blocks, the mean of each map, and a linear head.
fn build(kind: Kind, blocks: [usize; 4], assembly: &mut Assembly<'_>) -> Result<()> {
    assembly.stage("maxpool", Output::Maps(64), |builder| {
        let root = builder.root();
        let stem = ConvOptions::square(7).stride(2).padding(3);
        Ok(ConvUnit::new(conv(&root.scope("conv1"), 3, 64, stem)?)
            .norm(BatchNorm2d::new(&root.scope("bn1"), 64)?)
            .activation(Activation::relu(&root.scope("relu")))
            .pool(MaxPool2d::new(builder, 3, 2).padding(1)))
    })?;
    let mut inputs = 64;
    for (group, count) in blocks.into_iter().enumerate() {
        let width = 64 << group;
        let outputs = width * kind.expansion();
        for block in 0..count {
            let stride = if group > 0 && block == 0 { 2 } else { 1 };
            let name = format!("layer{}.{block}", group + 1);
            assembly.stage(&name, Output::Maps(outputs), |builder| {
                Block::new(kind, builder, inputs, width, stride)
            })?;
            inputs = outputs;
        }
    }
    assembly.stage("avgpool", Output::Vector(inputs), |builder| {
        Ok(GlobalAvgPool::new(builder))
    })?;
    assembly.head(|builder, classes| {
        let fc = Linear::new(&builder.scope("fc"), inputs, classes)?;
        Ok(Sequential::new().with(fc))
    })
}
