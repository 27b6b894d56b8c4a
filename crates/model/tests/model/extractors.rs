//! Fixed extractors of features against timm 1.0.31 on PyTorch 2.15.0: `scripts/golden_extractors.py` made the values.

use std::collections::HashMap;

use candle_core::{Device, Tensor};
use graft_model::{
    BatchNormMode, Init, ModelError, ModelSpec, Network, Part, Pass, TransferMode, TransferSpec,
    WeightFile, registry,
};
use graft_ops::{Tape, cross_entropy};

use crate::{
    made_up::{fill, flat, input},
    network,
};

/// What features may differ by, relative to the largest.
const TOLERANCE: f32 = 1e-5;

fn features(network: &Network, x: &Tensor) -> Vec<f32> {
    let tape = Tape::disabled();
    flat(&network.features(x, &Pass::evaluation(&tape)).unwrap())
}

fn check_features(kind: &str, golden: &str, size: usize) {
    let path = format!(
        "{}/tests/golden/extractors.safetensors",
        env!("CARGO_MANIFEST_DIR")
    );
    let expected = candle_core::safetensors::load(path, &Device::Cpu).unwrap();
    let expected = flat(&expected[golden]);
    let network = network(kind, "", 2, size);
    fill(&network);
    let found = features(&network, &input(1, size));
    assert_eq!(found.len(), expected.len(), "{kind}");
    let largest = expected.iter().fold(0f32, |most, x| most.max(x.abs()));
    let worst = expected.iter().zip(&found).map(|(a, b)| (a - b).abs());
    let worst = worst.fold(0f32, f32::max) / largest;
    println!("{golden}: {worst:.1e} of the largest");
    assert!(worst <= TOLERANCE, "{golden}: {worst} of the largest");
}

#[test]
fn convnext_gives_the_features_of_timm() {
    for (kind, size) in [
        ("convnext_atto", 64),
        ("convnext_femto", 64),
        ("convnext_pico", 64),
        ("convnext_nano", 75),
        ("convnext_tiny", 64),
        ("convnext_small", 64),
        ("convnext_base", 64),
    ] {
        check_features(kind, kind, size);
    }
}

#[test]
fn mobilenetv4_gives_the_features_of_timm() {
    for (kind, size) in [
        ("mobilenetv4_conv_small", 64),
        ("mobilenetv4_conv_medium", 75),
        ("mobilenetv4_conv_large", 64),
    ] {
        check_features(kind, kind, size);
    }
}

#[test]
fn efficientnet_gives_the_features_of_timm() {
    for (kind, size) in [
        ("tf_efficientnet_b0", 64),
        ("tf_efficientnet_b1", 75),
        ("tf_efficientnet_b2", 61),
        ("tf_efficientnet_b3", 64),
        ("tf_efficientnet_b4", 64),
    ] {
        check_features(kind, kind, size);
    }
}

#[test]
fn transformers_give_the_features_of_timm() {
    check_features("dinov2_vits14", "dinov2_vits14", 56);
    check_features("dinov2_vits14", "dinov2_vits14/224", 224);
    check_features("vit_base_patch16_224", "vit_base_patch16_224", 224);
}

/// Parameters with 1000 classes, and multiply-adds for a picture of the default size, as the script counts them in timm.
#[test]
fn extractors_have_the_published_size() {
    const PUBLISHED: [(&str, usize, usize); 17] = [
        ("convnext_atto", 3_695_520, 547_332_480),
        ("convnext_femto", 5_217_784, 779_629_824),
        ("convnext_pico", 9_045_672, 1_367_055_360),
        ("convnext_nano", 15_593_560, 2_445_528_320),
        ("convnext_tiny", 28_589_128, 4_455_531_264),
        ("convnext_small", 50_223_688, 8_683_712_256),
        ("convnext_base", 88_591_464, 15_354_729_472),
        ("mobilenetv4_conv_small", 3_774_024, 186_005_568),
        ("mobilenetv4_conv_medium", 9_715_512, 1_080_244_224),
        ("mobilenetv4_conv_large", 32_590_864, 6_376_220_672),
        ("tf_efficientnet_b0", 5_288_548, 385_814_752),
        ("tf_efficientnet_b1", 7_794_184, 686_802_832),
        ("tf_efficientnet_b2", 9_109_994, 993_561_872),
        ("tf_efficientnet_b3", 12_233_232, 1_827_141_392),
        ("tf_efficientnet_b4", 19_341_616, 4_393_771_024),
        ("dinov2_vits14", 22_825_192, 6_124_329_984),
        ("vit_base_patch16_224", 86_567_656, 17_563_828_224),
    ];
    let extractors = registry().iter().filter(|entry| entry.extractor);
    assert_eq!(extractors.clone().count(), PUBLISHED.len());
    for (entry, (kind, parameters, products)) in extractors.zip(PUBLISHED) {
        let summary = network(kind, "", 1000, entry.default_size)
            .summary(2)
            .unwrap();
        assert_eq!(summary.kind, kind);
        assert_eq!(
            summary.layers.len(),
            2,
            "{kind}: the extractor and its head"
        );
        assert_eq!(summary.layers[0].name, kind);
        assert_eq!(summary.parameters(), parameters, "{kind}");
        assert_eq!(summary.multiply_adds(), 2 * products, "{kind}");
    }
}

fn frozen() -> TransferSpec {
    TransferSpec::of(TransferMode::Frozen)
}

#[test]
fn only_the_head_of_an_extractor_trains() {
    let mut network = network("mobilenetv4_conv_small", "", 2, 32);
    fill(&network);
    let mut refused = |transfer: &TransferSpec| match network.set_transfer(transfer) {
        Err(ModelError::Option { error, .. }) => error.to_string(),
        other => panic!("it must be refused: {other:?}"),
    };
    assert_eq!(
        refused(&TransferSpec::of(TransferMode::FineTune)),
        "`transfer`: expected `frozen`: it can't be trained, found `fine-tune`"
    );
    let batch = TransferSpec {
        batch_norm: BatchNormMode::Batch,
        ..frozen()
    };
    assert_eq!(
        refused(&batch),
        "`batch_norm`: expected `running`: it can't use the batch's statistics, found `batch`"
    );

    network.set_transfer(&frozen()).unwrap();
    assert!(network.features_are_fixed());
    let trained: Vec<String> = network
        .trained_state()
        .into_iter()
        .map(|(name, _)| name)
        .collect();
    assert_eq!(trained, ["classifier.weight", "classifier.bias"]);

    let before = network.buffers()[0].values().copy().unwrap();
    let tape = Tape::recording();
    let pass = Pass::training(&tape, 0, 0, 0);
    let x = input(2, 32);
    assert!(!tape.needs_grad(&network.features(&x, &pass).unwrap()));
    let logits = network.forward(&x, &pass).unwrap();
    let loss = cross_entropy(&tape, &logits, &[0, 1]).unwrap();
    let gradients = tape.backward(&loss).unwrap();
    for parameter in network.parameters() {
        let trains = parameter.part == Part::Head;
        let name = &parameter.name;
        assert_eq!(gradients.get(&parameter.var).is_some(), trains, "{name}");
    }
    assert_eq!(flat(network.buffers()[0].values()), flat(&before));
}

#[test]
fn extractors_say_which_pictures_they_take() {
    let build = |kind: &str, size| {
        let spec = ModelSpec::new(kind, toml::Table::new());
        let init = Init { seed: 0, repeat: 0 };
        Network::build(&spec, 2, size, &init, &Device::Cpu)
            .unwrap_err()
            .to_string()
    };
    assert_eq!(
        build("dinov2_vits14", 225),
        "dinov2_vits14: `size`: expected pictures whose side is a multiple of 14 pixels, found 225"
    );
    assert_eq!(
        build("vit_base_patch16_224", 256),
        "vit_base_patch16_224: `size`: expected pictures of 224×224 pixels, found 256"
    );
    assert_eq!(
        build("convnext_tiny", 31),
        "convnext_tiny: `size`: expected pictures of at least 32×32 pixels, found 31"
    );
    let network = network("dinov2_vits14", "", 2, 28);
    let tape = Tape::disabled();
    let pass = Pass::evaluation(&tape);
    let error = network.features(&input(1, 42), &pass).unwrap_err();
    let expected = "built for pictures of 28×28 pixels and got 42×42";
    assert!(error.to_string().contains(expected), "{error}");
}

/// The smallest pictures that the registry lets through.
#[test]
fn the_smallest_pictures_work() {
    for (kind, size) in [
        ("convnext_atto", 32),
        ("mobilenetv4_conv_small", 1),
        ("tf_efficientnet_b0", 1),
        ("dinov2_vits14", 14),
    ] {
        let network = network(kind, "", 2, size);
        let found = features(&network, &input(2, size));
        assert!(found.iter().all(|x| x.is_finite()), "{kind}");
    }
}

/// A file with the tensors of `network`, changed.
fn saved(
    network: &Network,
    change: impl FnOnce(&mut HashMap<String, Tensor>),
) -> (tempfile::TempDir, WeightFile) {
    let mut tensors = network.state().into_iter().collect();
    change(&mut tensors);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("w.safetensors");
    candle_core::safetensors::save(&tensors, &path).unwrap();
    let file = WeightFile::open(&path).unwrap();
    (folder, file)
}

/// A new network for 3 classes on the weights of `file`.
fn pretrained(
    kind: &str,
    size: usize,
    file: &WeightFile,
) -> Result<(Network, graft_model::LoadReport), ModelError> {
    let spec = ModelSpec::new(kind, toml::Table::new());
    let init = Init { seed: 0, repeat: 0 };
    Network::pretrained(&spec, 3, size, &init, &Device::Cpu, file)
}

#[test]
fn published_files_fit_and_their_classifiers_are_skipped() {
    let (x, counter) = (
        input(2, 28),
        Tensor::zeros((), candle_core::DType::I64, &Device::Cpu),
    );
    let published = network("mobilenetv4_conv_small", "", 1000, 28);
    fill(&published);
    let (_folder, file) = saved(&published, |tensors| {
        tensors.insert("bn1.num_batches_tracked".to_owned(), counter.unwrap());
    });
    let (network, report) = pretrained("mobilenetv4_conv_small", 28, &file).unwrap();
    assert_eq!(report.skipped, ["classifier.weight", "classifier.bias"]);
    assert_eq!(report.ignored, ["bn1.num_batches_tracked"]);
    assert_eq!(report.loaded.len(), network.state().len() - 2);
    assert_eq!(features(&network, &x), features(&published, &x));

    // The one of Meta has a mask token and no linear layer; candle's has both.
    let published = self::network("dinov2_vits14", "", 1000, 28);
    fill(&published);
    let mask = Tensor::zeros((1, 384), candle_core::DType::F32, &Device::Cpu).unwrap();
    let (_folder, file) = saved(&published, |tensors| {
        tensors.insert("mask_token".to_owned(), mask);
        tensors.remove("head.bias");
        tensors.remove("head.weight");
    });
    let (network, report) = pretrained("dinov2_vits14", 28, &file).unwrap();
    assert_eq!(report.left_out, ["mask_token"]);
    assert_eq!(features(&network, &x), features(&published, &x));
}

#[test]
fn files_with_other_tensors_are_refused() {
    let published = network("tf_efficientnet_b0", "", 2, 32);
    // The stem as torchvision and candle call it.
    let (_folder, file) = saved(&published, |tensors| {
        let stem = tensors.remove("conv_stem.weight").unwrap();
        tensors.insert("features.0.0.weight".to_owned(), stem);
    });
    let error = pretrained("tf_efficientnet_b0", 32, &file).unwrap_err();
    let expected = "1 missing: conv_stem.weight; 1 unexpected: features.0.0.weight";
    assert!(error.to_string().contains(expected), "{error}");
}

/// A network that has run already computes with the weights that it gets then.
#[test]
fn weights_are_never_old() {
    let x = input(1, 32);
    let network = network("mobilenetv4_conv_small", "", 2, 32);
    let drawn = features(&network, &x);
    fill(&network);
    let filled = features(&network, &x);
    assert_ne!(filled, drawn);
    let fresh = self::network("mobilenetv4_conv_small", "", 2, 32);
    fill(&fresh);
    assert_eq!(features(&fresh, &x), filled);
    // Statistics alone, which batch norm copies.
    let mut state = std::collections::BTreeMap::from_iter(network.state());
    let statistic = state.get_mut("bn1.running_var").unwrap();
    *statistic = statistic.affine(2.0, 0.0).unwrap();
    network.restore(&state).unwrap();
    assert_ne!(features(&network, &x), filled);
}
