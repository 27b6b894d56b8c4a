//! Fully connected layers.

mod outer;
mod product;
mod transposed;

use candle_core::{Result, Shape, Tensor};

use crate::check;
use crate::layer::{self, Layer};
use crate::output::{uninit, uninit_chunks};
use crate::parallel::for_each;
use crate::scratch::with_scratch;
use crate::simd;
use crate::tape::{Grad, Tape};
pub(crate) use outer::Outer;
use product::{Columns, Rows, STRETCH};
use transposed::{ROWS, transposed_product};

/// The number of output features that one piece of work computes.
const FEATURES: usize = 16;

/// `x · weightᵀ + bias` as `torch.nn.functional.linear`: x is (n, i), weight (o, i), bias (o), the result (n, o).
/// A row of the result does not depend on the others, nor on how many there are.
pub fn linear(tape: &Tape, x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    let [n, i] = check::dims("linear", "the input", "(n, i)", x)?;
    let [o, _] = check::dims("linear", "the weight", "(o, i)", weight)?;
    check::shape("linear", "the weight", &[o, i], weight)?;
    #[cfg(feature = "cuda")]
    if crate::cuda::has(x) {
        if let Some(bias) = bias {
            check::shape("linear", "the bias", &[o], bias)?;
        }
        let sizes = crate::cuda::linear::Sizes { n, i, o };
        return crate::cuda::linear::linear(tape, x, weight, bias, sizes);
    }
    layer::apply(tape, Sizes { n, i, o }, x, weight, bias)
}

/// The sizes of a layer: rows, inputs and outputs.
#[derive(Clone, Copy)]
struct Sizes {
    n: usize,
    i: usize,
    o: usize,
}

impl Sizes {
    fn work(&self) -> usize {
        self.n * self.i * self.o
    }

    /// Whether the weight's gradient takes much less memory as its factors.
    fn gradient_is_thin(&self) -> bool {
        let &Self { n, i, o } = self;
        0 < n && n <= outer::MOST_ROWS && 4 * n * (i + o) <= i * o
    }
}

impl Layer for Sizes {
    const NAME: &'static str = "linear";
    const GRADIENT: &'static str = "linear's gradient";

    fn input(&self) -> Shape {
        (self.n, self.i).into()
    }

    fn weight(&self) -> Shape {
        (self.o, self.i).into()
    }

    fn output(&self) -> Shape {
        (self.n, self.o).into()
    }

    fn outputs(&self) -> usize {
        self.o
    }

    fn forward(&self, x: &[f32], weight: &[f32], bias: Option<&[f32]>) -> Vec<f32> {
        let &Self { n, i, o } = self;
        let bias_of = |feature: usize| bias.map_or(0.0, |bias| bias[feature]);
        if n == 0 || i == 0 {
            return (0..n * o).map(|at| bias_of(at % o)).collect();
        }
        // SAFETY: every feature of every row is written once.
        unsafe {
            uninit(n * o, |y| {
                for_each(o.div_ceil(FEATURES), self.work(), |piece| {
                    let first = piece * FEATURES;
                    let rows = FEATURES.min(o - first);
                    let weight = &weight[first * i..][..rows * i];
                    let product = Rows { weight, x, len: i };
                    with_scratch(Rows::scratch(rows, n), |scratch| {
                        product.dots(scratch, |row, n, sum| {
                            let place = y.pointer(n * o + first + row, 1);
                            place.write(sum + bias_of(first + row));
                        });
                    });
                });
            })
        }
    }

    fn input_gradient(&self, dy: &[f32], weight: &[f32]) -> Vec<f32> {
        let &Self { n, i, o } = self;
        if self.work() == 0 {
            return vec![0.0; n * i];
        }
        // SAFETY: every column of every row is written by the one stretch that it lies in, and no other touches it.
        unsafe {
            uninit(n * i, |dx| {
                for_each(i.div_ceil(STRETCH), self.work(), |piece| {
                    let first = piece * STRETCH;
                    let width = STRETCH.min(i - first);
                    product::combine(&Columns {
                        weight: weight[first..].as_ptr(),
                        dy,
                        dx: dx.pointer(first, (n - 1) * i + width),
                        n,
                        rows: o,
                        len: i,
                        width,
                    });
                });
            })
        }
    }

    fn weight_gradient(&self, x: &[f32], dy: &[f32]) -> Vec<f32> {
        let &Self { i, o, .. } = self;
        if self.work() == 0 {
            return vec![0.0; o * i];
        }
        // SAFETY: `transposed_product` writes all of the chunk, which has whole rows.
        unsafe {
            uninit_chunks(o * i, ROWS * i, self.work(), |chunk, out| {
                transposed_product(*self, &dy[chunk * ROWS..], x, out);
            })
        }
    }

    fn bias_gradient(&self, dy: &[f32]) -> Vec<f32> {
        let mut db = vec![0.0; self.o];
        for row in dy.chunks_exact(self.o.max(1)) {
            simd::add_assign(&mut db, row);
        }
        db
    }

    fn weight_grad(&self, x: &Tensor, dy: &Tensor) -> Result<Grad> {
        if self.gradient_is_thin() {
            let outer = Outer::new(dy.contiguous()?, x.detach().contiguous()?);
            return Ok(Grad::product(outer));
        }
        layer::weight_grad(self, x, dy)
    }
}
