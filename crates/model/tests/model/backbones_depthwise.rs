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

use std::{cell::RefCell, collections::BTreeMap};

use candle_core::{Device, Tensor};
use graft_model::{Network, Pass};
use graft_ops::{Tape, add_scaled, cross_entropy};

use crate::{
    backbone_golden::{Fingerprint, Golden},
    made_up::{channels_last, flat, made_up},
    network,
};

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

/// The expected norm, or that of the weight beside a shift whose maps hardly reach anything but other norms: the gradient of
/// that is what is left of larger ones.
fn norm(name: &str, expected: &BTreeMap<&str, Fingerprint>) -> f32 {
    let norm = expected[name][0];
    let twin = expected.get(name.replace("bias", "weight").as_str());
    let largest = twin.map_or(0.0, |twin| twin[0]);
    if norm == 0.0 || name.ends_with(".bn.bias") && norm < 0.01 * largest {
        largest
    } else {
        norm
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
    let count = golden.count("auxiliary/");
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
    golden.check_all("gradients", &found.collect(), norm);
    let buffers = network.buffers().iter();
    let found = buffers.map(|buffer| (buffer.name.as_str(), flat(buffer.values())));
    golden.check_all("buffers", &found.collect(), norm);
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
