//! A recorded pass, and the memory that it reads and writes.

use std::cell::RefCell;

use candle_core::Tensor;
use graft_model::{Network, Pass};
use graft_ops::{
    Gradients, Tape,
    cuda::{self, Recording},
};

use crate::{
    Recipe, TrainError,
    inputs::{Example, Input},
    step::{Draws, Found, gradients},
    targets::Targets,
};

/// The forward and backward pass of one step, as a recording.
pub(super) struct Recorded {
    recording: Recording,
    /// The dropout layers whose keys it takes, in its order.
    layers: Vec<u64>,
    input: Tensor,
    loss: Tensor,
    outputs: Tensor,
    /// The parameters that train, each with its gradient.
    gradients: Vec<(Tensor, Tensor)>,
}

impl Recorded {
    /// Records the pass of a step that was computed before, as were others of its kind.
    pub(super) fn new(
        network: &Network,
        recipe: &Recipe,
        example: &Example,
        draws: Draws,
        (found, computed): &(Found, Gradients),
    ) -> Result<Self, TrainError> {
        let input = input(example).zeros_like()?;
        let (loss, outputs) = (found.loss.zeros_like()?, found.outputs.zeros_like()?);
        let mut wanted = Vec::new();
        for parameter in network.parameters().iter().filter(|p| p.trainable()) {
            if let Some(gradient) = computed.get(&parameter.var) {
                wanted.push((parameter.var.as_tensor().clone(), gradient.zeros_like()?));
            }
        }
        // What is to be recorded has to have been done once.
        cuda::copy(&input, self::input(example))?;
        cuda::copy(&loss, &found.loss)?;
        cuda::copy(&outputs, &found.outputs)?;
        let known = wanted.iter();
        let known = known.filter_map(|(parameter, kept)| Some((kept, computed.get(parameter)?)));
        cuda::copy_all(&known.collect::<Vec<_>>())?;
        let shown = Example {
            input: match &example.input {
                Input::Pictures(_) => Input::Pictures(input.clone()),
                Input::Features(_) => Input::Features(input.clone()),
            },
            targets: example.targets.clone(),
            mixed: None,
        };
        let dropped = RefCell::default();
        let targets = words(&example.targets);
        let work = || -> Result<(), TrainError> {
            let (found, computed) = gradients(network, recipe, &shown, draws, Some(&dropped))?;
            cuda::copy(&loss, &found.loss)?;
            cuda::copy(&outputs, &found.outputs)?;
            let mut pairs = Vec::with_capacity(wanted.len());
            for (parameter, kept) in &wanted {
                let gradient = computed.get(parameter).ok_or_else(|| {
                    candle_core::Error::Msg("a gradient is there in some steps only".to_owned())
                })?;
                pairs.push((kept, gradient));
            }
            Ok(cuda::copy_all(&pairs)?)
        };
        let (recording, keys) = cuda::record(network.device(), &targets, work)?;
        let mut layers: Vec<u64> = Vec::new();
        for layer in dropped.into_inner() {
            let drops = key(draws, layer).is_some_and(|key| keys.contains(&key));
            if drops && !layers.contains(&layer) {
                layers.push(layer);
            }
        }
        if keys_of(&layers, draws) != keys {
            let found = "the keys of its dropout masks are not those of its layers".to_owned();
            return Err(candle_core::Error::Msg(found).into());
        }
        Ok(Self {
            recording,
            layers,
            input,
            loss,
            outputs,
            gradients: wanted,
        })
    }

    /// The pass of another step. The gradients are overwritten by the next one.
    pub(super) fn run(
        &self,
        example: &Example,
        draws: Draws,
    ) -> Result<(Found, Gradients), TrainError> {
        cuda::copy(&self.input, input(example))?;
        let keys = keys_of(&self.layers, draws);
        self.recording.run(&words(&example.targets), &keys)?;
        let found = Found {
            loss: self.loss.copy()?,
            outputs: self.outputs.copy()?,
            targets: example.targets.clone(),
        };
        let gradients = self.gradients.iter();
        let gradients = gradients.map(|(parameter, kept)| (parameter.id(), kept.clone()));
        Ok((found, Gradients::of(gradients)))
    }

    /// Fails unless the last run, which found this, gave the bits of the same step when it was computed.
    pub(super) fn check(
        &self,
        found: &Found,
        (expected, computed): &(Found, Gradients),
    ) -> Result<(), TrainError> {
        same_bits("the loss", &found.loss, &expected.loss)?;
        same_bits("the output", &found.outputs, &expected.outputs)?;
        for (parameter, kept) in &self.gradients {
            if let Some(gradient) = computed.get(parameter) {
                same_bits("a gradient", kept, gradient)?;
            }
        }
        Ok(())
    }
}

fn input(example: &Example) -> &Tensor {
    match &example.input {
        Input::Pictures(input) | Input::Features(input) => input,
    }
}

/// Targets as the 32 bits that the losses get.
fn words(targets: &Targets) -> Vec<u32> {
    match targets {
        Targets::Classes(labels) => labels.clone(),
        Targets::Numbers(numbers) => numbers.iter().map(|number| number.to_bits()).collect(),
    }
}

fn key(draws: Draws, layer: u64) -> Option<u64> {
    let tape = Tape::disabled();
    Pass::training(&tape, draws.seed, draws.repeat, draws.step).dropout_key(layer)
}

fn keys_of(layers: &[u64], draws: Draws) -> Vec<u64> {
    layers
        .iter()
        .filter_map(|layer| key(draws, *layer))
        .collect()
}

/// Fails unless two tensors have the same bits; `what` they are.
pub(super) fn same_bits(what: &str, a: &Tensor, b: &Tensor) -> Result<(), TrainError> {
    let bits = |tensor: &Tensor| -> candle_core::Result<Vec<u32>> {
        let values = tensor.flatten_all()?.to_vec1::<f32>()?;
        Ok(values.into_iter().map(f32::to_bits).collect())
    };
    if a.dims() == b.dims() && bits(a)? == bits(b)? {
        return Ok(());
    }
    let found = format!("{what} of a recorded step is not that of the same step computed");
    Err(candle_core::Error::Msg(found).into())
}
