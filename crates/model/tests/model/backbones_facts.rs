//! What is published about the Inceptions, Xception and the MobileNets, and what their second classifiers do.

use std::{cell::RefCell, collections::HashMap};

use candle_core::Tensor;
use graft_model::{
    ModelError, ModelSpec, Network, Part, Pass, TransferMode, TransferSpec, WeightFile,
};
use graft_ops::{Tape, cross_entropy};

use crate::{
    made_up::{flat, input},
    network,
};

fn parameters(network: &Network) -> usize {
    let parameters = network.parameters().iter();
    parameters.map(|p| p.var.elem_count()).sum()
}

/// `num_params` of torchvision's `*_Weights`; of timm's networks the "Params (M)" of their model cards, to the last digit as
/// `sum(p.numel() for p in net.parameters())` gives it.
#[test]
fn networks_have_the_published_number_of_parameters() {
    for (kind, options, size, count) in [
        ("googlenet", "auxiliary = false", 224, 6_624_904),
        ("googlenet", "", 224, 13_004_888),
        ("inception_v3", "", 299, 27_161_264),
        ("inception_v3", "auxiliary = false", 299, 23_834_568),
        ("mobilenet_v1", "", 224, 4_231_976),
        ("mobilenet_v2", "", 224, 3_504_872),
        ("mobilenet_v3_large", "", 224, 5_483_032),
        ("mobilenet_v3_small", "", 224, 2_542_856),
        ("xception", "", 299, 22_855_952),
    ] {
        let network = network(kind, options, 1000, size);
        assert_eq!(parameters(&network), count, "{kind} {options}");
        let summary = network.summary(1).unwrap();
        let listed: usize = summary.layers.iter().map(|layer| layer.parameters).sum();
        assert_eq!(listed, count, "{kind} {options}: in the summary");
    }
}

/// Millions of multiply-adds: `_ops` of torchvision's `*_Weights`, and 569 of Howard et al. 2017. Of Xception timm's model card
/// says 8.4 G.
#[test]
fn networks_take_the_published_number_of_multiplications() {
    for (kind, size, millions) in [
        ("googlenet", 224, 1498),
        ("inception_v3", 299, 5713),
        ("mobilenet_v1", 224, 569),
        ("mobilenet_v2", 224, 301),
        ("mobilenet_v3_large", 224, 217),
        ("mobilenet_v3_small", 224, 57),
        ("xception", 299, 8357),
    ] {
        let summary = network(kind, "", 1000, size).summary(1).unwrap();
        let found = (summary.multiply_adds() + 500_000) / 1_000_000;
        assert_eq!(found, millions, "{kind}");
        let mut names: Vec<&str> = summary.layers.iter().map(|l| l.name.as_str()).collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count, "{kind}: every layer has its own name");
    }
}

/// The initial weights as the peers draw them: the standard deviation of some layers, each of which has thousands of weights.
#[test]
fn networks_start_as_the_peers_do() {
    let fan_out = |outputs: usize, kernel: usize| (2.0 / (outputs * kernel * kernel) as f64).sqrt();
    for (kind, size, layer, std) in [
        ("googlenet", 224, "inception4a.branch2.1.conv", 0.01),
        ("googlenet", 224, "aux1.fc1", 0.01),
        ("googlenet", 224, "fc", 0.01),
        ("inception_v3", 299, "Mixed_6b.branch7x7_2.conv", 0.1),
        ("inception_v3", 299, "AuxLogits.conv1.conv", 0.1),
        ("inception_v3", 299, "AuxLogits.fc", 0.001),
        ("inception_v3", 299, "fc", 0.1),
        // timm counts the outputs of a group.
        ("mobilenet_v1", 224, "blocks.4.1.conv_dw", fan_out(1, 3)),
        ("mobilenet_v1", 224, "blocks.4.1.conv_pw", fan_out(1024, 1)),
        ("mobilenet_v1", 224, "classifier", 0.1 / 3f64.sqrt()),
        // torchvision counts them all.
        ("mobilenet_v2", 224, "features.17.conv.1.0", fan_out(960, 3)),
        ("mobilenet_v2", 224, "classifier.1", 0.01),
        (
            "mobilenet_v3_large",
            224,
            "features.15.block.2.fc1",
            fan_out(240, 1),
        ),
        ("mobilenet_v3_large", 224, "classifier.0", 0.01),
        ("mobilenet_v3_small", 224, "classifier.3", 0.01),
        ("xception", 299, "block4.rep.1.pointwise", fan_out(728, 1)),
        ("xception", 299, "fc", (1.0 / (3.0 * 2048.0f64)).sqrt()),
    ] {
        let network = network(kind, "", 100, size);
        let name = format!("{layer}.weight");
        let weight = network.parameters().iter().find(|p| p.name == name);
        let values = flat(weight.unwrap().values());
        let n = values.len() as f64;
        let squares = values.iter().map(|&v| f64::from(v).powi(2));
        let found = (squares.sum::<f64>() / n).sqrt();
        let error = (found / std - 1.0).abs();
        assert!(
            error < 5.0 / (2.0 * n).sqrt(),
            "{kind} {layer}: standard deviation {found} of {std}"
        );
    }
}

fn build_error(kind: &str, options: &str, size: usize) -> String {
    let spec = ModelSpec::new(kind, options.parse().unwrap());
    let transfer = TransferSpec::of(TransferMode::FineTune);
    Network::check(&spec, &transfer, size)
        .unwrap_err()
        .to_string()
}

#[test]
fn pictures_that_are_too_small_are_refused() {
    for (kind, options, least) in [
        ("googlenet", "", 15),
        ("inception_v3", "", 299),
        ("inception_v3", "auxiliary = false", 75),
        ("mobilenet_v1", "", 1),
        ("mobilenet_v2", "", 1),
        ("mobilenet_v3_large", "", 1),
        ("mobilenet_v3_small", "", 1),
        ("xception", "", 7),
    ] {
        let message = build_error(kind, options, least - 1);
        let expected = format!("{kind}: `size`: expected pictures of at least {least}×{least}");
        assert!(message.starts_with(&expected), "{message}");
        let network = network(kind, options, 2, least);
        let (tape, found) = (Tape::recording(), RefCell::default());
        let pass = Pass::training(&tape, 0, 0, 0).with_auxiliaries(&found);
        let logits = network.forward(&input(2, least), &pass).unwrap();
        assert_eq!(logits.dims(), [2, 2], "{kind} {options}");
    }
    let message = build_error("inception_v3", "", 298);
    assert!(message.contains("or `auxiliary = false`"), "{message}");
    let message = build_error("googlenet", "auxiliary = 1", 224);
    assert!(
        message.contains("`auxiliary`: expected `true` or `false`, found 1"),
        "{message}"
    );
}

/// The logits of the second classifiers in one pass.
fn auxiliaries(network: &Network, x: &Tensor, pass: &Pass<'_>) -> Vec<(Vec<f32>, f64)> {
    let found = RefCell::default();
    network.forward(x, &pass.with_auxiliaries(&found)).unwrap();
    let found = found.into_inner().into_iter();
    found
        .map(|(logits, weight)| (flat(&logits), weight))
        .collect()
}

fn weights_of(found: &[(Vec<f32>, f64)]) -> Vec<f64> {
    found.iter().map(|(_, weight)| *weight).collect()
}

#[test]
fn second_classifiers_take_part_in_training_only() {
    let x = input(2, 64);
    let network = network("googlenet", "", 3, 64);
    let (still, recording) = (Tape::disabled(), Tape::recording());
    // An evaluation gives what a network without them does; the summary lists their layers last, without multiplications.
    let without = crate::network("googlenet", "auxiliary = false", 3, 64);
    let logits = |network: &Network| flat(&network.forward(&x, &Pass::evaluation(&still)).unwrap());
    assert_eq!(logits(&network), logits(&without));
    let summary = network.summary(1).unwrap();
    let plain = without.summary(1).unwrap();
    let (first, last) = summary.layers.split_at(plain.layers.len());
    assert_eq!(first, plain.layers);
    assert!(
        last.iter()
            .all(|l| l.name.starts_with("aux") && l.multiply_adds == 0)
    );
    assert!(last.len() > 6);
    let training = Pass::training(&recording, 0, 0, 0);
    let found = auxiliaries(&network, &x, &training);
    assert_eq!(weights_of(&found), [0.3, 0.3]);
    assert!(found.iter().all(|(logits, _)| logits.len() == 6));
    // Nobody asks, nothing is computed: their running statistics stay.
    let statistics = |network: &Network| -> Vec<Vec<f32>> {
        let buffers = network.buffers().iter();
        let second = buffers.filter(|b| b.name.starts_with("aux"));
        second.map(|b| flat(b.values())).collect()
    };
    let before = statistics(&network);
    network.forward(&x, &training).unwrap();
    assert_eq!(statistics(&network), before);
    assert_eq!(auxiliaries(&without, &x, &training), []);
}

#[test]
fn the_second_classifier_of_a_frozen_inception_does_not_train() {
    let mut network = network("inception_v3", "", 3, 299);
    let is_second = |name: &str| name.starts_with("AuxLogits.");
    let x = input(1, 299);
    network
        .set_transfer(&TransferSpec::of(TransferMode::Frozen))
        .unwrap();
    assert!(network.features_are_fixed());
    let tape = Tape::recording();
    let found = RefCell::default();
    let pass = Pass::training(&tape, 0, 0, 0).with_auxiliaries(&found);
    let logits = network.forward(&x, &pass).unwrap();
    assert!(found.borrow().is_empty());
    let loss = cross_entropy(&tape, &logits, &[1]).unwrap();
    let gradients = tape.backward(&loss).unwrap();
    for parameter in network.parameters() {
        let trains = parameter.name.starts_with("fc.");
        assert_eq!(parameter.trainable(), trains, "{}", parameter.name);
        let gradient = gradients.get(&parameter.var);
        assert_eq!(gradient.is_some(), trains, "{}", parameter.name);
    }
    let trained = network.trained_state();
    assert!(trained.iter().all(|(name, _)| !is_second(name)));
    // Frozen up to the layer that it stands on, it does not train; up to the one before, it does.
    for (freeze, trains) in [("Mixed_6e", false), ("Mixed_6d", true)] {
        let mut transfer = TransferSpec::of(TransferMode::FineTune);
        transfer.freeze = Some(freeze.to_owned());
        network.set_transfer(&transfer).unwrap();
        let mut second = network.parameters().iter().filter(|p| is_second(&p.name));
        assert!(second.all(|p| p.trainable() == trains), "{freeze}");
    }
}

/// A file of some of a network's tensors.
fn file(network: &Network, kept: impl Fn(&str) -> bool) -> (tempfile::TempDir, WeightFile) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("w.safetensors");
    let state: HashMap<String, Tensor> = network
        .state()
        .into_iter()
        .filter(|(name, _)| kept(name))
        .collect();
    candle_core::safetensors::save(&state, &path).unwrap();
    let file = WeightFile::open(&path).unwrap();
    (folder, file)
}

#[test]
fn a_file_without_the_second_classifiers_loads() {
    let published = network("googlenet", "", 4, 64);
    crate::made_up::fill(&published);
    let (_folder, file) = file(&published, |name| !name.starts_with("aux"));
    let mut network = network("googlenet", "", 3, 64);
    let before: HashMap<String, Tensor> = network.state().into_iter().collect();
    let before = before["aux1.fc1.weight"].copy().unwrap();
    let report = network.load_backbone(&file).unwrap();
    assert!(report.fits());
    assert_eq!(report.skipped, ["fc.weight", "fc.bias"]);
    let second = |name: &str| name.starts_with("aux");
    assert!(report.drawn.iter().all(|name| second(name)));
    for name in [
        "aux1.conv.conv.weight",
        "aux2.fc1.bias",
        "aux2.conv.bn.running_var",
    ] {
        assert!(report.drawn.iter().any(|drawn| drawn == name), "{name}");
    }
    // What was drawn afresh is as PyTorch's layers draw it, ±1/√2048 in a linear layer, and the rest is the file's.
    let state: HashMap<String, Tensor> = network.state().into_iter().collect();
    let drawn = flat(&state["aux1.fc1.weight"]);
    let bound = (2048f32).sqrt().recip();
    assert!(drawn.iter().all(|value| value.abs() <= bound));
    assert!(drawn.iter().any(|value| value.abs() > 0.99 * bound));
    assert_ne!(drawn, flat(&before));
    let from_file: HashMap<String, Tensor> = published.state().into_iter().collect();
    for name in &report.loaded {
        assert_eq!(flat(&state[name]), flat(&from_file[name]), "{name}");
    }
}

#[test]
fn a_file_with_second_classifiers_fills_their_backbone_and_suits_a_network_without() {
    let published = network("googlenet", "", 4, 64);
    crate::made_up::fill(&published);
    let (_folder, whole) = file(&published, |_| true);
    let mut with = network("googlenet", "", 3, 64);
    let report = with.load_backbone(&whole).unwrap();
    assert_eq!(report.drawn, [""; 0]);
    assert!(report.loaded.iter().any(|name| name == "aux1.fc1.weight"));
    for name in ["aux1.fc2.weight", "aux2.fc2.bias", "fc.weight"] {
        assert!(report.skipped.iter().any(|n| n == name), "{name}");
    }
    let heads = with.parameters().iter().filter(|p| p.part == Part::Head);
    let heads: Vec<&str> = heads.map(|p| p.name.as_str()).collect();
    let mut expected = ["aux1.fc2", "aux2.fc2", "fc"]
        .map(|layer| [format!("{layer}.weight"), format!("{layer}.bias")])
        .concat();
    expected.sort();
    let mut sorted = heads.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, expected);
    let mut without = network("googlenet", "auxiliary = false", 3, 64);
    let report = without.load_backbone(&whole).unwrap();
    assert!(report.left_out.iter().any(|n| n == "aux1.fc1.weight"));
    // A layer of the backbone may not be missing.
    let (_folder, less) = file(&published, |name| name != "conv2.conv.weight");
    let error = without.load_backbone(&less).unwrap_err();
    assert!(matches!(error, ModelError::Weights { .. }), "{error}");
}
