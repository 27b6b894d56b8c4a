//! NVIDIA's GPUs.

use std::sync::{Mutex, PoisonError};

use candle_core::cuda_backend::WrapErr;
use candle_core::cuda_backend::cudarc::driver::{result, sys};
use candle_core::{CudaDevice, Device};

/// The GPUs that this process has opened, by their numbers.
static OPENED: Mutex<Vec<(usize, Device)>> = Mutex::new(Vec::new());

/// GPU `ordinal`, on a stream of its own, made current for this thread. To be called when `graft_cuda::load` and
/// `graft_cuda::device` have found it.
pub(super) fn open(ordinal: usize) -> candle_core::Result<Device> {
    let mut opened = OPENED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, device)) = opened.iter().find(|(number, _)| *number == ordinal) {
        // A tensor of an earlier trial may be the first thing that this thread meets, and to free it takes a current context,
        // which nothing but this makes.
        let stream = device.as_cuda_device()?.cuda_stream();
        stream.context().bind_to_thread().w()?;
        return Ok(device.clone());
    }
    wait_as_told(ordinal)?;
    let device = CudaDevice::new_with_stream(ordinal)?;
    // SAFETY: this is the only stream of the process on this GPU, since each GPU is opened here, and once. On one stream a
    // tensor is freed after its uses, and written after what was there was read, in the order of the calls.
    unsafe { device.disable_event_tracking() };
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

/// Has threads wait for GPU `ordinal` as [`super::WAITING`] says, which its context takes over when it is made.
fn wait_as_told(ordinal: usize) -> candle_core::Result<()> {
    let told = std::env::var(super::WAITING).unwrap_or_default();
    let flag = match told.as_str() {
        "" => return Ok(()),
        "spin" => sys::CUctx_flags::CU_CTX_SCHED_SPIN,
        "yield" => sys::CUctx_flags::CU_CTX_SCHED_YIELD,
        "block" => sys::CUctx_flags::CU_CTX_SCHED_BLOCKING_SYNC,
        other => {
            let text = format!(
                "{}: `{other}` is none of `spin`, `yield`, `block`",
                super::WAITING
            );
            return Err(candle_core::Error::Msg(text));
        }
    };
    result::init().w()?;
    let device = result::device::get(ordinal as i32).w()?;
    // SAFETY: a device of the driver's. One that refuses waits as it likes, with the same results.
    let _ = unsafe { sys::cuDevicePrimaryCtxSetFlags_v2(device, flag as u32) };
    Ok(())
}

/// Gives memory that was freed, and is kept for later, back to the GPUs that this process has opened.
pub(super) fn give_memory_back() {
    let opened = OPENED.lock().unwrap_or_else(PoisonError::into_inner);
    for (ordinal, device) in opened.iter() {
        // After an error of the GPU nothing can be given back, and the process ends soon.
        drop(device.synchronize().and_then(|()| trim(*ordinal, device)));
    }
}

fn trim(ordinal: usize, device: &Device) -> candle_core::Result<()> {
    let context = device.as_cuda_device()?.cuda_stream().context().clone();
    if !context.has_async_alloc() {
        return Ok(());
    }
    context.bind_to_thread().w()?;
    // SAFETY: the device is open, and its pool there as long as it is. What is in use stays.
    unsafe {
        let device = result::device::get(ordinal as i32).w()?;
        let pool = result::device::get_default_mem_pool(device).w()?;
        result::mem_pool::trim_to(pool, 0).w()
    }
}
