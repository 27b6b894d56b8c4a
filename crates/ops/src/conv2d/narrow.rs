//! Convolutions with few outputs, several neighbouring pixels of which make up one vector.
//!
//! A row of outputs of `p` pixels with `o` channels each lies in memory as one pixel with `p · o` channels would. So `p`
//! neighbouring pixels are computed as the outputs of one place of a wider kernel, which holds the kernel `p` times, each
//! copy shifted on by the stride and zero elsewhere. That multiplies more, but fills the vectors.

use super::direct;
use super::geometry::{Axis, Geometry};

/// As many outputs of a place fill the registers.
const FULL: usize = 32;

/// A convolution with few outputs, and how many of its pixels are computed as one.
#[derive(Clone, Copy)]
pub(super) struct Narrow {
    geometry: Geometry,
    wide: Geometry,
    pixels: usize,
}

impl Narrow {
    /// The convolution, if it has so few outputs that this pays.
    pub(super) fn of(g: &Geometry) -> Option<Self> {
        if g.groups != 1 || g.outputs == 0 || g.x.dilation != 1 || g.x.kernel == 1 {
            return None;
        }
        let fits = |pixels: &usize| {
            pixels * g.outputs <= FULL && g.x.output > 0 && g.x.output.is_multiple_of(*pixels)
        };
        let pixels = [8, 4, 2].into_iter().find(fits)?;
        let wide = Geometry {
            outputs: g.outputs * pixels,
            x: Axis {
                output: g.x.output / pixels,
                kernel: g.x.kernel + (pixels - 1) * g.x.stride,
                stride: g.x.stride * pixels,
                ..g.x
            },
            ..*g
        };
        Some(Self {
            geometry: *g,
            wide,
            pixels,
        })
    }

    /// The convolution of the output's gradient that gives the input's, if it has a form of this kind: where no pixels are
    /// skipped.
    pub(super) fn of_input_gradient(g: &Geometry) -> Option<Self> {
        let turned = |axis: &Axis| {
            (axis.stride == 1 && axis.dilation == 1 && axis.padding < axis.kernel).then(|| Axis {
                input: axis.output,
                output: axis.input,
                padding: axis.kernel - 1 - axis.padding,
                ..*axis
            })
        };
        Self::of(&Geometry {
            channels: g.outputs,
            outputs: g.channels,
            y: turned(&g.y)?,
            x: turned(&g.x)?,
            ..*g
        })
    }

    /// The output from input, weight and bias.
    pub(super) fn forward(&self, x: &[f32], weight: &[f32], bias: Option<&[f32]>) -> Vec<f32> {
        let bias = bias.map(|bias| bias.repeat(self.pixels));
        direct::forward(&self.wide, x, &self.widened(weight), bias.as_deref())
    }

    /// The input's gradient from the output's, for what [`Narrow::of_input_gradient`] made. `weight` is the convolution's.
    pub(super) fn input_gradient(&self, dy: &[f32], weight: &[f32]) -> Vec<f32> {
        let g = &self.geometry;
        let area = g.kernel_area();
        let mut turned = vec![0.0; weight.len()];
        for (i, filter) in weight.chunks_exact(area).enumerate() {
            let (o, c) = (i / g.outputs, i % g.outputs);
            let to = &mut turned[(c * g.channels + o) * area..][..area];
            for (to, value) in to.iter_mut().zip(filter.iter().rev()) {
                *to = *value;
            }
        }
        self.forward(dy, &turned, None)
    }

    /// The weight's gradient from input and output's gradient.
    pub(super) fn weight_gradient(&self, x: &[f32], dy: &[f32]) -> Vec<f32> {
        let (g, wide) = (&self.geometry, &self.wide);
        let gradient = direct::weight_gradient(wide, x, dy);
        let mut folded = vec![0.0; g.outputs * g.depth()];
        self.each(|row, wide_row| {
            let to = &mut folded[row * g.x.kernel..][..g.x.kernel];
            for (to, value) in to.iter_mut().zip(&gradient[wide_row..]) {
                *to += value;
            }
        });
        folded
    }

    /// The wider kernel.
    fn widened(&self, weight: &[f32]) -> Vec<f32> {
        let (g, wide) = (&self.geometry, &self.wide);
        let mut widened = vec![0.0; wide.outputs * wide.depth()];
        self.each(|row, wide_row| {
            let from = &weight[row * g.x.kernel..][..g.x.kernel];
            widened[wide_row..][..g.x.kernel].copy_from_slice(from);
        });
        widened
    }

    /// Calls `copy(row, place)` for each row of the kernel and each place in the wider kernel where it begins.
    fn each(&self, mut copy: impl FnMut(usize, usize)) {
        let (g, wide) = (&self.geometry, &self.wide);
        let rows = g.channels * g.y.kernel;
        for pixel in 0..self.pixels {
            for row in 0..g.outputs * rows {
                let wide_row = pixel * g.outputs * rows + row;
                copy(row, wide_row * wide.x.kernel + pixel * g.x.stride);
            }
        }
    }
}
