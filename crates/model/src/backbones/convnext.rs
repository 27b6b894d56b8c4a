//! `ConvNeXt` (Liu et al. 2022) as candle computes it, with timm's names: fixed extractors of features.

use candle_core::Result;
use candle_transformers::models::convnext::{Config, convnext};

use crate::{
    Assembly,
    layers::{Recipe, extract},
    options::Options,
    registry::{Entry, IMAGENET_MEAN, IMAGENET_STD, WeightSource, at_least, same_name},
};

pub(crate) const ATTO: Entry = Entry {
    name: "convnext_atto",
    about: "ConvNeXt of timm's size atto, a fixed extractor of 320 features (Liu et al. 2022, Wightman 2022)",
    weights: &[WeightSource {
        spec: "hf:timm/convnext_atto.d2_in1k",
        trained_on: "ImageNet-1k",
    }],
    build: |_, assembly| Ok(build("convnext_atto", Config::atto, 320, assembly)?),
    ..BASE
};

pub(crate) const FEMTO: Entry = Entry {
    name: "convnext_femto",
    about: "ConvNeXt of timm's size femto, a fixed extractor of 384 features (Liu et al. 2022, Wightman 2022)",
    weights: &[WeightSource {
        spec: "hf:timm/convnext_femto.d1_in1k",
        trained_on: "ImageNet-1k",
    }],
    build: |_, assembly| Ok(build("convnext_femto", Config::femto, 384, assembly)?),
    ..BASE
};

pub(crate) const PICO: Entry = Entry {
    name: "convnext_pico",
    about: "ConvNeXt of timm's size pico, a fixed extractor of 512 features (Liu et al. 2022, Wightman 2022)",
    weights: &[WeightSource {
        spec: "hf:timm/convnext_pico.d1_in1k",
        trained_on: "ImageNet-1k",
    }],
    build: |_, assembly| Ok(build("convnext_pico", Config::pico, 512, assembly)?),
    ..BASE
};

pub(crate) const NANO: Entry = Entry {
    name: "convnext_nano",
    about: "ConvNeXt of timm's size nano, a fixed extractor of 640 features (Liu et al. 2022, Wightman 2022)",
    weights: &[WeightSource {
        spec: "hf:timm/convnext_nano.d1h_in1k",
        trained_on: "ImageNet-1k",
    }],
    build: |_, assembly| Ok(build("convnext_nano", Config::nano, 640, assembly)?),
    ..BASE
};

pub(crate) const TINY: Entry = Entry {
    name: "convnext_tiny",
    about: "ConvNeXt-T, a fixed extractor of 768 features (Liu et al. 2022)",
    weights: &[
        WeightSource {
            spec: "hf:timm/convnext_tiny.fb_in1k",
            trained_on: "ImageNet-1k",
        },
        WeightSource {
            spec: "hf:timm/convnext_tiny.fb_in22k_ft_in1k",
            trained_on: "ImageNet-22k, then ImageNet-1k",
        },
    ],
    build: |_, assembly| Ok(build("convnext_tiny", Config::tiny, 768, assembly)?),
    ..BASE
};

pub(crate) const SMALL: Entry = Entry {
    name: "convnext_small",
    about: "ConvNeXt-S, a fixed extractor of 768 features (Liu et al. 2022)",
    weights: &[
        WeightSource {
            spec: "hf:timm/convnext_small.fb_in1k",
            trained_on: "ImageNet-1k",
        },
        WeightSource {
            spec: "hf:timm/convnext_small.fb_in22k_ft_in1k",
            trained_on: "ImageNet-22k, then ImageNet-1k",
        },
    ],
    build: |_, assembly| Ok(build("convnext_small", Config::small, 768, assembly)?),
    ..BASE
};

pub(crate) const BASE: Entry = Entry {
    name: "convnext_base",
    about: "ConvNeXt-B, a fixed extractor of 1024 features (Liu et al. 2022)",
    options: &[],
    default_size: 224,
    mean: IMAGENET_MEAN,
    std: IMAGENET_STD,
    classifier: "head.fc.",
    auxiliary: &[],
    weights: &[
        WeightSource {
            spec: "hf:timm/convnext_base.fb_in1k",
            trained_on: "ImageNet-1k",
        },
        WeightSource {
            spec: "hf:timm/convnext_base.fb_in22k_ft_in1k",
            trained_on: "ImageNet-22k, then ImageNet-1k",
        },
    ],
    extractor: true,
    rename: same_name,
    check: |table| Ok(Options::new(table, &[])?.finish()),
    // The stem divides by 4, and three more steps by 2 each.
    check_size: |_, size| at_least(32, size),
    build: |_, assembly| Ok(build("convnext_base", Config::base, 1024, assembly)?),
};

/// All but the last linear layer, which is the head; the norm before it belongs to the features.
fn build(
    name: &'static str,
    config: fn() -> Config,
    features: usize,
    assembly: &mut Assembly<'_>,
) -> Result<()> {
    let size = assembly.dimensions().size;
    let make = move |vb: candle_nn::VarBuilder<'_>| convnext(&config(), features, vb);
    let recipe = Recipe {
        classifier: Some("head.fc."),
        // Of the second version, which computes it in place of a scale.
        absent: &["grn.weight", "grn.bias"],
        ..Recipe::new(features, make, move |weight| pixels(weight, size))
    };
    extract(assembly, name, recipe, "head.fc")
}

/// Pixels of the map that a convolution gives.
fn pixels(weight: &str, size: usize) -> usize {
    let stage: u32 = weight
        .strip_prefix("stages.")
        .and_then(|rest| rest.split('.').next()?.parse().ok())
        .unwrap_or(0);
    let side = (size / 4) >> stage;
    side * side
}
