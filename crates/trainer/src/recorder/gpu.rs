//! When passes are recorded, and whether a recording is used.

use std::{env, mem};

use candle_core::{DType, Device, Tensor};
use graft_model::Network;
use graft_ops::Gradients;

use super::recorded::{Recorded, same_bits};
use crate::{
    Recipe, TrainError, device,
    inputs::{Example, Input},
    step::{Draws, Found, gradients, trains},
};

/// Steps on which a recording is compared with what it stands for before it is relied on: the one that it was made of, and one
/// with other pictures and draws.
const CHECKS: u32 = 2;

/// What a trial's log says when a recording is relied on.
const RECORDED: &str = "forward and backward pass are recorded from here on";

/// Computes the gradients of steps: as they are, or by the recording of an earlier step of the same sizes.
///
/// Nothing depends on which it is. The first step of a kind is never recorded, since it loads and chooses what the others use.
/// The second one is computed, recorded and replayed, and both results are compared; those of the third are, too. Where a bit
/// differs, or the device can't record, steps are computed as ever.
pub(crate) struct Recorder {
    /// Pictures of the batches that are recorded, if any are. The last, smaller one of an epoch is not worth it.
    batch: Option<usize>,
    kinds: Vec<(Kind, State)>,
    note: Option<String>,
}

/// What steps have in common that one recording stands for.
#[derive(PartialEq)]
struct Kind {
    shape: Vec<usize>,
    dtype: DType,
    pictures: bool,
    /// Whether dropout and the statistics of the batch are on.
    trains: bool,
}

enum State {
    /// One step was computed.
    Met,
    /// The recording agreed in so many steps.
    Recorded(Box<Recorded>, u32),
    /// It can't be recorded.
    Refused,
}

impl Recorder {
    /// One for steps of a recipe. It records if the device is a GPU that computes reproducibly and `GRAFT_CUDA_GRAPHS` is 1.
    pub(crate) fn new(device: &Device, recipe: &Recipe) -> Self {
        let wanted = env::var(device::RECORDING).is_ok_and(|value| value == "1");
        Self::with(wanted && device.is_cuda() && recipe.deterministic, recipe)
    }

    /// One that records if it `records`.
    pub(super) fn with(records: bool, recipe: &Recipe) -> Self {
        Self {
            batch: records.then_some(recipe.batch_size),
            kinds: Vec::new(),
            note: None,
        }
    }

    /// What a step finds, and its gradients.
    pub(crate) fn gradients(
        &mut self,
        network: &Network,
        recipe: &Recipe,
        example: &Example,
        draws: Draws,
    ) -> Result<(Found, Gradients), TrainError> {
        // The share of mixed pictures changes from step to step.
        if self.batch != Some(example.targets.len()) || example.mixed.is_some() {
            return gradients(network, recipe, example, draws, None);
        }
        let kind = Kind::of(recipe, example, draws);
        let Some((_, state)) = self.kinds.iter_mut().find(|(known, _)| *known == kind) else {
            self.kinds.push((kind, State::Met));
            return gradients(network, recipe, example, draws, None);
        };
        match state {
            State::Refused => gradients(network, recipe, example, draws, None),
            State::Recorded(recorded, CHECKS) => recorded.run(example, draws),
            _ => {
                let before = statistics(network)?;
                let computed = gradients(network, recipe, example, draws, None)?;
                let after = statistics(network)?;
                let earlier = mem::replace(state, State::Refused);
                let proof = Proof {
                    network,
                    example,
                    draws,
                    computed: &computed,
                    statistics: [&before, &after],
                };
                match proof.of(earlier, || {
                    Recorded::new(network, recipe, example, draws, &computed)
                }) {
                    Ok(proven) => {
                        if let State::Recorded(_, CHECKS) = proven {
                            // Computed steps had memory of their own.
                            device::give_memory_back();
                            self.note = Some(RECORDED.to_owned());
                        }
                        *state = proven;
                    }
                    Err(why) => {
                        self.note = Some(format!("steps are not recorded on this GPU: {why}"));
                    }
                }
                set_statistics(network, &after)?;
                Ok(computed)
            }
        }
    }

    /// What there is to tell since the last time.
    pub(crate) fn take_note(&mut self) -> Option<String> {
        self.note.take()
    }

    /// How many kinds of steps are replayed.
    pub(crate) fn proven(&self) -> usize {
        let proven = |state: &State| matches!(state, State::Recorded(_, CHECKS));
        self.kinds.iter().filter(|(_, state)| proven(state)).count()
    }
}

impl Kind {
    fn of(recipe: &Recipe, example: &Example, draws: Draws) -> Self {
        let (input, pictures) = match &example.input {
            Input::Pictures(input) => (input, true),
            Input::Features(input) => (input, false),
        };
        Self {
            shape: input.dims().to_vec(),
            dtype: input.dtype(),
            pictures,
            trains: trains(recipe, draws),
        }
    }
}

/// A step that was computed, to compare a recording with.
struct Proof<'a> {
    network: &'a Network,
    example: &'a Example,
    draws: Draws,
    computed: &'a (Found, Gradients),
    /// Running statistics before and after it.
    statistics: [&'a [Tensor]; 2],
}

impl Proof<'_> {
    /// The state after one more comparison; an error if the recording is of no use.
    fn of(
        &self,
        earlier: State,
        record: impl FnOnce() -> Result<Recorded, TrainError>,
    ) -> Result<State, TrainError> {
        let (recorded, checks) = match earlier {
            State::Recorded(recorded, checks) => (recorded, checks),
            State::Met | State::Refused => (Box::new(record()?), 0),
        };
        let [before, after] = self.statistics;
        set_statistics(self.network, before)?;
        let (found, _) = recorded.run(self.example, self.draws)?;
        recorded.check(&found, self.computed)?;
        let kept = statistics(self.network)?;
        for (kept, after) in kept.iter().zip(after) {
            same_bits("the running statistics", kept, after)?;
        }
        Ok(State::Recorded(recorded, checks + 1))
    }
}

/// The running statistics of a network, on the CPU.
fn statistics(network: &Network) -> Result<Vec<Tensor>, TrainError> {
    let buffers = network.buffers().iter();
    let copies = buffers.map(|buffer| buffer.values().to_device(&Device::Cpu));
    Ok(copies.collect::<candle_core::Result<_>>()?)
}

fn set_statistics(network: &Network, values: &[Tensor]) -> Result<(), TrainError> {
    for (buffer, values) in network.buffers().iter().zip(values) {
        buffer.var.set(&values.to_device(network.device())?)?;
    }
    Ok(())
}
