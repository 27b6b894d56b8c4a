//! The vision transformer (Dosovitskiy et al. 2021) as candle computes it, with the names of Hugging Face's `transformers`: a
//! fixed extractor of features.

use candle_core::Result;
use candle_nn::Func;
use candle_transformers::models::vit::{Config, Model};

use crate::{
    Assembly, OptionError,
    layers::{Recipe, extract},
    options::Options,
    registry::{Entry, WeightSource, same_name},
};

/// Height and width of its pictures and patches in pixels.
const SIZE: usize = 224;
const PATCH: usize = 16;
/// Length of a token.
const FEATURES: usize = 768;

pub(crate) const BASE_PATCH16_224: Entry = Entry {
    name: "vit_base_patch16_224",
    about: "vision transformer ViT-B/16, a fixed extractor of 768 features (Dosovitskiy et al. 2021)",
    options: &[],
    default_size: SIZE,
    mean: [0.5; 3],
    std: [0.5; 3],
    classifier: "classifier.",
    auxiliary: &[],
    weights: &[WeightSource {
        spec: "hf:google/vit-base-patch16-224",
        trained_on: "ImageNet-21k, then ImageNet-1k",
    }],
    extractor: true,
    rename: same_name,
    check: |table| Ok(Options::new(table, &[])?.finish()),
    check_size: |_, size| {
        if size == SIZE {
            return Ok(());
        }
        let expected = format!("pictures of {SIZE}×{SIZE} pixels");
        Err(OptionError::new("size", expected, size))
    },
    build: |_, assembly| Ok(build(assembly)?),
};

/// The class token after the last norm; the linear layer on it is the head.
fn build(assembly: &mut Assembly<'_>) -> Result<()> {
    let config = Config::vit_base_patch16_224();
    let blocks = config.num_hidden_layers;
    let make = move |vb: candle_nn::VarBuilder<'_>| {
        let model = Model::new(&config, FEATURES, vb)?;
        Ok(Func::new(move |x| model.forward(x)))
    };
    let patches = (SIZE / PATCH).pow(2);
    let tokens = patches + 1;
    let uses = move |weight: &str| {
        if weight.contains("patch_embeddings") {
            patches
        } else {
            tokens
        }
    };
    let recipe = Recipe {
        classifier: Some("classifier."),
        size: Some(SIZE),
        // Every query meets every key, and so every value.
        between: blocks * 2 * tokens * tokens * FEATURES,
        ..Recipe::new(FEATURES, make, uses)
    };
    extract(assembly, BASE_PATCH16_224.name, recipe, "classifier")
}
