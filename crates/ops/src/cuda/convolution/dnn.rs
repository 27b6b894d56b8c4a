//! cuDNN: its handle and its descriptors.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use candle_core::Result;
use candle_core::cuda::cudarc::cudnn::{result, sys};
use candle_core::cuda::cudarc::driver::CudaStream;

use super::plan::{Key, Plan};
use crate::cuda::array::Kind;
use crate::cuda::gpu::failed;

/// cuDNN for one device and thread, with what has been found out about convolutions so far.
pub(crate) struct Dnn {
    handle: sys::cudnnHandle_t,
    /// Outlives the handle, which works in it.
    _stream: Arc<CudaStream>,
    plans: RefCell<HashMap<Key, Option<Rc<Plan>>>>,
}

impl Dnn {
    pub(crate) fn new(stream: &Arc<CudaStream>) -> Result<Self> {
        let bound = stream.context().bind_to_thread();
        bound.map_err(|error| failed("opening the device", error))?;
        let handle = result::create_handle().map_err(|error| failed("cudnnCreate", error))?;
        let dnn = Self {
            handle,
            _stream: Arc::clone(stream),
            plans: RefCell::default(),
        };
        // SAFETY: both handles are open; the stream's two types are names for the same pointer.
        unsafe { result::set_stream(handle, stream.cu_stream().cast()) }
            .map_err(|error| failed("cudnnSetStream", error))?;
        Ok(dnn)
    }

    pub(super) fn handle(&self) -> sys::cudnnHandle_t {
        self.handle
    }

    /// The plan for these sizes and options; none where cuDNN can't even describe them.
    pub(super) fn plan(&self, key: Key) -> Option<Rc<Plan>> {
        let mut plans = self.plans.borrow_mut();
        let plan = plans.entry(key);
        plan.or_insert_with(|| Plan::new(&key).ok().map(Rc::new))
            .clone()
    }
}

impl Drop for Dnn {
    fn drop(&mut self) {
        // SAFETY: nobody else has the handle. An error is of no use: the process may be ending, and the driver with it.
        unsafe {
            let _ = result::destroy_handle(self.handle);
        }
    }
}

/// The numbers' type in cuDNN.
pub(super) fn number_type(kind: Kind) -> sys::cudnnDataType_t {
    match kind {
        Kind::F32 => sys::cudnnDataType_t::CUDNN_DATA_FLOAT,
        Kind::Bf16 => sys::cudnnDataType_t::CUDNN_DATA_BFLOAT16,
    }
}

const NHWC: sys::cudnnTensorFormat_t = sys::cudnnTensorFormat_t::CUDNN_TENSOR_NHWC;

/// A descriptor that is given back when it is dropped.
macro_rules! descriptor {
    ($(#[$doc:meta])* $name:ident($type:ty), $create:ident, $destroy:ident) => {
        $(#[$doc])*
        pub(super) struct $name(pub(super) $type);

        impl $name {
            fn create() -> Result<Self> {
                result::$create()
                    .map(Self)
                    .map_err(|error| failed(stringify!($create), error))
            }
        }

        impl Drop for $name {
            fn drop(&mut self) {
                // SAFETY: it was created by `create` and nobody else has it.
                unsafe {
                    let _ = result::$destroy(self.0);
                }
            }
        }
    };
}

descriptor!(
    /// Maps (n, h, w, c).
    Maps(sys::cudnnTensorDescriptor_t),
    create_tensor_descriptor,
    destroy_tensor_descriptor
);
descriptor!(
    /// A weight (o, kh, kw, c/groups).
    Filter(sys::cudnnFilterDescriptor_t),
    create_filter_descriptor,
    destroy_filter_descriptor
);
descriptor!(
    /// Strides, paddings, dilations, groups, and the arithmetic.
    Convolution(sys::cudnnConvolutionDescriptor_t),
    create_convolution_descriptor,
    destroy_convolution_descriptor
);

impl Maps {
    /// Of `n` pictures of `c` channels.
    pub(super) fn new(kind: Kind, [n, c, h, w]: [i32; 4]) -> Result<Self> {
        let maps = Self::create()?;
        // SAFETY: the descriptor has just been created.
        unsafe { result::set_tensor4d_descriptor(maps.0, NHWC, number_type(kind), [n, c, h, w]) }
            .map_err(|error| failed("cudnnSetTensor4dDescriptor", error))?;
        Ok(maps)
    }
}

impl Filter {
    /// Of `o` outputs and `c` inputs.
    pub(super) fn new(kind: Kind, [o, c, kh, kw]: [i32; 4]) -> Result<Self> {
        let filter = Self::create()?;
        let sizes = [o, c, kh, kw];
        // SAFETY: the descriptor has just been created.
        unsafe { result::set_filter4d_descriptor(filter.0, number_type(kind), NHWC, sizes) }
            .map_err(|error| failed("cudnnSetFilter4dDescriptor", error))?;
        Ok(filter)
    }
}

impl Convolution {
    /// Pairs are (height, width). Products are summed as f32.
    pub(super) fn new(
        padding: [i32; 2],
        stride: [i32; 2],
        dilation: [i32; 2],
        groups: i32,
    ) -> Result<Self> {
        let convolution = Self::create()?;
        // SAFETY: the descriptor has just been created.
        unsafe {
            result::set_convolution2d_descriptor(
                convolution.0,
                padding[0],
                padding[1],
                stride[0],
                stride[1],
                dilation[0],
                dilation[1],
                sys::cudnnConvolutionMode_t::CUDNN_CROSS_CORRELATION,
                sys::cudnnDataType_t::CUDNN_DATA_FLOAT,
            )
            .map_err(|error| failed("cudnnSetConvolution2dDescriptor", error))?;
            result::set_convolution_group_count(convolution.0, groups)
                .map_err(|error| failed("cudnnSetConvolutionGroupCount", error))?;
        }
        Ok(convolution)
    }

    /// Says which units may compute it.
    pub(super) fn set_math(&self, math: sys::cudnnMathType_t) -> Result<()> {
        // SAFETY: the descriptor is open.
        unsafe { result::set_convolution_math_type(self.0, math) }
            .map_err(|error| failed("cudnnSetConvolutionMathType", error))
    }
}
