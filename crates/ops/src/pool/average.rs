//! Means over windows and over whole planes.

use candle_core::{Result, Shape, Tensor};

use super::{Geometry, Pool2d};
use crate::check::{self, invalid};
use crate::kernel::{Kernel, run1};
use crate::parallel::for_each_chunk;
use crate::reduce::sum;
use crate::simd;
use crate::tape::Tape;

/// The mean of each window of x, (n, c, h, w), as `torch.nn.functional.avg_pool2d`. `count_include_pad` says whether the
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
    /// What the sum over window (i, j) is divided by.
    fn divisor(&self, i: usize, j: usize) -> f32 {
        let (y, x) = (&self.geometry.y, &self.geometry.x);
        let count = if self.count_include_pad {
            y.padded_window(i) * x.padded_window(j)
        } else {
            y.window(i).len() * x.window(j).len()
        };
        count as f32
    }
}

struct Forward(Windows);

impl Kernel<1> for Forward {
    const NAME: &'static str = "avg_pool2d";

    fn shape(&self) -> Shape {
        self.0.geometry.output()
    }

    fn cpu(&self, [x]: [&[f32]; 1]) -> Result<Vec<f32>> {
        let g = self.0.geometry;
        let mut out = vec![0.0; self.shape().elem_count()];
        for_each_chunk(&mut out, g.output_plane(), g.work(), |p, out| {
            let plane = &x[p * g.input_plane()..][..g.input_plane()];
            let mut columns = vec![0.0; g.x.input];
            for (i, out) in out.chunks_exact_mut(g.x.output).enumerate() {
                columns.fill(0.0);
                for y in g.y.window(i) {
                    simd::add_assign(&mut columns, &plane[y * g.x.input..][..g.x.input]);
                }
                for (j, out) in out.iter_mut().enumerate() {
                    let total: f32 = columns[g.x.window(j)].iter().sum();
                    *out = total / self.0.divisor(i, j);
                }
            }
        });
        Ok(out)
    }
}

struct Backward(Windows);

impl Kernel<1> for Backward {
    const NAME: &'static str = "avg_pool2d's gradient";

    fn shape(&self) -> Shape {
        self.0.geometry.input()
    }

    fn cpu(&self, [dy]: [&[f32]; 1]) -> Result<Vec<f32>> {
        let g = self.0.geometry;
        let mut dx = vec![0.0; self.shape().elem_count()];
        for_each_chunk(&mut dx, g.input_plane(), g.work(), |p, dx| {
            let plane = &dy[p * g.output_plane()..][..g.output_plane()];
            let mut columns = vec![0.0; g.x.input];
            for (i, dy) in plane.chunks_exact(g.x.output).enumerate() {
                columns.fill(0.0);
                for (j, dy) in dy.iter().enumerate() {
                    let share = dy / self.0.divisor(i, j);
                    for column in &mut columns[g.x.window(j)] {
                        *column += share;
                    }
                }
                for y in g.y.window(i) {
                    simd::add_assign(&mut dx[y * g.x.input..][..g.x.input], &columns);
                }
            }
        });
        Ok(dx)
    }
}

/// The mean of each plane: (n, c, h, w) to (n, c).
pub fn global_avg_pool(tape: &Tape, x: &Tensor) -> Result<Tensor> {
    const OP: &str = "global_avg_pool";
    let [n, c, h, w] = check::dims(OP, "the input", "(n, c, h, w)", x)?;
    if h * w == 0 {
        return Err(invalid(
            OP,
            format_args!("the planes of shape {:?} are empty", x.dims()),
        ));
    }
    let planes = Planes { n, c, h, w };
    let y = run1(&Mean(planes), x)?;
    if let Some(to_x) = tape.target(x) {
        tape.record(&y, move |grad, grads| {
            grads.give(to_x, run1(&Spread(planes), grad.tensor())?)
        });
    }
    Ok(y)
}

#[derive(Clone, Copy)]
struct Planes {
    n: usize,
    c: usize,
    h: usize,
    w: usize,
}

struct Mean(Planes);

impl Kernel<1> for Mean {
    const NAME: &'static str = "global_avg_pool";

    fn shape(&self) -> Shape {
        (self.0.n, self.0.c).into()
    }

    fn cpu(&self, [x]: [&[f32]; 1]) -> Result<Vec<f32>> {
        let plane = self.0.h * self.0.w;
        Ok(x.chunks_exact(plane)
            .map(|x| (sum(x) / plane as f64) as f32)
            .collect())
    }
}

struct Spread(Planes);

impl Kernel<1> for Spread {
    const NAME: &'static str = "global_avg_pool's gradient";

    fn shape(&self) -> Shape {
        (self.0.n, self.0.c, self.0.h, self.0.w).into()
    }

    fn cpu(&self, [dy]: [&[f32]; 1]) -> Result<Vec<f32>> {
        let plane = self.0.h * self.0.w;
        let mut dx = Vec::with_capacity(dy.len() * plane);
        for dy in dy {
            dx.resize(dx.len() + plane, dy / plane as f32);
        }
        Ok(dx)
    }
}
