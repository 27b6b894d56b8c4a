//! Where a trial computes.

use candle_core::Device;

use crate::TrainError;

/// The device named `cpu`, `auto`, `cuda` or `cuda:N`.
///
/// # Errors
/// When the name is another, or this build or machine has no such device.
pub fn open(name: &str) -> Result<Device, TrainError> {
    let error = |reason: &str| {
        Err(TrainError::Device {
            device: name.to_owned(),
            reason: reason.to_owned(),
        })
    };
    match name {
        "cpu" | "auto" => Ok(Device::Cpu),
        "cuda" => error("this build has no CUDA\nhint: use `--device cpu`"),
        _ => match name.strip_prefix("cuda:").map(str::parse::<usize>) {
            Some(Ok(_)) => error("this build has no CUDA\nhint: use `--device cpu`"),
            _ => error("no such device\nhint: one of `cpu`, `cuda`, `cuda:N`, `auto`"),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_cpu_is_there() {
        assert!(open("cpu").unwrap().is_cpu() && open("auto").unwrap().is_cpu());
        for (name, part) in [
            ("cuda", "no CUDA"),
            ("cuda:1", "--device cpu"),
            ("cuda:x", "no such"),
            ("tpu", "no such"),
        ] {
            let message = open(name).unwrap_err().to_string();
            assert!(message.contains(part), "{message}");
        }
    }
}
