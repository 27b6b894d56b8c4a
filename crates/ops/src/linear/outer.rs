//! The gradient of a linear layer's weight as what it is: the sum of the outer products of two small matrices' rows.
//!
//! For a small batch writing that sum out takes longer than computing it, so it is kept as its factors until somebody wants
//! to see it, and the optimizer adds it to the weight without ever writing it.

use candle_core::{Result, Shape, Tensor, Var};

use super::Sizes;
use crate::kernel::{InPlace, Kernel, change2, cpu_only, run2};
use crate::lanes::{Lanes, for_processor};
use crate::output::uninit_chunks;
use crate::parallel::{SharedMut, for_each};
use crate::sgd::{Factors, with_velocity};

/// More rows than this are better multiplied out by a matrix product.
pub(crate) const MOST_ROWS: usize = 32;
/// Rows of the sum in one piece of work.
const ROWS: usize = 16;
/// Rows that are computed together.
const TOGETHER: usize = 4;
/// Columns that are worked through at a time, so that their part of x stays near.
const BLOCK: usize = 4096;

/// `Σ dy[n] ⊗ x[n]`, (o, i), of dy, (n, o), and x, (n, i).
#[derive(Clone, Debug)]
pub(crate) struct Outer {
    dy: Tensor,
    x: Tensor,
}

impl Outer {
    pub(crate) fn new(dy: Tensor, x: Tensor) -> Self {
        Self { dy, x }
    }

    fn sizes(&self) -> Result<Sizes> {
        let ((n, o), (_, i)) = (self.dy.dims2()?, self.x.dims2()?);
        Ok(Sizes { n, i, o })
    }

    pub(crate) fn shape(&self) -> Result<[usize; 2]> {
        let Sizes { o, i, .. } = self.sizes()?;
        Ok([o, i])
    }

    /// The sum, written out.
    pub(crate) fn dense(&self) -> Result<Tensor> {
        run2(&Sum(self.sizes()?), &self.dy, &self.x)
    }

    /// One step of stochastic gradient descent along the sum.
    pub(crate) fn descend(&self, param: &Var, velocity: &Var, factors: Factors) -> Result<()> {
        let step = Descent {
            sizes: self.sizes()?,
            velocity,
            factors,
        };
        change2(&step, param, &self.dy, &self.x)
    }
}

struct Sum(Sizes);

impl Kernel<2> for Sum {
    const NAME: &'static str = "linear's gradient";

    fn shape(&self) -> Shape {
        (self.0.o, self.0.i).into()
    }

    fn cpu(&self, [dy, x]: [&[f32]; 2]) -> Result<Vec<f32>> {
        let Sizes { o, i, .. } = self.0;
        // SAFETY: `write` writes all of the chunk, as it has whole rows.
        Ok(unsafe {
            uninit_chunks(o * i, ROWS * i, self.0.work(), |piece, out| {
                let piece = Piece {
                    dy,
                    x,
                    sizes: self.0,
                    first: piece * ROWS,
                    rows: out.len() / i,
                };
                write(&piece, out.as_mut_ptr());
            })
        })
    }

    cpu_only!(kernel of 2);
}

/// Some rows of the sum.
#[derive(Clone, Copy)]
struct Piece<'a> {
    dy: &'a [f32],
    x: &'a [f32],
    sizes: Sizes,
    first: usize,
    rows: usize,
}

impl Piece<'_> {
    /// `LEN` columns from `at` on, or as many as there are, of `R` rows of the piece from `row` on.
    #[inline(always)]
    unsafe fn columns<L: Lanes, const R: usize>(&self, row: usize, at: usize) -> [L; R] {
        let Sizes { n, o, i } = self.sizes;
        // SAFETY: the caller answers for rows and columns.
        unsafe {
            let mut sums = [L::zero(); R];
            let dy = self.dy.as_ptr().add(self.first + row);
            for j in 0..n {
                let x = L::load_up_to(self.x.as_ptr().add(j * i + at), i - at);
                for (r, sum) in sums.iter_mut().enumerate() {
                    *sum = x.mul_add(L::splat(*dy.add(j * o + r)), *sum);
                }
            }
            sums
        }
    }

    /// Shows `sink` every vector of every row.
    ///
    /// # Safety
    /// The processor must have the lanes, and the sink may be shown them.
    #[inline(always)]
    unsafe fn show<L: Lanes>(&self, sink: &impl Sink) {
        let len = self.sizes.i;
        for start in (0..len).step_by(BLOCK) {
            let end = len.min(start + BLOCK);
            let mut row = 0;
            while row < self.rows {
                let together = if self.rows - row < TOGETHER {
                    1
                } else {
                    TOGETHER
                };
                for at in (start..end).step_by(L::LEN) {
                    // SAFETY: the rows and columns are there.
                    unsafe {
                        if together == TOGETHER {
                            let sums = self.columns::<L, TOGETHER>(row, at);
                            for (r, sum) in sums.into_iter().enumerate() {
                                sink.take((row + r) * len + at, sum, len - at);
                            }
                        } else {
                            let [sum] = self.columns::<L, 1>(row, at);
                            sink.take(row * len + at, sum, len - at);
                        }
                    }
                }
                row += together;
            }
        }
    }
}

/// What becomes of the sum. (A closure would not be compiled for the processor's vectors.)
trait Sink {
    /// Takes the values at `place` of the piece: all lanes, or the first `left` of them if that is fewer.
    unsafe fn take<L: Lanes>(&self, place: usize, values: L, left: usize);
}

/// Writes the sum.
struct Write(*mut f32);

impl Sink for Write {
    #[inline(always)]
    unsafe fn take<L: Lanes>(&self, place: usize, values: L, left: usize) {
        // SAFETY: the caller answers for the place.
        unsafe { values.store_up_to(self.0.add(place), left) }
    }
}

for_processor! {
    unsafe fn write(piece: &Piece, out: *mut f32) = write_with
}

#[inline(always)]
unsafe fn write_with<L: Lanes>(piece: &Piece, out: *mut f32) {
    // SAFETY: the caller answers for the place behind `out`.
    unsafe { piece.show::<L>(&Write(out)) }
}

struct Descent<'a> {
    sizes: Sizes,
    velocity: &'a Var,
    factors: Factors,
}

impl InPlace<2> for Descent<'_> {
    const NAME: &'static str = "sgd_step";

    fn cpu(&self, param: &mut [f32], [dy, x]: [&[f32]; 2]) -> Result<()> {
        let (sizes, factors) = (self.sizes, self.factors);
        let Sizes { n, o, i } = sizes;
        with_velocity(self.velocity, param, |param, velocity| {
            let (param, velocity) = (SharedMut::new(param), SharedMut::new(velocity));
            for_each(o.div_ceil(ROWS), (n + 4) * o * i, |index| {
                let first = index * ROWS;
                let rows = ROWS.min(o - first);
                let piece = Piece {
                    dy,
                    x,
                    sizes,
                    first,
                    rows,
                };
                let (start, len) = (first * i, rows * i);
                let to = Descend {
                    param: param.pointer(start, len),
                    velocity: velocity.pointer(start, len),
                    factors,
                };
                // SAFETY: the rows of different pieces are disjoint and each is visited once.
                unsafe { descend(&piece, &to) };
            });
        })
    }

    cpu_only!(in place of 2);
}

/// Goes along the sum.
struct Descend {
    param: *mut f32,
    velocity: *mut f32,
    factors: Factors,
}

impl Sink for Descend {
    #[inline(always)]
    unsafe fn take<L: Lanes>(&self, place: usize, gradient: L, left: usize) {
        let Factors {
            lr,
            momentum,
            weight_decay,
            ..
        } = self.factors;
        // SAFETY: the caller answers for the place. It is rounded as where the gradient is a tensor.
        unsafe {
            let (param, velocity) = (self.param.add(place), self.velocity.add(place));
            let (p, v) = (L::load_up_to(param, left), L::load_up_to(velocity, left));
            let decayed = gradient.add(L::splat(weight_decay).mul(p));
            let v = L::splat(momentum).mul(v).add(decayed);
            v.store_up_to(velocity, left);
            p.sub(L::splat(lr).mul(v)).store_up_to(param, left);
        }
    }
}

for_processor! {
    unsafe fn descend(piece: &Piece, descend: &Descend) = descend_with
}

#[inline(always)]
unsafe fn descend_with<L: Lanes>(piece: &Piece, descend: &Descend) {
    // SAFETY: the caller answers for the places.
    unsafe { piece.show::<L>(descend) }
}
