//! Networks that are cut, that have heads of their own, and that are frozen up to a layer.

use candle_core::{Device, Tensor};
use graft_model::{
    HeadSpec, Init, ModelError, ModelSpec, Network, Part, Pass, TransferMode, TransferSpec,
    WeightFile,
};
use graft_ops::{Gradients, Tape, cross_entropy};

use crate::made_up::{fill, flat, input};

const LAYERS: &str =
    "maxpool, layer1, layer1.0, layer1.1, layer2, layer2.0, layer2.1, layer3, layer3.0, layer3.1";

fn build(cut: Option<&str>, head: Option<HeadSpec>) -> Result<Network, ModelError> {
    let mut spec = ModelSpec::new("resnet18", toml::Table::new());
    spec.cut = cut.map(str::to_owned);
    spec.head = head;
    let init = Init { seed: 0, repeat: 0 };
    Network::build(&spec, 3, 64, &init, &Device::Cpu)
}

fn frozen_up_to(layer: &str) -> TransferSpec {
    TransferSpec {
        freeze: Some(layer.to_owned()),
        ..TransferSpec::of(TransferMode::FineTune)
    }
}

fn names(network: &Network) -> Vec<&str> {
    let parameters = network.parameters().iter();
    parameters.map(|p| p.name.as_str()).collect()
}

fn features(network: &Network, x: &Tensor) -> Tensor {
    let tape = Tape::disabled();
    network.features(x, &Pass::evaluation(&tape)).unwrap()
}

/// The gradients of one training pass.
fn gradients(network: &Network) -> Gradients {
    let tape = Tape::recording();
    let pass = Pass::training(&tape, 0, 0, 0);
    let logits = network.forward(&input(4, 64), &pass).unwrap();
    assert_eq!(logits.dims(), [4, 3]);
    let loss = cross_entropy(&tape, &logits, &[0, 1, 2, 0]).unwrap();
    tape.backward(&loss).unwrap()
}

#[test]
fn a_cut_network_ends_where_it_is_cut() {
    let x = input(2, 64);
    for (cut, last, shape) in [
        ("maxpool", "maxpool", &[2, 16, 16, 64][..]),
        ("layer1.0", "layer1.0", &[2, 16, 16, 64]),
        ("layer3", "layer3.1", &[2, 4, 4, 256]),
        ("layer4.1", "layer4.1", &[2, 2, 2, 512]),
        ("avgpool", "avgpool", &[2, 512]),
    ] {
        let network = build(Some(cut), None).unwrap();
        assert_eq!(network.last_layer(), last);
        assert_eq!(features(&network, &x).dims(), shape, "{cut}");
        let names = names(&network);
        let heads: Vec<&str> = names.iter().copied().rev().take(2).collect();
        assert_eq!(heads, ["head.fc.bias", "head.fc.weight"], "{cut}");
        let behind = |name: &&str| name.starts_with("layer4") && shape[shape.len() - 1] < 512;
        assert_eq!(names.into_iter().find(behind), None, "{cut}");
        let gradients = gradients(&network);
        let parameters = network.parameters().iter();
        for parameter in parameters {
            assert!(gradients.get(&parameter.var).is_some(), "{cut}");
        }
    }
}

/// What is left computes what it did in the whole.
#[test]
fn the_layers_before_the_cut_stay_the_same() {
    let x = input(2, 64);
    let whole = build(None, None).unwrap();
    fill(&whole);
    let pooled = flat(&features(&whole, &x));
    for cut in ["layer4", "avgpool"] {
        let network = build(Some(cut), None).unwrap();
        fill(&network);
        let mut last = features(&network, &x);
        if cut == "layer4" {
            last = last.mean((1, 2)).unwrap();
        }
        let found = flat(&last);
        assert_eq!(found.len(), pooled.len());
        let largest = pooled.iter().fold(0f32, |most, x| most.max(x.abs()));
        let mut pairs = found.iter().zip(&pooled);
        assert!(pairs.all(|(a, b)| (a - b).abs() <= 1e-6 * largest), "{cut}");
    }
}

#[test]
fn a_cut_network_takes_the_whole_ones_weights() {
    let whole = build(None, None).unwrap();
    fill(&whole);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("resnet18.safetensors");
    let state = whole.state().into_iter().collect();
    candle_core::safetensors::save(&state, &path).unwrap();

    let mut network = build(Some("layer3"), None).unwrap();
    let report = network
        .load_backbone(&WeightFile::open(&path).unwrap())
        .unwrap();
    assert_eq!(report.loaded.len(), network.state().len() - 2);
    assert_eq!(report.left_out.len(), state.len() - report.loaded.len());
    let expected = ["fc.bias", "fc.weight", "layer4.0.bn1.bias"];
    assert_eq!(report.left_out[..3], expected, "{report}");
    for (name, values) in network.state() {
        if let Some(source) = state.get(&name) {
            assert_eq!(flat(&values), flat(source), "{name}");
        } else {
            assert!(name.starts_with("head.fc."), "{name}");
        }
    }
}

#[test]
fn layers_that_are_not_there_are_refused_with_those_that_are() {
    let message = |error: ModelError| error.to_string();
    let all = format!("{LAYERS}, layer4, layer4.0, layer4.1, avgpool");
    for cut in ["layer5", "fc", "layer", "conv1", ""] {
        assert_eq!(
            message(build(Some(cut), None).unwrap_err()),
            format!("resnet18: `cut`: expected one of {all}, found `{cut}`")
        );
    }
    let mut network = build(Some("layer3"), None).unwrap();
    let error = network.set_transfer(&frozen_up_to("layer4")).unwrap_err();
    assert_eq!(
        message(error),
        format!("resnet18: `freeze`: expected one of {LAYERS}, found `layer4`")
    );
    assert!(network.set_transfer(&frozen_up_to("layer3.0")).is_ok());
}

/// Frozen layers have no gradient and keep their statistics; the others train as if they were alone.
#[test]
fn a_network_can_be_frozen_up_to_a_layer() {
    let mut network = build(None, None).unwrap();
    fill(&network);
    network.set_transfer(&frozen_up_to("layer2")).unwrap();
    assert!(!network.features_are_fixed());
    let is_frozen = |name: &str| {
        let frozen = ["conv1", "bn1", "layer1", "layer2"];
        frozen.contains(&name.split('.').next().unwrap())
    };
    let before: Vec<Vec<f32>> = network.buffers().iter().map(|b| flat(b.values())).collect();
    let gradients = gradients(&network);
    for parameter in network.parameters() {
        let trains = !is_frozen(&parameter.name);
        assert_eq!(parameter.trainable(), trains, "{}", parameter.name);
        let has_gradient = gradients.get(&parameter.var).is_some();
        assert_eq!(has_gradient, trains, "{}", parameter.name);
    }
    for (buffer, before) in network.buffers().iter().zip(before) {
        let stays = flat(buffer.values()) == before;
        assert_eq!(stays, is_frozen(&buffer.name), "{}", buffer.name);
    }
    let trained = network.trained_state();
    assert!(trained.iter().all(|(name, _)| !is_frozen(name)));
    // Two blocks of five or six tensors and their norms' statistics in each of two layers, and the head.
    assert_eq!(trained.len(), 2 * (15 + 10) + 2);

    network
        .set_transfer(&TransferSpec::of(TransferMode::FineTune))
        .unwrap();
    assert!(network.parameters().iter().all(|p| p.trainable()));
}

#[test]
fn a_frozen_layer_is_in_evaluation_mode_while_the_others_train() {
    let mut network = build(None, None).unwrap();
    fill(&network);
    network.set_transfer(&frozen_up_to("avgpool")).unwrap();
    let x = input(4, 64);
    let tape = Tape::recording();
    let trained = network
        .features(&x, &Pass::training(&tape, 0, 0, 0))
        .unwrap();
    assert!(!tape.needs_grad(&trained));
    assert_eq!(flat(&trained), flat(&features(&network, &x)));
}

#[test]
fn a_head_may_have_hidden_layers() {
    let head = HeadSpec {
        hidden: vec![16, 8],
        dropout: 0.5,
    };
    for (cut, inputs) in [(None, 512), (Some("layer3"), 256)] {
        let network = build(cut, Some(head.clone())).unwrap();
        let parameters = network.parameters().iter();
        let heads: Vec<(&str, &[usize])> = parameters
            .filter(|p| p.part == Part::Head)
            .map(|p| (p.name.as_str(), p.var.dims()))
            .collect();
        let expected: [(&str, &[usize]); 6] = [
            ("head.hidden1.weight", &[16, inputs]),
            ("head.hidden1.bias", &[16]),
            ("head.hidden2.weight", &[8, 16]),
            ("head.hidden2.bias", &[8]),
            ("head.fc.weight", &[3, 8]),
            ("head.fc.bias", &[3]),
        ];
        assert_eq!(heads, expected);
        assert!(!names(&network).contains(&"fc.weight"));
        let gradients = gradients(&network);
        let mut parameters = network.parameters().iter();
        assert!(parameters.all(|p| gradients.get(&p.var).is_some()));

        // Dropout is on in training only.
        let features = features(&network, &input(4, 64));
        let tape = Tape::disabled();
        let run = |pass: &Pass<'_>| flat(&network.head(&features, pass).unwrap());
        let evaluated = run(&Pass::evaluation(&tape));
        assert_eq!(evaluated, run(&Pass::evaluation(&tape)));
        assert_ne!(evaluated, run(&Pass::training(&tape, 0, 0, 0)));
        assert_ne!(
            run(&Pass::training(&tape, 0, 0, 0)),
            run(&Pass::training(&tape, 0, 0, 1))
        );
    }
}
