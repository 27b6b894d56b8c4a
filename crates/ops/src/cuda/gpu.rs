//! A device as this crate's kernels see it.

use std::cell::{OnceCell, RefCell};
use std::collections::HashMap;
use std::fmt::Display;
use std::rc::Rc;
use std::sync::Arc;

use candle_core::cuda::cudarc::driver::{
    CudaFunction, CudaSlice, CudaStream, DeviceRepr, result, sys,
};
use candle_core::{CudaDevice, Device, Error, Result, Tensor};

use super::array::{Buffer, Kind};
use super::convolution::Dnn;

/// The kernels, compiled by `build.rs`; the driver compiles them on for the device.
const PTX: &str = include_str!(concat!(env!("OUT_DIR"), "/graft.ptx"));
/// The module's name in candle's store.
const MODULE: &str = "graft";

/// A device, its stream, and what has been loaded for it. One per device and thread.
pub(crate) struct Gpu {
    device: CudaDevice,
    stream: Arc<CudaStream>,
    functions: RefCell<HashMap<(&'static str, Option<Kind>), CudaFunction>>,
    dnn: OnceCell<Rc<Dnn>>,
}

thread_local! {
    static OPENED: RefCell<Vec<Rc<Gpu>>> = const { RefCell::new(Vec::new()) };
}

impl Gpu {
    /// The device of the tensors, which must all be on the same one.
    pub(crate) fn of(op: &str, tensors: &[&Tensor]) -> Result<Rc<Self>> {
        let mut found: Option<&CudaDevice> = None;
        for tensor in tensors {
            match (tensor.device(), found) {
                (Device::Cuda(device), None) => found = Some(device),
                (Device::Cuda(device), Some(first)) if device.id() == first.id() => {}
                _ => {
                    return Err(Error::Msg(format!(
                        "{op}: the tensors are on different devices; move them with Tensor::to_device"
                    )));
                }
            }
        }
        match found {
            Some(device) => Self::open(device),
            None => Err(Error::Msg(format!("{op}: there is no CUDA tensor"))),
        }
    }

    fn open(device: &CudaDevice) -> Result<Rc<Self>> {
        OPENED.with_borrow_mut(|opened| {
            if let Some(gpu) = opened.iter().find(|gpu| gpu.device.id() == device.id()) {
                return Ok(Rc::clone(gpu));
            }
            let gpu = Rc::new(Self {
                device: device.clone(),
                stream: device.cuda_stream(),
                functions: RefCell::default(),
                dnn: OnceCell::new(),
            });
            gpu.keep_freed_memory();
            opened.push(Rc::clone(&gpu));
            Ok(gpu)
        })
    }

    pub(crate) fn device(&self) -> &CudaDevice {
        &self.device
    }

    pub(crate) fn stream(&self) -> &Arc<CudaStream> {
        &self.stream
    }

    /// Lets the driver keep the memory that a step frees for the next one, rather than give it back to the system at the next
    /// synchronisation. Where it can't, that is only slower.
    fn keep_freed_memory(&self) {
        let context = self.stream.context();
        if !context.has_async_alloc() || context.bind_to_thread().is_err() {
            return;
        }
        let mut threshold = u64::MAX;
        // SAFETY: the device is open, its default pool is there as long as it is, and the attribute is a u64.
        unsafe {
            if let Ok(pool) = result::device::get_default_mem_pool(context.cu_device()) {
                let _ = result::mem_pool::set_attribute(
                    pool,
                    sys::CUmemPool_attribute::CU_MEMPOOL_ATTR_RELEASE_THRESHOLD,
                    (&raw mut threshold).cast(),
                );
            }
        }
    }

    /// Calls `work` with a kernel: `NAME`, or `NAME_f32` or `NAME_bf16` where there is one for each kind of numbers.
    pub(super) fn with_function<R>(
        &self,
        name: &'static str,
        kind: Option<Kind>,
        work: impl FnOnce(&CudaFunction) -> Result<R>,
    ) -> Result<R> {
        let mut functions = self.functions.borrow_mut();
        if let Some(function) = functions.get(&(name, kind)) {
            return work(function);
        }
        let full = match kind {
            Some(kind) => format!("{name}_{}", kind.suffix()),
            None => name.to_owned(),
        };
        let function = self.device.get_or_load_custom_func(&full, MODULE, PTX)?;
        let function = functions
            .entry((name, kind))
            .or_insert(function.into_cuda_function());
        work(function)
    }

    /// cuDNN, opened at the first convolution.
    pub(super) fn dnn(&self) -> Result<Rc<Dnn>> {
        if let Some(dnn) = self.dnn.get() {
            return Ok(Rc::clone(dnn));
        }
        let dnn = Rc::new(Dnn::new(&self.stream)?);
        Ok(Rc::clone(self.dnn.get_or_init(|| dnn)))
    }

    /// Memory for `len` numbers with whatever is in it.
    pub(crate) fn buffer<T: DeviceRepr>(&self, len: usize) -> Result<Buffer<T>> {
        Ok(Buffer::new(self.allocate(len)?, &self.stream))
    }

    /// Numbers of the host.
    pub(crate) fn upload<T: DeviceRepr + 'static>(&self, values: &[T]) -> Result<Buffer<T>> {
        Ok(Buffer::new(self.device.clone_htod(values)?, &self.stream))
    }

    pub(super) fn allocate<T: DeviceRepr>(&self, len: usize) -> Result<CudaSlice<T>> {
        // CUDA has no empty memory.
        // SAFETY: whoever asks for memory has a kernel write it before one reads it.
        unsafe { self.device.alloc::<T>(len.max(1)) }
    }
}

/// An error of a CUDA library.
pub(super) fn failed(what: &str, error: impl Display) -> Error {
    Error::Msg(format!("{what} failed: {error}"))
}
