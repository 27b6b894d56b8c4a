//! SqueezeNet 1.1 (Iandola et al. 2016), in torchvision's layout.

use candle_core::Tensor;
use toml::Table;

use crate::{
    Builder, OptionError, Pass,
    init::{BiasInit, WeightInit},
    layers::{
        Conv2d, ConvOptions, ConvUnit, Dropout, GlobalAvgPool, Layer, MaxPool2d, Relu, Sequential,
    },
    options::{OptionInfo, Options},
    registry::{
        Backbone, Dimensions, Entry, IMAGENET_MEAN, IMAGENET_STD, WeightSource, at_least, same_name,
    },
};

pub(crate) const SQUEEZENET1_1: Entry = Entry {
    name: "squeezenet1_1",
    about: "SqueezeNet 1.1: as accurate as AlexNet with 1/50 of its parameters (Iandola et al. 2016)",
    options: &[OptionInfo {
        name: "dropout",
        meaning: "probability of dropping a feature before the classifier",
    }],
    default_size: 224,
    mean: IMAGENET_MEAN,
    std: IMAGENET_STD,
    classifier: "classifier.",
    weights: &[WeightSource {
        spec: "https://download.pytorch.org/models/squeezenet1_1-b8a52dc0.pth",
        trained_on: "ImageNet-1k",
    }],
    rename: same_name,
    check: |table| Ok(read(table)?.1),
    // The third pool needs 2×2 values, which smaller pictures do not leave.
    check_size: |_, size| at_least(17, size),
    build: |table, dimensions, builder| {
        Ok(Box::new(SqueezeNet::new(
            read(table)?.0,
            dimensions,
            builder,
        )?))
    },
};

fn read(table: &Table) -> Result<(f64, Table), OptionError> {
    let mut options = Options::new(table, SQUEEZENET1_1.options)?;
    let dropout = options.probability("dropout", 0.5)?;
    Ok((dropout, options.finish()))
}

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
    expand: [(Conv2d, Relu); 2],
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
            let relu = Relu::new(&builder.scope(format!("{name}_activation")));
            Ok((conv, relu))
        };
        let (point, same) = (ConvOptions::square(1), ConvOptions::square(3).padding(1));
        let (conv, relu) = unit("squeeze", inputs, squeeze, point)?;
        Ok(Self {
            squeeze: ConvUnit::new(conv).relu(relu),
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

/// Convolutions only: the classifier is a 1×1 convolution whose maps are averaged.
struct SqueezeNet {
    features: Sequential,
    classifier: Sequential,
}

impl SqueezeNet {
    fn new(dropout: f64, dimensions: Dimensions, builder: &Builder) -> candle_core::Result<Self> {
        let scope = builder.scope("features");
        let pool = |layer: usize| MaxPool2d::new(&scope.scope(layer), 3, 2).ceil_mode();
        let fire = |layer: usize, inputs, squeeze, expand| {
            Fire::new(&scope.scope(layer), inputs, squeeze, expand)
        };
        let stem = ConvOptions::square(3).stride(2);
        let stem = ConvUnit::new(conv(&scope.scope(0), 3, 64, stem)?)
            .relu(Relu::new(&scope.scope(1)))
            .pool(pool(2));
        let features = Sequential::new()
            .with(stem)
            .with(fire(3, 64, 16, 64)?)
            .with(fire(4, 128, 16, 64)?)
            .with(pool(5))
            .with(fire(6, 128, 32, 128)?)
            .with(fire(7, 256, 32, 128)?)
            .with(pool(8))
            .with(fire(9, 256, 48, 192)?)
            .with(fire(10, 384, 48, 192)?)
            .with(fire(11, 384, 64, 256)?)
            .with(fire(12, 512, 64, 256)?);
        let head = builder.head().scope("classifier");
        let options = ConvOptions::square(1)
            .weight(WeightInit::Normal(0.01))
            .bias(BiasInit::Constant(0.0));
        let conv = Conv2d::new(&head.scope(1), 512, dimensions.classes, &options)?;
        let classifier = Sequential::new()
            .with(Dropout::new(&head.scope(0), dropout))
            .with(ConvUnit::new(conv).relu(Relu::new(&head.scope(2))))
            .with(GlobalAvgPool::new(&head.scope(3)));
        Ok(Self {
            features,
            classifier,
        })
    }
}

impl Backbone for SqueezeNet {
    fn features(&self, x: &Tensor, pass: &Pass<'_>) -> candle_core::Result<Tensor> {
        self.features.forward(x, pass)
    }

    fn head(&self, features: &Tensor, pass: &Pass<'_>) -> candle_core::Result<Tensor> {
        self.classifier.forward(features, pass)
    }
}
