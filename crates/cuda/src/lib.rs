//! NVIDIA's libraries, loaded when they are needed instead of linked.
//!
//! A program with the feature `cuda` starts on any Linux machine, also on one without NVIDIA's driver and libraries. All symbols
//! of theirs that it calls are in the program itself (`trampolines`), and the libraries are looked for when the first of them is
//! called, or all at once by [`load`], which says what is missing. Without the feature this crate is only the error that says so.

#[cfg(all(
    feature = "cuda",
    not(all(
        target_os = "linux",
        any(target_arch = "x86_64", target_arch = "aarch64")
    ))
))]
compile_error!("graft's feature `cuda` is for Linux on x86-64 and 64-bit Arm; build without it");

use std::ffi::OsString;

mod error;
mod version;

// Tests of the search need neither the feature nor a GPU.
#[cfg(any(feature = "cuda", all(test, target_os = "linux")))]
#[cfg_attr(not(feature = "cuda"), allow(dead_code))]
mod driver;
#[cfg(any(feature = "cuda", all(test, target_os = "linux")))]
#[cfg_attr(not(feature = "cuda"), allow(dead_code))]
mod files;
#[cfg(feature = "cuda")]
mod libraries;
#[cfg(any(feature = "cuda", all(test, target_os = "linux")))]
#[cfg_attr(not(feature = "cuda"), allow(dead_code))]
mod library;
#[cfg(any(feature = "cuda", all(test, target_os = "linux")))]
#[cfg_attr(not(feature = "cuda"), allow(dead_code))]
mod search;
#[cfg(any(feature = "cuda", all(test, target_os = "linux")))]
#[cfg_attr(not(feature = "cuda"), allow(dead_code))]
mod shared;
#[cfg(feature = "cuda")]
mod trampolines;

pub use error::LoadError;
#[cfg(any(feature = "cuda", all(test, target_os = "linux")))]
use library::Library;
pub use version::Version;

/// Whether this program was built for NVIDIA's GPUs.
pub const IS_BUILT: bool = cfg!(feature = "cuda");

/// A GPU.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceInfo {
    /// As NVIDIA calls it.
    pub name: String,
    /// Its memory in bytes.
    pub memory: u64,
    /// The compute capability, such as (9, 0).
    pub capability: (u32, u32),
}

/// Loads all that is needed to compute on a GPU, once: the driver, which must see a GPU and know the CUDA that this program was built
/// with, cuBLAS and cuDNN; cuRAND and NVRTC if they are there. To be called before anything else that needs them. Later calls answer as the first did.
///
/// # Errors
/// When something is missing: what, where it was looked for, and how to get it or do without.
pub fn load() -> Result<(), LoadError> {
    #[cfg(feature = "cuda")]
    return libraries::load();
    #[cfg(not(feature = "cuda"))]
    Err(LoadError::NotBuilt)
}

/// Whether [`load`] would find everything. The driver is loaded; of the other libraries, which are large, only the files are looked at.
///
/// # Errors
/// As [`load`], but for what only shows when whole libraries are loaded.
pub fn find() -> Result<(), LoadError> {
    #[cfg(feature = "cuda")]
    return libraries::find();
    #[cfg(not(feature = "cuda"))]
    Err(LoadError::NotBuilt)
}

/// A variable and its value that tell other processes where this one has found Python's packages with libraries in them, so that they
/// need not ask Python again; none if it had not to.
pub fn found() -> Option<(String, OsString)> {
    #[cfg(feature = "cuda")]
    return libraries::found();
    #[cfg(not(feature = "cuda"))]
    None
}

/// Whether there is a driver with a GPU. Quiet and fast where there is none.
pub fn has_device() -> bool {
    #[cfg(feature = "cuda")]
    return libraries::has_device();
    #[cfg(not(feature = "cuda"))]
    false
}

/// The GPUs, in the order of their numbers. Only the driver is loaded.
///
/// # Errors
/// When there is no driver, or it sees none.
pub fn devices() -> Result<Vec<DeviceInfo>, LoadError> {
    #[cfg(feature = "cuda")]
    return libraries::devices();
    #[cfg(not(feature = "cuda"))]
    Err(LoadError::NotBuilt)
}

/// GPU `ordinal`. Only the driver is loaded.
///
/// # Errors
/// As [`devices`], and when there are fewer.
pub fn device(ordinal: usize) -> Result<DeviceInfo, LoadError> {
    let mut devices = devices()?;
    if ordinal < devices.len() {
        return Ok(devices.swap_remove(ordinal));
    }
    let names = devices.into_iter().map(|device| device.name).collect();
    Err(LoadError::NoSuchDevice { ordinal, names })
}

/// The newest CUDA that the driver knows.
///
/// # Errors
/// When there is no driver.
pub fn driver_version() -> Result<Version, LoadError> {
    #[cfg(feature = "cuda")]
    return libraries::driver_version();
    #[cfg(not(feature = "cuda"))]
    Err(LoadError::NotBuilt)
}
