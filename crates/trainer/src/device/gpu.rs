//! NVIDIA's GPUs.

use std::ffi::c_void;
use std::sync::{Mutex, PoisonError};

use candle_core::cuda_backend::WrapErr;
use candle_core::cuda_backend::cudarc::driver::{result, sys};
use candle_core::{CudaDevice, Device};

/// The GPUs that this process has opened, by their numbers.
static OPENED: Mutex<Vec<(usize, Device)>> = Mutex::new(Vec::new());

/// GPU `ordinal`, on a stream of its own. To be called when `graft_cuda::load` and `graft_cuda::device` have found it.
pub(super) fn open(ordinal: usize) -> candle_core::Result<Device> {
    let mut opened = OPENED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, device)) = opened.iter().find(|(number, _)| *number == ordinal) {
        return Ok(device.clone());
    }
    let device = CudaDevice::new_with_stream(ordinal)?;
    // SAFETY: this is the only stream of the process on this GPU, since each GPU is opened here, and once. On one stream a
    // tensor is freed after its uses, and written after what was there was read, in the order of the calls.
    unsafe { device.disable_event_tracking() };
    keep_freed_memory(ordinal)?;
    let device = Device::Cuda(device);
    opened.push((ordinal, device.clone()));
    Ok(device)
}

/// Free bytes and all bytes.
pub(super) fn memory(device: &Device) -> Option<(u64, u64)> {
    let device = device.as_cuda_device().ok()?;
    device.cuda_stream().context().bind_to_thread().ok()?;
    let (free, total) = result::mem_get_info().ok()?;
    Some((free as u64, total as u64))
}

/// Has the driver keep freed memory for the next training step, instead of giving it back whenever the stream is waited for.
fn keep_freed_memory(ordinal: usize) -> candle_core::Result<()> {
    let supported = sys::CUdevice_attribute_enum::CU_DEVICE_ATTRIBUTE_MEMORY_POOLS_SUPPORTED;
    let threshold = sys::CUmemPool_attribute::CU_MEMPOOL_ATTR_RELEASE_THRESHOLD;
    let mut bytes = u64::MAX;
    let device = result::device::get(ordinal as i32).w()?;
    // SAFETY: the device and its pool are the driver's own, and the value of this attribute is 64 bits without a sign.
    unsafe {
        if result::device::get_attribute(device, supported).w()? == 0 {
            return Ok(());
        }
        let pool = result::device::get_default_mem_pool(device).w()?;
        let value = (&raw mut bytes).cast::<c_void>();
        sys::cuMemPoolSetAttribute(pool, threshold, value)
            .result()
            .w()
    }
}
