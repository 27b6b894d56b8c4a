//! `status.json`: how far a trial is.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::Content;

/// How far a trial is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// A worker trains it, or was killed while it did.
    Running,
    /// It was stopped at a checkpoint and can go on.
    Interrupted,
    /// It has its last epoch. Nothing of it is ever written again.
    Finished,
    /// It ended with an error.
    Failed,
    /// Its loss became infinite or not a number.
    Diverged,
}

/// The content of `status.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// Version of this file's format: [`Status::FORMAT`].
    pub format: u32,
    /// How far the trial is.
    pub state: State,
    /// How often it was started, the first time included.
    pub attempts: u32,
    /// Epochs that are in `epochs.csv`.
    pub epochs_done: u32,
    /// Optimizer steps behind those epochs.
    pub steps_done: u64,
    /// The epoch of the best checkpoint, if there is one.
    pub best_epoch: Option<u32>,
    /// Validation accuracy of the best checkpoint, from 0 to 1.
    pub best_val_accuracy: Option<f64>,
    /// Why it failed or diverged: the whole message.
    pub error: Option<String>,
    /// What its result files hold, by their names, once it is finished. Earlier versions did not write this.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub files: BTreeMap<String, Content>,
}

impl Status {
    /// The format that this version writes and reads.
    pub const FORMAT: u32 = 1;

    /// The status of a trial that has done nothing yet.
    pub fn new(state: State) -> Self {
        Self {
            format: Self::FORMAT,
            state,
            attempts: 1,
            epochs_done: 0,
            steps_done: 0,
            best_epoch: None,
            best_val_accuracy: None,
            error: None,
            files: BTreeMap::new(),
        }
    }
}
