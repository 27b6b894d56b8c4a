//! One training step: forward, loss, backward, update.

use std::cell::RefCell;

use candle_core::{DType, Tensor};
use graft_model::{Network, Pass};
use graft_ops::{Clipping, Gradients, Tape, Weighing, add_scaled, cast};

use crate::{
    ClipSpec, Recipe, TrainError, TrainingMode,
    inputs::{Example, Input},
    metrics::Score,
    mix::Mixed,
    optimizer::{self, Optimizer},
    recorder::Recorder,
    targets::Targets,
};

/// Which step it is, for what is drawn in it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Draws {
    pub(crate) seed: u64,
    pub(crate) repeat: u64,
    /// From 1.
    pub(crate) epoch: u32,
    /// Since the trial began, from 1.
    pub(crate) step: u64,
}

/// What a step found before it changed the network, where it was computed. A GPU may still be at it.
pub(crate) struct Found {
    /// The mean over the batch, a scalar.
    pub(crate) loss: Tensor,
    /// (n, k).
    pub(crate) outputs: Tensor,
    /// What the outputs are measured by: of mixed pictures the targets with the larger share.
    pub(crate) targets: Targets,
}

impl Found {
    /// Waits for it.
    pub(crate) fn read(&self) -> Result<StepResult, TrainError> {
        Ok(StepResult {
            loss: self.loss.to_scalar::<f32>()?.into(),
            score: self.targets.score(&self.outputs)?,
            images: self.targets.len(),
        })
    }
}

/// What a step found before it changed the network.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StepResult {
    /// Mean over the batch, the shares of second classifiers included. If it is not finite, the network is spoilt.
    pub(crate) loss: f64,
    /// What the outputs are worth.
    pub(crate) score: Score,
    /// Pictures in the batch.
    pub(crate) images: usize,
}

/// What a step changes.
pub(crate) struct Trained<'a> {
    pub(crate) network: &'a Network,
    pub(crate) optimizer: &'a mut dyn Optimizer,
    pub(crate) recorder: &'a mut Recorder,
}

/// Trains on one batch.
pub(crate) fn step(
    Trained {
        network,
        optimizer,
        recorder,
    }: Trained<'_>,
    recipe: &Recipe,
    example: &Example,
    draws: Draws,
    lr: f64,
) -> Result<Found, TrainError> {
    let (found, mut gradients) = recorder.gradients(network, recipe, example, draws)?;
    let step = optimizer::Step {
        lr,
        number: draws.step,
        clipping: clipping(&recipe.clip, network, &mut gradients)?,
    };
    optimizer.step(&gradients, &step)?;
    Ok(found)
}

/// Whether dropout and the statistics of the batch are on in a step.
pub(crate) fn trains(recipe: &Recipe, draws: Draws) -> bool {
    match recipe.training_mode {
        TrainingMode::Always => true,
        TrainingMode::FirstEpoch => draws.epoch == 1,
    }
}

/// What a step finds, and its gradients: forward and backward pass. The dropout layers that ask for keys are noted in `dropped`.
pub(crate) fn gradients(
    network: &Network,
    recipe: &Recipe,
    example: &Example,
    draws: Draws,
    dropped: Option<&RefCell<Vec<u64>>>,
) -> Result<(Found, Gradients), TrainError> {
    let tape = Tape::recording();
    let auxiliaries = RefCell::default();
    let mut pass = if trains(recipe, draws) {
        Pass::training(&tape, draws.seed, draws.repeat, draws.step).with_auxiliaries(&auxiliaries)
    } else {
        Pass::evaluation(&tape)
    };
    if let Some(dropped) = dropped {
        pass = pass.with_dropped(dropped);
    }
    let logits = match &example.input {
        Input::Pictures(pictures) => network.forward(pictures, &pass)?,
        Input::Features(features) => network.head(features, &pass)?,
    };
    let weights = &recipe.class_weights;
    let weighing = Weighing {
        label_smoothing: recipe.label_smoothing,
        class_weights: (!weights.is_empty()).then_some(weights),
    };
    let (targets, mixed) = (&example.targets, example.mixed.as_ref());
    let loss_of = |logits: &Tensor| loss(&tape, logits, targets, mixed, &weighing);
    let mut loss = loss_of(&logits)?;
    for (logits, weight) in auxiliaries.take() {
        let auxiliary = loss_of(&cast(&tape, &logits, DType::F32)?)?;
        loss = add_scaled(&tape, &loss, &auxiliary, weight)?;
    }
    let found = Found {
        outputs: logits.detach(),
        targets: Mixed::main(mixed, targets).clone(),
        loss: loss.detach(),
    };
    Ok((found, tape.backward(&loss)?))
}

/// The loss of `logits`, (n, k), with one target for each, or with two of which each has its share.
fn loss(
    tape: &Tape,
    logits: &Tensor,
    targets: &Targets,
    mixed: Option<&Mixed>,
    weighing: &Weighing<'_>,
) -> Result<Tensor, TrainError> {
    let of = |targets: &Targets| targets.loss(tape, logits, weighing);
    let Some(mixed) = mixed else {
        return of(targets);
    };
    let none = Tensor::zeros((), DType::F32, logits.device())?;
    let own = add_scaled(tape, &none, &of(targets)?, mixed.share)?;
    let other = of(&mixed.targets)?;
    Ok(add_scaled(tape, &own, &other, 1.0 - mixed.share)?)
}

/// What becomes of these gradients.
fn clipping(
    clip: &ClipSpec,
    network: &Network,
    gradients: &mut Gradients,
) -> Result<Clipping, TrainError> {
    let limit = clip.value.unwrap_or(f64::INFINITY);
    let Some(most) = clip.norm else {
        return Ok(Clipping { scale: 1.0, limit });
    };
    let trained = network.parameters().iter().filter(|p| p.trainable());
    if !network.device().is_cpu() {
        // A GPU goes on while nobody knows the norm.
        let trained: Vec<&Tensor> = trained.map(|p| p.var.as_tensor()).collect();
        gradients.clip_norm(&trained, most)?;
        return Ok(Clipping { scale: 1.0, limit });
    }
    let mut squares = 0.0;
    for parameter in trained {
        squares += gradients.sum_of_squares(&parameter.var)?;
    }
    // The small number is PyTorch's.
    let scale = (most / (squares.sqrt() + 1e-6)).min(1.0);
    Ok(Clipping { scale, limit })
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Var};

    use super::*;

    /// torch 2.15.0: `cross_entropy` with soft targets of both labels, by `scripts/golden_trainer.py`.
    #[test]
    fn mixed_labels_are_soft_targets() {
        let golden: serde_json::Value =
            serde_json::from_str(include_str!("../tests/golden/mixing.json")).unwrap();
        let numbers = |value: &serde_json::Value| -> Vec<f32> {
            let values = value.as_array().unwrap().iter();
            values.map(|value| value.as_f64().unwrap() as f32).collect()
        };
        for case in golden["losses"].as_array().unwrap() {
            let logits = numbers(&case["logits"]);
            let logits = Var::from_vec(logits, (4, 3), &Device::Cpu).unwrap();
            let mixed = Mixed {
                targets: Targets::Classes(vec![2, 0, 1, 2]),
                share: case["share"].as_f64().unwrap(),
            };
            let weighing = Weighing {
                label_smoothing: case["smoothing"].as_f64().unwrap(),
                class_weights: None,
            };
            let tape = Tape::recording();
            let own = Targets::Classes(vec![0, 1, 2, 2]);
            let loss = loss(&tape, &logits, &own, Some(&mixed), &weighing).unwrap();
            let gradient = tape.backward(&loss).unwrap();
            let gradient = gradient.get(&logits).unwrap();
            let found = gradient.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            let all = |loss: f32, gradient: &[f32]| [&[loss], gradient].concat();
            let found = all(loss.to_scalar().unwrap(), &found);
            let expected = all(
                case["loss"].as_f64().unwrap() as f32,
                &numbers(&case["gradient"]),
            );
            for (found, expected) in found.iter().zip(&expected) {
                assert!((found - expected).abs() < 5e-7, "{found} {expected}");
            }
        }
    }
}
