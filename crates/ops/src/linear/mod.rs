//! Fully connected layers.

mod outer;
mod product;

use candle_core::{Result, Shape, Tensor};

use crate::check;
use crate::gemm::{Into, Mat, gemm};
use crate::kernel::{Kernel, run1, run2, run3};
use crate::output::{uninit, uninit_chunks};
use crate::parallel::for_each;
use crate::scratch::with_scratch;
use crate::simd;
use crate::tape::Tape;
pub(crate) use outer::Outer;
use product::{Columns, Rows, STRETCH};

/// The number of output features that one piece of work computes.
const FEATURES: usize = 16;
/// Rows of the weight's gradient in one piece of work where it is written out.
const GRADIENT_ROWS: usize = 256;

/// `x · weightᵀ + bias` as `torch.nn.functional.linear`: x is (n, i), weight (o, i), bias (o), the result (n, o).
/// A row of the result does not depend on the others, nor on how many there are.
pub fn linear(tape: &Tape, x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    let [n, i] = check::dims("linear", "the input", "(n, i)", x)?;
    let [o, _] = check::dims("linear", "the weight", "(o, i)", weight)?;
    check::shape("linear", "the weight", &[o, i], weight)?;
    let sizes = Sizes { n, i, o };
    let y = if let Some(bias) = bias {
        check::shape("linear", "the bias", &[o], bias)?;
        run3(&Forward(sizes), x, weight, bias)?
    } else {
        run2(&Forward(sizes), x, weight)?
    };
    let (to_x, to_weight) = (tape.target(x), tape.target(weight));
    let to_bias = bias.and_then(|bias| tape.target(bias));
    if to_x.is_some() || to_weight.is_some() || to_bias.is_some() {
        let x = to_weight.map(|_| x.clone());
        let weight = to_x.map(|_| weight.clone());
        tape.record(&y, move |grad, grads| {
            let dy = grad.tensor();
            if let Some(id) = to_bias {
                grads.give(id, run1(&BiasGrad(sizes), dy)?)?;
            }
            if let (Some(id), Some(weight)) = (to_x, &weight) {
                grads.give(id, run2(&InputGrad(sizes), dy, weight)?)?;
            }
            match (to_weight, &x) {
                (Some(id), Some(x)) if sizes.gradient_is_thin() => {
                    grads.give_outer(id, Outer::new(dy.contiguous()?, x.detach().contiguous()?))
                }
                (Some(id), Some(x)) => grads.give(id, run2(&WeightGrad(sizes), x, dy)?),
                _ => Ok(()),
            }
        });
    }
    Ok(y)
}

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
}

struct Forward(Sizes);

impl Kernel<2> for Forward {
    const NAME: &'static str = "linear";

    fn shape(&self) -> Shape {
        (self.0.n, self.0.o).into()
    }

    fn cpu(&self, [x, weight]: [&[f32]; 2]) -> Result<Vec<f32>> {
        Ok(self.0.forward(x, weight, None))
    }
}

impl Kernel<3> for Forward {
    const NAME: &'static str = "linear";

    fn shape(&self) -> Shape {
        (self.0.n, self.0.o).into()
    }

    fn cpu(&self, [x, weight, bias]: [&[f32]; 3]) -> Result<Vec<f32>> {
        Ok(self.0.forward(x, weight, Some(bias)))
    }
}

struct InputGrad(Sizes);

impl Kernel<2> for InputGrad {
    const NAME: &'static str = "linear's input gradient";

    fn shape(&self) -> Shape {
        (self.0.n, self.0.i).into()
    }

    fn cpu(&self, [dy, weight]: [&[f32]; 2]) -> Result<Vec<f32>> {
        let Sizes { n, i, o } = self.0;
        if n * i * o == 0 {
            return Ok(vec![0.0; n * i]);
        }
        // SAFETY: every column of every row is written by the one stretch that it lies in, and no other touches it.
        Ok(unsafe {
            uninit(n * i, |dx| {
                for_each(i.div_ceil(STRETCH), self.0.work(), |piece| {
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
        })
    }
}

struct WeightGrad(Sizes);

impl Kernel<2> for WeightGrad {
    const NAME: &'static str = "linear's weight gradient";

    fn shape(&self) -> Shape {
        (self.0.o, self.0.i).into()
    }

    fn cpu(&self, [x, dy]: [&[f32]; 2]) -> Result<Vec<f32>> {
        let Sizes { n, i, o } = self.0;
        if n * i * o == 0 {
            return Ok(vec![0.0; o * i]);
        }
        // SAFETY: the product replaces all of the chunk.
        Ok(unsafe {
            uninit_chunks(o * i, GRADIENT_ROWS * i, self.0.work(), |piece, out| {
                let rows = out.len() / i;
                let dy = Mat::rows(&dy[piece * GRADIENT_ROWS..], n, rows, o).t();
                gemm(out, i, Into::Replace, dy, Mat::rows(x, n, i, i));
            })
        })
    }
}

struct BiasGrad(Sizes);

impl Kernel<1> for BiasGrad {
    const NAME: &'static str = "linear's bias gradient";

    fn shape(&self) -> Shape {
        self.0.o.into()
    }

    fn cpu(&self, [dy]: [&[f32]; 1]) -> Result<Vec<f32>> {
        let mut db = vec![0.0; self.0.o];
        for row in dy.chunks_exact(self.0.o.max(1)) {
            simd::add_assign(&mut db, row);
        }
        Ok(db)
    }
}
