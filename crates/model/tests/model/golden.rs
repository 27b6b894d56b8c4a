//! Forward pass, every gradient, and ten SGD steps against torchvision 0.29.2 on PyTorch 2.15.0.
//!
//! `scripts/golden_model.py` made the values; in essence:
//! ```python
//! net = torchvision.models.resnet18(num_classes=5).train()          # made-up weights and pictures (4, 3, 64, 64)
//! sgd = torch.optim.SGD(net.parameters(), lr=0.001, momentum=0.9)
//! for step in range(10):
//!     loss = cross_entropy(net(x), y); sgd.zero_grad(); loss.backward(); sgd.step()
//! ```

use std::collections::HashMap;

use candle_core::{Device, Tensor, Var};
use graft_model::{BatchNormMode, Network, Pass, TransferMode, TransferSpec};
use graft_ops::{SgdStep, Tape, cross_entropy, sgd_step};

use crate::{
    made_up::{fill, fingerprint, flat, input},
    network,
};

const BATCH: usize = 4;
/// What the first pass may differ by; the peer's own float32 and float64 differ by up to 7e-6.
const FIRST: f64 = 3e-5;
/// What may have become of that after ten steps, in which a unit or two near 0 may go the other way: then whole gradients
/// differ, whichever of the two was nearer to the truth.
const LATER: f64 = 1e-3;
/// A number that takes ten steps is rounded ten times, by half of 2⁻²³ of its size or less.
const ROUNDING: f64 = 5.0 * 1.2e-7;

struct Golden {
    values: HashMap<String, Tensor>,
    mode: &'static str,
}

impl Golden {
    fn read(kind: &str, mode: &'static str) -> Self {
        let path = format!(
            "{}/tests/golden/{kind}.safetensors",
            env!("CARGO_MANIFEST_DIR")
        );
        Self {
            values: candle_core::safetensors::load(path, &Device::Cpu).unwrap(),
            mode,
        }
    }

    fn get(&self, key: &str) -> Vec<f32> {
        flat(&self.values[&format!("{}/{key}", self.mode)])
    }

    /// Compares numbers, relative to the largest.
    fn check(&self, key: &str, found: &[f32], tolerance: f64) {
        let expected = self.get(key);
        assert_eq!(expected.len(), found.len(), "{key}");
        let scale = expected
            .iter()
            .fold(0f32, |largest, value| largest.max(value.abs()));
        for (expected, found) in expected.iter().zip(found) {
            let error = f64::from((expected - found).abs());
            assert!(
                error <= tolerance * f64::from(scale),
                "{key}: expected {expected}, found {found}"
            );
        }
    }

    /// Compares fingerprints, relative to the norm, with so much on top for rounding.
    fn check_fingerprint(
        &self,
        what: &str,
        name: &str,
        found: &[f32],
        tolerance: f64,
        on_top: f64,
    ) {
        let expected = self.get(&format!("{what}/{name}"));
        let norm = f64::from(expected[0]);
        assert!(norm > 0.0, "{what} of {name} is 0: the case tests nothing");
        for (i, (expected, found)) in expected.iter().zip(fingerprint(name, found)).enumerate() {
            let error = (f64::from(*expected) - found).abs();
            assert!(
                error <= tolerance * norm + on_top,
                "{what} of {name}, number {i}: expected {expected}, found {found}, off by {:.1e} of the norm",
                error / norm
            );
        }
    }
}

/// Ten steps of `network`, compared after the first and the last.
fn compare(network: &Network, golden: &Golden, size: usize, lr: f64) {
    fill(network);
    let start: Vec<Vec<f32>> = network
        .parameters()
        .iter()
        .map(|p| flat(p.values()))
        .collect();
    let velocities: Vec<Var> = network
        .parameters()
        .iter()
        .map(|p| Var::from_tensor(&p.values().zeros_like().unwrap()).unwrap())
        .collect();
    let (x, labels) = (input(BATCH, size), [0, 1, 2, 3]);
    let step_of = SgdStep {
        lr,
        momentum: 0.9,
        weight_decay: 0.0,
        ..SgdStep::default()
    };
    let mut losses = Vec::new();
    for step in 0..10 {
        let tape = Tape::recording();
        let logits = network
            .forward(&x, &Pass::training(&tape, 0, 0, step))
            .unwrap();
        let loss = cross_entropy(&tape, &logits, &labels).unwrap();
        losses.push(loss.to_scalar::<f32>().unwrap());
        let gradients = tape.backward(&loss).unwrap();
        if step == 0 {
            golden.check("logits", &flat(&logits), FIRST);
        }
        for (parameter, velocity) in network.parameters().iter().zip(&velocities) {
            let gradient = gradients
                .get(&parameter.var)
                .expect("every parameter has a gradient");
            if step == 0 {
                golden.check_fingerprint("gradient", &parameter.name, &flat(gradient), FIRST, 0.0);
            }
            sgd_step(&parameter.var, gradient, velocity, &step_of).unwrap();
        }
    }
    golden.check("losses", &losses, LATER);
    for (parameter, start) in network.parameters().iter().zip(start) {
        let end = flat(parameter.values());
        let norm = end
            .iter()
            .map(|&value| f64::from(value).powi(2))
            .sum::<f64>()
            .sqrt();
        let change: Vec<f32> = end
            .iter()
            .zip(start)
            .map(|(end, start)| end - start)
            .collect();
        golden.check_fingerprint("change", &parameter.name, &change, LATER, ROUNDING * norm);
    }
    let tape = Tape::disabled();
    let logits = network.forward(&x, &Pass::evaluation(&tape)).unwrap();
    golden.check("logits_after", &flat(&logits), LATER);
}

#[test]
fn convnet_trains_as_in_pytorch() {
    let network = network("convnet", "dropout = 0", 5, 36);
    compare(&network, &Golden::read("convnet", "train"), 36, 0.001);
}

#[test]
fn squeezenet_trains_as_in_torchvision() {
    let network = network("squeezenet1_1", "dropout = 0", 5, 32);
    compare(
        &network,
        &Golden::read("squeezenet1_1", "train"),
        32,
        0.0003,
    );
}

#[test]
fn resnet_trains_as_in_torchvision() {
    let network = network("resnet18", "", 5, 64);
    let golden = Golden::read("resnet18", "train");
    compare(&network, &golden, 64, 0.001);
    for buffer in network.buffers() {
        golden.check_fingerprint("buffer", &buffer.name, &flat(buffer.values()), LATER, 0.0);
    }
}

/// `net.eval()` with gradients: what `batch_norm = "running"` means in fine-tuning.
#[test]
fn resnet_trains_as_in_torchvision_with_running_statistics() {
    let mut network = network("resnet18", "", 5, 64);
    let mode = TransferMode::FineTune;
    let transfer = TransferSpec {
        batch_norm: BatchNormMode::Running,
        ..TransferSpec::of(mode)
    };
    network.set_transfer(&transfer).unwrap();
    fill(&network);
    let before: Vec<Vec<f32>> = network
        .buffers()
        .iter()
        .map(|buffer| flat(buffer.values()))
        .collect();
    compare(&network, &Golden::read("resnet18", "eval"), 64, 0.001);
    for (buffer, before) in network.buffers().iter().zip(before) {
        assert_eq!(
            flat(buffer.values()),
            before,
            "{} must stay as it is",
            buffer.name
        );
    }
}
