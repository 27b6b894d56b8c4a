//! The numbers that a network computes with.

use std::fmt;

use candle_core::DType;
use serde::{Deserialize, Serialize};

/// The numbers that a network computes with. Parameters, their gradients, batch statistics and losses are 32-bit floats in any
/// case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Precision {
    /// 32-bit floats.
    #[default]
    F32,
    /// 32-bit floats whose mantissa is cut to 10 bits where they are multiplied in convolutions and matrix products.
    Tf32,
    /// Activations and their gradients are bfloat16, as under PyTorch's `autocast`.
    Bf16,
}

impl Precision {
    /// The type of activations.
    pub fn activations(self) -> DType {
        match self {
            Self::F32 | Self::Tf32 => DType::F32,
            Self::Bf16 => DType::BF16,
        }
    }
}

impl fmt::Display for Precision {
    /// As it is written in an experiment.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::F32 => "f32",
            Self::Tf32 => "tf32",
            Self::Bf16 => "bf16",
        })
    }
}
