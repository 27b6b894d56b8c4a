//! Batch norm, rectifier and max-pool in one: the stem of residual networks. The normalised maps, which are the largest of
//! such a network, are never written to memory, and neither is their gradient.

use std::cell::Cell;

use candle_core::{Result, Shape, Tensor};

use super::Affine;
use super::backward::{Backward, Sums, Targets};
use super::normalise::normalise;
use super::slopes::{self, Slopes};
use crate::activation::curves::Identity;
use crate::activation::{Activation, Gradient};
use crate::kernel::{Kernel, change1, cpu_only, run1, run2};
use crate::output::{uninit, uninit_chunks};
use crate::parallel::for_each;
use crate::pool::{Band, Geometry, Noted, Places, Pool2d};
use crate::scratch::with_scratch;
use crate::tape::Tape;

/// Rows of the output that are computed together, so that the rows which their windows share are normalised once.
const OUTPUT_ROWS: usize = 8;
/// Rows of the input whose gradients are computed together.
const INPUT_ROWS: usize = 8;

impl Backward {
    /// The result, with its backward pass on the tape.
    pub(super) fn pooled(
        self,
        tape: &Tape,
        x: &Tensor,
        affine: &Affine,
        pool: &Pool2d,
    ) -> Result<Tensor> {
        let geometry = Geometry::new("max_pool2d", x, pool)?;
        let targets = Targets::of(tape, x, affine);
        let needed = targets.any();
        let forward = Forward {
            backward: &self,
            geometry,
            places: Cell::new(needed.then(|| Places::of(&geometry))),
        };
        let y = run1(&forward, x)?;
        if let Some(places) = forward.places.take() {
            let (x, result) = (x.clone(), y.clone());
            tape.record(&y, move |grad, grads| {
                let dy = grad.into_owned_tensor()?;
                change1(&Gradient(Activation::Relu), &dy, &result)?;
                let sums = Products {
                    backward: &self,
                    geometry,
                    places: &places,
                    found: Cell::default(),
                };
                run2(&sums, &dy, &x)?;
                let sums = sums.found.take();
                self.give_affine(grads, &targets, &sums, x.device())?;
                let Some(to_x) = targets.x else {
                    return Ok(());
                };
                let gradient = InputGradient {
                    backward: &self,
                    geometry,
                    places: &places,
                    slopes: self.slopes(&sums),
                };
                grads.give(to_x, run2(&gradient, &dy, &x)?)
            });
        }
        Ok(y)
    }
}

struct Forward<'a> {
    backward: &'a Backward,
    geometry: Geometry,
    /// To be filled if they are asked for.
    places: Cell<Option<Places>>,
}

impl Kernel<1> for Forward<'_> {
    const NAME: &'static str = "batch norm and max_pool2d";

    fn shape(&self) -> Shape {
        self.geometry.output()
    }

    fn cpu(&self, [x]: [&[f32]; 1]) -> Result<Vec<f32>> {
        let (g, terms) = (&self.geometry, &self.backward.terms);
        let (input_row, output_row) = (g.input_row(), g.output_row());
        let blocks = g.y.output.div_ceil(OUTPUT_ROWS);
        let mut places = self.places.take();
        let noted = Noted::new(&mut places);
        // SAFETY: every row of the output is written whole, by the one block that it is part of.
        let out = unsafe {
            uninit(g.output().elem_count(), |out| {
                for_each(g.n * blocks, g.work(), |block| {
                    let (n, first) = (block / blocks, block % blocks * OUTPUT_ROWS);
                    let end = g.y.output.min(first + OUTPUT_ROWS);
                    let (top, bottom) = (g.y.window(first).start, g.y.window(end - 1).end);
                    let x = &x[(n * g.y.input + top) * input_row..][..(bottom - top) * input_row];
                    with_scratch(x.len(), |normal| {
                        normalise::<Identity>(normal, x, terms);
                        let band = Band {
                            geometry: g,
                            rows: normal,
                            first: top,
                            rectify: true,
                        };
                        for i in first..end {
                            let row = n * g.y.output + i;
                            let out = out.slice(row * output_row, output_row);
                            noted.pool_row(&band, i, out, row);
                        }
                    });
                });
            })
        };
        self.places.set(places);
        Ok(out)
    }

    cpu_only!(kernel of 1);
}

/// Sums of the gradient before the rectifier.
struct Products<'a> {
    backward: &'a Backward,
    geometry: Geometry,
    places: &'a Places,
    found: Cell<Sums>,
}

impl Kernel<2> for Products<'_> {
    const NAME: &'static str = "batch norm's and max_pool2d's gradient";

    fn shape(&self) -> Shape {
        0.into()
    }

    fn cpu(&self, [dy, x]: [&[f32]; 2]) -> Result<Vec<f32>> {
        let (g, places) = (&self.geometry, self.places);
        let Backward { size, terms, .. } = self.backward;
        let (row_len, rows) = (g.input_row(), g.n * g.y.input);
        let sums = size.rows().sums(rows.div_ceil(INPUT_ROWS), |sums, piece| {
            let first = piece * INPUT_ROWS;
            let count = INPUT_ROWS.min(rows - first);
            with_scratch(count * row_len, |gradient| {
                for (row, gradient) in gradient.chunks_exact_mut(row_len.max(1)).enumerate() {
                    places.collect_row(g, dy, first + row, gradient);
                }
                let x = &x[first * row_len..][..gradient.len()];
                slopes::add_products::<Identity>(sums, gradient, x, terms);
            });
        });
        self.found.set(sums);
        Ok(Vec::new())
    }

    cpu_only!(kernel of 2);
}

struct InputGradient<'a> {
    backward: &'a Backward,
    geometry: Geometry,
    places: &'a Places,
    slopes: Slopes,
}

impl Kernel<2> for InputGradient<'_> {
    const NAME: &'static str = "batch norm's and max_pool2d's gradient";

    fn shape(&self) -> Shape {
        self.backward.size.shape()
    }

    fn cpu(&self, [dy, x]: [&[f32]; 2]) -> Result<Vec<f32>> {
        let (g, places, slopes) = (&self.geometry, self.places, &self.slopes);
        let terms = &self.backward.terms;
        let (row_len, piece) = (g.input_row(), INPUT_ROWS * g.input_row());
        // SAFETY: `collect_row` writes each row of the piece, which has whole rows.
        Ok(unsafe {
            uninit_chunks(x.len(), piece, g.work() + x.len(), |i, dx| {
                for (row, dx) in dx.chunks_exact_mut(row_len.max(1)).enumerate() {
                    places.collect_row(g, dy, i * INPUT_ROWS + row, dx);
                }
                let x = &x[i * piece..][..dx.len()];
                slopes::input_gradient_in_place::<Identity>(dx, x, terms, slopes);
            })
        })
    }

    cpu_only!(kernel of 2);
}
