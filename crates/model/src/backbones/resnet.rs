//! Residual networks (He et al. 2016), in torchvision's layout.

use candle_core::{Result, Tensor};

use crate::{
    Builder, Pass,
    init::WeightInit,
    layers::{
        BatchNorm2d, Conv2d, ConvOptions, GlobalAvgPool, Layer, Linear, MaxPool2d, Relu, Sequential,
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
    name: String,
    residual: Sequential,
    shortcut: Sequential,
    relu: Relu,
}

impl BasicBlock {
    fn new(builder: &Builder, inputs: usize, outputs: usize, stride: usize) -> Result<Self> {
        let same = ConvOptions::square(3).padding(1);
        let residual = Sequential::new()
            .with(conv(
                &builder.scope("conv1"),
                inputs,
                outputs,
                same.stride(stride),
            )?)
            .with(BatchNorm2d::new(&builder.scope("bn1"), outputs)?)
            .with(Relu::new(&builder.scope("relu1")))
            .with(conv(&builder.scope("conv2"), outputs, outputs, same)?)
            .with(BatchNorm2d::new(&builder.scope("bn2"), outputs)?);
        let mut shortcut = Sequential::new();
        if stride != 1 || inputs != outputs {
            let builder = builder.scope("downsample");
            let narrow = ConvOptions::square(1).stride(stride);
            shortcut.push(conv(&builder.scope(0), inputs, outputs, narrow)?);
            shortcut.push(BatchNorm2d::new(&builder.scope(1), outputs)?);
        }
        let relu = Relu::new(&builder.scope("relu2"));
        Ok(Self {
            name: builder.scope("add").path().to_owned(),
            residual,
            shortcut,
            relu,
        })
    }
}

impl Layer for BasicBlock {
    fn forward(&self, x: &Tensor, pass: &Pass<'_>) -> Result<Tensor> {
        let residual = self.residual.forward(x, pass)?;
        let shortcut = self.shortcut.forward(x, pass)?;
        let sum = graft_ops::add(pass.tape(), &residual, &shortcut)?;
        if let Some(trace) = pass.trace() {
            trace.note(&self.name, "add", &sum, &[], 0);
        }
        self.relu.forward(&sum, pass)
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
        let mut features = Sequential::new()
            .with(conv(&builder.scope("conv1"), 3, 64, stem)?)
            .with(BatchNorm2d::new(&builder.scope("bn1"), 64)?)
            .with(Relu::new(&builder.scope("relu")))
            .with(MaxPool2d::new(&builder.scope("maxpool"), 3, 2).padding(1));
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
