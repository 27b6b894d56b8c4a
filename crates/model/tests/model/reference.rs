//! Published facts about the networks, and logits of real weights where the shared folder has them.

use std::path::PathBuf;

use candle_core::Device;
use graft_model::{Network, Pass, WeightFile};
use graft_ops::Tape;

use crate::{
    made_up::{channels_last, flat},
    network,
};

fn parameters(network: &Network) -> usize {
    network
        .parameters()
        .iter()
        .map(|parameter| parameter.var.elem_count())
        .sum()
}

/// torchvision's documentation, `num_params` of `ResNet18_Weights` and `SqueezeNet1_1_Weights`; the convnet by hand.
#[test]
fn networks_have_the_published_number_of_parameters() {
    assert_eq!(parameters(&network("resnet18", "", 1000, 224)), 11_689_512);
    assert_eq!(
        parameters(&network("squeezenet1_1", "", 1000, 224)),
        1_235_496
    );
    let convolutions = 4 * (3 * 25 + 1) + 8 * (4 * 25 + 1);
    let linear = 512 * (56 * 56 * 8 + 1) + 2 * (512 + 1);
    assert_eq!(
        parameters(&network("convnet", "", 2, 224)),
        convolutions + linear
    );
}

/// A file of the shared folder, if there is one.
pub(crate) fn shared(name: &str) -> Option<PathBuf> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../../shared/weights")
        .join(name);
    if !path.is_file() {
        eprintln!("skipped: there is no {name}");
        return None;
    }
    Some(path)
}

/// `net.eval()(input)` in PyTorch, stored beside the weights.
fn check_logits(kind: &str, name: &str, classes: usize, size: usize) {
    let (Some(weights), Some(check)) = (
        shared(&format!("{name}.safetensors")),
        shared(&format!("{name}.check.safetensors")),
    ) else {
        return;
    };
    let mut network = network(kind, "", classes, size);
    let report = network
        .load_all(&WeightFile::open(&weights).unwrap())
        .unwrap();
    assert_eq!(report.loaded.len(), network.state().len(), "{report}");
    let check = candle_core::safetensors::load(check, &Device::Cpu).unwrap();
    let tape = Tape::disabled();
    let logits = flat(
        &network
            .forward(&channels_last(&check["input"]), &Pass::evaluation(&tape))
            .unwrap(),
    );
    let expected = flat(&check["logits"]);
    assert_eq!(logits.len(), expected.len());
    let worst = logits
        .iter()
        .zip(&expected)
        .map(|(a, b)| (a - b).abs())
        .fold(0f32, f32::max);
    assert!(worst < 1e-3, "the largest difference is {worst}");
}

#[test]
fn squeezenet_gives_the_logits_of_pytorch() {
    check_logits("squeezenet1_1", "squeezenet1_1-imagenet", 1000, 224);
}

#[test]
fn resnet_gives_the_logits_of_pytorch() {
    check_logits("resnet18", "resnet18-tiny-imagenet", 200, 96);
}
