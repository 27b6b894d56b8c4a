//! Dense and grouped convolution as products over the input where it lies.
//!
//! Channels-last maps hold each row of a patch in one stretch, so the left matrix of a product is the input itself: its
//! rows are the patches of neighbouring pixels, which overlap. Nothing but the zeros around the maps and the weight's
//! order has to be prepared. (Georganas et al. 2018, "Anatomy of high-performance deep learning convolutions", without
//! their generated code.)

use std::slice::from_ref;

use super::filters::Sums;
use super::geometry::Geometry;
use super::margin::{Maps, with_margins};
use super::panels::{Columns, Packing, Panels};
use super::taps::{Phase, kernel_elements, stretches};
use crate::microkernel::{Product, Stretch, multiply};
use crate::output::uninit;
use crate::parallel::{SharedMut, for_each};
use crate::scratch::with_scratch;

/// About how many floats of the maps that are read stay in the second-level cache while all panels pass.
const MAP_FLOATS: usize = 1 << 17;

/// Pixels of a task at least, so that reading a panel of the weight pays.
const MIN_PIXELS: usize = 128;

/// The output: patches times weight, plus bias.
pub(super) fn forward(g: &Geometry, x: &[f32], weight: &[f32], bias: Option<&[f32]>) -> Vec<f32> {
    let len = g.output_shape().elem_count();
    if g.work() == 0 {
        return with_bias_only(g, len, bias);
    }
    let (y_axis, x_axis) = (Phase::forward(&g.y), Phase::forward(&g.x));
    let elements = kernel_elements(g, &y_axis, &x_axis);
    // SAFETY: one pair of phases covers every output.
    unsafe {
        uninit(len, |out| {
            packing(g, weight, &elements, Columns::Outputs).with_panels(|panels| {
                with_padding(g, x, (&y_axis, &x_axis), |x, maps, margin| {
                    let places = Places {
                        g,
                        maps,
                        read: x,
                        depth: g.group_channels(),
                        step: (g.y.stride, g.x.stride),
                        written: (g.y.output, g.x.output, g.outputs),
                        spread: (1, 1),
                    };
                    places.run((&y_axis, &x_axis), margin, panels, bias, out);
                });
            });
        })
    }
}

/// The input's gradient: what each pixel gave to outputs it takes back from their gradients.
pub(super) fn input_gradient(g: &Geometry, dy: &[f32], weight: &[f32]) -> Vec<f32> {
    let len = g.input_shape().elem_count();
    if g.work() == 0 {
        return vec![0.0; len];
    }
    let (rows, columns) = (Phase::backward(&g.y), Phase::backward(&g.x));
    let (maps, phases) = (g.output_maps(), (&rows[..], &columns[..]));
    // SAFETY: the phases cover every input.
    unsafe {
        uninit(len, |out| {
            with_margins(dy, maps, phases, (1, 1), |dy, maps, margin| {
                let places = Places {
                    g,
                    maps,
                    read: dy,
                    depth: g.group_outputs(),
                    step: (1, 1),
                    written: (g.y.input, g.x.input, g.channels),
                    spread: (g.y.stride, g.x.stride),
                };
                for phase in rows
                    .iter()
                    .flat_map(|y| columns.iter().map(move |x| (y, x)))
                {
                    let elements = kernel_elements(g, phase.0, phase.1);
                    packing(g, weight, &elements, Columns::Channels).with_panels(|panels| {
                        places.run(phase, margin, panels, None, out);
                    });
                }
            });
        })
    }
}

/// Lends `work` the input with as many zeros around it as the outputs' places need, as [`with_margins`] does.
fn with_padding<R>(
    g: &Geometry,
    x: &[f32],
    (rows, columns): (&Phase, &Phase),
    work: impl FnOnce(&[f32], Maps, (usize, usize)) -> R,
) -> R {
    let phases = (from_ref(rows), from_ref(columns));
    let step = (g.y.stride, g.x.stride);
    with_margins(x, g.input_maps(), phases, step, work)
}

fn packing<'a>(
    geometry: &'a Geometry,
    weight: &'a [f32],
    elements: &'a [usize],
    columns: Columns,
) -> Packing<'a> {
    Packing {
        geometry,
        weight,
        elements,
        columns,
        gap: 0,
    }
}

/// The places that one pass computes.
struct Places<'a> {
    g: &'a Geometry,
    /// What is read: the sizes of the maps, and the maps.
    maps: Maps,
    read: &'a [f32],
    /// Channels of a group that are read.
    depth: usize,
    /// Pixels read between neighbouring places, along either axis.
    step: (usize, usize),
    /// Rows, columns and channels of the maps that are written.
    written: (usize, usize, usize),
    /// Pixels between neighbouring places that are written.
    spread: (usize, usize),
}

impl Places<'_> {
    /// Computes the places of a pair of phases.
    ///
    /// # Safety
    /// No two pairs of phases may cover the same place of `out`; together they must cover all.
    unsafe fn run(
        &self,
        (y, x): (&Phase, &Phase),
        margin: (usize, usize),
        panels: Panels,
        bias: Option<&[f32]>,
        out: &SharedMut<f32>,
    ) {
        let (g, maps) = (self.g, self.maps);
        let (height, width, channels) = self.written;
        let list = stretches(
            (y, x),
            margin,
            maps.width,
            maps.channels,
            self.depth,
            panels.width,
        );
        let columns = channels / g.groups;
        // Rows of places, of all pictures, in chunks.
        let lines = g.n * y.count;
        let floats = self.step.0 * maps.width * maps.channels;
        let chunk = (MAP_FLOATS / floats.max(1))
            .max(MIN_PIXELS.div_ceil(x.count.max(1)))
            .clamp(1, lines.max(1));
        let chunks = lines.div_ceil(chunk);
        for_each(chunks * g.groups * panels.count, g.work(), |task| {
            let (chunk_index, rest) = (
                task / (g.groups * panels.count),
                task % (g.groups * panels.count),
            );
            let (group, panel) = (rest / panels.count, rest % panels.count);
            let (first, cols) = panels.columns(panel);
            let values = panels.panel(group, panel);
            for line in chunk_index * chunk..lines.min((chunk_index + 1) * chunk) {
                let (n, i) = (line / y.count, line % y.count);
                let from = (n * maps.height + i * self.step.0) * maps.width * maps.channels
                    + group * self.depth;
                let pixel = (n * height + y.first + i * self.spread.0) * width + x.first;
                let to = pixel * channels + group * columns + first;
                let c_row = self.spread.1 * channels;
                let reach = (x.count - 1) * c_row + cols;
                let c = out.pointer(to, reach);
                let product = Product {
                    stretches: &list,
                    a: self.read[from..].as_ptr(),
                    a_row: self.step.1 * maps.channels,
                    a_col: 1,
                    b: values.as_ptr(),
                    b_row: panels.width,
                    c,
                    c_row,
                    rows: x.count,
                    cols,
                    add: bias.is_some(),
                };
                if let Some(bias) = bias {
                    let bias = &bias[group * columns + first..][..cols];
                    for place in 0..x.count {
                        // SAFETY: these floats belong to this task alone and lie inside `out`, as `pointer` checked.
                        unsafe {
                            c.add(place * c_row)
                                .copy_from_nonoverlapping(bias.as_ptr(), cols);
                        }
                    }
                }
                // SAFETY: margins make room for every tap; the outputs belong to this task alone.
                unsafe { multiply(&product) };
            }
        });
    }
}

/// The output where there is nothing to multiply.
fn with_bias_only(g: &Geometry, len: usize, bias: Option<&[f32]>) -> Vec<f32> {
    let mut y = vec![0.0; len];
    if let (Some(bias), true) = (bias, g.outputs > 0) {
        for pixel in y.chunks_exact_mut(g.outputs) {
            pixel.copy_from_slice(bias);
        }
    }
    y
}

/// A weight gradient of at most so many floats is summed in several parts, so that threads find work.
const PART_FLOATS: usize = 1 << 19;

/// The most parts.
const MAX_PARTS: usize = 16;

/// Tasks worth making for other threads.
const TASKS: usize = 16;

/// The weight's gradient: for each kernel element the inputs it met, times the gradients of the outputs they gave to.
///
/// The pixels are summed in parts and chunks that are fixed by the sizes.
pub(super) fn weight_gradient(g: &Geometry, x: &[f32], dy: &[f32]) -> Vec<f32> {
    if g.work() == 0 {
        return vec![0.0; g.weight_shape().elem_count()];
    }
    let (y_axis, x_axis) = (Phase::forward(&g.y), Phase::forward(&g.x));
    let (shape, lines) = (Sums::new(g), g.n * g.y.output);
    let len = shape.len(g);
    let parts = (PART_FLOATS / len).clamp(1, MAX_PARTS).min(lines);
    with_padding(g, x, (&y_axis, &x_axis), |x, maps, _| {
        with_scratch(parts * len, |sums| {
            let strips = strips(g, &shape, TASKS.div_ceil(parts));
            let shared = SharedMut::new(sums);
            for_each(parts * strips.len(), g.work(), |task| {
                let (part, strip) = (task / strips.len(), &strips[task % strips.len()]);
                let lines = lines * part / parts..lines * (part + 1) / parts;
                strip.sum(g, &shape, (x, maps), dy, lines, &shared, part * len);
            });
            shape.to_filters(g, sums)
        })
    })
}

/// Rows of the weight gradient that follow each other in the input, and some panels of outputs.
struct Strip {
    group: usize,
    /// The kernel's row and first column.
    element: (usize, usize),
    /// Elements of the input from there on.
    rows: usize,
    panels: std::ops::Range<usize>,
}

/// Cuts the weight gradient of all groups into at least about `wanted` strips.
fn strips(g: &Geometry, shape: &Sums, wanted: usize) -> Vec<Strip> {
    // Elements of a kernel row that lie side by side in the input are one matrix.
    let joined = if g.groups == 1 && g.x.dilation == 1 {
        g.x.kernel
    } else {
        1
    };
    let runs = g.groups * g.y.kernel * (g.x.kernel / joined);
    let per_strip = shape.panels.div_ceil(wanted.div_ceil(runs)).max(1);
    let mut all = Vec::new();
    for group in 0..g.groups {
        for ky in 0..g.y.kernel {
            for kx in (0..g.x.kernel).step_by(joined) {
                all.extend((0..shape.panels).step_by(per_strip).map(|panel| Strip {
                    group,
                    element: (ky, kx),
                    rows: joined * g.group_channels(),
                    panels: panel..shape.panels.min(panel + per_strip),
                }));
            }
        }
    }
    all
}

impl Strip {
    /// Sums the strip over some lines of outputs into `sums` from `offset` on.
    #[expect(
        clippy::too_many_arguments,
        reason = "two matrices and where the third begins"
    )]
    fn sum(
        &self,
        g: &Geometry,
        shape: &Sums,
        (x, maps): (&[f32], Maps),
        dy: &[f32],
        lines: std::ops::Range<usize>,
        sums: &SharedMut<f32>,
        offset: usize,
    ) {
        let (channels, outputs) = (g.group_channels(), g.group_outputs());
        let (ky, kx) = self.element;
        let from = (ky * g.y.dilation * maps.width + kx * g.x.dilation) * maps.channels
            + self.group * channels;
        let row = (ky * g.x.kernel + kx) * channels;
        let line_floats = g.y.stride * maps.width * maps.channels + g.x.output * g.outputs;
        let chunk = (2 * MAP_FLOATS / line_floats.max(1)).max(1);
        let mut stretches = Vec::with_capacity(chunk);
        for start in lines.clone().step_by(chunk) {
            stretches.clear();
            stretches.extend((start..lines.end.min(start + chunk)).map(|line| {
                let (n, i) = (line / g.y.output, line % g.y.output);
                Stretch {
                    a: (n * maps.height + i * g.y.stride) * maps.width * maps.channels,
                    b: line * g.x.output * g.outputs,
                    len: g.x.output,
                }
            }));
            for panel in self.panels.clone() {
                let first = panel * shape.width;
                let to = offset
                    + (self.group * shape.panels + panel) * shape.panel_len()
                    + row * shape.width;
                let product = Product {
                    stretches: &stretches,
                    a: x[from..].as_ptr(),
                    a_row: 1,
                    a_col: g.x.stride * maps.channels,
                    b: dy[self.group * outputs + first..].as_ptr(),
                    b_row: g.outputs,
                    c: sums.pointer(to, self.rows * shape.width),
                    c_row: shape.width,
                    rows: self.rows,
                    cols: shape.width.min(outputs - first),
                    add: start > lines.start,
                };
                // SAFETY: margins make room for every element; this part's strip belongs to this task alone.
                unsafe { multiply(&product) };
            }
        }
    }
}
