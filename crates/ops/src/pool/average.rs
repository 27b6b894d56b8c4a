//! Means over windows and over whole maps.

use std::ops::Range;

use candle_core::{Result, Shape, Tensor};

use super::{Geometry, Pool2d};
use crate::check::{self, invalid};
#[cfg(feature = "cuda")]
use crate::cuda::{Array, Gpu, pool as cuda};
use crate::kernel::{Kernel, cpu_only, run1};
use crate::output::uninit_chunks;
use crate::parallel::for_each_chunk;
use crate::simd::vectorized;
use crate::tape::Tape;

/// The mean of each window of x, (n, h, w, c), as `torch.nn.functional.avg_pool2d`. `count_include_pad` says whether the
/// zeros of the padding count; what a ceil-mode window covers beyond the padding never does.
pub fn avg_pool2d(
    tape: &Tape,
    x: &Tensor,
    pool: &Pool2d,
    count_include_pad: bool,
) -> Result<Tensor> {
    let geometry = Geometry::new("avg_pool2d", x, pool)?;
    #[cfg(feature = "cuda")]
    if crate::cuda::has(x) {
        let means = cuda::Means::of_windows(&geometry, count_include_pad);
        return cuda::averaged(tape, x, means);
    }
    let Geometry { n, c, y, x: across } = geometry;
    let axis = |axis: &super::Axis| {
        let count = |i| {
            if count_include_pad {
                axis.padded_window(i)
            } else {
                axis.window(i).len()
            }
        };
        Axis {
            windows: (0..axis.output).map(|i| axis.window(i)).collect(),
            counts: (0..axis.output).map(count).collect(),
            covering: (0..axis.input).map(|place| axis.covering(place)).collect(),
        }
    };
    let (y, x_axis) = (axis(&y), axis(&across));
    averaged(tape, x, Windows { n, c, y, x: x_axis })
}

/// The means of x, (n, h, w, c), over windows that divide the maps into `oh` × `ow` about equal parts, as
/// `torch.nn.functional.adaptive_avg_pool2d`: (n, oh, ow, c). Window i of a height h goes from ⌊i · h/oh⌋ to
/// ⌈(i + 1) · h/oh⌉, so windows may overlap, and repeat pixels where there are more of them than pixels.
///
/// An error if the maps are empty or no windows are wanted.
pub fn adaptive_avg_pool2d(tape: &Tape, x: &Tensor, (oh, ow): (usize, usize)) -> Result<Tensor> {
    const OP: &str = "adaptive_avg_pool2d";
    let [n, h, w, c] = check::dims(OP, "the input", "(n, h, w, c)", x)?;
    if h * w * oh * ow == 0 {
        return Err(invalid(
            OP,
            format_args!(
                "maps of shape {:?} can't be divided into {oh} × {ow} windows",
                x.dims()
            ),
        ));
    }
    #[cfg(feature = "cuda")]
    if crate::cuda::has(x) {
        let means = cuda::Means::of_parts([n, h, w, c], (oh, ow));
        return cuda::averaged(tape, x, means);
    }
    let (y, x_axis) = (Axis::adaptive(h, oh), Axis::adaptive(w, ow));
    averaged(tape, x, Windows { n, c, y, x: x_axis })
}

/// The mean of each window, with its backward pass on the tape.
fn averaged(tape: &Tape, x: &Tensor, windows: Windows) -> Result<Tensor> {
    let y = run1(&Forward(&windows), x)?;
    if let Some(to_x) = tape.target(x) {
        tape.record(&y, move |grad, grads| {
            grads.give(to_x, run1(&Backward(&windows), grad.tensor())?)
        });
    }
    Ok(y)
}

/// The windows along one axis.
struct Axis {
    /// The part of each window that lies inside the input.
    windows: Vec<Range<usize>>,
    /// How many places of each window count.
    counts: Vec<usize>,
    /// The windows that each place of the input lies in.
    covering: Vec<Range<usize>>,
}

impl Axis {
    /// So many windows that divide `input` places.
    fn adaptive(input: usize, output: usize) -> Self {
        let part = |i: usize, whole: usize, parts: usize| {
            i * whole / parts..((i + 1) * whole).div_ceil(parts)
        };
        let windows: Vec<_> = (0..output).map(|i| part(i, input, output)).collect();
        Self {
            counts: windows.iter().map(Range::len).collect(),
            windows,
            // Window i begins before place p ends where i · input/output < p + 1, and ends behind its beginning where
            // (i + 1) · input/output > p: the same formula with the roles exchanged.
            covering: (0..input).map(|place| part(place, output, input)).collect(),
        }
    }

    fn input(&self) -> usize {
        self.covering.len()
    }

    fn output(&self) -> usize {
        self.windows.len()
    }

    /// Places of all windows.
    fn work(&self) -> usize {
        self.windows.iter().map(Range::len).sum()
    }
}

/// The windows of `n` pictures of `c` channels.
struct Windows {
    n: usize,
    c: usize,
    y: Axis,
    x: Axis,
}

impl Windows {
    /// One over what the sum over window (i, j) is divided by.
    fn share(&self, i: usize, j: usize) -> f32 {
        1.0 / (self.y.counts[i] * self.x.counts[j]) as f32
    }

    fn work(&self) -> usize {
        self.n * self.c * self.y.work() * self.x.work()
    }
}

struct Forward<'a>(&'a Windows);

impl Kernel<1> for Forward<'_> {
    const NAME: &'static str = "average pool";

    fn shape(&self) -> Shape {
        let Windows { n, c, y, x } = self.0;
        (*n, y.output(), x.output(), *c).into()
    }

    fn cpu(&self, [x]: [&[f32]; 1]) -> Result<Vec<f32>> {
        let windows = self.0;
        let (rows, len) = (windows.y.output(), windows.x.output() * windows.c);
        // SAFETY: `average_row` writes the whole row.
        Ok(unsafe {
            uninit_chunks(windows.n * rows * len, len, windows.work(), |row, out| {
                average_row(windows, x, [row / rows, row % rows], out);
            })
        })
    }

    cpu_only!(kernel of 1);
}

vectorized! {
    /// The means of the windows of row i of picture n, `at`.
    fn average_row(windows: &Windows, x: &[f32], at: [usize; 2], out: &mut [f32]) {
        let (c, [n, i]) = (windows.c, at);
        let (height, width) = (windows.y.input(), windows.x.input());
        for (j, out) in out.chunks_exact_mut(c).enumerate() {
            out.fill(0.0);
            for y in windows.y.windows[i].clone() {
                for place in windows.x.windows[j].clone() {
                    let pixel = (n * height + y) * width + place;
                    for (out, x) in out.iter_mut().zip(&x[pixel * c..][..c]) {
                        *out += x;
                    }
                }
            }
            let share = windows.share(i, j);
            for out in out {
                *out *= share;
            }
        }
    }
}

struct Backward<'a>(&'a Windows);

impl Kernel<1> for Backward<'_> {
    const NAME: &'static str = "average pool's gradient";

    fn shape(&self) -> Shape {
        let Windows { n, c, y, x } = self.0;
        (*n, y.input(), x.input(), *c).into()
    }

    fn cpu(&self, [dy]: [&[f32]; 1]) -> Result<Vec<f32>> {
        let windows = self.0;
        let (rows, len) = (windows.y.input(), windows.x.input() * windows.c);
        // SAFETY: `spread_row` writes the whole row.
        Ok(unsafe {
            uninit_chunks(windows.n * rows * len, len, windows.work(), |row, dx| {
                spread_row(windows, dy, [row / rows, row % rows], dx);
            })
        })
    }

    cpu_only!(kernel of 1);
}

vectorized! {
    /// What row y of picture n, `at`, gets from the windows that it lies in.
    fn spread_row(windows: &Windows, dy: &[f32], at: [usize; 2], dx: &mut [f32]) {
        let (c, [n, y]) = (windows.c, at);
        let (height, width) = (windows.y.output(), windows.x.output());
        for (x, dx) in dx.chunks_exact_mut(c).enumerate() {
            dx.fill(0.0);
            for i in windows.y.covering[y].clone() {
                for j in windows.x.covering[x].clone() {
                    let (share, pixel) = (windows.share(i, j), (n * height + i) * width + j);
                    for (dx, dy) in dx.iter_mut().zip(&dy[pixel * c..][..c]) {
                        *dx += dy * share;
                    }
                }
            }
        }
    }
}

/// The mean of each channel's map: (n, h, w, c) to (n, c).
pub fn global_avg_pool(tape: &Tape, x: &Tensor) -> Result<Tensor> {
    const OP: &str = "global_avg_pool";
    let [n, h, w, c] = check::dims(OP, "the input", "(n, h, w, c)", x)?;
    if h * w == 0 {
        return Err(invalid(
            OP,
            format_args!("the maps of shape {:?} are empty", x.dims()),
        ));
    }
    let maps = Maps { n, h, w, c };
    let y = run1(&Mean(maps), x)?;
    if let Some(to_x) = tape.target(x) {
        tape.record(&y, move |grad, grads| {
            grads.give(to_x, run1(&Spread(maps), grad.tensor())?)
        });
    }
    Ok(y)
}

#[derive(Clone, Copy)]
struct Maps {
    n: usize,
    h: usize,
    w: usize,
    c: usize,
}

#[cfg(feature = "cuda")]
impl From<Maps> for cuda::Maps {
    fn from(Maps { n, h, w, c }: Maps) -> Self {
        Self { n, h, w, c }
    }
}

struct Mean(Maps);

impl Kernel<1> for Mean {
    const NAME: &'static str = "global_avg_pool";

    fn shape(&self) -> Shape {
        (self.0.n, self.0.c).into()
    }

    fn cpu(&self, [x]: [&[f32]; 1]) -> Result<Vec<f32>> {
        let Maps { n, h, w, c } = self.0;
        let mut y = vec![0.0; n * c];
        for_each_chunk(&mut y, c, x.len(), |i, y| {
            let mut sums = vec![0.0; c];
            add_pixels(&mut sums, &x[i * h * w * c..][..h * w * c]);
            for (y, sum) in y.iter_mut().zip(sums) {
                *y = (sum / (h * w) as f64) as f32;
            }
        });
        Ok(y)
    }

    #[cfg(feature = "cuda")]
    fn cuda(&self, gpu: &Gpu, [x]: [&Array; 1]) -> Result<Array> {
        cuda::global_average(gpu, x, self.0.into())
    }
}

vectorized! {
    fn add_pixels(sums: &mut [f64], x: &[f32]) {
        for pixel in x.chunks_exact(sums.len()) {
            for (sum, &x) in sums.iter_mut().zip(pixel) {
                *sum += f64::from(x);
            }
        }
    }
}

struct Spread(Maps);

impl Kernel<1> for Spread {
    const NAME: &'static str = "global_avg_pool's gradient";

    fn shape(&self) -> Shape {
        (self.0.n, self.0.h, self.0.w, self.0.c).into()
    }

    fn cpu(&self, [dy]: [&[f32]; 1]) -> Result<Vec<f32>> {
        let Maps { h, w, c, .. } = self.0;
        let mut dx = Vec::with_capacity(dy.len() * h * w);
        for dy in dy.chunks_exact(c.max(1)) {
            let start = dx.len();
            dx.extend(dy.iter().map(|dy| dy / (h * w) as f32));
            for _ in 1..h * w {
                dx.extend_from_within(start..start + c);
            }
        }
        Ok(dx)
    }

    #[cfg(feature = "cuda")]
    fn cuda(&self, gpu: &Gpu, [dy]: [&Array; 1]) -> Result<Array> {
        cuda::global_average_gradient(gpu, dy, self.0.into())
    }
}
