//! Inception, Xception and the MobileNets in evaluation and in training against torchvision 0.29.2 and timm 1.0.31 on PyTorch
//! 2.15.0, in float64.
//!
//! `scripts/golden_backbones_depthwise.py` made the values; in essence:
//! ```python
//! net = torchvision.models.inception_v3(num_classes=5).double()      # made-up weights and pictures
//! evaluated = net.eval()(x)
//! logits, auxiliary = net.train()(x)
//! loss = cross_entropy(logits, y) + 0.4 * cross_entropy(auxiliary, y); loss.backward()
//! ```

use std::{
    cell::RefCell,
    collections::{BTreeMap, HashMap},
};

use candle_core::{Device, Tensor};
use graft_model::{Network, Pass};
use graft_ops::{Tape, add_scaled, cross_entropy};

use crate::{
    made_up::{channels_last, flat, made_up},
    network,
};

/// What values may differ by, relative to the largest logit or to the norm. PyTorch's own float32 and float64 differ by up to
/// 3e-5 in gradients, 1e-5 in logits of the evaluation, and 1e-6 elsewhere.
const TOLERANCE: f64 = 1e-4;
const CLASSES: usize = 5;

/// How much smaller than usual the weights of the Inceptions' convolutions are.
const SMALL: f64 = 0.022;

/// Fills a network with steady weights: norms shift their units up, so that few are off.
fn fill(network: &Network, case: &Case) {
    let norms: Vec<String> = network
        .buffers()
        .iter()
        .filter_map(|buffer| buffer.name.strip_suffix(".running_var"))
        .map(str::to_owned)
        .collect();
    let state: BTreeMap<String, Tensor> = network
        .state()
        .into_iter()
        .map(|(name, tensor)| {
            let is_norm = norms
                .iter()
                .any(|norm| name.rsplit_once('.').is_some_and(|(of, _)| of == norm));
            let values = steady(&name, &tensor, is_norm, case);
            let values = Tensor::from_vec(values, tensor.shape(), &Device::Cpu).unwrap();
            (name, values)
        })
        .collect();
    network.restore(&state).unwrap();
}

/// Made-up values of a tensor; `is_norm` says whether it belongs to batch norm.
fn steady(name: &str, tensor: &Tensor, is_norm: bool, case: &Case) -> Vec<f32> {
    let scale = if case.small { SMALL } else { 1.0 };
    let (middle, width) = if tensor.rank() > 1 {
        let fan_in = tensor.elem_count() / tensor.dims()[0];
        let scale = if tensor.rank() == 4 { scale } else { 1.0 };
        (0.0, (6.0 / fan_in as f64).sqrt() * scale)
    } else if name.ends_with("running_var") {
        (scale * scale, 0.2 * (scale * scale))
    } else if name.ends_with("running_mean") {
        (0.0, 0.1 * scale)
    } else {
        match (is_norm, name.ends_with("bias")) {
            (true, false) => (if case.small { 1.4 } else { 1.0 }, 0.2),
            (true, true) => (case.shift, 0.1),
            (false, _) => (0.0, 0.1),
        }
    };
    let (middle, width) = (middle as f32, width as f32);
    let values = made_up(name, tensor.elem_count()).into_iter();
    values.map(|u| middle + width * u).collect()
}

/// The norm, the products with two made-up vectors, and five elements.
fn fingerprint(name: &str, values: &[f32]) -> Vec<f64> {
    let dot = |other: &[f32]| -> f64 {
        let pairs = values.iter().zip(other);
        pairs.map(|(&a, &b)| f64::from(a) * f64::from(b)).sum()
    };
    let products = (0..2).map(|k| dot(&made_up(&format!("{name}/{k}"), values.len())));
    let elements = (0..5).map(|j| f64::from(values[j * values.len() / 5]));
    let norm = dot(values).sqrt();
    std::iter::once(norm)
        .chain(products)
        .chain(elements)
        .collect()
}

struct Golden(HashMap<String, Tensor>);

impl Golden {
    fn read(kind: &str) -> Self {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/backbones");
        let path = format!("{folder}/{kind}.safetensors");
        Self(candle_core::safetensors::load(path, &Device::Cpu).unwrap())
    }

    /// Compares numbers, relative to the largest.
    fn check(&self, key: &str, found: &[f32]) {
        let expected = flat(&self.0[key]);
        assert_eq!(expected.len(), found.len(), "{key}");
        let largest = expected.iter().fold(0f32, |most, x| most.max(x.abs()));
        for (expected, found) in expected.iter().zip(found) {
            let error = f64::from((expected - found).abs() / largest);
            assert!(
                error <= TOLERANCE,
                "{key}: expected {expected}, found {found}, off by {error:.1e} of the largest"
            );
        }
    }

    /// Compares fingerprints of named tensors, relative to their norms.
    fn check_all(&self, key: &str, found: &BTreeMap<&str, Vec<f32>>) {
        let expected = self.0[key].to_vec2::<f32>().unwrap();
        let expected: BTreeMap<&str, Vec<f32>> = found.keys().copied().zip(expected).collect();
        assert_eq!(self.0[key].dims()[0], found.len(), "{key}");
        for (name, found) in found {
            let mut norm = expected[name][0];
            let twin = expected.get(name.replace("bias", "weight").as_str());
            let largest = twin.map_or(0.0, |twin| twin[0]);
            // A shift whose maps hardly reach anything but other norms: its gradient is what is left of larger ones.
            if norm == 0.0 || name.ends_with(".bn.bias") && norm < 0.01 * largest {
                norm = largest;
            }
            assert!(norm > 0.0, "{key} of {name} is 0: the case tests nothing");
            let found = fingerprint(name, found);
            for (i, (expected, found)) in expected[name].iter().zip(found).enumerate() {
                let error = (f64::from(*expected) - found).abs() / f64::from(norm);
                assert!(
                    error <= TOLERANCE,
                    "{key} of {name}, number {i}: expected {expected}, found {found}, off by {error:.1e} of the norm"
                );
            }
        }
    }
}

/// A network, and the pictures that it sees.
struct Case {
    kind: &'static str,
    options: &'static str,
    golden: &'static str,
    batch: usize,
    size: usize,
    /// Which of all made-up pictures.
    draw: usize,
    /// Whether the weights of convolutions are small, so that the eps of norms counts.
    small: bool,
    /// How far norms shift their units.
    shift: f64,
    /// What the names of the parameters whose gradients are compared begin with.
    gradients: &'static [&'static str],
}

impl Case {
    fn new(kind: &'static str, batch: usize, size: usize, draw: usize) -> Self {
        Self {
            kind,
            options: "dropout = 0",
            golden: kind,
            batch,
            size,
            draw,
            small: false,
            shift: 1.5,
            gradients: &[""],
        }
    }
}

/// Compares a network in evaluation, and in one step of training with all its classifiers.
fn compare(case: &Case) {
    let (batch, size) = (case.batch, case.size);
    let network = network(case.kind, case.options, CLASSES, size);
    let golden = Golden::read(case.golden);
    fill(&network, case);
    let pictures = made_up(&format!("input/{}", case.draw), batch * 3 * size * size);
    let pictures = Tensor::from_vec(pictures, (batch, 3, size, size), &Device::Cpu).unwrap();
    let x = channels_last(&pictures);
    let tape = Tape::disabled();
    let found = RefCell::default();
    let pass = Pass::evaluation(&tape);
    golden.check("eval", &flat(&network.forward(&x, &pass).unwrap()));

    let tape = Tape::recording();
    let pass = Pass::training(&tape, 0, 0, 0).with_auxiliaries(&found);
    let logits = network.forward(&x, &pass).unwrap();
    golden.check("train", &flat(&logits));
    let labels: Vec<u32> = (0..batch as u32).map(|i| i % CLASSES as u32).collect();
    let mut loss = cross_entropy(&tape, &logits, &labels).unwrap();
    let auxiliary = |key: &&String| key.starts_with("auxiliary/");
    let count = golden.0.keys().filter(auxiliary).count();
    assert_eq!(found.borrow().len(), count, "{}", case.kind);
    for (i, (logits, weight)) in found.take().into_iter().enumerate() {
        golden.check(&format!("auxiliary/{i}"), &flat(&logits));
        let more = cross_entropy(&tape, &logits, &labels).unwrap();
        loss = add_scaled(&tape, &loss, &more, weight).unwrap();
    }
    golden.check("loss", &[loss.to_scalar().unwrap()]);

    let gradients = tape.backward(&loss).unwrap();
    let gradient = |var| flat(gradients.get(var).expect("every parameter has a gradient"));
    let kept = |name: &str| case.gradients.iter().any(|start| name.starts_with(start));
    let parameters = network.parameters().iter().filter(|p| kept(&p.name));
    let found = parameters.map(|p| (p.name.as_str(), gradient(&p.var)));
    golden.check_all("gradients", &found.collect());
    let buffers = network.buffers().iter();
    let found = buffers.map(|buffer| (buffer.name.as_str(), flat(buffer.values())));
    golden.check_all("buffers", &found.collect());
}

#[test]
fn googlenet_computes_as_torchvisions() {
    compare(&Case {
        options: "dropout = 0\nauxiliary_dropout = 0",
        small: true,
        ..Case::new("googlenet", 2, 32, 1)
    });
}

/// With the auxiliary classifier, which needs large pictures. Of their many units some are switched by rounding, whatever they
/// show, so that only gradients near the two ends are compared, which few units come after.
#[test]
fn inception_v3_computes_as_torchvisions() {
    compare(&Case {
        small: true,
        shift: 2.0,
        gradients: &["AuxLogits.", "Mixed_7c.", "fc."],
        ..Case::new("inception_v3", 2, 299, 0)
    });
}

/// Every gradient, without the auxiliary classifier.
#[test]
fn inception_v3_computes_as_torchvisions_on_small_pictures() {
    compare(&Case {
        options: "dropout = 0\nauxiliary = false",
        golden: "inception_v3_small",
        small: true,
        ..Case::new("inception_v3", 2, 107, 4)
    });
}

#[test]
fn mobilenet_v1_computes_as_timms() {
    compare(&Case::new("mobilenet_v1", 4, 64, 0));
}

#[test]
fn mobilenet_v2_computes_as_torchvisions() {
    compare(&Case::new("mobilenet_v2", 4, 64, 0));
}

#[test]
fn mobilenet_v3_large_computes_as_torchvisions() {
    compare(&Case::new("mobilenet_v3_large", 4, 64, 2));
}

#[test]
fn mobilenet_v3_small_computes_as_torchvisions() {
    compare(&Case::new("mobilenet_v3_small", 4, 64, 0));
}

#[test]
fn xception_computes_as_timms() {
    compare(&Case {
        shift: 2.0,
        ..Case::new("xception", 2, 64, 1)
    });
}
