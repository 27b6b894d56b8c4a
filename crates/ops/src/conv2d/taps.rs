//! Which elements of the kernel a row of outputs, or of input gradients, is summed over.

use super::geometry::{Axis, Geometry};
use crate::microkernel::Stretch;

/// An element of the kernel along one axis, and where it reads relative to the place that is computed, counted in
/// elements of what is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tap {
    /// The element of the kernel.
    pub(super) kernel: usize,
    /// What it reads is this far on.
    pub(super) offset: isize,
}

/// The places along one axis that are computed alike: every `step`-th from `first` on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Phase {
    pub(super) first: usize,
    pub(super) count: usize,
    /// By rising offset.
    pub(super) taps: Vec<Tap>,
}

impl Phase {
    /// The outputs of a convolution: all alike. Place `i` reads the input at `i · stride + offset`.
    pub(super) fn forward(axis: &Axis) -> Self {
        let tap = |kernel: usize| Tap {
            kernel,
            offset: (kernel * axis.dilation) as isize - axis.padding as isize,
        };
        Self {
            first: 0,
            count: axis.output,
            taps: (0..axis.kernel).map(tap).collect(),
        }
    }

    /// The inputs of a convolution: those at the same distance behind a multiple of the stride see the same elements of
    /// the kernel. The `i`-th place of a phase reads the output's gradient at `i + offset`.
    pub(super) fn backward(axis: &Axis) -> Vec<Self> {
        let phase = |first: usize| {
            let mut taps: Vec<Tap> = (0..axis.kernel)
                .filter_map(|kernel| {
                    let distance =
                        (first + axis.padding) as isize - (kernel * axis.dilation) as isize;
                    let stride = axis.stride as isize;
                    (distance.rem_euclid(stride) == 0).then(|| Tap {
                        kernel,
                        offset: distance.div_euclid(stride),
                    })
                })
                .collect();
            taps.sort_by_key(|tap| tap.offset);
            Self {
                first,
                count: (axis.input - first).div_ceil(axis.stride),
                taps,
            }
        };
        (0..axis.stride.min(axis.input)).map(phase).collect()
    }
}

/// How many zeros have to lie before and behind `length` elements, so that every tap of `phases` reads something.
pub(super) fn margins(phases: &[Phase], stride: usize, length: usize) -> (usize, usize) {
    let mut margins = (0, 0);
    for phase in phases.iter().filter(|phase| phase.count > 0) {
        let (Some(first), Some(last)) = (phase.taps.first(), phase.taps.last()) else {
            continue;
        };
        let end = ((phase.count - 1) * stride) as isize + last.offset + 1;
        margins.0 = margins.0.max((-first.offset).max(0) as usize);
        margins.1 = margins.1.max((end - length as isize).max(0) as usize);
    }
    margins
}

/// The stretches of `depth` channels each over which one place sums, where neighbouring pixels lie `channels` apart and
/// rows `width` pixels. `margin` is what [`margins`] found before either axis; the right matrix has `b_row` elements a
/// row. Neighbours that follow each other without a gap become one stretch.
pub(super) fn stretches(
    (y, x): (&Phase, &Phase),
    margin: (usize, usize),
    width: usize,
    channels: usize,
    depth: usize,
    b_row: usize,
) -> Vec<Stretch> {
    let mut all: Vec<Stretch> = Vec::with_capacity(y.taps.len() * x.taps.len());
    for (row, tap_y) in y.taps.iter().enumerate() {
        for (col, tap_x) in x.taps.iter().enumerate() {
            let pixel = (tap_y.offset + margin.0 as isize) as usize * width
                + (tap_x.offset + margin.1 as isize) as usize;
            let next = Stretch {
                a: pixel * channels,
                b: (row * x.taps.len() + col) * depth * b_row,
                len: depth,
            };
            match all.last_mut() {
                Some(last) if last.a + last.len == next.a => last.len += depth,
                _ => all.push(next),
            }
        }
    }
    all
}

/// The kernel elements (ky · kw + kx) of a pair of phases, in the order in which their stretches run.
pub(super) fn kernel_elements(g: &Geometry, y: &Phase, x: &Phase) -> Vec<usize> {
    y.taps
        .iter()
        .flat_map(|tap_y| {
            x.taps
                .iter()
                .map(|tap_x| tap_y.kernel * g.x.kernel + tap_x.kernel)
        })
        .collect()
}
