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
        matches!(self, Self::OutOfMemory { .. })
            || self
                .of_device()
                .is_some_and(|text| says(&text, OUT_OF_MEMORY))
    }

    /// Whether it is an error that CUDA's libraries give for want of memory too, when they are opened or load kernels. It then
    /// passes when fewer trials are on the device.
    pub fn may_be_out_of_memory(&self) -> bool {
        !self.is_out_of_memory() && self.of_device().is_some_and(|text| says(&text, PERHAPS))
    }

    /// What is said where a device may be at fault.
    fn of_device(&self) -> Option<String> {
        match self {
            Self::Tensor(error) => Some(error.to_string()),
            Self::Model(error) => Some(error.to_string()),
            Self::Device { reason, .. } => Some(reason.clone()),
            _ => None,
        }
    }
}

/// What CUDA's driver and libraries say when there is no memory left. candle hands on their words alone.
const OUT_OF_MEMORY: &[&str] = &[
    "CUDA_ERROR_OUT_OF_MEMORY",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED",
    "CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED",
    "CURAND_STATUS_ALLOCATION_FAILED",
];

/// What they say for want of memory and for other reasons.
const PERHAPS: &[&str] = &[
    "CUBLAS_STATUS_NOT_INITIALIZED",
    "CUBLAS_STATUS_INTERNAL_ERROR",
    "CUDNN_STATUS_NOT_INITIALIZED",
    "CUDNN_STATUS_INTERNAL_ERROR",
    "CUDNN_STATUS_EXECUTION_FAILED_CUDA_DRIVER",
    "CURAND_STATUS_INITIALIZATION_FAILED",
    "CURAND_STATUS_INTERNAL_ERROR",
];

fn says(text: &str, words: &[&str]) -> bool {
    words.iter().any(|word| text.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(reason: &str) -> TrainError {
        TrainError::Device {
            device: "cuda:0".to_owned(),
            reason: reason.to_owned(),
        }
    }

    fn tensor(text: &str) -> TrainError {
        TrainError::Tensor(candle_core::Error::Msg(text.to_owned()).bt())
    }

    #[test]
    fn libraries_tell_of_memory_wherever_they_find_none() {
        for word in OUT_OF_MEMORY {
            let text = format!("GPU 0 can't be opened: SomeError({word}, \"words\")");
            for error in [device(&text), tensor(&text)] {
                assert!(error.is_out_of_memory(), "{error}");
            }
        }
        for word in PERHAPS {
            let error = device(&format!("CudnnError({word})"));
            assert!(
                error.may_be_out_of_memory() && !error.is_out_of_memory(),
                "{error}"
            );
        }
        let text = "DriverError(CUDA_ERROR_ILLEGAL_ADDRESS, \"an illegal memory access\")";
        for error in [
            device(text),
            tensor(text),
            TrainError::Spec(OUT_OF_MEMORY[0].to_owned()),
        ] {
            assert!(
                !error.is_out_of_memory() && !error.may_be_out_of_memory(),
                "{error}"
            );
        }
    }

    /// The words are those of the bindings.
    #[cfg(feature = "cuda")]
    #[test]
    fn errors_of_the_bindings_are_known() {
        use candle_core::cuda_backend::{
            WrapErr,
            cudarc::{cublas, cudnn, curand, driver},
        };
        let out = [
            Err::<(), _>(driver::DriverError(
                driver::sys::CUresult::CUDA_ERROR_OUT_OF_MEMORY,
            ))
            .w(),
            Err(cublas::result::CublasError(
                cublas::sys::cublasStatus_t::CUBLAS_STATUS_ALLOC_FAILED,
            ))
            .w(),
            Err(curand::result::CurandError(
                curand::sys::curandStatus_t::CURAND_STATUS_ALLOCATION_FAILED,
            ))
            .w(),
        ];
        for error in out {
            let error = TrainError::from(error.unwrap_err());
            assert!(
                error.is_out_of_memory() && !error.may_be_out_of_memory(),
                "{error}"
            );
        }
        let not_open = cublas::sys::cublasStatus_t::CUBLAS_STATUS_NOT_INITIALIZED;
        let error = TrainError::from(
            Err::<(), _>(cublas::result::CublasError(not_open))
                .w()
                .unwrap_err(),
        );
        assert!(
            error.may_be_out_of_memory() && !error.is_out_of_memory(),
            "{error}"
        );
        let statuses = [
            cudnn::sys::cudnnStatus_t::CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED,
            cudnn::sys::cudnnStatus_t::CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED,
        ];
        for status in statuses {
            assert!(
                OUT_OF_MEMORY.contains(&format!("{status:?}").as_str()),
                "{status:?}"
            );
        }
        let text = format!("{}", cudnn::result::CudnnError(statuses[0]));
        assert!(tensor(&text).is_out_of_memory(), "{text}");
    }
}
