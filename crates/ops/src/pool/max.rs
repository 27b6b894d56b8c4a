//! Maxima over windows.

use std::cell::Cell;

use candle_core::{Result, Shape, Tensor};

use super::{Geometry, Pool2d};
use crate::kernel::{Kernel, run1};
use crate::parallel::{SharedMut, for_each, for_each_chunk};
use crate::simd::vectorized;
use crate::tape::Tape;

/// The maximum of each window of x, (n, c, h, w), as `torch.nn.functional.max_pool2d`. The gradient goes to the first
/// maximum of a window in row-major order; a window with a NaN gives NaN.
pub fn max_pool2d(tape: &Tape, x: &Tensor, pool: &Pool2d) -> Result<Tensor> {
    let geometry = Geometry::new("max_pool2d", x, pool)?;
    let to_x = tape.target(x);
    let forward = Forward {
        geometry,
        with_places: to_x.is_some(),
        places: Cell::default(),
    };
    let y = run1(&forward, x)?;
    if let Some(id) = to_x {
        let places = forward.places.take();
        tape.record(&y, move |grad, grads| {
            grads.give(id, run1(&Backward { geometry, places }, grad.tensor())?)
        });
    }
    Ok(y)
}

struct Forward {
    geometry: Geometry,
    with_places: bool,
    /// Where in its plane each window's maximum is.
    places: Cell<Vec<u32>>,
}

impl Kernel<1> for Forward {
    const NAME: &'static str = "max_pool2d";

    fn shape(&self) -> Shape {
        self.geometry.output()
    }

    fn cpu(&self, [x]: [&[f32]; 1]) -> Result<Vec<f32>> {
        let g = &self.geometry;
        let (inputs, outputs) = (g.input_plane(), g.output_plane());
        let (len, with_places) = (self.shape().elem_count(), self.with_places);
        let mut out = vec![0.0; len];
        let mut places = vec![0; if with_places { len } else { 0 }];
        let (shared_out, shared_places) = (SharedMut::new(&mut out), SharedMut::new(&mut places));
        for_each(g.n * g.c, g.work(), |p| {
            let plane = &x[p * inputs..][..inputs];
            // SAFETY: planes are disjoint and each is visited once.
            let out = unsafe { shared_out.slice(p * outputs, outputs) };
            let places = if with_places {
                // SAFETY: as above.
                unsafe { shared_places.slice(p * outputs, outputs) }
            } else {
                &mut []
            };
            pool_plane(g, plane, out, places);
        });
        self.places.set(places);
        Ok(out)
    }
}

/// First the maxima of each column over the window's rows, which vectorises, then those along the row.
fn pool_plane(g: &Geometry, plane: &[f32], out: &mut [f32], places: &mut [u32]) {
    let width = g.x.input;
    let mut columns = vec![0.0; width];
    let mut rows = vec![0; width];
    for i in 0..g.y.output {
        let window = g.y.window(i);
        columns.copy_from_slice(&plane[window.start * width..][..width]);
        rows.fill((window.start * width) as u32);
        for y in window.skip(1) {
            let row = &plane[y * width..][..width];
            raise(&mut columns, &mut rows, row, (y * width) as u32);
        }
        for j in 0..g.x.output {
            let window = g.x.window(j);
            let mut best = columns[window.start];
            let mut place = rows[window.start] + window.start as u32;
            for x in window.skip(1) {
                let (value, at) = (columns[x], rows[x] + x as u32);
                if value > best || value.is_nan() || (value == best && at < place) {
                    (best, place) = (value, at);
                }
            }
            out[i * g.x.output + j] = best;
            if let Some(slot) = places.get_mut(i * g.x.output + j) {
                *slot = place;
            }
        }
    }
}

vectorized! {
    /// Takes over what is larger, or not a number, in `row`, and notes the row's first place.
    fn raise(columns: &mut [f32], rows: &mut [u32], row: &[f32], start: u32) {
        for ((column, place), &value) in columns.iter_mut().zip(rows).zip(row) {
            let better = (value > *column) | (value.is_nan() & !column.is_nan());
            *place = if better { start } else { *place };
            *column = if better { value } else { *column };
        }
    }
}

struct Backward {
    geometry: Geometry,
    places: Vec<u32>,
}

impl Kernel<1> for Backward {
    const NAME: &'static str = "max_pool2d's gradient";

    fn shape(&self) -> Shape {
        self.geometry.input()
    }

    fn cpu(&self, [dy]: [&[f32]; 1]) -> Result<Vec<f32>> {
        let g = &self.geometry;
        let (inputs, outputs) = (g.input_plane(), g.output_plane());
        let mut dx = vec![0.0; self.shape().elem_count()];
        for_each_chunk(&mut dx, inputs, dy.len() + g.n * g.c * inputs, |p, dx| {
            let range = p * outputs..(p + 1) * outputs;
            for (&place, &dy) in self.places[range.clone()].iter().zip(&dy[range]) {
                dx[place as usize] += dy;
            }
        });
        Ok(dx)
    }
}
