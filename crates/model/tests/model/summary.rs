//! The printed table of layers.

use graft_model::{Summary, TransferMode, TransferSpec};

use crate::network;

#[test]
fn the_summary_of_a_frozen_convnet() {
    let mut network = network("convnet", "hidden = 32", 2, 32);
    let frozen = TransferSpec::of(TransferMode::Frozen);
    network.set_transfer(&frozen).unwrap();
    let expected = "\
convnet for input (4, 3, 32, 32)
────────────────────────────────────────────────────────
layer    kind      output shape    parameters  trainable
────────────────────────────────────────────────────────
conv1    conv2d    (4, 4, 32, 32)         304         no
relu1    relu      (4, 4, 32, 32)           –
pool1    max pool  (4, 4, 16, 16)           –
conv2    conv2d    (4, 8, 16, 16)         808         no
relu2    relu      (4, 8, 16, 16)           –
pool2    max pool  (4, 8, 8, 8)             –
flatten  flatten   (4, 512)                 –
fc1      linear    (4, 32)             16,416         no
relu     relu      (4, 32)                  –
dropout  dropout   (4, 32)                  –
fc2      linear    (4, 2)                  66        yes
────────────────────────────────────────────────────────
parameters        17,594
  trainable       66
  fixed           17,528
multiply-adds     2.11 M
memory
  input           0.05 MiB
  activations     0.22 MiB
  weights         0.07 MiB
  training adds   0.00 MiB  (gradients and momentum)
";
    let text = network.summary(4).unwrap().to_string();
    assert_eq!(text, expected);
}

/// 1.81 G multiply-adds: `_ops` of torchvision's `ResNet18_Weights.IMAGENET1K_V1` (1.814).
#[test]
fn the_summary_of_resnet18_has_the_published_totals() {
    let summary = network("resnet18", "", 1000, 224).summary(1).unwrap();
    assert_eq!(summary.parameters(), 11_689_512);
    assert_eq!(summary.trainable(), 11_689_512);
    assert_eq!(summary.buffers, 9_600);
    assert_eq!((summary.multiply_adds() + 500_000) / 1_000_000, 1_814);
    let shape = |name: &str| {
        summary
            .layers
            .iter()
            .find(|layer| layer.name == name)
            .unwrap()
            .output
            .clone()
    };
    assert_eq!(shape("maxpool"), [1, 64, 56, 56]);
    assert_eq!(shape("layer4.1.conv2"), [1, 512, 7, 7]);
    assert_eq!(shape("fc"), [1, 1000]);
    check_names(&summary);
}

fn check_names(summary: &Summary) {
    let layers = summary.layers.iter();
    let mut names: Vec<&str> = layers.map(|layer| layer.name.as_str()).collect();
    let all = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), all, "every layer has a name of its own");
}

/// Billions of multiply-adds: `_ops` of torchvision's `IMAGENET1K_V1`.
#[test]
fn summaries_have_the_published_totals() {
    for (kind, billions) in [
        ("alexnet", 0.714),
        ("resnet50", 4.089),
        ("squeezenet1_0", 0.819),
    ] {
        let summary = network(kind, "", 1000, 224).summary(1).unwrap();
        let found = summary.multiply_adds() as f64 / 1e9;
        assert!((found - billions).abs() <= 0.0006, "{kind}: {found}");
        check_names(&summary);
    }
}

/// 0.349 G multiply-adds: `_ops` of torchvision's `SqueezeNet1_1_Weights.IMAGENET1K_V1`.
#[test]
fn the_summary_of_squeezenet_has_the_published_totals() {
    let summary = network("squeezenet1_1", "", 1000, 224).summary(2).unwrap();
    assert_eq!(summary.parameters(), 1_235_496);
    assert_eq!((summary.multiply_adds() / 2 + 500_000) / 1_000_000, 349);
    assert_eq!(summary.layers.last().unwrap().output, [2, 1000]);
}

#[test]
fn a_summary_that_needs_too_much_memory_is_refused() {
    for (kind, options, size, batch) in [
        ("resnet18", "", 8192, 1),
        ("squeezenet1_1", "", 224, 4096),
        ("convnet", "depth = [1, 4096]\nhidden = 1", 64, 1024),
        ("convnet", "", 32, usize::MAX),
    ] {
        let network = network(kind, options, 2, size);
        let message = network.summary(batch).unwrap_err().to_string();
        assert!(
            message.starts_with(&format!(
                "{kind}: a batch of {batch} pictures of {size}×{size} pixels takes about "
            )),
            "{message}"
        );
    }
}
