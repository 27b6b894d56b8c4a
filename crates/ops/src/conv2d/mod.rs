//! Convolution in two dimensions: dense, grouped and depthwise, with its three gradients.

mod algorithm;
mod columns;
mod dense;
mod depthwise;
mod geometry;
mod operation;

pub use geometry::Conv2d;
pub use operation::conv2d;
