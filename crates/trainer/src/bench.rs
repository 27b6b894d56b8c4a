//! Steps of training and evaluation without a trial around them, to measure them.

use candle_core::Device;
use graft_data::Batch;
use graft_model::{Network, Pass};
use graft_ops::Tape;

use crate::{
    Recipe, TrainError,
    inputs::{Example, Input},
    optimizer::{self, Optimizer},
    recorder::Recorder,
    session::input,
    step::{Draws, Trained, step},
    targets::Targets,
};

/// A network, its optimizer and one batch, on which the same step can be taken again and again.
pub struct StepBench {
    network: Network,
    optimizer: Box<dyn Optimizer>,
    recorder: Recorder,
    example: Example,
    recipe: Recipe,
    steps: u64,
}

impl std::fmt::Debug for StepBench {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StepBench")
            .field("network", &self.network)
            .field("steps", &self.steps)
            .finish_non_exhaustive()
    }
}

impl StepBench {
    /// Steps of `network`, with what trains in it, on `batch`, as `recipe` says.
    pub fn new(
        network: Network,
        recipe: &Recipe,
        batch: Batch,
        device: &Device,
    ) -> Result<Self, TrainError> {
        let targets = Targets::of(&batch);
        Ok(Self {
            optimizer: optimizer::build(&recipe.optimizer, recipe.weight_decay_on, &network)?,
            example: Example {
                input: Input::Pictures(input(batch, device)?),
                targets,
                mixed: None,
            },
            recorder: Recorder::new(device, recipe),
            network,
            recipe: recipe.clone(),
            steps: 0,
        })
    }

    /// A training step as a trial takes it: forward, cross entropy, backward, update. Returns the mean loss.
    pub fn train_step(&mut self) -> Result<f64, TrainError> {
        self.steps += 1;
        let draws = Draws {
            seed: 0,
            repeat: 1,
            epoch: 1,
            step: self.steps,
        };
        let trained = Trained {
            network: &self.network,
            optimizer: self.optimizer.as_mut(),
            recorder: &mut self.recorder,
        };
        let (recipe, lr) = (&self.recipe, self.recipe.optimizer.lr());
        let found = step(trained, recipe, &self.example, draws, lr)?;
        Ok(found.read()?.loss)
    }

    /// Whether the steps of now are replayed from a recording.
    pub fn is_recorded(&self) -> bool {
        self.recorder.proven() > 0
    }

    /// A forward pass as in validation: no gradients, running statistics.
    pub fn forward(&self) -> Result<(), TrainError> {
        if let Input::Pictures(pictures) = &self.example.input {
            let tape = Tape::disabled();
            self.network.forward(pictures, &Pass::evaluation(&tape))?;
            self.network.device().synchronize()?;
        }
        Ok(())
    }
}
