//! Which way of computing a convolution is taken for which sizes.

use super::geometry::Geometry;
use super::narrow::Narrow;
use super::{depthwise, direct, winograd};

/// The ways of computing a convolution. The choice depends on the sizes of a picture and of the kernel only: never on the
/// number of threads, so that results don't either, and not on the batch (but for an empty one), so that a picture's output
/// does not depend on what else is in it. On another kind of processor the last bits may differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Algorithm {
    /// Products over the input where it lies; for dense and grouped convolutions of any size. Where there are few outputs,
    /// several pixels make up one place.
    Direct,
    /// F(4×4, 3×3), for 3×3 kernels without stride.
    Winograd,
    /// Every channel for itself.
    Depthwise,
}

impl Algorithm {
    /// The way for these sizes.
    pub(super) fn of(g: &Geometry) -> Self {
        if depthwise::suits(g) {
            Self::Depthwise
        } else if winograd::suits(g) {
            Self::Winograd
        } else {
            Self::Direct
        }
    }

    /// The output, (n, h', w', o), from input, weight and bias.
    pub(super) fn forward(
        self,
        g: &Geometry,
        x: &[f32],
        weight: &[f32],
        bias: Option<&[f32]>,
    ) -> Vec<f32> {
        match self {
            Self::Direct => match Narrow::of(g) {
                Some(narrow) => narrow.forward(x, weight, bias),
                None => direct::forward(&g.flattened(), x, weight, bias),
            },
            Self::Winograd => winograd::forward(g, x, weight, bias),
            Self::Depthwise => depthwise::forward(g, x, weight, bias),
        }
    }

    /// The input's gradient, (n, h, w, c), from the output's.
    pub(super) fn input_gradient(self, g: &Geometry, dy: &[f32], weight: &[f32]) -> Vec<f32> {
        match self {
            Self::Direct => match Narrow::of_input_gradient(g) {
                Some(narrow) => narrow.input_gradient(dy, weight),
                None => direct::input_gradient(&g.flattened(), dy, weight),
            },
            Self::Winograd => winograd::input_gradient(g, dy, weight),
            Self::Depthwise => depthwise::input_gradient(g, dy, weight),
        }
    }

    /// The weight's gradient, (o, c/groups, kh, kw), from input and output's gradient.
    pub(super) fn weight_gradient(self, g: &Geometry, x: &[f32], dy: &[f32]) -> Vec<f32> {
        match self {
            Self::Direct => match Narrow::of(g) {
                Some(narrow) => narrow.weight_gradient(x, dy),
                None => direct::weight_gradient(&g.flattened(), x, dy),
            },
            Self::Winograd => winograd::weight_gradient(g, x, dy),
            Self::Depthwise => depthwise::weight_gradient(g, x, dy),
        }
    }
}
