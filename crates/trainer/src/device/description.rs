//! What a device is, for records and messages.

use std::fmt;

use candle_core::{Device, DeviceLocation};

use super::error;
use crate::TrainError;

const GIB: f64 = (1_u64 << 30) as f64;

/// What a device is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// The name that opens it: `cpu` or `cuda:N`.
    pub device: String,
    /// A GPU as its maker calls it. None for the CPU.
    pub name: Option<String>,
    /// A GPU's memory in bytes.
    pub memory: Option<u64>,
    /// A GPU's compute capability, such as `9.0`.
    pub capability: Option<String>,
    /// The newest CUDA that the driver knows, such as `13.0`.
    pub cuda: Option<String>,
    /// The driver's own version, such as `580.65.06`, where the system tells it.
    pub driver: Option<String>,
}

impl fmt::Display for Description {
    /// Such as `cuda:0, NVIDIA H200, 139.8 GiB, compute capability 9.0, CUDA 13.0, driver 580.65.06`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.device)?;
        if let Some(name) = &self.name {
            write!(f, ", {name}")?;
        }
        if let Some(memory) = self.memory {
            write!(f, ", {:.1} GiB", memory as f64 / GIB)?;
        }
        for (what, value) in [
            ("compute capability", &self.capability),
            ("CUDA", &self.cuda),
            ("driver", &self.driver),
        ] {
            if let Some(value) = value {
                write!(f, ", {what} {value}")?;
            }
        }
        Ok(())
    }
}

/// What a device is.
///
/// # Errors
/// When the driver does not tell.
pub fn describe(device: &Device) -> Result<Description, TrainError> {
    let mut description = Description {
        device: "cpu".to_owned(),
        name: None,
        memory: None,
        capability: None,
        cuda: None,
        driver: None,
    };
    let DeviceLocation::Cuda { gpu_id } = device.location() else {
        return Ok(description);
    };
    description.device = format!("cuda:{gpu_id}");
    let told = graft_cuda::device(gpu_id).and_then(|gpu| Ok((gpu, graft_cuda::driver_version()?)));
    let (gpu, cuda) = told.map_err(|e| error(&description.device, e.to_string()))?;
    description.name = Some(gpu.name);
    description.memory = Some(gpu.memory);
    description.capability = Some(format!("{}.{}", gpu.capability.0, gpu.capability.1));
    description.cuda = Some(cuda.to_string());
    // Where the kernel's module says it.
    let version = std::fs::read_to_string("/sys/module/nvidia/version").ok();
    description.driver = version
        .map(|text| text.trim().to_owned())
        .filter(|text| !text.is_empty());
    Ok(description)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cpu_has_no_more_than_its_name() {
        let cpu = describe(&Device::Cpu).unwrap();
        assert_eq!(cpu.to_string(), "cpu");
        assert_eq!((cpu.memory, &cpu.driver), (None, &None));
    }

    #[test]
    fn a_gpu_is_told_in_a_line() {
        let gpu = Description {
            device: "cuda:1".to_owned(),
            name: Some("NVIDIA H200".to_owned()),
            memory: Some(150_110_011_392),
            capability: Some("9.0".to_owned()),
            cuda: Some("13.0".to_owned()),
            driver: None,
        };
        assert_eq!(
            gpu.to_string(),
            "cuda:1, NVIDIA H200, 139.8 GiB, compute capability 9.0, CUDA 13.0"
        );
    }
}
