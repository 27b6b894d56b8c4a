//! A convolution of `ResNet-18` with numbers to compute.

use candle_core::{Result, Tensor, Var};
use graft_ops::{Conv2d, Tape, conv2d};

use crate::common::wave;

/// Input, weight and gradient of the result.
pub(crate) struct Convolution {
    pub(crate) x: Var,
    pub(crate) weight: Var,
    pub(crate) dy: Tensor,
    conv: Conv2d,
}

impl Convolution {
    /// A convolution with `k` × `k` kernels of `batch` maps of `size` × `size` pixels, from `c` to `o` channels.
    pub(crate) fn new(
        [c, o]: [usize; 2],
        [k, stride]: [usize; 2],
        size: usize,
        batch: usize,
    ) -> Result<Self> {
        let out = size.div_ceil(stride);
        Ok(Self {
            x: Var::from_tensor(&wave(&[batch, size, size, c])?)?,
            weight: Var::from_tensor(&wave(&[o, c, k, k])?)?,
            dy: wave(&[batch, out, out, o])?,
            conv: Conv2d {
                stride: (stride, stride),
                padding: (k / 2, k / 2),
                ..Conv2d::default()
            },
        })
    }

    /// The result for `x` and `weight`.
    pub(crate) fn forward(&self, tape: &Tape, x: &Tensor, weight: &Tensor) -> Result<Tensor> {
        conv2d(tape, x, weight, None, &self.conv)
    }
}
