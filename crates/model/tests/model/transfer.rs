//! Fine-tuning and frozen backbones: what trains, what is recorded, what stays as it is.

use std::collections::BTreeMap;

use candle_core::Tensor;
use graft_model::{BatchNormMode, ModelError, Network, Part, Pass, TransferMode, TransferSpec};
use graft_ops::{Gradients, Tape, cross_entropy};

use crate::{
    made_up::{fill, flat, input},
    network,
};

fn transfer(mode: TransferMode, batch_norm: BatchNormMode) -> TransferSpec {
    TransferSpec {
        batch_norm,
        head_lr: 10.0,
        ..TransferSpec::of(mode)
    }
}

/// The gradients of one training pass.
fn gradients(network: &Network, x: &Tensor) -> Gradients {
    let tape = Tape::recording();
    let logits = network.forward(x, &Pass::training(&tape, 0, 0, 0)).unwrap();
    let labels: Vec<u32> = (0..x.dims()[0] as u32).map(|i| i % 2).collect();
    let loss = cross_entropy(&tape, &logits, &labels).unwrap();
    tape.backward(&loss).unwrap()
}

fn buffers(network: &Network) -> Vec<Vec<f32>> {
    network
        .buffers()
        .iter()
        .map(|buffer| flat(buffer.values()))
        .collect()
}

#[test]
fn a_frozen_backbone_has_no_gradient_and_is_not_recorded() {
    for kind in ["convnet", "lenet5", "resnet18", "squeezenet1_1"] {
        let mut network = network(kind, "", 2, 32);
        fill(&network);
        network
            .set_transfer(&transfer(TransferMode::Frozen, BatchNormMode::Running))
            .unwrap();
        assert!(network.features_are_fixed());
        let before = buffers(&network);

        let tape = Tape::recording();
        let x = input(2, 32);
        let features = network
            .features(&x, &Pass::training(&tape, 0, 0, 0))
            .unwrap();
        assert!(
            !tape.needs_grad(&features),
            "{kind}: the features must not be on the tape"
        );

        let gradients = gradients(&network, &x);
        for parameter in network.parameters() {
            let trains = parameter.part == Part::Head;
            assert_eq!(parameter.trainable(), trains, "{kind} {}", parameter.name);
            assert_eq!(
                gradients.get(&parameter.var).is_some(),
                trains,
                "{kind} {}",
                parameter.name
            );
            let factor = if trains { 10.0 } else { 1.0 };
            assert_eq!(network.learning_rate_factor(parameter), factor);
        }
        assert_eq!(
            buffers(&network),
            before,
            "{kind}: running statistics must stay as they are"
        );
    }
}

#[test]
fn features_of_a_frozen_backbone_can_be_kept() {
    for kind in ["convnet", "lenet5", "resnet18", "squeezenet1_1"] {
        let mut network = network(kind, "", 2, 32);
        fill(&network);
        network
            .set_transfer(&transfer(TransferMode::Frozen, BatchNormMode::Running))
            .unwrap();
        let off = Tape::disabled();
        let x = input(3, 32);
        let kept = network.features(&x, &Pass::evaluation(&off)).unwrap();
        // In training, at any step: the same numbers.
        let tape = Tape::recording();
        let again = network
            .features(&x, &Pass::training(&tape, 5, 6, 7))
            .unwrap();
        assert_eq!(flat(&kept), flat(&again), "{kind}");
        // The head on kept features is the forward pass.
        let pass = Pass::training(&tape, 1, 2, 3);
        let (forward, head) = (
            network.forward(&x, &pass).unwrap(),
            network.head(&kept, &pass).unwrap(),
        );
        assert_eq!(flat(&forward), flat(&head), "{kind}");
        assert!(tape.needs_grad(&head), "{kind}");
    }
}

#[test]
fn a_frozen_backbone_may_use_the_statistics_of_the_batch() {
    let mut network = network("resnet18", "", 2, 64);
    fill(&network);
    network
        .set_transfer(&transfer(TransferMode::Frozen, BatchNormMode::Batch))
        .unwrap();
    assert!(!network.features_are_fixed());
    let before = buffers(&network);
    let gradients = gradients(&network, &input(2, 64));
    assert!(
        network
            .parameters()
            .iter()
            .all(|p| gradients.get(&p.var).is_some() == (p.part == Part::Head))
    );
    let after = buffers(&network);
    assert!(
        before
            .iter()
            .zip(&after)
            .all(|(before, after)| before != after),
        "every statistic is updated"
    );
    let off = Tape::disabled();
    let settled = network.state();
    network
        .forward(&input(2, 64), &Pass::evaluation(&off))
        .unwrap();
    assert_eq!(buffers(&network), after, "evaluation changes nothing");
    assert_eq!(settled.len(), network.state().len());
}

#[test]
fn modes_can_be_changed_back() {
    let mut network = network("convnet", "", 2, 32);
    network
        .set_transfer(&transfer(TransferMode::Frozen, BatchNormMode::Running))
        .unwrap();
    network
        .set_transfer(&transfer(TransferMode::FineTune, BatchNormMode::Batch))
        .unwrap();
    let gradients = gradients(&network, &input(2, 32));
    assert!(
        network
            .parameters()
            .iter()
            .all(|p| p.trainable() && gradients.get(&p.var).is_some())
    );
}

#[test]
fn dropout_depends_on_seed_repeat_and_step_and_is_off_in_evaluation() {
    for kind in ["convnet", "squeezenet1_1"] {
        let network = network(kind, "", 2, 32);
        fill(&network);
        let tape = Tape::disabled();
        let run = |pass: Pass<'_>| flat(&network.forward(&input(2, 32), &pass).unwrap());
        let base = run(Pass::training(&tape, 1, 2, 3));
        assert_eq!(base, run(Pass::training(&tape, 1, 2, 3)), "{kind}");
        for (seed, repeat, step) in [(0, 2, 3), (1, 0, 3), (1, 2, 0)] {
            assert_ne!(
                base,
                run(Pass::training(&tape, seed, repeat, step)),
                "{kind}"
            );
        }
        assert_ne!(base, run(Pass::evaluation(&tape)), "{kind}");
    }
}

#[test]
fn states_are_restored_exactly_or_not_at_all() {
    let state_of = |network: &Network| -> BTreeMap<String, Tensor> {
        network
            .state()
            .into_iter()
            .map(|(name, tensor)| (name, tensor.copy().unwrap()))
            .collect()
    };
    let numbers = |state: &BTreeMap<String, Tensor>| state.values().map(flat).collect::<Vec<_>>();
    let (source, target) = (network("convnet", "", 3, 16), network("convnet", "", 3, 16));
    fill(&source);
    let (wanted, start) = (state_of(&source), state_of(&target));

    let mut broken = wanted.clone();
    let weight = broken.remove("fc2.weight").unwrap();
    broken.insert("fc3.weight".into(), weight);
    broken.insert(
        "conv1.bias".into(),
        Tensor::zeros(5, candle_core::DType::F32, &candle_core::Device::Cpu).unwrap(),
    );
    let error = target.restore(&broken).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the saved state does not fit convnet: 1 missing: fc2.weight; 1 unexpected: fc3.weight; 1 of another shape: \
         conv1.bias (expected [4], found [5])"
    );
    assert!(matches!(error, ModelError::State { .. }));
    assert_eq!(
        numbers(&state_of(&target)),
        numbers(&start),
        "nothing is changed"
    );

    target.restore(&wanted).unwrap();
    assert_eq!(numbers(&state_of(&target)), numbers(&wanted));
    // A network takes its own tensors too.
    source
        .restore(&source.state().into_iter().collect())
        .unwrap();
    assert_eq!(numbers(&state_of(&source)), numbers(&wanted));
}

#[test]
fn the_trained_state_is_what_training_changes() {
    let mut network = network("resnet18", "", 2, 32);
    let names = |network: &Network| {
        network
            .trained_state()
            .into_iter()
            .map(|(name, _)| name)
            .collect::<Vec<_>>()
    };
    assert_eq!(network.trained_state().len(), 62 + 40);
    assert_eq!(network.state().len(), 62 + 40);
    network
        .set_transfer(&transfer(TransferMode::FineTune, BatchNormMode::Running))
        .unwrap();
    assert_eq!(network.trained_state().len(), 62);
    network
        .set_transfer(&transfer(TransferMode::Frozen, BatchNormMode::Batch))
        .unwrap();
    assert_eq!(network.trained_state().len(), 2 + 40);
    network
        .set_transfer(&transfer(TransferMode::Frozen, BatchNormMode::Running))
        .unwrap();
    assert_eq!(names(&network), ["fc.weight", "fc.bias"]);
    let trained = network.trained_state().into_iter().collect();
    network.restore_trained(&trained).unwrap();
    assert!(network.restore(&trained).is_err());
}

#[test]
fn wrong_inputs_are_errors() {
    let tape = Tape::disabled();
    let pass = Pass::evaluation(&tape);
    let convnet = network("convnet", "", 2, 32);
    let message = convnet
        .forward(&input(1, 16), &pass)
        .unwrap_err()
        .to_string();
    assert!(
        message.contains("built for pictures of 32×32 pixels and got 16×16"),
        "{message}"
    );
    let grey = input(1, 32).narrow(3, 0, 1).unwrap();
    let message = convnet.forward(&grey, &pass).unwrap_err().to_string();
    assert_eq!(
        message,
        "convnet takes pictures as (n, height, width, 3), found a tensor of shape [1, 32, 32, 1]"
    );
}

/// The smallest pictures that the registry lets through.
#[test]
fn the_smallest_pictures_work() {
    for (kind, size) in [
        ("alexnet", 63),
        ("convnet", 4),
        ("lenet5", 16),
        ("resnet18", 1),
        ("resnet50", 1),
        ("squeezenet1_0", 21),
        ("squeezenet1_1", 17),
    ] {
        let network = network(kind, "", 2, size);
        let tape = Tape::disabled();
        let logits = network
            .forward(&input(2, size), &Pass::evaluation(&tape))
            .unwrap();
        assert_eq!(logits.dims(), [2, 2], "{kind}");
    }
}

#[test]
fn layers_have_learning_rates_of_their_own() {
    let mut network = network("resnet18", "", 3, 32);
    let mut rates = |layer_decay: Option<f64>, layers: &[(&str, f64)]| {
        let layers = layers.iter().map(|&(name, rate)| (name.to_owned(), rate));
        network.set_transfer(&TransferSpec {
            layer_decay,
            layer_lr: layers.collect(),
            head_lr: 10.0,
            ..TransferSpec::of(TransferMode::FineTune)
        })?;
        let rate = |name: &str| {
            let parameter = network.parameters().iter().find(|p| p.name == name);
            network.learning_rate_factor(parameter.unwrap())
        };
        Ok::<_, ModelError>(
            [
                "conv1.weight",
                "layer1.0.bn1.bias",
                "layer1.1.conv2.weight",
                "layer2.0.conv1.weight",
                "layer4.0.conv1.weight",
                "layer4.1.bn2.weight",
                "fc.weight",
            ]
            .map(rate),
        )
    };
    // Eight blocks and the stem.
    let decayed = [9, 8, 7, 6, 2, 1].map(|behind| 0.5f64.powi(behind));
    let found = rates(Some(0.5), &[]).unwrap();
    assert_eq!((&found[..6], found[6]), (&decayed[..], 10.0));
    let found = rates(None, &[("layer1", 0.1), ("layer1.1", 0.3)]).unwrap();
    assert_eq!(found, [1.0, 0.1, 0.3, 1.0, 1.0, 1.0, 10.0]);
    let error = rates(None, &[("layer9", 0.1)]).unwrap_err().to_string();
    assert!(
        error.contains("layer_lr") && error.contains("`layer9`") && error.contains("layer4"),
        "{error}"
    );
}
