//! What is said when a device's memory does not suffice: what was to fit there, and what would.

use candle_core::Device;
use graft_model::{Init, Network, Precision};

use crate::{TrainError, Trial, device};

const GIB: f64 = (1_u64 << 30) as f64;
/// The part of a device's memory that tensors can have; the rest is taken by its libraries and by gaps.
const USABLE: f64 = 0.85;

/// About what training takes, in bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Needs {
    /// Parameters, their gradients and the optimizer's state.
    fixed: f64,
    /// What each picture of a step adds.
    picture: f64,
}

impl Needs {
    /// By the layers' outputs for one picture, which are kept until the backward pass.
    fn of(trial: &Trial, classes: usize) -> Option<Self> {
        let spec = &trial.spec;
        let (size, init) = (
            spec.data.transform.size as usize,
            Init { seed: 0, repeat: 0 },
        );
        let network = Network::build(&spec.model, classes, size, &init, &Device::Cpu).ok()?;
        let one = network.summary(1).ok()?;
        let part = match spec.recipe.precision {
            Precision::F32 | Precision::Tf32 => 1.0,
            Precision::Bf16 => 0.5,
        };
        Some(Self {
            fixed: (one.weight_bytes() + one.training_bytes()) as f64,
            picture: part * one.activation_bytes() as f64 + one.input_bytes() as f64,
        })
    }

    fn step(&self, pictures: usize) -> f64 {
        self.fixed + self.picture * pictures as f64
    }

    /// How many pictures a step may have in so many bytes.
    fn fitting(&self, bytes: f64) -> usize {
        ((USABLE * bytes - self.fixed) / self.picture.max(1.0)).max(0.0) as usize
    }
}

/// The error of a trial as a reader wants it, if a device's memory did not suffice; else the error as it is.
pub(crate) fn explained(error: TrainError, trial: &Trial, classes: usize) -> TrainError {
    if !error.is_out_of_memory() {
        return error;
    }
    // Not even the libraries found room.
    if let TrainError::Device { device, reason } = error {
        let hint = "fewer trials at a time (`--jobs 1`), or no other program on this device";
        return TrainError::OutOfMemory {
            device,
            reason: format!("{reason}\nhint: {hint}"),
        };
    }
    let opened = device::open(&trial.device);
    let memory = opened.and_then(|device| device::describe(&device));
    let memory = memory.ok().and_then(|described| described.memory);
    TrainError::OutOfMemory {
        device: trial.device.clone(),
        reason: reason(
            trial,
            memory.map(|bytes| bytes as f64),
            Needs::of(trial, classes),
        ),
    }
}

fn reason(trial: &Trial, memory: Option<f64>, needs: Option<Needs>) -> String {
    let (size, batch) = (trial.spec.data.transform.size, trial.spec.recipe.batch_size);
    let text =
        format!("its memory does not suffice for {batch} pictures of {size} × {size} a step");
    let smaller = "a smaller train.batch_size or data.transform.size";
    let (Some(memory), Some(needs)) = (memory, needs) else {
        return format!("{text}\nhint: {smaller}, or fewer trials at a time (`--jobs 1`)");
    };
    let (takes, has) = (needs.step(batch) / GIB, memory / GIB);
    let text = format!("{text}, which take about {takes:.1} GiB of its {has:.1} GiB");
    let fitting = needs.fitting(memory);
    match fitting {
        0 => text + "\nhint: not even one would fit: a smaller data.transform.size or model",
        _ if fitting < batch => {
            format!(
                "{text}\nhint: about {fitting} would fit: `--set train.batch_size={fitting}`, or {smaller}"
            )
        }
        _ => {
            text + "\nhint: that would fit alone: fewer trials at a time (`--jobs 1`), or no other program on this device"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_fit_is_told() {
        let needs = Needs {
            fixed: GIB,
            picture: 0.1 * GIB,
        };
        assert_eq!(needs.fitting(10.0 * GIB), 75);
        assert_eq!(needs.fitting(GIB), 0);
        assert!((needs.step(10) / GIB - 2.0).abs() < 1e-9);
    }
}
