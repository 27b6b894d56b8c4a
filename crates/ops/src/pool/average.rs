//! Means over windows and over whole maps.

use candle_core::{Result, Shape, Tensor};

use super::{Geometry, Pool2d};
use crate::check::{self, invalid};
use crate::kernel::{Kernel, run1};
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
    let windows = Windows {
        geometry: Geometry::new("avg_pool2d", x, pool)?,
        count_include_pad,
    };
    let y = run1(&Forward(windows), x)?;
    if let Some(to_x) = tape.target(x) {
        tape.record(&y, move |grad, grads| {
            grads.give(to_x, run1(&Backward(windows), grad.tensor())?)
        });
    }
    Ok(y)
}

#[derive(Clone, Copy)]
struct Windows {
    geometry: Geometry,
    count_include_pad: bool,
}

impl Windows {
    /// One over what the sum over window (i, j) is divided by.
    fn share(&self, i: usize, j: usize) -> f32 {
        let (y, x) = (&self.geometry.y, &self.geometry.x);
        let count = if self.count_include_pad {
            y.padded_window(i) * x.padded_window(j)
        } else {
            y.window(i).len() * x.window(j).len()
        };
        1.0 / count as f32
    }
}

struct Forward(Windows);

impl Kernel<1> for Forward {
    const NAME: &'static str = "avg_pool2d";

    fn shape(&self) -> Shape {
        self.0.geometry.output()
    }

    fn cpu(&self, [x]: [&[f32]; 1]) -> Result<Vec<f32>> {
        let (windows, g) = (self.0, self.0.geometry);
        // SAFETY: `average_row` writes the whole row.
        Ok(unsafe {
            uninit_chunks(
                g.output().elem_count(),
                g.output_row(),
                g.work(),
                |row, out| {
                    average_row(&windows, x, [row / g.y.output, row % g.y.output], out);
                },
            )
        })
    }
}

vectorized! {
    /// The means of the windows of row i of picture n, `at`.
    fn average_row(windows: &Windows, x: &[f32], at: [usize; 2], out: &mut [f32]) {
        let (g, [n, i]) = (&windows.geometry, at);
        for (j, out) in out.chunks_exact_mut(g.c).enumerate() {
            out.fill(0.0);
            for y in g.y.window(i) {
                for place in g.x.window(j) {
                    for (out, x) in out.iter_mut().zip(g.pixel(x, n, y, place)) {
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

struct Backward(Windows);

impl Kernel<1> for Backward {
    const NAME: &'static str = "avg_pool2d's gradient";

    fn shape(&self) -> Shape {
        self.0.geometry.input()
    }

    fn cpu(&self, [dy]: [&[f32]; 1]) -> Result<Vec<f32>> {
        let (windows, g) = (self.0, self.0.geometry);
        // SAFETY: `spread_row` writes the whole row.
        Ok(unsafe {
            uninit_chunks(
                g.input().elem_count(),
                g.input_row(),
                g.work(),
                |row, dx| {
                    spread_row(&windows, dy, [row / g.y.input, row % g.y.input], dx);
                },
            )
        })
    }
}

vectorized! {
    /// What row y of picture n, `at`, gets from the windows that it lies in.
    fn spread_row(windows: &Windows, dy: &[f32], at: [usize; 2], dx: &mut [f32]) {
        let (g, [n, y]) = (&windows.geometry, at);
        for (x, dx) in dx.chunks_exact_mut(g.c).enumerate() {
            dx.fill(0.0);
            for i in g.y.covering(y) {
                for j in g.x.covering(x) {
                    let share = windows.share(i, j);
                    for (dx, dy) in dx.iter_mut().zip(g.result(dy, n, i, j)) {
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
}
