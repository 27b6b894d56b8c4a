//! Where a trial computes.

mod description;
#[cfg(feature = "cuda")]
mod gpu;

use std::ffi::OsString;

pub use candle_core::Device;
use graft_model::Precision;
use graft_ops::cuda;

use crate::{Recipe, TrainError};

pub use description::{Description, describe};

/// The variable that says how threads wait for a GPU: `spin`, `yield` or `block`. Without it NVIDIA's driver decides.
pub const WAITING: &str = "GRAFT_CUDA_WAIT";
/// The environment variable that has steps on a GPU recorded, if it is `1`.
pub const RECORDING: &str = "GRAFT_CUDA_GRAPHS";

/// Whether the environment says about GPUs what can be followed.
///
/// # Errors
/// Which variable has which value, and what it may have.
pub fn check_environment() -> Result<(), String> {
    let known: [(&str, &[&str]); 2] = [
        (WAITING, &["spin", "yield", "block"]),
        (RECORDING, &["0", "1"]),
    ];
    for (name, values) in known {
        let Some(value) = std::env::var_os(name).filter(|value| !value.is_empty()) else {
            continue;
        };
        if !values.iter().any(|known| value == **known) {
            let (value, values) = (value.to_string_lossy(), values.join("`, `"));
            return Err(format!("{name} is `{value}`, expected `{values}`"));
        }
    }
    Ok(())
}

/// A device's name, understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Cpu,
    /// The GPU of a number.
    Cuda(usize),
}

/// The device named `cpu`, `auto`, `cuda` or `cuda:N`. `auto` is the first GPU if this build has CUDA and the machine a driver with
/// a GPU, else the CPU. A GPU is opened once in a process: every call gives the same device, whose tensors can be mixed.
///
/// # Errors
/// When the name is another, or this build or machine has no such device.
pub fn open(name: &str) -> Result<Device, TrainError> {
    let opened = match place(name)? {
        Place::Cpu => Ok(Device::Cpu),
        Place::Cuda(ordinal) => load_cuda(ordinal).and_then(|()| open_cuda(ordinal)),
    };
    opened.map_err(|reason| error(name, reason))
}

/// The devices that a sweep on `name` is spread over: all GPUs for `cuda`, and for `auto` where there are any; else the one that is
/// named. None is opened.
///
/// # Errors
/// As [`check`].
pub fn spread(name: &str) -> Result<Vec<String>, TrainError> {
    check(name)?;
    let all = matches!(name, "cuda" | "auto");
    Ok(match place(name)? {
        Place::Cpu => vec!["cpu".to_owned()],
        Place::Cuda(_) if all => {
            let gpus = graft_cuda::devices().map_err(|e| error(name, e.to_string()))?;
            (0..gpus.len()).map(|gpu| format!("cuda:{gpu}")).collect()
        }
        Place::Cuda(gpu) => vec![format!("cuda:{gpu}")],
    })
}

/// To be held by tests that use a GPU, which has one stream in a process.
#[cfg(all(test, feature = "cuda"))]
pub(crate) fn alone() -> std::sync::MutexGuard<'static, ()> {
    static ONE: std::sync::Mutex<()> = std::sync::Mutex::new(());
    ONE.lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Whether [`open`] would find the device, without opening it: no memory of a GPU is taken, and but for NVIDIA's driver no library is
/// loaded.
///
/// # Errors
/// As [`open`], except for what only shows when a GPU is used.
pub fn check(name: &str) -> Result<(), TrainError> {
    match place(name)? {
        Place::Cpu => Ok(()),
        Place::Cuda(ordinal) => check_cuda(ordinal).map_err(|reason| error(name, reason)),
    }
}

/// Has this thread compute on `device` as the recipe says: in which numbers, and whether always in the same order.
///
/// # Errors
/// When the device does not know these numbers.
pub fn set_precision(device: &Device, recipe: &Recipe) -> Result<(), TrainError> {
    check_precision(device.is_cpu(), recipe)?;
    cuda::set_options(cuda::Options {
        tf32: recipe.precision == Precision::Tf32,
        deterministic: recipe.deterministic,
    });
    Ok(())
}

/// Whether the device named `name` knows the numbers of a recipe.
///
/// # Errors
/// As [`set_precision`].
pub fn knows_precision(name: &str, recipe: &Recipe) -> Result<(), TrainError> {
    check_precision(place(name)? == Place::Cpu, recipe)
}

fn check_precision(is_cpu: bool, recipe: &Recipe) -> Result<(), TrainError> {
    let precision = recipe.precision;
    if !is_cpu || precision == Precision::F32 {
        return Ok(());
    }
    let reason = format!(
        "train.precision = \"{precision}\" needs a GPU\n\
         hint: `--device cuda`, or `--set train.precision=f32`"
    );
    Err(error("cpu", reason))
}

fn place(name: &str) -> Result<Place, TrainError> {
    match name {
        "cuda" => Ok(Place::Cuda(0)),
        "auto" if graft_cuda::has_device() => Ok(Place::Cuda(0)),
        "cpu" | "auto" => Ok(Place::Cpu),
        _ => match name.strip_prefix("cuda:").map(str::parse) {
            Some(Ok(ordinal)) => Ok(Place::Cuda(ordinal)),
            _ => Err(error(
                name,
                "no such device\nhint: one of `cpu`, `cuda`, `cuda:N`, `auto`".to_owned(),
            )),
        },
    }
}

/// Whether all that GPU `ordinal` needs is there.
fn check_cuda(ordinal: usize) -> Result<(), String> {
    graft_cuda::find()
        .and_then(|()| graft_cuda::device(ordinal))
        .map(drop)
        .map_err(|error| error.to_string())
}

/// Loads all that GPU `ordinal` needs.
fn load_cuda(ordinal: usize) -> Result<(), String> {
    graft_cuda::load()
        .and_then(|()| graft_cuda::device(ordinal))
        .map(drop)
        .map_err(|error| error.to_string())
}

/// The free bytes and all bytes of a device that this process has opened; none of the CPU, or where the driver does not tell.
pub fn memory(device: &Device) -> Option<(u64, u64)> {
    #[cfg(feature = "cuda")]
    if device.is_cuda() {
        return gpu::memory(device);
    }
    let _ = device;
    None
}

/// All bytes of the device of a name, without opening it; none of the CPU, or where the driver does not tell.
pub fn memory_of(name: &str) -> Option<u64> {
    match place(name).ok()? {
        Place::Cpu => None,
        Place::Cuda(ordinal) => Some(graft_cuda::device(ordinal).ok()?.memory),
    }
}

/// What tells other processes where this one has found the libraries of GPUs: variables of their environment.
pub fn found_libraries() -> Vec<(String, OsString)> {
    graft_cuda::found().into_iter().collect()
}

/// Gives memory of GPUs that was freed, and is kept by this process for later, to whoever needs it.
pub(crate) fn give_memory_back() {
    #[cfg(feature = "cuda")]
    gpu::give_memory_back();
}

#[cfg(feature = "cuda")]
fn open_cuda(ordinal: usize) -> Result<Device, String> {
    gpu::open(ordinal).map_err(|error| {
        format!("GPU {ordinal} can't be opened: {error}\nhint: `--device cpu` computes without it")
    })
}

#[cfg(not(feature = "cuda"))]
fn open_cuda(_ordinal: usize) -> Result<Device, String> {
    Err(graft_cuda::LoadError::NotBuilt.to_string())
}

fn error(name: &str, reason: String) -> TrainError {
    TrainError::Device {
        device: name.to_owned(),
        reason,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_understood() {
        assert!(open("cpu").unwrap().is_cpu());
        check("cpu").unwrap();
        assert_eq!(place("cuda").unwrap(), Place::Cuda(0));
        assert_eq!(place("cuda:3").unwrap(), Place::Cuda(3));
        for name in ["cuda:x", "cuda:", "cuda:-1", "tpu", ""] {
            for message in
                [open(name).unwrap_err(), check(name).unwrap_err()].map(|e| e.to_string())
            {
                assert!(message.contains("no such device"), "{message}");
                assert!(
                    message.contains("hint: one of `cpu`, `cuda`, `cuda:N`, `auto`"),
                    "{message}"
                );
            }
        }
    }

    #[cfg(not(feature = "cuda"))]
    #[test]
    fn only_the_cpu_is_there() {
        assert!(open("auto").unwrap().is_cpu());
        check("auto").unwrap();
        for name in ["cuda", "cuda:1"] {
            for message in
                [open(name).unwrap_err(), check(name).unwrap_err()].map(|e| e.to_string())
            {
                assert!(message.contains(&format!("device `{name}`")), "{message}");
                assert!(message.contains("no CUDA"), "{message}");
                assert!(
                    message.contains("cargo build --release --features cuda"),
                    "{message}"
                );
                assert!(message.contains("`--device cpu`"), "{message}");
            }
        }
    }

    /// Without a GPU, or libraries that stand in for one, there is nothing to open.
    #[cfg(feature = "cuda")]
    #[test]
    fn a_gpu_is_opened_once() {
        let Ok(()) = check("cuda") else {
            assert!(open("cuda").is_err());
            return;
        };
        let (first, second) = (open("cuda").unwrap(), open("cuda:0").unwrap());
        assert!(first.is_cuda() && first.same_device(&second));
        let values = [0.5_f32, -1.0, 3.0];
        let tensor = candle_core::Tensor::new(&values, &first).unwrap();
        assert_eq!(tensor.to_vec1::<f32>().unwrap(), values);
        let description = describe(&first).unwrap();
        assert_eq!(description.device, "cuda:0");
        assert!(description.memory.unwrap() > 0 && description.name.is_some());
        let many = open("cuda:999").unwrap_err().to_string();
        assert!(many.contains("there is no GPU 999"), "{many}");
        assert!(many.contains(&description.name.unwrap()), "{many}");
    }
}
