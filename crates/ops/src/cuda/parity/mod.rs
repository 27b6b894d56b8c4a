//! Every operation on a CUDA device against the same on the CPU.

mod comparison;
mod layers;
mod maps;
mod others;
mod training;
mod winograd;

use std::fmt::{self, Display, Formatter};

use candle_core::Device;

use super::array::Kind;
use super::options::{Options, set_options};

/// How far an operation's results on a CUDA device are from those on the CPU.
#[derive(Clone, Debug)]
pub struct Comparison {
    /// The operation and its sizes.
    pub name: String,
    /// What it computes with: f32, tf32 or bf16.
    pub numbers: &'static str,
    /// Whether only algorithms that always give the same bits were allowed.
    pub deterministic: bool,
    /// The error of the result: of f32 the largest difference relative to the largest value; of bf16 the norm of the difference
    /// relative to that of the values.
    pub forward: f64,
    /// The largest such error of the inputs' gradients; none where the operation has no backward pass.
    pub backward: Option<f64>,
    /// Whether a second run gave the same bits.
    pub repeatable: bool,
    /// Why there is no result, if there is none. The errors are not numbers then.
    pub failure: Option<String>,
}

impl Comparison {
    /// The largest error that is fine: of f32 that of sums in another order, of TF32 that of rounding each factor, of bf16 that of
    /// rounding each result.
    pub fn tolerance(&self) -> f64 {
        match self.numbers {
            "f32" => 1e-4,
            "tf32" => 2e-3,
            _ => 2e-2,
        }
    }

    /// The larger of both errors.
    pub fn error(&self) -> f64 {
        comparison::larger(self.forward, self.backward.unwrap_or(0.0))
    }

    /// Whether the errors are within the tolerance, and the runs the same.
    pub fn is_fine(&self) -> bool {
        // A NaN is not fine.
        (self.repeatable || !self.deterministic) && self.error() <= self.tolerance()
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
        if let Some(failure) = &self.failure {
            write!(out, ", {failure}")?;
        }
        Ok(())
    }
}

/// Runs every operation, forward and backward, on `device`, a CUDA device, and on the CPU, for sizes that are small but odd;
/// and compares. Convolutions and products are done with TF32, and with whatever algorithm is fastest, as well. It takes some
/// seconds, and sets the thread's [`Options`](super::Options) to the default ones.
///
/// An operation that fails is a comparison that is not fine; where the device is of no use after it, it is the last one.
pub fn parity(device: &Device) -> Vec<Comparison> {
    let exact = Options::default();
    let fastest = Options {
        deterministic: false,
        ..exact
    };
    let tf32 = Options {
        tf32: true,
        ..exact
    };
    let (products, others) = (
        layers::cases(),
        [
            winograd::cases(),
            maps::cases(),
            others::cases(),
            training::cases(),
        ],
    );
    let both = products
        .iter()
        .flat_map(|case| case.kinds.iter().map(move |kind| (case, *kind)));
    let all = both.clone().map(|(case, kind)| (case, kind, exact));
    let others = others.iter().flatten();
    let others = others.flat_map(|case| case.kinds.iter().map(move |kind| (case, *kind, exact)));
    let in_tf32 = both.clone().filter(|(_, kind)| *kind == Kind::F32);
    let in_tf32 = in_tf32.map(|(case, kind)| (case, kind, tf32));
    let fastest = both.map(|(case, kind)| (case, kind, fastest));
    let mut found = Vec::new();
    for (case, kind, options) in all.chain(others).chain(in_tf32).chain(fastest) {
        set_options(options);
        let compared = case.compare(device, kind, options);
        let failed = compared.failure.is_some();
        found.push(compared);
        if failed && device.synchronize().is_err() {
            break;
        }
    }
    set_options(exact);
    found
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
