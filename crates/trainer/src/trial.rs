//! A trial as it is handed to a worker, what it reports while it runs, and how it ends.

use std::path::PathBuf;

use graft_record::{EpochRow, TimingRow, TrialKey};
use serde::{Deserialize, Serialize};

use crate::{FeatureCache, TrialSpec};

/// A trial and the places it needs: what decides its result, and what does not.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trial {
    /// Decides the result.
    pub spec: TrialSpec,
    /// Names the trial in its experiment.
    pub key: TrialKey,
    /// The results folder of the experiment.
    pub results: PathBuf,
    /// Folders in which a relative data path is looked up, in this order.
    pub data_folders: Vec<PathBuf>,
    /// The file with the backbone's weights, found before the sweep started.
    pub weights_file: Option<PathBuf>,
    /// The last checkpoint of the trial that this one goes on with, if any.
    #[serde(default)]
    pub previous: Option<PathBuf>,
    /// Where features of frozen backbones are kept, if anywhere. Never changes a result.
    #[serde(default)]
    pub features: Option<FeatureCache>,
    /// Whether an event file for TensorBoard is written beside the trials. Never changes a result.
    #[serde(default)]
    pub tensorboard: bool,
    /// How many of the last epochs' networks are kept, each in a file of its own. Never changes a result.
    #[serde(default)]
    pub keep_last: u32,
    /// Where to compute: `cpu`, `cuda`, `cuda:N` or `auto`.
    pub device: String,
    /// Threads that prepare batches beside the training threads.
    pub loader_threads: usize,
    /// Least seconds between checkpoints; saving never takes more than a twentieth of the time. Never changes a result.
    pub checkpoint_seconds: f64,
}

/// How a trial ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "kebab-case")]
pub enum Outcome {
    /// All epochs are done.
    Finished {
        /// The epoch with the best validation accuracy; the earliest of equals.
        best_epoch: u32,
        /// Its validation accuracy, from 0 to 1.
        #[serde(with = "graft_record::nullable")]
        best_val_accuracy: f64,
    },
    /// The observer asked to stop. Running the trial again goes on from here.
    Interrupted {
        /// Whole epochs that are done.
        epochs_done: u32,
    },
    /// The training or validation loss was not finite.
    Diverged {
        /// The epoch in which that happened, from 1.
        epoch: u32,
        /// The step in which that happened, from 1.
        step: u64,
    },
}

/// Where a running trial is, after every step.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepProgress {
    /// The running epoch, from 1.
    pub epoch: u32,
    /// Epochs in all.
    pub epochs: u32,
    /// Batches of this epoch that are done, in training, or validation after it.
    pub batch: usize,
    /// Batches of this phase.
    pub batches: usize,
    /// Whether this is the validation after the epoch.
    pub validating: bool,
    /// Mean training loss of this epoch so far.
    #[serde(with = "graft_record::nullable")]
    pub train_loss: f64,
    /// Training pictures per second in this epoch so far.
    #[serde(with = "graft_record::nullable")]
    pub images_per_second: f64,
}

impl StepProgress {
    /// The start of an epoch's training.
    pub(crate) fn begin(epoch: u32, epochs: u32, batches: usize) -> Self {
        Self {
            epoch,
            epochs,
            batch: 0,
            batches,
            validating: false,
            train_loss: 0.0,
            images_per_second: 0.0,
        }
    }
}

/// Hears of a trial's progress and may stop it.
pub trait Observer {
    /// After every step.
    fn step(&mut self, progress: &StepProgress);
    /// After every epoch.
    fn epoch(&mut self, row: &EpochRow, timing: &TimingRow);
    /// A line for the trial's log.
    fn log(&mut self, line: &str);
    /// Asked after every step; `true` ends the trial with a checkpoint.
    fn should_stop(&self) -> bool;
}
