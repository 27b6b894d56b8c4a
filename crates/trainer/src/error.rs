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
    /// The device's memory does not suffice.
    #[error("device `{device}`: {reason}")]
    OutOfMemory {
        /// As asked for.
        device: String,
        /// What was to fit there, and what would.
        reason: String,
    },
    /// The transform.
    #[error(transparent)]
    Transform(#[from] TransformError),
    /// A specification that can't be followed or written down.
    #[error("the trial's specification can't be used: {0}")]
    Spec(String),
}

impl TrainError {
    /// Whether the device's memory did not suffice.
    pub fn is_out_of_memory(&self) -> bool {
        match self {
            Self::OutOfMemory { .. } => true,
            Self::Tensor(error) => tells_of_memory(&error.to_string()),
            Self::Model(error) => tells_of_memory(&error.to_string()),
            _ => false,
        }
    }
}

/// Whether this is what CUDA's driver, cuBLAS or cuDNN say when there is no memory left. candle hands on their words alone.
fn tells_of_memory(text: &str) -> bool {
    [
        "CUDA_ERROR_OUT_OF_MEMORY",
        "CUBLAS_STATUS_ALLOC_FAILED",
        "CUDNN_STATUS_ALLOC_FAILED",
        "CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED",
    ]
    .iter()
    .any(|word| text.contains(word))
}
