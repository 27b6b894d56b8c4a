//! Device memory: of tensors, and of what only kernels see.

use candle_core::cuda::CudaStorageSlice;
use candle_core::cuda::cudarc::driver::{CudaSlice, CudaStream, DevicePtr};
use candle_core::op::BackpropOp;
use candle_core::{CudaStorage, DType, Error, Result, Shape, Storage, Tensor};
use half::bf16;

use super::elementwise;
use super::gpu::Gpu;

/// The kinds of numbers that activations come as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    F32,
    Bf16,
}

impl Kind {
    /// What the kernels' names end with.
    pub(super) fn suffix(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
        }
    }

    /// Bytes of a number.
    pub(super) fn bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::Bf16 => 2,
        }
    }
}

/// Something that a kernel can be given the address of.
pub(crate) trait Located {
    fn address(&self) -> u64;
}

/// A tensor whose values lie one after another in row-major order.
#[derive(Clone)]
pub(crate) struct Array {
    tensor: Tensor,
    address: u64,
    kind: Kind,
}

impl Located for Array {
    fn address(&self) -> u64 {
        self.address
    }
}

impl<L: Located> Located for Option<&L> {
    /// 0 where there is nothing.
    fn address(&self) -> u64 {
        self.map_or(0, Located::address)
    }
}

impl Array {
    /// The values of a tensor; copied only where it is strided.
    pub(crate) fn of(op: &str, gpu: &Gpu, tensor: &Tensor) -> Result<Self> {
        let (address, kind) = locate(op, gpu, tensor)?;
        let array = Self {
            tensor: tensor.clone(),
            address,
            kind,
        };
        if tensor.is_contiguous() {
            Ok(array)
        } else {
            elementwise::gathered(gpu, &array)
        }
    }

    /// The values of a tensor that must be f32, as parameters and statistics are.
    pub(crate) fn of_f32(op: &str, gpu: &Gpu, tensor: &Tensor) -> Result<Self> {
        let array = Self::of(op, gpu, tensor)?;
        array.must_be(op, Kind::F32)?;
        Ok(array)
    }

    /// The values of a tensor that is changed in place, which has to be dense.
    pub(crate) fn of_changed(op: &str, gpu: &Gpu, tensor: &Tensor) -> Result<Self> {
        if tensor.is_contiguous() {
            return Self::of(op, gpu, tensor);
        }
        Err(Error::Msg(format!(
            "{op}: the tensor that is changed in place must be contiguous, but has strides {:?} for shape {:?}",
            tensor.stride(),
            tensor.dims()
        )))
    }

    /// A new tensor with whatever is in its memory.
    pub(crate) fn new(gpu: &Gpu, shape: impl Into<Shape>, kind: Kind) -> Result<Self> {
        let shape = shape.into();
        let len = shape.elem_count();
        let device = gpu.device().clone();
        let storage = match kind {
            Kind::F32 => CudaStorage::wrap_cuda_slice(gpu.allocate::<f32>(len)?, device),
            Kind::Bf16 => CudaStorage::wrap_cuda_slice(gpu.allocate::<bf16>(len)?, device),
        };
        let storage = Storage::Cuda(storage);
        let tensor = Tensor::from_storage(storage, shape, BackpropOp::none(), false);
        let (address, kind) = locate("a new tensor", gpu, &tensor)?;
        Ok(Self {
            tensor,
            address,
            kind,
        })
    }

    /// A new tensor of zeros.
    pub(crate) fn zeros(gpu: &Gpu, shape: impl Into<Shape>, kind: Kind) -> Result<Self> {
        let array = Self::new(gpu, shape, kind)?;
        elementwise::clear(gpu, &array)?;
        Ok(array)
    }

    /// The same memory in another shape.
    pub(crate) fn reshaped(self, shape: impl Into<Shape>) -> Result<Self> {
        Ok(Self {
            tensor: self.tensor.reshape(shape.into())?,
            ..self
        })
    }

    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    pub(crate) fn len(&self) -> usize {
        self.tensor.elem_count()
    }

    pub(crate) fn tensor(&self) -> &Tensor {
        &self.tensor
    }

    pub(crate) fn into_tensor(self) -> Tensor {
        self.tensor
    }

    /// Whether the address allows reads of `bytes` at once.
    pub(crate) fn is_aligned(&self, bytes: u64) -> bool {
        self.address.is_multiple_of(bytes)
    }

    /// Fails unless the numbers are of this kind.
    pub(crate) fn must_be(&self, op: &str, kind: Kind) -> Result<()> {
        if self.kind == kind {
            return Ok(());
        }
        Err(Error::Msg(format!(
            "{op}: a tensor of {} is expected, found {}; convert with graft_ops::cast",
            kind.suffix(),
            self.kind.suffix()
        )))
    }
}

/// Where a tensor's first value is, and what it is. The address is used on the device's one stream only, and the memory is
/// given back in the order of that stream, so no borrow has to be kept (see the module).
fn locate(op: &str, gpu: &Gpu, tensor: &Tensor) -> Result<(u64, Kind)> {
    let (storage, layout) = tensor.storage_and_layout();
    let Storage::Cuda(storage) = &*storage else {
        return Err(Error::Msg(format!("{op}: a CUDA tensor is expected")));
    };
    let (start, kind) = match &storage.slice {
        CudaStorageSlice::F32(slice) => (start_of(slice, gpu.stream()), Kind::F32),
        CudaStorageSlice::BF16(slice) => (start_of(slice, gpu.stream()), Kind::Bf16),
        _ => return Err(wrong_dtype(op, tensor.dtype())),
    };
    Ok((start + (layout.start_offset() * kind.bytes()) as u64, kind))
}

fn wrong_dtype(op: &str, dtype: DType) -> Error {
    Error::Msg(format!(
        "{op}: tensors of f32 or bf16 are expected, found {dtype:?}; convert with to_dtype(DType::F32)"
    ))
}

fn start_of<T>(slice: &CudaSlice<T>, stream: &CudaStream) -> u64 {
    slice.device_ptr(stream).0
}

/// Memory that no tensor has.
pub(crate) struct Buffer<T> {
    /// Kept for its memory.
    _slice: CudaSlice<T>,
    address: u64,
}

impl<T> Buffer<T> {
    pub(super) fn new(slice: CudaSlice<T>, stream: &CudaStream) -> Self {
        let address = start_of(&slice, stream);
        Self {
            _slice: slice,
            address,
        }
    }
}

impl<T> Located for Buffer<T> {
    fn address(&self) -> u64 {
        self.address
    }
}
