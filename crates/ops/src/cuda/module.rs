//! This crate's kernels, as the driver loads them.

use std::sync::Arc;

use candle_core::Result;
use candle_core::cuda::cudarc::driver::{CudaContext, CudaModule, DriverError, sys};
use candle_core::cuda::cudarc::nvrtc::Ptx;

use super::gpu::failed;

/// The kernels for any device that is new enough, which the driver has to compile first: seconds.
const PTX: &str = include_str!(concat!(env!("OUT_DIR"), "/graft.ptx"));
/// The kernels as machine code, by compute capability (90 for 9.0).
const IMAGES: &[(u32, &[u8])] = include!(concat!(env!("OUT_DIR"), "/images.rs"));

/// Loads the kernels into a device's context.
pub(super) fn load(context: &Arc<CudaContext>) -> Result<Arc<CudaModule>> {
    let capability = context.compute_capability();
    let (major, minor) =
        capability.map_err(|error| failed("asking for the device's kind", error))?;
    if let Some(image) = image(10 * major as u32 + minor as u32) {
        match context.load_module(Ptx::from_binary(image.to_vec())) {
            Err(DriverError(
                sys::CUresult::CUDA_ERROR_NO_BINARY_FOR_GPU
                | sys::CUresult::CUDA_ERROR_INVALID_IMAGE
                | sys::CUresult::CUDA_ERROR_INVALID_SOURCE,
            )) => {}
            loaded => return loaded.map_err(|error| failed("cuModuleLoadData", error)),
        }
    }
    let module = context.load_module(Ptx::from_src(PTX));
    module.map_err(|error| failed("cuModuleLoadData", error))
}

/// The machine code for a device: that of its generation, and not for a newer one than it is.
fn image(capability: u32) -> Option<&'static [u8]> {
    let suits = |machine: u32| machine / 10 == capability / 10 && machine <= capability;
    let images = IMAGES.iter().filter(|(machine, _)| suits(*machine));
    images
        .max_by_key(|(machine, _)| *machine)
        .map(|(_, image)| *image)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_gets_the_code_of_its_generation() {
        let (oldest, first) = IMAGES[0];
        assert_eq!(image(oldest), Some(first));
        assert_eq!(image(oldest - 1), None);
        for (machine, code) in IMAGES {
            assert_eq!(image(*machine), Some(*code));
        }
        assert_eq!(image(200), None);
    }
}
