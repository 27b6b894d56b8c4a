//! From the input to the result.

use std::cell::Cell;

use candle_core::{Result, Shape, Tensor};

use super::normalise;
use super::rows::Terms;
use super::{After, Channel, Size};
use crate::activation::Activation;
use crate::activation::curves::with_curve;
use crate::kernel::{InPlace, Kernel, change0, change1, cpu_only, run1, run2};
use crate::output::uninit_chunks;
use crate::parallel::for_each_chunk;

/// Mean and variance of each channel of x.
pub(super) fn statistics(x: &Tensor, size: &Size, eps: f64) -> Result<Vec<Channel>> {
    let kernel = Statistics {
        size: *size,
        eps,
        found: Cell::default(),
    };
    run1(&kernel, x)?;
    Ok(kernel.found.take())
}

struct Statistics {
    size: Size,
    eps: f64,
    found: Cell<Vec<Channel>>,
}

impl Kernel<1> for Statistics {
    const NAME: &'static str = "batch_norm_train";

    fn shape(&self) -> Shape {
        0.into()
    }

    /// From sums of differences to each channel's first value: the usual one-pass formula, but for data that is already
    /// near its mean, where it loses nothing.
    fn cpu(&self, [x]: [&[f32]; 1]) -> Result<Vec<f32>> {
        let rows = self.size.rows();
        let around = rows.row(|c| x[c]);
        let sums = rows.sums(rows.pieces(), |sums, piece| {
            let (start, len) = rows.piece(piece);
            normalise::add_squares(sums, &x[start..][..len], &around);
        });
        let n = self.size.count() as f64;
        let channel = |(c, (sum, squares)): (usize, (f64, f64))| {
            let offset = sum / n;
            let var = (squares / n - offset * offset).max(0.0);
            // `max` would hide a NaN, which has to reach the loss.
            let var = if squares.is_finite() { var } else { f64::NAN };
            Channel::new(f64::from(around[c]) + offset, var, self.eps)
        };
        self.found
            .set(sums.into_iter().enumerate().map(channel).collect());
        Ok(Vec::new())
    }

    cpu_only!(kernel of 1);
}

/// The normalised x and what follows.
pub(super) fn normalised(x: &Tensor, size: &Size, terms: &Terms, after: After) -> Result<Tensor> {
    let kernel = |activation| Normalise {
        size: *size,
        terms,
        activation,
    };
    match after {
        After::Activation(activation) => run1(&kernel(activation), x),
        After::AddRelu(other) => run2(&kernel(None), x, other),
    }
}

/// As [`normalised`], but in the memory of x.
pub(super) fn normalise_in_place(
    x: &Tensor,
    size: &Size,
    terms: &Terms,
    after: After,
) -> Result<()> {
    let kernel = |activation| Normalise {
        size: *size,
        terms,
        activation,
    };
    match after {
        After::Activation(activation) => change0(&kernel(activation), x),
        After::AddRelu(other) => change1(&kernel(None), x, other),
    }
}

struct Normalise<'a> {
    size: Size,
    terms: &'a Terms,
    /// Of what is normalised; where something is added to that, the rectifier follows.
    activation: Option<Activation>,
}

impl Kernel<1> for Normalise<'_> {
    const NAME: &'static str = "batch norm";

    fn shape(&self) -> Shape {
        self.size.shape()
    }

    fn cpu(&self, [x]: [&[f32]; 1]) -> Result<Vec<f32>> {
        let piece = self.size.rows().piece;
        // SAFETY: `normalise` writes all of the chunk.
        Ok(unsafe {
            uninit_chunks(x.len(), piece, x.len(), |i, y| {
                let x = &x[i * piece..][..y.len()];
                with_curve!(self.activation, C => normalise::normalise::<C>(y, x, self.terms));
            })
        })
    }

    cpu_only!(kernel of 1);
}

impl Kernel<2> for Normalise<'_> {
    const NAME: &'static str = "batch norm";

    fn shape(&self) -> Shape {
        self.size.shape()
    }

    fn cpu(&self, [x, other]: [&[f32]; 2]) -> Result<Vec<f32>> {
        let piece = self.size.rows().piece;
        // SAFETY: `normalise_and_add` writes all of the chunk.
        Ok(unsafe {
            uninit_chunks(x.len(), piece, x.len(), |i, y| {
                let (x, other) = (&x[i * piece..][..y.len()], &other[i * piece..][..y.len()]);
                normalise::normalise_and_add(y, x, other, self.terms);
            })
        })
    }

    cpu_only!(kernel of 2);
}

impl InPlace<0> for Normalise<'_> {
    const NAME: &'static str = "batch norm";

    fn cpu(&self, x: &mut [f32], []: [&[f32]; 0]) -> Result<()> {
        let work = x.len();
        for_each_chunk(x, self.size.rows().piece, work, |_, x| {
            with_curve!(self.activation, C => normalise::normalise_in_place::<C>(x, self.terms));
        });
        Ok(())
    }

    cpu_only!(in place of 0);
}

impl InPlace<1> for Normalise<'_> {
    const NAME: &'static str = "batch norm";

    fn cpu(&self, x: &mut [f32], [other]: [&[f32]; 1]) -> Result<()> {
        let (piece, work) = (self.size.rows().piece, x.len());
        for_each_chunk(x, piece, work, |i, x| {
            normalise::normalise_and_add_in_place(x, &other[i * piece..][..x.len()], self.terms);
        });
        Ok(())
    }

    cpu_only!(in place of 1);
}
