//! Every operation on a CUDA device against the same on the CPU.

mod comparison;
mod layers;
mod maps;
mod others;
mod training;

use std::fmt::{self, Display, Formatter};

use candle_core::{Device, Result};

/// How far an operation's results on a CUDA device are from those on the CPU.
#[derive(Clone, Debug)]
pub struct Comparison {
    /// The operation and its sizes.
    pub name: String,
    /// The activations' numbers: f32 or bf16.
    pub numbers: &'static str,
    /// The error of the result: of f32 the largest difference relative to the largest value; of bf16 the norm of the difference
    /// relative to that of the values.
    pub forward: f64,
    /// The largest such error of the inputs' gradients; none where the operation has no backward pass.
    pub backward: Option<f64>,
    /// Whether a second run gave the same bits.
    pub repeatable: bool,
}

impl Comparison {
    /// The largest error that is fine: of f32 that of sums in another order, of bf16 that of rounding each result.
    pub fn tolerance(&self) -> f64 {
        if self.numbers == "f32" { 1e-4 } else { 2e-2 }
    }

    /// The larger of both errors.
    pub fn error(&self) -> f64 {
        comparison::larger(self.forward, self.backward.unwrap_or(0.0))
    }

    /// Whether the errors are within the tolerance, and the runs the same.
    pub fn is_fine(&self) -> bool {
        // A NaN is not fine.
        self.repeatable && self.error() <= self.tolerance()
    }
}

impl Display for Comparison {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        let Self {
            name,
            numbers,
            forward,
            ..
        } = self;
        write!(out, "{name:<60} {numbers:<5} forward {forward:.1e}")?;
        if let Some(backward) = self.backward {
            write!(out, ", backward {backward:.1e}")?;
        }
        if !self.repeatable {
            write!(out, ", another result at the second run")?;
        }
        Ok(())
    }
}

/// Runs every operation, forward and backward, on `device`, a CUDA device, and on the CPU, for sizes that are small but odd;
/// and compares. It takes some seconds.
pub fn parity(device: &Device) -> Result<Vec<Comparison>> {
    let cases = [
        layers::cases(),
        maps::cases(),
        others::cases(),
        training::cases(),
    ];
    let mut all = Vec::new();
    for case in cases.iter().flatten() {
        for kind in case.kinds {
            all.push(case.compare(device, *kind)?);
        }
    }
    Ok(all)
}

/// A case of this crate's operations: `case!("name", [inputs], |tape, [names]| result)`.
macro_rules! case {
    ($name:expr, [$($input:expr),* $(,)?], |$tape:pat_param, [$($of:pat_param),*]| $result:expr) => {
        $crate::cuda::parity::comparison::Case::new(
            $name,
            vec![$($input),*],
            move |$tape: &$crate::Tape, inputs: &[candle_core::Tensor]| {
                let [$($of),*] = inputs else {
                    return Err(candle_core::Error::Msg("a case has other inputs than it names".into()));
                };
                $result
            },
        )
    };
}
use case;
