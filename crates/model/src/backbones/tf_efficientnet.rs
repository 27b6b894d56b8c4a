//! `EfficientNet` (Tan and Le 2019) as candle computes it: `TensorFlow`'s, which pads as little as it can and so on one side
//! more than on the other, and whose batch norm adds 1e-3. That is what timm calls `tf_efficientnet`, and timm's names are
//! used here. torchvision's `EfficientNet` has candle's names but computes something else, so its files don't fit.

use candle_core::Result;
use candle_nn::{Func, Module};
use candle_transformers::models::efficientnet::{EfficientNet, MBConvConfig};

use crate::{
    Assembly,
    layers::{Recipe, extract},
    options::Options,
    registry::{Entry, IMAGENET_MEAN, IMAGENET_STD, WeightSource, at_least, same_name},
};

const TRAINED_ON: [&str; 2] = [
    "JFT-300M without its labels, and ImageNet-1k",
    "ImageNet-1k",
];

pub(crate) const B0: Entry = Entry {
    name: "tf_efficientnet_b0",
    about: "EfficientNet-B0 of TensorFlow, a fixed extractor of 1280 features (Tan and Le 2019)",
    options: &[],
    default_size: 224,
    mean: IMAGENET_MEAN,
    std: IMAGENET_STD,
    classifier: "classifier.",
    auxiliary: &[],
    weights: &[
        WeightSource {
            spec: "hf:timm/tf_efficientnet_b0.ns_jft_in1k",
            trained_on: TRAINED_ON[0],
        },
        WeightSource {
            spec: "hf:timm/tf_efficientnet_b0.aa_in1k",
            trained_on: TRAINED_ON[1],
        },
    ],
    extractor: true,
    rename: same_name,
    check: |table| Ok(Options::new(table, &[])?.finish()),
    check_size: |_, size| at_least(1, size),
    build: |_, assembly| {
        Ok(build(
            "tf_efficientnet_b0",
            MBConvConfig::b0,
            1280,
            assembly,
        )?)
    },
};

pub(crate) const B1: Entry = Entry {
    name: "tf_efficientnet_b1",
    about: "EfficientNet-B1 of TensorFlow, a fixed extractor of 1280 features (Tan and Le 2019)",
    default_size: 240,
    weights: &[
        WeightSource {
            spec: "hf:timm/tf_efficientnet_b1.ns_jft_in1k",
            trained_on: TRAINED_ON[0],
        },
        WeightSource {
            spec: "hf:timm/tf_efficientnet_b1.aa_in1k",
            trained_on: TRAINED_ON[1],
        },
    ],
    build: |_, assembly| {
        Ok(build(
            "tf_efficientnet_b1",
            MBConvConfig::b1,
            1280,
            assembly,
        )?)
    },
    ..B0
};

pub(crate) const B2: Entry = Entry {
    name: "tf_efficientnet_b2",
    about: "EfficientNet-B2 of TensorFlow, a fixed extractor of 1408 features (Tan and Le 2019)",
    default_size: 260,
    weights: &[
        WeightSource {
            spec: "hf:timm/tf_efficientnet_b2.ns_jft_in1k",
            trained_on: TRAINED_ON[0],
        },
        WeightSource {
            spec: "hf:timm/tf_efficientnet_b2.aa_in1k",
            trained_on: TRAINED_ON[1],
        },
    ],
    build: |_, assembly| {
        Ok(build(
            "tf_efficientnet_b2",
            MBConvConfig::b2,
            1408,
            assembly,
        )?)
    },
    ..B0
};

pub(crate) const B3: Entry = Entry {
    name: "tf_efficientnet_b3",
    about: "EfficientNet-B3 of TensorFlow, a fixed extractor of 1536 features (Tan and Le 2019)",
    default_size: 300,
    weights: &[
        WeightSource {
            spec: "hf:timm/tf_efficientnet_b3.ns_jft_in1k",
            trained_on: TRAINED_ON[0],
        },
        WeightSource {
            spec: "hf:timm/tf_efficientnet_b3.aa_in1k",
            trained_on: TRAINED_ON[1],
        },
    ],
    build: |_, assembly| {
        Ok(build(
            "tf_efficientnet_b3",
            MBConvConfig::b3,
            1536,
            assembly,
        )?)
    },
    ..B0
};

pub(crate) const B4: Entry = Entry {
    name: "tf_efficientnet_b4",
    about: "EfficientNet-B4 of TensorFlow, a fixed extractor of 1792 features (Tan and Le 2019)",
    default_size: 380,
    weights: &[
        WeightSource {
            spec: "hf:timm/tf_efficientnet_b4.ns_jft_in1k",
            trained_on: TRAINED_ON[0],
        },
        WeightSource {
            spec: "hf:timm/tf_efficientnet_b4.aa_in1k",
            trained_on: TRAINED_ON[1],
        },
    ],
    build: |_, assembly| {
        Ok(build(
            "tf_efficientnet_b4",
            MBConvConfig::b4,
            1792,
            assembly,
        )?)
    },
    ..B0
};

/// All but the last linear layer, which is the head.
fn build(
    name: &'static str,
    blocks: fn() -> Vec<MBConvConfig>,
    features: usize,
    assembly: &mut Assembly<'_>,
) -> Result<()> {
    let size = assembly.dimensions().size;
    let make = move |vb: candle_nn::VarBuilder<'_>| {
        let model = EfficientNet::new(vb, blocks(), features)?;
        Ok(Func::new(move |x| model.forward(x)))
    };
    let recipe = Recipe {
        classifier: Some("classifier.1."),
        publish,
        ..Recipe::new(features, make, move |weight| pixels(weight, size))
    };
    extract(assembly, name, recipe, "classifier")
}

/// candle's name, which is torchvision's, to timm's.
///
/// candle numbers the parts: `features.STAGE.BLOCK.block.PART.LAYER`, where stage 0 is the stem, stage 8 the last convolution,
/// and the blocks of stage 1 lack the first part.
fn publish(name: &str) -> String {
    let parts: Vec<&str> = name.split('.').collect();
    match parts[..] {
        ["features", "0", "0", tensor] => format!("conv_stem.{tensor}"),
        ["features", "0", "1", tensor] => format!("bn1.{tensor}"),
        ["features", "8", "0", tensor] => format!("conv_head.{tensor}"),
        ["features", "8", "1", tensor] => format!("bn2.{tensor}"),
        ["features", stage, block, "block", part, layer, tensor] => {
            let expands = stage != "1";
            let number = |text: &str| text.parse::<usize>().unwrap_or(0);
            let stage = number(stage).saturating_sub(1);
            let layer = match (expands, number(part), layer) {
                (_, _, "fc1") => "se.conv_reduce",
                (_, _, "fc2") => "se.conv_expand",
                (true, 0, "0") | (false, 2, "0") => "conv_pw",
                (true, 1, "0") | (false, 0, "0") => "conv_dw",
                (true, _, "0") => "conv_pwl",
                (_, 0, _) => "bn1",
                (true, 1, _) | (false, _, _) => "bn2",
                (true, _, _) => "bn3",
            };
            format!("blocks.{stage}.{block}.{layer}.{tensor}")
        }
        _ => name.to_owned(),
    }
}

/// Pixels of the map that a convolution gives.
fn pixels(weight: &str, size: usize) -> usize {
    /// Which stages halve the map, rounding up, in their first block's depthwise convolution.
    const HALVES: [bool; 7] = [false, true, true, true, false, true, false];
    let parts: Vec<&str> = weight.split('.').collect();
    let stages = match parts[..] {
        ["conv_stem", _] => 0,
        ["conv_head", _] => HALVES.len(),
        ["blocks", _, _, "se", ..] => return 1,
        ["blocks", stage, block, layer, _] => {
            let before = block == "0" && layer == "conv_pw";
            let stage: usize = stage.parse().unwrap_or(0);
            stage + usize::from(!before)
        }
        _ => return 1,
    };
    let halvings = 1 + HALVES[..stages].iter().filter(|&&halves| halves).count();
    let side = (0..halvings).fold(size, |side, _| side.div_ceil(2));
    side * side
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_timms() {
        for (candle, timm) in [
            ("features.0.0.weight", "conv_stem.weight"),
            ("features.0.1.running_var", "bn1.running_var"),
            ("features.1.0.block.0.0.weight", "blocks.0.0.conv_dw.weight"),
            ("features.1.0.block.0.1.bias", "blocks.0.0.bn1.bias"),
            (
                "features.1.0.block.1.fc2.bias",
                "blocks.0.0.se.conv_expand.bias",
            ),
            ("features.1.0.block.2.0.weight", "blocks.0.0.conv_pw.weight"),
            ("features.1.0.block.2.1.bias", "blocks.0.0.bn2.bias"),
            ("features.6.3.block.0.0.weight", "blocks.5.3.conv_pw.weight"),
            ("features.6.3.block.1.1.weight", "blocks.5.3.bn2.weight"),
            (
                "features.6.3.block.2.fc1.weight",
                "blocks.5.3.se.conv_reduce.weight",
            ),
            (
                "features.6.3.block.3.0.weight",
                "blocks.5.3.conv_pwl.weight",
            ),
            ("features.6.3.block.3.1.weight", "blocks.5.3.bn3.weight"),
            ("features.8.1.weight", "bn2.weight"),
        ] {
            assert_eq!(publish(candle), timm);
        }
    }
}
