use std::collections::BTreeMap;

use candle_core::{Device, Tensor, Var};
use graft_ops::{Tape, Weighing, linear, weighted_cross_entropy};

use super::*;

const SAMPLES: usize = 8;
const FEATURES: usize = 5;
const CLASSES: usize = 3;

/// As in `scripts/golden_trainer.py`.
fn made_up(count: usize, key: usize) -> Vec<f32> {
    let number = |i: usize| ((i * 37 + key * 101) % 128) as f32;
    (0..count).map(|i| (number(i) - 64.0) / 64.0).collect()
}

fn variable(count: usize, key: usize, shape: &[usize]) -> Var {
    Var::from_vec(made_up(count, key), shape, &Device::Cpu).unwrap()
}

/// A softmax regression.
struct Problem {
    x: Tensor,
    weight: Var,
    bias: Var,
}

impl Problem {
    fn new() -> Self {
        let x = made_up(SAMPLES * FEATURES, 1);
        Self {
            x: Tensor::from_vec(x, (SAMPLES, FEATURES), &Device::Cpu).unwrap(),
            weight: variable(CLASSES * FEATURES, 2, &[CLASSES, FEATURES]),
            bias: variable(CLASSES, 3, &[CLASSES]),
        }
    }

    fn targets(&self) -> Vec<Target> {
        [("weight", &self.weight), ("bias", &self.bias)]
            .map(|(name, var)| Target {
                name: name.to_owned(),
                values: var.clone(),
                lr_factor: 1.0,
                decays: true,
            })
            .into()
    }

    fn gradients(&self, weighing: &Weighing<'_>) -> Gradients {
        let labels: Vec<u32> = (0..SAMPLES as u32).map(|i| i % CLASSES as u32).collect();
        let tape = Tape::recording();
        let logits = linear(&tape, &self.x, &self.weight, Some(&self.bias)).unwrap();
        let loss = weighted_cross_entropy(&tape, &logits, &labels, weighing).unwrap();
        tape.backward(&loss).unwrap()
    }

    fn values(&self) -> Vec<f32> {
        [&self.weight, &self.bias]
            .into_iter()
            .flat_map(|var| var.flatten_all().unwrap().to_vec1::<f32>().unwrap())
            .collect()
    }
}

/// How a case differs from a plain one.
#[derive(Clone, Copy, Default)]
struct Options {
    norm: Option<f64>,
    limit: Option<f64>,
    smoothing: f64,
    weights: Option<&'static [f64]>,
}

fn run(
    problem: &Problem,
    optimizer: &mut dyn Optimizer,
    lr: f64,
    options: Options,
    steps: std::ops::RangeInclusive<u64>,
) {
    let weighing = Weighing {
        label_smoothing: options.smoothing,
        class_weights: options.weights,
    };
    for number in steps {
        let gradients = problem.gradients(&weighing);
        let scale = options.norm.map_or(1.0, |most| {
            let squares = [&problem.weight, &problem.bias]
                .map(|var| gradients.sum_of_squares(var).unwrap())
                .iter()
                .sum::<f64>();
            (most / (squares.sqrt() + 1e-6)).min(1.0)
        });
        let clipping = Clipping {
            scale,
            limit: options.limit.unwrap_or(f64::INFINITY),
        };
        let step = Step {
            lr,
            number,
            clipping,
        };
        optimizer.step(&gradients, &step).unwrap();
    }
}

fn sgd(lr: f64, momentum: f64, weight_decay: f64, nesterov: bool) -> OptimizerSpec {
    OptimizerSpec::Sgd {
        lr,
        momentum,
        weight_decay,
        nesterov,
    }
}

fn cases() -> Vec<(&'static str, OptimizerSpec, Options)> {
    let (plain, eps) = (Options::default(), 1e-8);
    let adam = |lr, weight_decay| OptimizerSpec::Adam {
        lr,
        betas: (0.9, 0.999),
        eps,
        weight_decay,
    };
    let adamw = OptimizerSpec::Adamw {
        lr: 0.01,
        betas: (0.8, 0.99),
        eps,
        weight_decay: 0.1,
    };
    let rmsprop = OptimizerSpec::Rmsprop {
        lr: 0.01,
        alpha: 0.9,
        eps,
        momentum: 0.5,
        weight_decay: 0.01,
    };
    let norm = Options {
        norm: Some(0.1),
        ..plain
    };
    let limit = Options {
        limit: Some(0.05),
        ..plain
    };
    let smoothing = Options {
        smoothing: 0.1,
        ..plain
    };
    let weights = Options {
        smoothing: 0.2,
        weights: Some(&[1.0, 0.5, 2.0]),
        ..plain
    };
    vec![
        ("sgd", sgd(0.1, 0.0, 0.0, false), plain),
        ("momentum", sgd(0.1, 0.9, 0.01, false), plain),
        ("nesterov", sgd(0.1, 0.9, 0.01, true), plain),
        ("adam", adam(0.01, 0.1), plain),
        ("adamw", adamw, plain),
        ("rmsprop", rmsprop, plain),
        ("clip-norm", sgd(0.5, 0.9, 0.0, false), norm),
        ("clip-value", adam(0.01, 0.0), limit),
        ("smoothing", sgd(0.1, 0.0, 0.0, false), smoothing),
        ("class-weights", sgd(0.1, 0.0, 0.0, false), weights),
    ]
}

fn check(name: &str, expected: &[f32], found: &[f32]) {
    assert_eq!(expected.len(), found.len(), "{name}");
    for (expected, found) in expected.iter().zip(found) {
        assert!(
            (expected - found).abs() <= 1e-6 * expected.abs().max(1.0),
            "{name}: expected {expected}, found {found}"
        );
    }
}

/// `scripts/golden_trainer.py`: PyTorch 2.15.0, after 25 and after 50 steps. In between, the state goes through a checkpoint
/// into another optimizer.
#[test]
fn steps_are_those_of_pytorch() {
    let path = format!(
        "{}/tests/golden/optimizers.json",
        env!("CARGO_MANIFEST_DIR")
    );
    let text = std::fs::read_to_string(path).unwrap();
    let expected: BTreeMap<String, [Vec<f32>; 2]> = serde_json::from_str(&text).unwrap();
    let cases = cases();
    assert_eq!(expected.len(), cases.len());
    for (name, spec, options) in cases {
        let problem = Problem::new();
        let lr = spec.lr();
        let mut first = of_targets(&spec, problem.targets()).unwrap();
        run(&problem, first.as_mut(), lr, options, 1..=25);
        let [half, whole] = &expected[name];
        check(name, half, &problem.values());

        let bytes = safetensors::serialize(first.state(), None).unwrap();
        let state = candle_core::safetensors::load_buffer(&bytes, &Device::Cpu).unwrap();
        let state: BTreeMap<String, Tensor> = state.into_iter().collect();
        let mut second = of_targets(&spec, problem.targets()).unwrap();
        second.restore(&state).unwrap();
        run(&problem, second.as_mut(), lr, options, 26..=50);
        check(name, whole, &problem.values());
    }
}

#[test]
fn a_state_that_does_not_fit_is_refused() {
    let problem = Problem::new();
    let (_, spec, _) = &cases()[3];
    let mut adam = of_targets(spec, problem.targets()).unwrap();
    let mut state: BTreeMap<String, Tensor> = adam.state().into_iter().collect();
    assert_eq!(
        state.keys().collect::<Vec<_>>(),
        ["bias.mean", "bias.square", "weight.mean", "weight.square"]
    );
    state.remove("weight.square");
    let error = adam.restore(&state).unwrap_err().to_string();
    assert!(error.contains("weight.square: missing"), "{error}");
}
