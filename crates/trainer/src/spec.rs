//! What decides the result of a trial.

use graft_data::DataSpec;
use graft_model::{ModelSpec, TransferSpec, WeightsSpec};
use serde::{Deserialize, Serialize};

/// How a network is trained: the `[train]` table with every default filled in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Recipe {
    /// Passes over the training pictures.
    pub epochs: u32,
    /// Pictures per step. The last batch of an epoch may be smaller, as in PyTorch's `DataLoader`.
    pub batch_size: usize,
    /// The optimizer.
    pub optimizer: OptimizerSpec,
}

/// An optimizer and its settings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum OptimizerSpec {
    /// Stochastic gradient descent as `torch.optim.SGD` defines it.
    Sgd {
        /// Learning rate.
        lr: f64,
        /// Momentum; 0 for none.
        momentum: f64,
        /// L2 penalty added to the gradient.
        weight_decay: f64,
    },
}

/// Everything that decides the result of a trial, and nothing else. A trial's id is a hash of this.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrialSpec {
    /// Version of what the program makes of the rest; raised when the same spec gives another result.
    pub format: u32,
    /// The experiment's seed.
    pub seed: u64,
    /// Number of the repeat, from 1.
    pub repeat: u32,
    /// The pictures and their transforms.
    pub data: DataSpec,
    /// Hash of the pictures' content (image folders) or of the generator's version.
    pub data_fingerprint: String,
    /// The network.
    pub model: ModelSpec,
    /// Where its backbone's weights come from, if anywhere.
    pub weights: Option<WeightsSpec>,
    /// Hash of the weights' content, or the id of the trial that they come from.
    pub weights_fingerprint: Option<String>,
    /// How they are transferred.
    pub transfer: TransferSpec,
    /// How the network is trained.
    pub recipe: Recipe,
}
