//! What there is without CUDA: steps as they are.

use candle_core::Device;
use graft_model::Network;
use graft_ops::Gradients;

use crate::{
    Recipe, TrainError,
    inputs::Example,
    step::{Draws, Found, gradients},
};

/// Records nothing.
pub(crate) struct Recorder;

impl Recorder {
    pub(crate) fn new(_: &Device, _: &Recipe) -> Self {
        Self
    }

    /// What a step finds, and its gradients.
    #[expect(clippy::unused_self, reason = "a GPU's has recordings")]
    pub(crate) fn gradients(
        &mut self,
        network: &Network,
        recipe: &Recipe,
        example: &Example,
        draws: Draws,
    ) -> Result<(Found, Gradients), TrainError> {
        gradients(network, recipe, example, draws, None)
    }

    /// How many kinds of steps are replayed: none.
    #[expect(clippy::unused_self, reason = "a GPU's has recordings")]
    pub(crate) fn proven(&self) -> usize {
        0
    }

    /// What there is to tell since the last time: nothing.
    #[expect(clippy::unused_self, reason = "a GPU's may have something to tell")]
    pub(crate) fn take_note(&mut self) -> Option<String> {
        None
    }
}
