//! What an experiment says about the course of the learning rate.

use graft_record::EpochRow;
use serde::{Deserialize, Serialize};

/// How the learning rate changes while a trial trains, and how it begins.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ScheduleSpec {
    /// The course after the warm-up.
    #[serde(flatten)]
    pub course: Course,
    /// A rise from a small rate at the beginning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warm_up: Option<WarmUp>,
}

/// The course of the learning rate, as the class of `torch.optim.lr_scheduler` that each names. Where `per` is not said,
/// the rate changes once an epoch.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Course {
    /// The rate stays.
    #[default]
    Constant,
    /// Times `factor` every so many epochs: `StepLR`.
    Step {
        /// Epochs between changes.
        every: u32,
        /// What the rate is multiplied with.
        factor: f64,
    },
    /// Times `factor` after each of these epochs: `MultiStepLR`.
    MultiStep {
        /// Epochs after which the rate changes, ascending.
        at: Vec<u32>,
        /// What the rate is multiplied with.
        factor: f64,
    },
    /// Times `factor` every epoch: `ExponentialLR`.
    Exponential {
        /// What the rate is multiplied with.
        factor: f64,
    },
    /// Half a cosine down to `min_lr` at the end (Loshchilov and Hutter 2017): `CosineAnnealingLR`.
    Cosine {
        /// The last rate.
        min_lr: f64,
        /// How often the rate changes.
        per: Per,
    },
    /// (1 − share of the time) to this power: `PolynomialLR`.
    Polynomial {
        /// The exponent; 1 for a straight line.
        power: f64,
        /// How often the rate changes.
        per: Per,
    },
    /// Up to the optimizer's rate and down to next to nothing, step by step, along cosines (Smith and Topin 2018):
    /// `OneCycleLR` without its course of the momentum.
    OneCycle {
        /// The share of the steps that the rise takes.
        rise: f64,
        /// The highest rate over the first.
        div_factor: f64,
        /// The first rate over the last.
        final_div_factor: f64,
    },
    /// Times `factor` when a figure has not improved for some epochs: `ReduceLROnPlateau`.
    Plateau(Plateau),
}

/// How often a schedule changes the learning rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Per {
    /// After every epoch.
    Epoch,
    /// After every step.
    Step,
}

/// A straight rise to the schedule's rate: `LinearLR`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct WarmUp {
    /// How long it takes.
    #[serde(flatten)]
    pub length: WarmUpLength,
    /// The share of the rate that it begins with.
    pub start: f64,
}

/// How long a warm-up takes. The schedule's own time begins after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WarmUpLength {
    /// So many epochs, with one rate for each.
    Epochs(u32),
    /// So many steps, each with its rate.
    Steps(u64),
}

/// When a plateau is one, and what it does to the learning rate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plateau {
    /// The figure that should improve.
    pub monitor: Monitor,
    /// What the rate is multiplied with.
    pub factor: f64,
    /// Epochs without improvement that are borne.
    pub patience: u32,
    /// Less of a difference is no improvement.
    pub min_delta: f64,
    /// Epochs after a change in which nothing is counted.
    pub cooldown: u32,
    /// The rate does not go below this.
    pub min_lr: f64,
    /// Whose definition is meant.
    pub like: Like,
}

/// The two definitions of a plateau.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Like {
    /// The epoch after `patience` bad ones changes the rate; `min_delta` is a share of the best figure.
    Pytorch,
    /// The last of `patience` bad epochs changes the rate; `min_delta` is a difference.
    Keras,
}

/// A figure of an epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Monitor {
    /// Mean loss over the training pictures; less is better.
    TrainLoss,
    /// Share of the training pictures that were classified right; more is better.
    TrainAccuracy,
    /// Mean loss over the validation pictures; less is better.
    ValLoss,
    /// Share of the validation pictures that were classified right; more is better.
    #[default]
    ValAccuracy,
}

impl Monitor {
    /// The figure in the row of an epoch.
    pub(crate) fn of(self, row: &EpochRow) -> f64 {
        match self {
            Self::TrainLoss => row.train_loss,
            Self::TrainAccuracy => row.train_accuracy,
            Self::ValLoss => row.val_loss,
            Self::ValAccuracy => row.val_accuracy,
        }
    }

    /// Whether more is better.
    pub fn rises(self) -> bool {
        matches!(self, Self::TrainAccuracy | Self::ValAccuracy)
    }
}
