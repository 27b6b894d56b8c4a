//! Convolution in two dimensions: dense, grouped and depthwise, with its three gradients.

mod algorithm;
mod depthwise;
mod direct;
mod filters;
mod geometry;
mod margin;
mod narrow;
mod operation;
mod panels;
mod taps;
mod winograd;

pub use geometry::Conv2d;
#[cfg(feature = "cuda")]
pub(crate) use geometry::Geometry;
pub use operation::conv2d;
