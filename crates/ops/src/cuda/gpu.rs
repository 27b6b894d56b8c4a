//! A device as this crate's kernels see it.

use std::cell::{OnceCell, RefCell};
use std::collections::HashMap;
use std::fmt::Display;
use std::mem::ManuallyDrop;
use std::rc::Rc;
use std::sync::Arc;

use candle_core::cuda::cudarc::driver::{
    CudaFunction, CudaModule, CudaSlice, CudaStream, DeviceRepr, result, sys,
};
use candle_core::{CudaDevice, Device, Error, Result, Tensor};

use super::array::{Buffer, Kind};
use super::convolution::Dnn;
use super::{module, recording};

/// A device, its stream, and what has been loaded for it. One per device and thread.
pub(crate) struct Gpu {
    device: CudaDevice,
    stream: Arc<CudaStream>,
    module: OnceCell<Arc<CudaModule>>,
    functions: RefCell<HashMap<(&'static str, Option<Kind>), CudaFunction>>,
    dnn: OnceCell<Rc<Dnn>>,
    /// By their bits.
    constants: RefCell<HashMap<Vec<u64>, Rc<Buffer<f64>>>>,
}

thread_local! {
    /// Those of this thread. They are never closed: a thread may end while the process does, and NVIDIA's libraries with it, whose
    /// handles must not be given back then.
    static OPENED: RefCell<ManuallyDrop<Vec<Rc<Gpu>>>> =
        const { RefCell::new(ManuallyDrop::new(Vec::new())) };
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

    pub(super) fn open(device: &CudaDevice) -> Result<Rc<Self>> {
        OPENED.with_borrow_mut(|opened| {
            if let Some(gpu) = opened.iter().find(|gpu| gpu.device.id() == device.id()) {
                return Ok(Rc::clone(gpu));
            }
            let gpu = Rc::new(Self {
                device: device.clone(),
                stream: device.cuda_stream(),
                module: OnceCell::new(),
                functions: RefCell::default(),
                dnn: OnceCell::new(),
                constants: RefCell::default(),
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
        let function = self.module()?.load_function(&full);
        let function = function.map_err(|error| failed(&full, error))?;
        work(functions.entry((name, kind)).or_insert(function))
    }

    fn module(&self) -> Result<&Arc<CudaModule>> {
        if let Some(module) = self.module.get() {
            return Ok(module);
        }
        let module = module::load(self.stream.context())?;
        Ok(self.module.get_or_init(|| module))
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

    /// Numbers of the host. What is recorded can't read them a second time.
    pub(crate) fn upload<T: DeviceRepr + 'static>(&self, values: &[T]) -> Result<Buffer<T>> {
        if recording::is_active() {
            return Err(Error::Msg(
                "a pass can't be recorded: it reads numbers of the host".to_owned(),
            ));
        }
        Ok(Buffer::new(self.device.clone_htod(values)?, &self.stream))
    }

    /// Numbers that are always the same, as class weights are: uploaded once.
    pub(super) fn constant(&self, values: &[f64]) -> Result<Rc<Buffer<f64>>> {
        let bits: Vec<u64> = values.iter().map(|value| value.to_bits()).collect();
        if let Some(known) = self.constants.borrow().get(&bits) {
            return Ok(Rc::clone(known));
        }
        let buffer = Rc::new(self.upload(values)?);
        self.constants.borrow_mut().insert(bits, Rc::clone(&buffer));
        Ok(buffer)
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
