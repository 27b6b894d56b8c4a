//! Which way of computing a convolution is taken for which sizes.

use super::geometry::Geometry;
use super::{dense, depthwise};

/// The ways of computing a convolution. The choice depends on sizes only, never on the number of threads, so that results
/// don't either. On another kind of processor the last bits may differ, as matrix products pick their kernels by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Algorithm {
    /// Matrix products with the input's patches as columns.
    Columns,
    /// One input channel per group: there is no matrix to multiply, so each plane is filtered directly.
    Depthwise,
}

impl Algorithm {
    /// The way for these sizes.
    pub(super) fn of(g: &Geometry) -> Self {
        if g.group_channels() == 1 && g.groups > 1 {
            Self::Depthwise
        } else {
            Self::Columns
        }
    }

    /// The output from input, weight and bias.
    pub(super) fn forward(
        self,
        g: &Geometry,
        x: &[f32],
        weight: &[f32],
        bias: Option<&[f32]>,
    ) -> Vec<f32> {
        match self {
            Self::Columns => dense::forward(g, x, weight, bias),
            Self::Depthwise => depthwise::forward(g, x, weight, bias),
        }
    }

    /// The input's gradient from the output's.
    pub(super) fn input_gradient(self, g: &Geometry, dy: &[f32], weight: &[f32]) -> Vec<f32> {
        match self {
            Self::Columns => dense::input_gradient(g, dy, weight),
            Self::Depthwise => depthwise::input_gradient(g, dy, weight),
        }
    }

    /// The weight's gradient from the output's.
    pub(super) fn weight_gradient(self, g: &Geometry, x: &[f32], dy: &[f32]) -> Vec<f32> {
        match self {
            Self::Columns => dense::weight_gradient(g, x, dy),
            Self::Depthwise => depthwise::weight_gradient(g, x, dy),
        }
    }
}
