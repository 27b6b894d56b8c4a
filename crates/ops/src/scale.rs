//! Maps times one number per picture and channel.

use candle_core::{Result, Shape, Tensor};

use crate::check;
#[cfg(feature = "cuda")]
use crate::cuda::{Array, Gpu, pool};
use crate::kernel::{InPlace, Kernel, change1, run2};
use crate::output::uninit;
use crate::parallel::{SharedMut, for_each, for_each_chunk};
use crate::simd::vectorized;
use crate::tape::Tape;

/// x, (n, h, w, c), times `gate`, (n, c): each picture's channels are multiplied by its own numbers, as behind a
/// squeeze-and-excitation block (Hu et al. 2018). In `torch`: `x * gate[:, :, None, None]`.
pub fn scale_channels(tape: &Tape, x: &Tensor, gate: &Tensor) -> Result<Tensor> {
    const OP: &str = "scale_channels";
    let [n, h, w, c] = check::dims(OP, "the input", "(n, h, w, c)", x)?;
    check::shape(OP, "the gate", &[n, c], gate)?;
    let maps = Maps { n, h, w, c };
    let y = run2(&Scale(maps), x, gate)?;
    let (to_x, to_gate) = (tape.target(x), tape.target(gate));
    if to_x.is_some() || to_gate.is_some() {
        let x = to_gate.map(|_| x.clone());
        let gate = to_x.map(|_| gate.clone());
        tape.record(&y, move |grad, grads| {
            if let (Some(id), Some(x)) = (to_gate, &x) {
                grads.give(id, run2(&GateGradient(maps), x, grad.tensor())?)?;
            }
            if let (Some(id), Some(gate)) = (to_x, &gate) {
                let dx = grad.into_owned_tensor()?;
                change1(&Scale(maps), &dx, gate)?;
                grads.give(id, dx)?;
            }
            Ok(())
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

/// Some pixels of one picture, in one piece of work.
struct Piece {
    picture: usize,
    start: usize,
    len: usize,
}

impl Maps {
    /// Floats of a piece of work, about.
    const PIECE: usize = 1 << 14;

    fn len(&self) -> usize {
        self.n * self.picture()
    }

    /// Floats of a picture.
    fn picture(&self) -> usize {
        self.h * self.w * self.c
    }

    /// Floats of a piece: whole pixels.
    fn piece_len(&self) -> usize {
        (Self::PIECE / self.c.max(1)).max(1) * self.c
    }

    /// Pieces of a picture.
    fn pieces(&self) -> usize {
        self.picture().div_ceil(self.piece_len().max(1))
    }

    /// The `i`-th piece of all pictures.
    fn piece(&self, i: usize) -> Piece {
        let (picture, first) = (i / self.pieces(), i % self.pieces() * self.piece_len());
        Piece {
            picture,
            start: picture * self.picture() + first,
            len: self.piece_len().min(self.picture() - first),
        }
    }

    /// The numbers of one picture.
    fn of<'a>(&self, gate: &'a [f32], picture: usize) -> &'a [f32] {
        &gate[picture * self.c..][..self.c]
    }
}

#[cfg(feature = "cuda")]
impl From<Maps> for pool::Maps {
    fn from(Maps { n, h, w, c }: Maps) -> Self {
        Self { n, h, w, c }
    }
}

struct Scale(Maps);

impl Kernel<2> for Scale {
    const NAME: &'static str = "scale_channels";

    fn shape(&self) -> Shape {
        (self.0.n, self.0.h, self.0.w, self.0.c).into()
    }

    fn cpu(&self, [x, gate]: [&[f32]; 2]) -> Result<Vec<f32>> {
        let maps = self.0;
        // SAFETY: the pieces are disjoint and cover everything, and `scale` writes all of its piece.
        Ok(unsafe {
            uninit(maps.len(), |y| {
                for_each(maps.n * maps.pieces(), maps.len(), |i| {
                    let Piece {
                        picture,
                        start,
                        len,
                    } = maps.piece(i);
                    let y = y.slice(start, len);
                    scale(y, &x[start..][..len], maps.of(gate, picture));
                });
            })
        })
    }

    #[cfg(feature = "cuda")]
    fn cuda(&self, gpu: &Gpu, [x, gate]: [&Array; 2]) -> Result<Array> {
        pool::scaled_channels(gpu, x, gate, self.0.into())
    }
}

impl InPlace<1> for Scale {
    const NAME: &'static str = "scale_channels' gradient";

    fn cpu(&self, x: &mut [f32], [gate]: [&[f32]; 1]) -> Result<()> {
        let (maps, shared) = (self.0, SharedMut::new(x));
        for_each(maps.n * maps.pieces(), maps.len(), |i| {
            let piece = maps.piece(i);
            // SAFETY: the pieces are disjoint and each is visited once.
            let x = unsafe { shared.slice(piece.start, piece.len) };
            scale_in_place(x, maps.of(gate, piece.picture));
        });
        Ok(())
    }

    #[cfg(feature = "cuda")]
    fn cuda(&self, gpu: &Gpu, x: &Array, [gate]: [&Array; 1]) -> Result<()> {
        pool::scale_channels(gpu, x, gate, x, self.0.into())
    }
}

/// The sums over each picture of the products of x and the result's gradient.
struct GateGradient(Maps);

impl Kernel<2> for GateGradient {
    const NAME: &'static str = "scale_channels' gradient";

    fn shape(&self) -> Shape {
        (self.0.n, self.0.c).into()
    }

    fn cpu(&self, [x, dy]: [&[f32]; 2]) -> Result<Vec<f32>> {
        let maps = self.0;
        let c = maps.c;
        if maps.len() == 0 {
            return Ok(vec![0.0; maps.n * c]);
        }
        let mut partial = vec![0f64; maps.n * maps.pieces() * c];
        for_each_chunk(&mut partial, c, maps.len(), |i, sums| {
            let Piece { start, len, .. } = maps.piece(i);
            add_products(sums, &x[start..][..len], &dy[start..][..len]);
        });
        let mut gradient = Vec::with_capacity(maps.n * c);
        for picture in partial.chunks_exact_mut(maps.pieces() * c) {
            let (sums, rest) = picture.split_at_mut(c);
            for part in rest.chunks_exact(c) {
                for (sum, part) in sums.iter_mut().zip(part) {
                    *sum += part;
                }
            }
            gradient.extend(sums.iter().map(|sum| *sum as f32));
        }
        Ok(gradient)
    }

    #[cfg(feature = "cuda")]
    fn cuda(&self, gpu: &Gpu, [x, dy]: [&Array; 2]) -> Result<Array> {
        pool::picture_sums(gpu, x, Some(dy), self.0.into(), 1.0)
    }
}

vectorized! {
    fn scale(y: &mut [f32], x: &[f32], gate: &[f32]) {
        for (y, x) in y.chunks_exact_mut(gate.len()).zip(x.chunks_exact(gate.len())) {
            for ((y, x), gate) in y.iter_mut().zip(x).zip(gate) {
                *y = x * gate;
            }
        }
    }
}

vectorized! {
    fn scale_in_place(x: &mut [f32], gate: &[f32]) {
        for x in x.chunks_exact_mut(gate.len()) {
            for (x, gate) in x.iter_mut().zip(gate) {
                *x *= gate;
            }
        }
    }
}

vectorized! {
    /// Adds to each of `sums` its channel's products.
    fn add_products(sums: &mut [f64], x: &[f32], dy: &[f32]) {
        for (x, dy) in x.chunks_exact(sums.len()).zip(dy.chunks_exact(sums.len())) {
            for ((sum, x), dy) in sums.iter_mut().zip(x).zip(dy) {
                *sum += f64::from(x * dy);
            }
        }
    }
}
