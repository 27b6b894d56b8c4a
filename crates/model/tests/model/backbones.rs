//! Every backbone in evaluation and in training against torchvision 0.29.2 on PyTorch 2.15.0, in float64.
//!
//! `scripts/golden_backbones.py` made the values; in essence:
//! ```python
//! net = torchvision.models.resnet50(num_classes=5).double()          # made-up weights and pictures
//! evaluated = net.eval()(x)
//! logits = net.train()(x); loss = cross_entropy(logits, y); loss.backward()
//! ```

use std::collections::BTreeMap;

use candle_core::{Device, Tensor};
use graft_model::{Init, ModelSpec, Network, Pass};
use graft_ops::{Tape, cross_entropy};

use crate::{
    backbone_golden::{Fingerprint, Golden},
    init::check_vgg,
    made_up::{channels_last, flat, made_up},
};

const CLASSES: usize = 5;

/// A network, and the pictures that it sees.
#[derive(Clone, Copy)]
struct Case {
    kind: &'static str,
    options: &'static str,
    cut: Option<&'static str>,
    batch: usize,
    size: usize,
    /// Which of all made-up pictures.
    draw: usize,
}

impl Case {
    fn new(kind: &'static str, batch: usize, size: usize, draw: usize) -> Self {
        Self {
            kind,
            options: "",
            cut: None,
            batch,
            size,
            draw,
        }
    }

    fn without_dropout(mut self) -> Self {
        self.options = "dropout = 0";
        self
    }

    fn cut(mut self, layer: &'static str) -> Self {
        self.cut = Some(layer);
        self
    }

    fn network(&self) -> Network {
        let mut spec = ModelSpec::new(self.kind, self.options.parse().unwrap());
        spec.cut = self.cut.map(str::to_owned);
        let init = Init { seed: 0, repeat: 0 };
        Network::build(&spec, CLASSES, self.size, &init, &Device::Cpu).unwrap()
    }

    fn input(&self) -> Tensor {
        let (n, size) = (self.batch, self.size);
        let values = made_up(&format!("input/{}", self.draw), n * 3 * size * size);
        channels_last(&Tensor::from_vec(values, (n, 3, size, size), &Device::Cpu).unwrap())
    }
}

/// A middle and a width of made-up values.
type Spread = (f32, f32);

/// Fills a network with the steady weights that the script describes: most channels of a norm are shifted far from 0, every
/// 32nd is not, and what a residual block adds is small.
fn fill(network: &Network) {
    let norms: Vec<String> = network
        .buffers()
        .iter()
        .filter_map(|buffer| buffer.name.strip_suffix(".running_mean"))
        .map(str::to_owned)
        .collect();
    let last = |name: &str| {
        let Some((block, norm)) = name.rsplit_once(".bn") else {
            return false;
        };
        let third = format!("{block}.bn3");
        let last = if norms.contains(&third) { '3' } else { '2' };
        norm.starts_with(last)
    };
    let state: BTreeMap<String, Tensor> = network
        .state()
        .into_iter()
        .map(|(name, tensor)| {
            let values = steady(&name, &tensor, last(&name));
            let values = Tensor::from_vec(values, tensor.shape(), &Device::Cpu).unwrap();
            (name, values)
        })
        .collect();
    network.restore(&state).unwrap();
}

/// Made-up values of a tensor; `last` says whether it belongs to the last norm of a residual block.
fn steady(name: &str, tensor: &Tensor, last: bool) -> Vec<f32> {
    let vector = tensor.rank() == 1;
    let bias = vector && name.ends_with("bias");
    let ((middle, width), even): (Spread, Spread) = if !vector {
        let fan_in = tensor.elem_count() / tensor.dims()[0];
        let width = (6.0 / fan_in as f64).sqrt() as f32;
        ((0.0, width), (0.0, width))
    } else if name.ends_with("running_mean") {
        ((0.0, 0.1), (0.0, 0.1))
    } else if name.ends_with("running_var") {
        ((0.06, 0.01), (0.4, 0.1))
    } else {
        match (bias, last) {
            (false, true) => ((0.05, 0.01), (0.3, 0.1)),
            (false, false) => ((0.25, 0.05), (0.6, 0.2)),
            (true, true) => ((0.15, 0.05), (-0.1, 0.1)),
            (true, false) => ((0.7, 0.3), (0.0, 0.1)),
        }
    };
    let spread = |(i, u): (usize, f32)| {
        let shifts_down = bias && !last && u < 0.0;
        match (vector && i % 32 == 16, shifts_down) {
            (true, _) => even.0 + even.1 * u,
            (false, true) => width * u - middle,
            (false, false) => width * u + middle,
        }
    };
    made_up(name, tensor.elem_count())
        .into_iter()
        .enumerate()
        .map(spread)
        .collect()
}

/// The expected norm. A bias before batch norm has a gradient that is the rounding of larger ones: that of the weight.
fn norm(name: &str, expected: &BTreeMap<&str, Fingerprint>) -> f32 {
    match expected[name][0] {
        0.0 => expected[name.replace("bias", "weight").as_str()][0],
        norm => norm,
    }
}

fn compare(case: Case) {
    compare_filled(case, &case.network());
}

/// Fills the network with the case's weights and compares what it computes.
fn compare_filled(case: Case, network: &Network) {
    let (x, golden) = (case.input(), Golden::read(case.kind));
    fill(network);
    let tape = Tape::disabled();
    let logits = network.forward(&x, &Pass::evaluation(&tape)).unwrap();
    golden.check("eval", &flat(&logits));

    let tape = Tape::recording();
    let logits = network
        .forward(&x, &Pass::training(&tape, 0, 0, 0))
        .unwrap();
    golden.check("train", &flat(&logits));
    let labels: Vec<u32> = (0..case.batch as u32).map(|i| i % CLASSES as u32).collect();
    let loss = cross_entropy(&tape, &logits, &labels).unwrap();
    golden.check("loss", &[loss.to_scalar().unwrap()]);
    let gradients = tape.backward(&loss).unwrap();
    let gradient = |var| flat(gradients.get(var).expect("every parameter has a gradient"));
    let parameters = network.parameters().iter();
    let found = parameters.map(|p| (p.name.as_str(), gradient(&p.var)));
    golden.check_all("gradients", &found.collect(), norm);
    let buffers = network.buffers().iter();
    let found: BTreeMap<_, _> = buffers
        .map(|buffer| (buffer.name.as_str(), flat(buffer.values())))
        .collect();
    if !found.is_empty() {
        golden.check_all("buffers", &found, norm);
    }
}

#[test]
fn alexnet_computes_as_torchvisions() {
    compare(Case::new("alexnet", 2, 95, 2).without_dropout());
}

/// Against the same network in PyTorch; torchvision has none.
#[test]
fn lenet5_computes_as_in_pytorch() {
    compare(Case::new("lenet5", 4, 32, 0));
}

#[test]
fn resnet34_computes_as_torchvisions() {
    compare(Case::new("resnet34", 4, 40, 0));
}

#[test]
fn resnet50_computes_as_torchvisions() {
    compare(Case::new("resnet50", 4, 40, 2));
}

#[test]
fn resnet101_computes_as_torchvisions() {
    compare(Case::new("resnet101", 4, 40, 2));
}

#[test]
fn resnet152_computes_as_torchvisions() {
    compare(Case::new("resnet152", 4, 40, 2));
}

#[test]
fn squeezenet1_0_computes_as_torchvisions() {
    compare(Case::new("squeezenet1_0", 4, 33, 0).without_dropout());
}

/// With its initial weights, as 120 million of them take a while to be drawn.
#[test]
fn vgg16_bn_starts_and_computes_as_torchvisions() {
    let case = Case::new("vgg16_bn", 2, 64, 4).without_dropout();
    let network = case.network();
    check_vgg(&network);
    compare_filled(case, &network);
}

/// Without the linear layers, which are the same in all of them and make up nine tenths of their weights.
#[test]
fn features_of_the_other_vggs_are_torchvisions() {
    for kind in [
        "vgg11", "vgg11_bn", "vgg13", "vgg13_bn", "vgg16", "vgg19", "vgg19_bn",
    ] {
        compare(Case::new(kind, 4, 32, 0).cut("avgpool"));
    }
}
