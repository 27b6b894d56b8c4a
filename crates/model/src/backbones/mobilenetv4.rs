//! `MobileNetV4` (Qin et al. 2024) as candle computes it, with timm's names: fixed extractors of features.

use candle_core::Result;
use candle_transformers::models::mobilenetv4::{Config, mobilenetv4};

use crate::{
    Assembly,
    layers::{Recipe, extract},
    options::Options,
    registry::{Entry, IMAGENET_MEAN, IMAGENET_STD, WeightSource, at_least, same_name},
};

pub(crate) const SMALL: Entry = Entry {
    name: "mobilenetv4_conv_small",
    about: "MobileNetV4-Conv-S, a fixed extractor of 1280 features (Qin et al. 2024)",
    options: &[],
    default_size: 224,
    mean: IMAGENET_MEAN,
    std: IMAGENET_STD,
    classifier: "classifier.",
    auxiliary: &[],
    weights: &[WeightSource {
        spec: "hf:timm/mobilenetv4_conv_small.e2400_r224_in1k",
        trained_on: "ImageNet-1k",
    }],
    extractor: true,
    rename: same_name,
    check: |table| Ok(Options::new(table, &[])?.finish()),
    check_size: |_, size| at_least(1, size),
    build: |_, assembly| Ok(build("mobilenetv4_conv_small", Config::small, assembly)?),
};

pub(crate) const MEDIUM: Entry = Entry {
    name: "mobilenetv4_conv_medium",
    about: "MobileNetV4-Conv-M, a fixed extractor of 1280 features (Qin et al. 2024)",
    default_size: 256,
    weights: &[WeightSource {
        spec: "hf:timm/mobilenetv4_conv_medium.e500_r256_in1k",
        trained_on: "ImageNet-1k",
    }],
    build: |_, assembly| Ok(build("mobilenetv4_conv_medium", Config::medium, assembly)?),
    ..SMALL
};

pub(crate) const LARGE: Entry = Entry {
    name: "mobilenetv4_conv_large",
    about: "MobileNetV4-Conv-L, a fixed extractor of 1280 features (Qin et al. 2024)",
    default_size: 384,
    weights: &[
        WeightSource {
            spec: "hf:timm/mobilenetv4_conv_large.e600_r384_in1k",
            trained_on: "ImageNet-1k",
        },
        WeightSource {
            spec: "hf:timm/mobilenetv4_conv_large.e500_r256_in1k",
            trained_on: "ImageNet-1k",
        },
    ],
    build: |_, assembly| Ok(build("mobilenetv4_conv_large", Config::large, assembly)?),
    ..SMALL
};

/// What `conv_head` gives in every size.
const FEATURES: usize = 1280;

/// All but the last linear layer, which is the head.
fn build(name: &'static str, config: fn() -> Config, assembly: &mut Assembly<'_>) -> Result<()> {
    let size = assembly.dimensions().size;
    let make = move |vb: candle_nn::VarBuilder<'_>| mobilenetv4(&config(), FEATURES, vb);
    let recipe = Recipe {
        classifier: Some("classifier."),
        // Of the hybrid sizes.
        absent: &["layer_scale.gamma"],
        ..Recipe::new(FEATURES, make, move |weight| pixels(weight, size))
    };
    extract(assembly, name, recipe, "classifier")
}

/// Pixels of the map that a convolution gives: the stem and the first four stages halve it, each rounding up. The middle
/// convolution of a stage's first block does it there if there is one, so that those before it still see the larger map.
fn pixels(weight: &str, size: usize) -> usize {
    let mut parts = weight.split('.');
    let halvings = match parts.next() {
        Some("blocks") => {
            let mut number = || parts.next().and_then(|part| part.parse::<usize>().ok());
            let (stage, block) = (number().unwrap_or(0), number().unwrap_or(0));
            let before = block == 0 && matches!(parts.next(), Some("dw_start" | "pw_exp"));
            1 + (stage + 1).min(4) - usize::from(before)
        }
        Some("conv_stem") => 1,
        _ => return 1,
    };
    let side = (0..halvings).fold(size, |side, _| side.div_ceil(2));
    side * side
}
