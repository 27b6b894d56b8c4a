//! Residual networks (He et al. 2016), in torchvision's layout.

use candle_core::{Result, Tensor};
use graft_ops::Then;

use crate::{
    Builder, Pass,
    init::WeightInit,
    layers::{
        BatchNorm2d, Conv2d, ConvOptions, ConvUnit, GlobalAvgPool, Layer, Linear, MaxPool2d, Relu,
        Sequential,
    },
    options::Options,
    registry::{
        Backbone, Dimensions, Entry, IMAGENET_MEAN, IMAGENET_STD, WeightSource, at_least, same_name,
    },
};

pub(crate) const RESNET18: Entry = Entry {
    name: "resnet18",
    about: "residual network of 18 layers (He et al. 2016)",
    options: &[],
    default_size: 224,
    mean: IMAGENET_MEAN,
    std: IMAGENET_STD,
    classifier: "fc.",
    weights: &[
        WeightSource {
            spec: "hf:timm/resnet18.tv_in1k",
            trained_on: "ImageNet-1k",
        },
        WeightSource {
            spec: "https://download.pytorch.org/models/resnet18-f37072fd.pth",
            trained_on: "ImageNet-1k",
        },
    ],
    rename: same_name,
    check: |table| Ok(Options::new(table, &[])?.finish()),
    check_size: |_, size| at_least(1, size),
    build: |_, dimensions, builder| Ok(Box::new(ResNet::new([2, 2, 2, 2], dimensions, builder)?)),
};

/// A convolution before batch norm, drawn as torchvision's ResNets draw it.
fn conv(builder: &Builder, inputs: usize, outputs: usize, options: ConvOptions) -> Result<Conv2d> {
    let options = options
        .without_bias()
        .weight(WeightInit::KaimingNormalFanOut);
    Conv2d::new(builder, inputs, outputs, &options)
}

/// Two 3×3 convolutions beside a shortcut.
struct BasicBlock {
    first: ConvUnit,
    second: Conv2d,
    norm: BatchNorm2d,
    shortcut: Option<ConvUnit>,
    /// The name of the sum.
    name: String,
    relu: Relu,
}

impl BasicBlock {
    fn new(builder: &Builder, inputs: usize, outputs: usize, stride: usize) -> Result<Self> {
        let same = ConvOptions::square(3).padding(1);
        let scope = |name: &str| builder.scope(name);
        let first = conv(&scope("conv1"), inputs, outputs, same.stride(stride))?;
        let first = ConvUnit::new(first)
            .norm(BatchNorm2d::new(&scope("bn1"), outputs)?)
            .relu(Relu::new(&scope("relu1")));
        let second = conv(&scope("conv2"), outputs, outputs, same)?;
        let norm = BatchNorm2d::new(&scope("bn2"), outputs)?;
        let shortcut = if stride != 1 || inputs != outputs {
            let scope = scope("downsample");
            let narrow = ConvOptions::square(1).stride(stride);
            let unit = ConvUnit::new(conv(&scope.scope(0), inputs, outputs, narrow)?);
            Some(unit.norm(BatchNorm2d::new(&scope.scope(1), outputs)?))
        } else {
            None
        };
        Ok(Self {
            first,
            second,
            norm,
            shortcut,
            name: scope("add").path().to_owned(),
            relu: Relu::new(&scope("relu2")),
        })
    }
}

impl Layer for BasicBlock {
    fn forward(&self, x: &Tensor, pass: &Pass<'_>) -> Result<Tensor> {
        let residual = self.first.forward(x, pass)?;
        let residual = self.second.forward(&residual, pass)?;
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

/// A stem, four stages of blocks, the mean of each map, and a linear head.
struct ResNet {
    features: Sequential,
    fc: Linear,
}

impl ResNet {
    fn new(blocks: [usize; 4], dimensions: Dimensions, builder: &Builder) -> Result<Self> {
        let stem = ConvOptions::square(7).stride(2).padding(3);
        let stem = ConvUnit::new(conv(&builder.scope("conv1"), 3, 64, stem)?)
            .norm(BatchNorm2d::new(&builder.scope("bn1"), 64)?)
            .relu(Relu::new(&builder.scope("relu")))
            .pool(MaxPool2d::new(&builder.scope("maxpool"), 3, 2).padding(1));
        let mut features = Sequential::new().with(stem);
        let mut inputs = 64;
        for (stage, count) in blocks.into_iter().enumerate() {
            let outputs = 64 << stage;
            let builder = builder.scope(format!("layer{}", stage + 1));
            for block in 0..count {
                let stride = if stage > 0 && block == 0 { 2 } else { 1 };
                features.push(BasicBlock::new(
                    &builder.scope(block),
                    inputs,
                    outputs,
                    stride,
                )?);
                inputs = outputs;
            }
        }
        features.push(GlobalAvgPool::new(&builder.scope("avgpool")));
        let fc = Linear::new(&builder.head().scope("fc"), inputs, dimensions.classes)?;
        Ok(Self { features, fc })
    }
}

impl Backbone for ResNet {
    fn features(&self, x: &Tensor, pass: &Pass<'_>) -> Result<Tensor> {
        self.features.forward(x, pass)
    }

    fn head(&self, features: &Tensor, pass: &Pass<'_>) -> Result<Tensor> {
        self.fc.forward(features, pass)
    }
}
