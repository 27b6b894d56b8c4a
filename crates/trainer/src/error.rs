//! Why a trial could not be run.

use std::path::PathBuf;

use graft_data::{DataError, TransformError};
use graft_model::ModelError;
use graft_record::RecordError;

/// Why a trial could not be run.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// The pictures.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The network or its weights.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The results folder.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// A tensor operation.
    #[error("{0}")]
    Tensor(#[from] candle_core::Error),
    /// The device that was asked for.
    #[error("device `{device}`: {reason}")]
    Device {
        /// As asked for.
        device: String,
        /// Why it can't be used, and what can.
        reason: String,
    },
    /// A checkpoint that belongs to something else or is damaged.
    #[error("{path}: {reason}")]
    Checkpoint {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The transform.
    #[error(transparent)]
    Transform(#[from] TransformError),
    /// A specification that can't be followed or written down.
    #[error("the trial's specification can't be used: {0}")]
    Spec(String),
}
