//! One training step: forward, loss, backward, update.

use std::cell::RefCell;

use graft_model::{Network, Pass};
use graft_ops::{Tape, add_scaled, cross_entropy};

use crate::{
    TrainError,
    inputs::{Example, Input},
    metrics::count_correct,
    optimizer::Optimizer,
};

/// Which step it is, for what is drawn in it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Draws {
    pub(crate) seed: u64,
    pub(crate) repeat: u64,
    /// From 1.
    pub(crate) step: u64,
}

/// What a step found before it changed the network.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StepResult {
    /// Mean over the batch, the shares of second classifiers included. If it is not finite, nothing was changed.
    pub(crate) loss: f64,
    /// Pictures that were classified right.
    pub(crate) correct: usize,
}

/// Trains on one batch.
pub(crate) fn step(
    network: &Network,
    optimizer: &mut dyn Optimizer,
    example: &Example,
    draws: Draws,
    lr: f64,
) -> Result<StepResult, TrainError> {
    let tape = Tape::recording();
    let auxiliaries = RefCell::default();
    let pass =
        Pass::training(&tape, draws.seed, draws.repeat, draws.step).with_auxiliaries(&auxiliaries);
    let logits = match &example.input {
        Input::Pictures(pictures) => network.forward(pictures, &pass)?,
        Input::Features(features) => network.head(features, &pass)?,
    };
    let mut loss = cross_entropy(&tape, &logits, &example.labels)?;
    for (logits, weight) in auxiliaries.take() {
        let auxiliary = cross_entropy(&tape, &logits, &example.labels)?;
        loss = add_scaled(&tape, &loss, &auxiliary, weight)?;
    }
    let result = StepResult {
        loss: f64::from(loss.to_scalar::<f32>()?),
        correct: count_correct(&logits.to_vec2()?, &example.labels),
    };
    if result.loss.is_finite() {
        let gradients = tape.backward(&loss)?;
        optimizer.step(&gradients, lr)?;
    }
    Ok(result)
}
