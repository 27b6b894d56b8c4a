//! Fully connected layers.

use candle_core::{Result, Shape, Tensor};

use crate::check;
use crate::gemm::{Into, Mat, gemm, gemm_raw};
use crate::kernel::{Kernel, run1, run2, run3};
use crate::parallel::{SharedMut, for_each, for_each_chunk};
use crate::simd;
use crate::tape::Tape;

/// The number of output features, or columns of a gradient, that one piece of work computes.
const TILE: usize = 256;

/// `x · weightᵀ + bias` as `torch.nn.functional.linear`: x is (n, i), weight (o, i), bias (o), the result (n, o).
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
            if let (Some(id), Some(x)) = (to_weight, &x) {
                grads.give(id, run2(&WeightGrad(sizes), x, grad.tensor())?)?;
            }
            if let Some(id) = to_bias {
                grads.give(id, run1(&BiasGrad(sizes), grad.tensor())?)?;
            }
            if let (Some(id), Some(weight)) = (to_x, &weight) {
                grads.give(id, run2(&InputGrad(sizes), grad.tensor(), weight)?)?;
            }
            Ok(())
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

    fn forward(&self, x: &[f32], weight: &[f32], bias: Option<&[f32]>) -> Vec<f32> {
        let &Self { n, i, o } = self;
        let mut y = vec![0.0; n * o];
        if let Some(bias) = bias {
            for row in y.chunks_exact_mut(o.max(1)) {
                row.copy_from_slice(bias);
            }
        }
        if i == 0 {
            return y;
        }
        let out = SharedMut::new(&mut y);
        for_each(o.div_ceil(TILE), self.work(), |tile| {
            let first = tile * TILE;
            let cols = TILE.min(o - first);
            if n == 0 {
                return;
            }
            let start = out.pointer(first, (n - 1) * o + cols);
            let w = Mat::rows(&weight[first * i..], cols, i, i).t();
            // SAFETY: the tile's columns of all rows lie in y, and no other tile touches them.
            unsafe { gemm_raw(start, o, Into::Add, Mat::rows(x, n, i, i), w) };
        });
        y
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
        let mut dx = vec![0.0; n * i];
        if n * i * o == 0 {
            return Ok(dx);
        }
        let out = SharedMut::new(&mut dx);
        for_each(i.div_ceil(TILE), self.0.work(), |tile| {
            let first = tile * TILE;
            let cols = TILE.min(i - first);
            let start = out.pointer(first, (n - 1) * i + cols);
            let w = Mat::rows(&weight[first..], o, cols, i);
            // SAFETY: the tile's columns of all rows lie in dx, and no other tile touches them.
            unsafe { gemm_raw(start, i, Into::Replace, Mat::rows(dy, n, o, o), w) };
        });
        Ok(dx)
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
        let mut dw = vec![0.0; o * i];
        if n * i * o == 0 {
            return Ok(dw);
        }
        for_each_chunk(&mut dw, TILE * i, self.0.work(), |tile, out| {
            let rows = out.len() / i;
            let dy = Mat::rows(&dy[tile * TILE..], n, rows, o).t();
            gemm(out, i, Into::Replace, dy, Mat::rows(x, n, i, i));
        });
        Ok(dw)
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
