//! Dropout with a mask that depends on a key and on nothing else.

use candle_core::{Result, Shape, Tensor};
use graft_stream::{blocks, unit_f32};

use crate::check::invalid;
#[cfg(feature = "cuda")]
use crate::cuda::{Array, Gpu, elementwise};
use crate::kernel::{Kernel, run1};
use crate::parallel::for_each_chunk;
use crate::simd::vectorized;
use crate::tape::Tape;

/// Elements per piece of work; a multiple of the four words of a block of the stream.
const CHUNK: usize = 1 << 14;

/// Sets each element to 0 with probability `p` and multiplies the others by 1/(1 − p) (Srivastava et al. 2014, in the
/// inverted form of `torch.nn.functional.dropout`).
///
/// Element i is kept if word i of the stream `key` ([`graft_stream::stream_key`]) is at least `p`, so the mask is the
/// same on every device and for every number of threads. An error unless 0 ≤ p < 1.
pub fn dropout(tape: &Tape, x: &Tensor, p: f64, key: u64) -> Result<Tensor> {
    if !(0.0..1.0).contains(&p) {
        return Err(invalid(
            "dropout",
            format_args!("the probability must be at least 0 and below 1, found {p}"),
        ));
    }
    let mask = Masked {
        shape: x.shape().clone(),
        p: p as f32,
        scale: (1.0 / (1.0 - p)) as f32,
        key,
    };
    let y = run1(&mask, x)?;
    if let Some(to_x) = tape.target(x) {
        tape.record(&y, move |grad, grads| {
            grads.give(to_x, run1(&mask, grad.tensor())?)
        });
    }
    Ok(y)
}

/// The operation is linear, so that its gradient is the operation itself.
struct Masked {
    shape: Shape,
    p: f32,
    scale: f32,
    key: u64,
}

impl Kernel<1> for Masked {
    const NAME: &'static str = "dropout";

    fn shape(&self) -> Shape {
        self.shape.clone()
    }

    fn cpu(&self, [x]: [&[f32]; 1]) -> Result<Vec<f32>> {
        let mut y = vec![0.0; x.len()];
        for_each_chunk(&mut y, CHUNK, 8 * x.len(), |i, out| {
            let start = i * CHUNK;
            let x = &x[start..][..out.len()];
            mask(out, x, self.key, (start / 4) as u64, self.p, self.scale);
        });
        Ok(y)
    }

    #[cfg(feature = "cuda")]
    fn cuda(&self, gpu: &Gpu, [x]: [&Array; 1]) -> Result<Array> {
        let &Self { key, p, scale, .. } = self;
        elementwise::dropped(gpu, x, elementwise::Dropout { key, p, scale })
    }
}

/// Blocks of the stream that are drawn side by side.
const LANES: usize = 16;

vectorized! {
    /// Masks `x` into `out` with the words of the stream `key` from `block` on.
    fn mask(out: &mut [f32], x: &[f32], key: u64, block: u64, p: f32, scale: f32) {
        let pieces = out.chunks_mut(4 * LANES).zip(x.chunks(4 * LANES));
        for (block, (out, x)) in (block..).step_by(LANES).zip(pieces) {
            let drawn = blocks::<LANES>(key, block);
            let mut words = [0; 4 * LANES];
            for (i, word) in words.iter_mut().enumerate() {
                *word = drawn[i % 4][i / 4];
            }
            for ((out, &x), &word) in out.iter_mut().zip(x).zip(&words) {
                *out = if unit_f32(word) >= p { x * scale } else { 0.0 };
            }
        }
    }
}
