//! The weight's gradient: the transposed algorithm.
//!
//! For each value of the transformed tiles the gradient of the transformed filters is the product of the inputs, as the
//! forward pass transforms them, with the outputs' gradients, transformed by the transposed transform of the outputs.

use std::ops::Range;

use super::super::filters::Sums;
use super::super::geometry::Geometry;
use super::tiles::{Part, Space, Tiles, transform_inputs, transform_output_gradients};
use super::transform::{INPUT, VALUES, filter_gradient};
use crate::lanes::{Lanes, for_processor};
use crate::microkernel::{Matrices, panel_width};
use crate::output::uninit;
use crate::parallel::{SharedMut, for_each};
use crate::scratch::with_scratch;
use crate::transpose::Transposition;

/// Tiles that a task transforms at once.
const BLOCK: usize = 40;

/// Input channels and outputs of a task at most: its sums stay in the second-level cache.
const CHANNELS: usize = 128;
const OUTPUTS: usize = 64;

/// The partial gradients of all parts together may have so many floats.
const PARTIAL_FLOATS: usize = 1 << 19;

/// The most parts that the tiles are divided into.
const MAX_PARTS: usize = 8;

/// The weight's gradient from input and output's gradient. The tiles are summed in parts that are fixed by the sizes.
pub(in crate::conv2d) fn weight_gradient(g: &Geometry, x: &[f32], dy: &[f32]) -> Vec<f32> {
    let tiles = Tiles::new(g.input_maps(), (g.y.padding, g.x.padding), g.output_maps());
    let shape = Sums::new(g);
    let len = shape.len(g);
    let parts = (PARTIAL_FLOATS / len)
        .min(tiles.count().div_ceil(2 * BLOCK))
        .clamp(1, MAX_PARTS);
    let (across, down) = (g.outputs.div_ceil(OUTPUTS), g.channels.div_ceil(CHANNELS));
    let source = Source { g, tiles, x, dy };
    let square = |task: usize| Square {
        channels: range(g.channels, CHANNELS, task / across % down),
        outputs: range(g.outputs, OUTPUTS, task % across),
    };
    if parts == 1 {
        let filter = 9 * g.channels;
        // SAFETY: the squares cover all filters.
        return unsafe {
            uninit(g.outputs * filter, |out| {
                for_each(across * down, g.work(), |task| {
                    let square = square(task);
                    square.sum(&source, 0..tiles.count(), |gradient, panel, outputs| {
                        square.write_filters(&source, gradient, panel, outputs, out);
                    });
                });
            })
        };
    }
    with_scratch(parts * len, |partials| {
        let shared = SharedMut::new(partials);
        for_each(parts * across * down, g.work(), |task| {
            let part = task / (across * down);
            let tiles = tiles.count() * part / parts..tiles.count() * (part + 1) / parts;
            let square = square(task);
            square.sum(&source, tiles, |gradient, panel, _| {
                let rows = square.channels.len();
                for (element, values) in gradient.chunks_exact(rows * shape.width).enumerate() {
                    let row = element * g.channels + square.channels.start;
                    let to = part * len + panel * shape.panel_len() + row * shape.width;
                    // SAFETY: the part's square belongs to this task alone.
                    unsafe { shared.slice(to, values.len()) }.copy_from_slice(values);
                }
            });
        });
        shape.to_filters(g, partials)
    })
}

/// The `i`-th range of `length` numbers out of `total`.
fn range(total: usize, length: usize, i: usize) -> Range<usize> {
    i * length..total.min((i + 1) * length)
}

/// What the gradient is computed from.
struct Source<'a> {
    g: &'a Geometry,
    tiles: Tiles,
    x: &'a [f32],
    dy: &'a [f32],
}

/// What one task sums: the filters of some outputs for some input channels.
struct Square {
    channels: Range<usize>,
    outputs: Range<usize>,
}

impl Square {
    /// Sums over some tiles, and hands the gradient to `each`, panel by panel: for each of nine kernel elements a row of the
    /// panel's width per channel; the panel's number and its outputs come along.
    fn sum(
        &self,
        source: &Source,
        tiles: Range<usize>,
        mut each: impl FnMut(&[f32], usize, usize),
    ) {
        let (channels, width) = (self.channels.len(), panel_width());
        let columns = self.outputs.len().next_multiple_of(width);
        let (inputs, outputs) = (Space::new(BLOCK, channels), Space::new(BLOCK, columns));
        // One line of the cache more than a power of two, so that the values of a place do not meet in one set of it.
        let stride = channels * columns + 16;
        with_scratch(VALUES * stride, |sums| {
            with_scratch(inputs.len(VALUES), |v| {
                with_scratch(outputs.len(VALUES), |q| {
                    for first in tiles.clone().step_by(BLOCK) {
                        let part = Part {
                            tiles: &source.tiles,
                            first,
                            count: BLOCK.min(tiles.end - first),
                            channel: self.channels.start,
                            channels,
                            space: inputs,
                        };
                        let gradients = Part {
                            channel: self.outputs.start,
                            channels: self.outputs.len(),
                            space: outputs,
                            ..part
                        };
                        // SAFETY: x and dy are the maps of the tiles; the scratches have room for the spaces.
                        unsafe {
                            transform_inputs(&part, source.x.as_ptr(), v.as_mut_ptr());
                            transform_output_gradients(
                                &gradients,
                                source.dy.as_ptr(),
                                q.as_mut_ptr(),
                            );
                        }
                        let product = Matrices {
                            rows: channels,
                            depth: part.count,
                            cols: columns,
                            a_row: 1,
                            a_col: inputs.channels,
                            b_row: outputs.channels,
                            c_row: columns,
                        };
                        for value in 0..VALUES {
                            let v = &v[value * inputs.stride..];
                            let q = &q[value * outputs.stride..];
                            let sums = &mut sums[value * stride..];
                            if first == tiles.start {
                                product.write(v, q, sums);
                            } else {
                                product.add(v, q, sums);
                            }
                        }
                    }
                });
            });
            with_scratch(9 * channels * width, |gradient| {
                for first in (0..columns).step_by(width) {
                    let panel = Panel {
                        channels,
                        width,
                        row: columns,
                        value: stride,
                    };
                    // SAFETY: the sums have these sizes, and the scratch has room for nine elements of the panel.
                    unsafe {
                        transform_sums(&panel, sums[first..].as_ptr(), gradient.as_mut_ptr());
                    }
                    let number = (self.outputs.start + first) / width;
                    each(gradient, number, width.min(self.outputs.len() - first));
                }
            });
        });
    }

    /// Writes the gradient of a panel's outputs to where their filters lie.
    fn write_filters(
        &self,
        source: &Source,
        gradient: &[f32],
        panel: usize,
        outputs: usize,
        out: &SharedMut<f32>,
    ) {
        let (channels, width) = (self.channels.len(), panel_width());
        let filter = 9 * source.g.channels;
        let rows: Vec<usize> = (0..9 * channels)
            .map(|at| (at % 9 * channels + at / 9) * width)
            .collect();
        let columns: Vec<usize> = (0..outputs).map(|o| o * filter).collect();
        let transposition = Transposition {
            rows: &rows,
            columns: &columns,
        };
        let from = panel * width * filter + 9 * self.channels.start;
        let reach = (outputs - 1) * filter + 9 * channels;
        // SAFETY: these channels of these filters belong to this task alone.
        unsafe { transposition.write(gradient, out.pointer(from, reach), reach) };
    }
}

/// The sizes of a panel of a task's sums.
struct Panel {
    channels: usize,
    /// Columns, a multiple of the lanes' number.
    width: usize,
    /// Floats from one row to the next.
    row: usize,
    /// Floats from one value of the transformed tiles to the next.
    value: usize,
}

for_processor! {
    /// Transforms the sums of a panel back to the gradient of nine kernel elements.
    unsafe fn transform_sums(panel: &Panel, sums: *const f32, out: *mut f32) = sums_with
}

#[inline(always)]
unsafe fn sums_with<L: Lanes>(panel: &Panel, sums: *const f32, out: *mut f32) {
    for c in 0..panel.channels {
        for o in (0..panel.width).step_by(L::LEN) {
            // SAFETY: the caller answers for the sums and the room of the result.
            unsafe {
                let mut columns = [[L::zero(); INPUT]; 3];
                for j in 0..INPUT {
                    let column = std::array::from_fn(|i| {
                        let value = (i * INPUT + j) * panel.value;
                        L::load(sums.add(value + c * panel.row + o))
                    });
                    for (row, value) in columns.iter_mut().zip(filter_gradient(column)) {
                        row[j] = value;
                    }
                }
                for (ky, row) in columns.into_iter().enumerate() {
                    for (kx, value) in filter_gradient(row).into_iter().enumerate() {
                        let row = (ky * 3 + kx) * panel.channels + c;
                        value.store(out.add(row * panel.width + o));
                    }
                }
            }
        }
    }
}
