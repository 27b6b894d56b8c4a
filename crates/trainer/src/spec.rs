//! What decides the result of a trial.

use graft_data::DataSpec;
use graft_model::{ModelSpec, Precision, TransferSpec, WeightsSpec};
use serde::{Deserialize, Serialize};

use crate::{EarlyStopping, EmaSpec, Monitor, ScheduleSpec};

/// How a network is trained: the `[train]` table with every default filled in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Recipe {
    /// Passes over the training pictures.
    pub epochs: u32,
    /// Pictures per step. The last batch of an epoch may be smaller, as in PyTorch's `DataLoader`.
    pub batch_size: usize,
    /// The optimizer.
    pub optimizer: OptimizerSpec,
    /// Which parameters weight decay counts for.
    #[serde(default, skip_serializing_if = "is_default")]
    pub weight_decay_on: DecayOn,
    /// The course of the learning rate.
    #[serde(default, skip_serializing_if = "is_default")]
    pub schedule: ScheduleSpec,
    /// How gradients are clipped before a step.
    #[serde(default, skip_serializing_if = "is_default")]
    pub clip: ClipSpec,
    /// The share of the target that is spread evenly over all classes (Szegedy et al. 2016).
    #[serde(default, skip_serializing_if = "is_default")]
    pub label_smoothing: f64,
    /// Pictures are blended with others of their batch, by shares drawn from Beta(α, α) with this α; 0 for not at all.
    #[serde(default, skip_serializing_if = "is_default")]
    pub mixup: f64,
    /// Pictures get a rectangle of others of their batch, its area drawn with this α; 0 for not at all.
    #[serde(default, skip_serializing_if = "is_default")]
    pub cutmix: f64,
    /// The figure whose best epoch is kept.
    #[serde(default, skip_serializing_if = "is_default")]
    pub best: Monitor,
    /// When a trial ends before its last epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub early_stopping: Option<EarlyStopping>,
    /// Validates an average of the weights in their place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ema: Option<EmaSpec>,
    /// Steps between validations within an epoch, beside those at the end of each; `None` for no others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validate_every: Option<u64>,
    /// Whether the training pictures are looked at as the validation pictures are, at the end of each epoch.
    #[serde(default, skip_serializing_if = "is_default")]
    pub evaluate_train: bool,
    /// How long the network is in training mode.
    #[serde(default, skip_serializing_if = "is_default")]
    pub training_mode: TrainingMode,
    /// A weight for each class in the loss, in the order of the classes; empty for equal ones.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub class_weights: Vec<f64>,
    /// The numbers that the network computes with.
    #[serde(default, skip_serializing_if = "is_default")]
    pub precision: Precision,
    /// Whether a GPU computes in a fixed order, so that the same trial gives the same bits. A CPU always does.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    pub deterministic: bool,
}

impl Recipe {
    /// A recipe with nothing but these.
    pub fn new(epochs: u32, batch_size: usize, optimizer: OptimizerSpec) -> Self {
        Self {
            epochs,
            batch_size,
            optimizer,
            weight_decay_on: DecayOn::default(),
            schedule: ScheduleSpec::default(),
            clip: ClipSpec::default(),
            label_smoothing: 0.0,
            mixup: 0.0,
            cutmix: 0.0,
            class_weights: Vec::new(),
            validate_every: None,
            evaluate_train: false,
            training_mode: TrainingMode::default(),
            best: Monitor::default(),
            early_stopping: None,
            ema: None,
            precision: Precision::default(),
            deterministic: true,
        }
    }

    /// Whether the pictures of a batch are mixed.
    pub fn mixes(&self) -> bool {
        self.mixup > 0.0 || self.cutmix > 0.0
    }
}

fn yes() -> bool {
    true
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde wants it so")]
fn is_yes(value: &bool) -> bool {
    *value
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Which parameters weight decay counts for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DecayOn {
    /// All, as in PyTorch.
    #[default]
    All,
    /// Weights of convolutions and linear layers, not biases and normalisation, as in timm.
    Weights,
}

/// How long the network is in training mode: with dropout, and with the batch's statistics in batch norm.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TrainingMode {
    /// In every step.
    #[default]
    Always,
    /// In the first epoch alone, and in evaluation mode after it: what comes of a loop that does not return to training mode
    /// after its first validation.
    FirstEpoch,
}

/// How gradients are clipped before a step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ClipSpec {
    /// Their norm, over all parameters together, is brought down to this: `torch.nn.utils.clip_grad_norm_`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub norm: Option<f64>,
    /// Every element is brought within ± this: `torch.nn.utils.clip_grad_value_`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<f64>,
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
        /// Looks ahead along the velocity (Nesterov 1983).
        #[serde(default, skip_serializing_if = "is_default")]
        nesterov: bool,
    },
    /// Adam as `torch.optim.Adam` defines it (Kingma and Ba 2015).
    Adam {
        /// Learning rate.
        lr: f64,
        /// How much of the running mean and mean square is kept.
        betas: (f64, f64),
        /// Added to the root of the mean square.
        eps: f64,
        /// L2 penalty added to the gradient.
        weight_decay: f64,
    },
    /// Adam with decoupled weight decay, as `torch.optim.AdamW` defines it (Loshchilov and Hutter 2019).
    Adamw {
        /// Learning rate.
        lr: f64,
        /// How much of the running mean and mean square is kept.
        betas: (f64, f64),
        /// Added to the root of the mean square.
        eps: f64,
        /// The share of a parameter, times the learning rate, that each step takes away.
        weight_decay: f64,
    },
    /// `RMSprop` as `torch.optim.RMSprop` defines it (Tieleman and Hinton 2012).
    Rmsprop {
        /// Learning rate.
        lr: f64,
        /// How much of the running mean square is kept.
        alpha: f64,
        /// Added to the root of the mean square.
        eps: f64,
        /// Momentum; 0 for none.
        momentum: f64,
        /// L2 penalty added to the gradient.
        weight_decay: f64,
    },
}

impl OptimizerSpec {
    /// The learning rate.
    pub fn lr(&self) -> f64 {
        match *self {
            Self::Sgd { lr, .. }
            | Self::Adam { lr, .. }
            | Self::Adamw { lr, .. }
            | Self::Rmsprop { lr, .. } => lr,
        }
    }
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
    /// The id of the trial whose network this one goes on with: the repeat before it. `None` for a network of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<String>,
    /// How they are transferred.
    pub transfer: TransferSpec,
    /// How the network is trained.
    pub recipe: Recipe,
}

impl TrialSpec {
    /// How many inputs a training picture gives whose features can be kept, if its backbone never changes; `None` if every
    /// epoch makes new ones or mixes them.
    pub fn kept_views(&self) -> Option<u32> {
        let views = self.data.transform.fixed_views();
        views.filter(|_| !self.recipe.mixes())
    }
}
