//! Tensor operations for training on candle: convolution, pooling, batch norm, activations, dropout, losses, and the tape
//! that differentiates them.
//!
//! Every operation takes and gives `candle_core::Tensor`s of 32-bit floats and runs as a candle custom op, so that
//! the device's memory stays candle's. With the feature `cuda` it takes those of NVIDIA GPUs as well, where activations may be
//! bf16, too; see [`cuda`]. What candle's own backward pass gets wrong or does slowly is not used: each
//! operation notes on a [`Tape`] how its gradient is computed, and only for the inputs that need one.
//!
//! Results do not depend on the number of threads: work is cut into pieces that are fixed by the shapes, and sums are
//! formed in a fixed order. The pieces run on the rayon pool that is current at the call
//! (`rayon::ThreadPool::install`), or on the calling thread where that pool has one thread.

#![expect(
    clippy::inline_always,
    reason = "what a kernel calls is compiled for the kernel's processor only where it is inlined"
)]

// The symbols of NVIDIA's libraries, for every program that candle is part of.
use graft_cuda as _;

mod activation;
mod adam;
mod batch_norm;
mod cast;
mod check;
mod clip;
mod conv2d;
mod cross_entropy;
pub mod cuda;
mod dropout;
mod kernel;
mod lanes;
mod layer;
mod linear;
mod mean_squared_error;
mod memory;
mod microkernel;
mod output;
mod parallel;
mod pool;
mod reduce;
mod rmsprop;
mod scale;
mod scratch;
mod sgd;
mod shape;
mod simd;
mod softmax;
mod tape;
mod transpose;
mod weighted;

pub use activation::{
    Activation, activate, activate_in_place, hardsigmoid, hardswish, relu, relu_in_place, relu6,
    sigmoid, silu,
};
pub use adam::{AdamStep, adam_step, adam_steps};
pub use batch_norm::{
    Affine, BatchStatistics, Then, batch_norm_eval, batch_norm_eval_then, batch_norm_train,
    batch_norm_train_then, update_running,
};
pub use cast::cast;
pub use clip::Clipping;
pub use conv2d::{Conv2d, conv2d};
pub use cross_entropy::{Weighing, cross_entropy, weighted_cross_entropy};
pub use dropout::dropout;
pub use linear::linear;
pub use mean_squared_error::mean_squared_error;
pub use memory::{Allocator, keep_freed_memory};
pub use pool::{
    Pool2d, adaptive_avg_pool2d, avg_pool2d, global_avg_pool, max_pool2d, max_pool2d_relu,
};
pub use rmsprop::{RmspropStep, rmsprop_step, rmsprop_steps};
pub use scale::scale_channels;
pub use sgd::{SgdStep, sgd_step, sgd_step_along, sgd_steps};
pub use shape::{add, cat, cat_relu, flatten, reshape};
pub use softmax::softmax;
pub use tape::{Gradients, Tape};
pub use weighted::{add_scaled, lerp, lerp_all};
