//! The operations on CUDA tensors: kernels of this crate (`kernels/*.cu`), cuDNN for convolutions, cuBLAS for products.
//!
//! Everything that a training step does is put into the one stream of the tensors' device, and nothing waits for it: no
//! operation reads values back, except those that give numbers to the caller. Tensors of activations are f32 or bf16;
//! parameters, their gradients, statistics, losses and what optimizers keep are f32. Sums are formed in f32 and f64, in an
//! order that depends on the shapes alone.
//!
//! # Safety of device memory
//! Kernels get plain addresses. That is sound because of three things. All work on a device's tensors goes into one stream,
//! which runs it in order; memory is given back in that order too (`cuMemFreeAsync`), so that a tensor that is dropped right
//! after a launch outlives the kernel. A device and its tensors belong to one thread. And who launches a kernel passes arrays
//! of the sizes that the kernel is told, as Rust borrows can't check.

mod options;

#[cfg(feature = "cuda")]
mod array;
#[cfg(feature = "cuda")]
pub(crate) mod batch_norm;
#[cfg(feature = "cuda")]
mod columns;
#[cfg(feature = "cuda")]
pub(crate) mod convolution;
#[cfg(feature = "cuda")]
mod dispatch;
#[cfg(feature = "cuda")]
pub(crate) mod elementwise;
#[cfg(feature = "cuda")]
mod gpu;
#[cfg(feature = "cuda")]
mod items;
#[cfg(feature = "cuda")]
mod launch;
#[cfg(feature = "cuda")]
pub(crate) mod linear;
#[cfg(feature = "cuda")]
pub(crate) mod loss;
#[cfg(feature = "cuda")]
mod module;
#[cfg(feature = "cuda")]
pub(crate) mod optimizer;
#[cfg(feature = "cuda")]
mod parity;
#[cfg(feature = "cuda")]
mod pictures;
#[cfg(feature = "cuda")]
pub(crate) mod pool;
#[cfg(feature = "cuda")]
mod product;
#[cfg(feature = "cuda")]
pub(crate) mod rearrange;
#[cfg(feature = "cuda")]
mod recording;

pub use options::{Options, options, set_options};
#[cfg(feature = "cuda")]
pub use parity::{Comparison, parity};
#[cfg(feature = "cuda")]
pub use pictures::{
    PictureFilter, PictureId, PicturePixels, PictureStore, PictureView, free_memory,
};

#[cfg(feature = "cuda")]
pub use recording::{Recording, copy, copy_all, record};

#[cfg(feature = "cuda")]
pub(crate) use array::Array;
#[cfg(feature = "cuda")]
pub(crate) use dispatch::{change, has, run};
#[cfg(feature = "cuda")]
pub(crate) use gpu::Gpu;
