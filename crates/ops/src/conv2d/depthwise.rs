//! Convolution with one input channel and one output per group: every channel is filtered for itself.
//!
//! Channels lie side by side, so vectors run over them, and there is no matrix to multiply.

use super::geometry::Geometry;
use super::taps::{Phase, Tap};
use crate::lanes::{Lanes, for_processor};
use crate::output::uninit;
use crate::parallel::{SharedMut, for_each};
use crate::scratch::with_scratch;

/// Whether this is such a convolution.
pub(super) fn suits(g: &Geometry) -> bool {
    g.groups > 1 && g.group_channels() == 1 && g.group_outputs() == 1
}

/// The output from input, weight and bias.
pub(super) fn forward(g: &Geometry, x: &[f32], weight: &[f32], bias: Option<&[f32]>) -> Vec<f32> {
    let (rows, columns) = (Phase::forward(&g.y), Phase::forward(&g.x));
    let pass = Pass {
        channels: g.channels,
        read: (g.y.input, g.x.input),
        step: (g.y.stride, g.x.stride),
        written: (g.y.output, g.x.output),
        spread: (1, 1),
        kernel_width: g.x.kernel,
    };
    // SAFETY: one phase of each axis covers every output.
    unsafe {
        uninit(g.output_shape().elem_count(), |out| {
            with_elements_first(g, weight, |weight| {
                pass.run(g.n, (&rows, &columns), x, weight, bias, out);
            });
        })
    }
}

/// The input's gradient from the output's.
pub(super) fn input_gradient(g: &Geometry, dy: &[f32], weight: &[f32]) -> Vec<f32> {
    let (rows, columns) = (Phase::backward(&g.y), Phase::backward(&g.x));
    let pass = Pass {
        channels: g.channels,
        read: (g.y.output, g.x.output),
        step: (1, 1),
        written: (g.y.input, g.x.input),
        spread: (g.y.stride, g.x.stride),
        kernel_width: g.x.kernel,
    };
    // SAFETY: the phases cover every input.
    unsafe {
        uninit(g.input_shape().elem_count(), |out| {
            with_elements_first(g, weight, |weight| {
                for rows in &rows {
                    for columns in &columns {
                        pass.run(g.n, (rows, columns), dy, weight, None, out);
                    }
                }
            });
        })
    }
}

/// Lends `work` the weight with a row of all channels for each element of the kernel.
fn with_elements_first<R>(g: &Geometry, weight: &[f32], work: impl FnOnce(&[f32]) -> R) -> R {
    let area = g.kernel_area();
    with_scratch(weight.len(), |rows| {
        for (element, row) in rows.chunks_exact_mut(g.channels).enumerate() {
            for (out, filter) in row.iter_mut().zip(weight.chunks_exact(area)) {
                *out = filter[element];
            }
        }
        work(rows)
    })
}

/// The sizes of one pass over the maps.
struct Pass {
    channels: usize,
    /// Rows and columns of the maps that are read, and the pixels between places.
    read: (usize, usize),
    step: (usize, usize),
    /// Rows and columns of the maps that are written, and the pixels between places.
    written: (usize, usize),
    spread: (usize, usize),
    kernel_width: usize,
}

/// Neighbouring places that are computed at once.
const ABREAST: usize = 4;

impl Pass {
    /// Computes the places of a pair of phases for `n` pictures.
    ///
    /// # Safety
    /// The phases' places lie inside of `out` and are nobody else's.
    unsafe fn run(
        &self,
        n: usize,
        (rows, columns): (&Phase, &Phase),
        read: &[f32],
        weight: &[f32],
        bias: Option<&[f32]>,
        out: &SharedMut<f32>,
    ) {
        let taps = rows.taps.len() * columns.taps.len();
        let work = n * rows.count * columns.count * self.channels * (taps + 1);
        for_each(n * rows.count, work, |line| {
            let (n, i) = (line / rows.count, line % rows.count);
            let y = n * self.written.0 + rows.first + i * self.spread.0;
            let start = (y * self.written.1 + columns.first) * self.channels;
            let spread = self.spread.1 * self.channels;
            let line = Line {
                channels: self.channels,
                width: self.read.1,
                step: self.step.1,
                count: columns.count,
                spread,
                rows: self.rows_of(rows, n, i, read, weight),
                taps: &columns.taps,
            };
            if columns.count > 0 {
                let reach = (columns.count - 1) * spread + self.channels;
                let bias = bias.map_or(std::ptr::null(), <[f32]>::as_ptr);
                // SAFETY: the line's places belong to this task; its taps are looked up in the maps' rows.
                unsafe { compute_line(&line, bias, out.pointer(start, reach)) };
            }
        });
    }

    /// The rows that place `i` of a phase sees: the map's, and the kernel's.
    fn rows_of<'a>(
        &self,
        rows: &Phase,
        n: usize,
        i: usize,
        read: &'a [f32],
        weight: &'a [f32],
    ) -> Vec<(&'a [f32], &'a [f32])> {
        let row_len = self.read.1 * self.channels;
        let seen = rows.taps.iter().filter_map(|tap| {
            let y = place((i * self.step.0) as isize + tap.offset, self.read.0)?;
            let kernel = tap.kernel * self.kernel_width * self.channels;
            let kernel = &weight[kernel..][..self.kernel_width * self.channels];
            Some((&read[(n * self.read.0 + y) * row_len..][..row_len], kernel))
        });
        seen.collect()
    }
}

/// The index if it lies in the map.
fn place(index: isize, len: usize) -> Option<usize> {
    usize::try_from(index).ok().filter(|index| *index < len)
}

/// A row of places.
struct Line<'a> {
    channels: usize,
    /// Pixels of a row that is read, and pixels between places in it.
    width: usize,
    step: usize,
    /// Places, and floats between them where they are written.
    count: usize,
    spread: usize,
    /// Rows that are read with the rows of the kernel.
    rows: Vec<(&'a [f32], &'a [f32])>,
    taps: &'a [Tap],
}

for_processor! {
    /// # Safety
    /// `out` has room for the line's places; `bias` holds the channels or is null.
    unsafe fn compute_line(line: &Line, bias: *const f32, out: *mut f32) = line_with
}

#[inline(always)]
unsafe fn line_with<L: Lanes>(line: &Line, bias: *const f32, out: *mut f32) {
    // Places from `inner.0` to `inner.1` see all taps inside of the row.
    let (step, width) = (line.step as isize, line.width as isize);
    let first = line.taps.first().map_or(0, |tap| tap.offset);
    let last = line.taps.last().map_or(0, |tap| tap.offset);
    let low = ((-first).max(0) + step - 1) / step;
    let high = if width > last {
        (width - 1 - last) / step + 1
    } else {
        0
    };
    let low = (low as usize).min(line.count);
    let high = (high.max(0) as usize).clamp(low, line.count);
    let mut c = 0;
    while c < line.channels {
        let n = line.channels - c;
        // SAFETY: the caller answers for the rows and the room; loads and stores stop at the last channel.
        unsafe {
            let mut i = 0;
            while i < line.count {
                let abreast = i >= low && i + ABREAST <= high;
                let places = if abreast { ABREAST } else { 1 };
                let start = if bias.is_null() {
                    L::zero()
                } else {
                    L::load_up_to(bias.add(c), n)
                };
                let mut sums = [start; ABREAST];
                for (row, kernel) in &line.rows {
                    for tap in line.taps {
                        let at = (i * line.step) as isize + tap.offset;
                        if abreast {
                            let k = L::load_up_to(
                                kernel.as_ptr().add(tap.kernel * line.channels + c),
                                n,
                            );
                            let from = row.as_ptr().add(at as usize * line.channels + c);
                            for (p, sum) in sums.iter_mut().enumerate() {
                                let x = L::load_up_to(from.add(p * line.step * line.channels), n);
                                *sum = x.mul_add(k, *sum);
                            }
                        } else if let Some(at) = place(at, line.width) {
                            let k = L::load_up_to(
                                kernel.as_ptr().add(tap.kernel * line.channels + c),
                                n,
                            );
                            let x = L::load_up_to(row.as_ptr().add(at * line.channels + c), n);
                            sums[0] = x.mul_add(k, sums[0]);
                        }
                    }
                }
                for (p, sum) in sums.into_iter().take(places).enumerate() {
                    sum.store_up_to(out.add((i + p) * line.spread + c), n);
                }
                i += places;
            }
        }
        c += L::LEN;
    }
}

/// Lines of outputs that are summed by themselves, so that threads find work and sums stay short.
const LINES: usize = 28;

/// The weight's gradient from input and output's gradient. Lines of outputs are summed in parts that are fixed by the sizes.
pub(super) fn weight_gradient(g: &Geometry, x: &[f32], dy: &[f32]) -> Vec<f32> {
    let (area, channels) = (g.kernel_area(), g.channels);
    let lines = g.n * g.y.output;
    let parts = lines.div_ceil(LINES).max(1);
    let len = area * channels;
    with_scratch(parts * len, |partials| {
        partials.fill(0.0);
        let shared = SharedMut::new(partials);
        for_each(parts, g.work(), |part| {
            // SAFETY: each part belongs to one task.
            let sums = unsafe { shared.slice(part * len, len) };
            for line in part * LINES..lines.min((part + 1) * LINES) {
                let (n, oy) = (line / g.y.output, line % g.y.output);
                let dy = &dy[line * g.x.output * channels..][..g.x.output * channels];
                for ky in 0..g.y.kernel {
                    let y = (oy * g.y.stride + ky * g.y.dilation) as isize - g.y.padding as isize;
                    let Some(y) = place(y, g.y.input) else {
                        continue;
                    };
                    let row = g.x.input * channels;
                    let x = &x[(n * g.y.input + y) * row..][..row];
                    for kx in 0..g.x.kernel {
                        let valid = g.x.valid(kx);
                        if valid.is_empty() {
                            continue;
                        }
                        let from = g.x.input_at(valid.start, kx) * channels;
                        let run = Run {
                            channels,
                            count: valid.len(),
                            step: g.x.stride * channels,
                        };
                        let sums = &mut sums[(ky * g.x.kernel + kx) * channels..][..channels];
                        let dy = &dy[valid.start * channels..];
                        assert!(from + (run.count - 1) * run.step + channels <= x.len());
                        assert!(run.count * channels <= dy.len());
                        // SAFETY: the places were checked.
                        unsafe {
                            add_products(&run, x[from..].as_ptr(), dy.as_ptr(), sums.as_mut_ptr());
                        }
                    }
                }
            }
        });
        let mut gradient = vec![0.0; len];
        for (c, filter) in gradient.chunks_exact_mut(area).enumerate() {
            for (element, value) in filter.iter_mut().enumerate() {
                let all = partials[element * channels + c..].iter().step_by(len);
                *value = all.sum();
            }
        }
        gradient
    })
}

/// Places of a line whose products are added up.
struct Run {
    channels: usize,
    count: usize,
    /// Floats between the inputs of neighbouring places.
    step: usize,
}

for_processor! {
    /// Adds Σ x[i · step + c] · dy[i · channels + c] to each `sums[c]`.
    unsafe fn add_products(run: &Run, x: *const f32, dy: *const f32, sums: *mut f32) = products_with
}

#[inline(always)]
unsafe fn products_with<L: Lanes>(run: &Run, x: *const f32, dy: *const f32, sums: *mut f32) {
    let mut c = 0;
    // SAFETY: the caller answers for the runs.
    unsafe {
        while c + ABREAST * L::LEN <= run.channels {
            let mut totals = [L::zero(); ABREAST];
            for i in 0..run.count {
                for (v, total) in totals.iter_mut().enumerate() {
                    let x = L::load(x.add(i * run.step + c + v * L::LEN));
                    let dy = L::load(dy.add(i * run.channels + c + v * L::LEN));
                    *total = x.mul_add(dy, *total);
                }
            }
            for (v, total) in totals.into_iter().enumerate() {
                let to = sums.add(c + v * L::LEN);
                L::load(to).add(total).store(to);
            }
            c += ABREAST * L::LEN;
        }
        while c < run.channels {
            let n = run.channels - c;
            let mut total = L::zero();
            for i in 0..run.count {
                let x = L::load_up_to(x.add(i * run.step + c), n);
                let dy = L::load_up_to(dy.add(i * run.channels + c), n);
                total = x.mul_add(dy, total);
            }
            L::load_up_to(sums.add(c), n)
                .add(total)
                .store_up_to(sums.add(c), n);
            c += L::LEN;
        }
    }
}
