//! The rectifier.

use candle_core::{Result, Shape, Tensor};

use crate::kernel::{InPlace, Kernel, change0, change1, run1};
use crate::output::uninit_chunks;
use crate::parallel::for_each_chunk;
use crate::simd::vectorized;
use crate::tape::Tape;

/// Elements per piece of work.
const CHUNK: usize = 1 << 14;

/// `max(x, 0)` as `torch.relu`: the gradient at 0 is 0, and NaN stays NaN.
pub fn relu(tape: &Tape, x: &Tensor) -> Result<Tensor> {
    let y = run1(&Relu(x.shape().clone()), x)?;
    record(tape, x, &y);
    Ok(y)
}

/// [`relu`] of an `x` that has just been computed, in its memory: so nobody else may go on using it, or a view of it.
/// The results of [`conv2d`](crate::conv2d()) and [`linear`](crate::linear()) are of no use to their backward passes; those
/// of other operations may be, and must not be handed in where something is recorded.
#[expect(
    clippy::needless_pass_by_value,
    reason = "the caller gives the memory away"
)]
pub fn relu_in_place(tape: &Tape, x: Tensor) -> Result<Tensor> {
    if x.is_variable() || !x.is_contiguous() {
        return relu(tape, &x);
    }
    change0(&InPlaceRelu, &x)?;
    // The same memory as another tensor, for the tape to tell from x.
    let y = x.reshape(x.shape())?;
    record(tape, &x, &y);
    Ok(y)
}

/// Notes how the gradient goes back from `y`, the rectified `x`.
fn record(tape: &Tape, x: &Tensor, y: &Tensor) {
    if let Some(to_x) = tape.target(x) {
        let saved = y.clone();
        tape.record(y, move |grad, grads| {
            let dx = grad.into_owned_tensor()?;
            change1(&Mask, &dx, &saved)?;
            grads.give(to_x, dx)
        });
    }
}

struct Relu(Shape);

impl Kernel<1> for Relu {
    const NAME: &'static str = "relu";

    fn shape(&self) -> Shape {
        self.0.clone()
    }

    fn cpu(&self, [x]: [&[f32]; 1]) -> Result<Vec<f32>> {
        // SAFETY: `rectify` writes all of the chunk.
        Ok(unsafe {
            uninit_chunks(x.len(), CHUNK, x.len(), |i, out| {
                rectify(out, &x[i * CHUNK..][..out.len()]);
            })
        })
    }
}

struct InPlaceRelu;

impl InPlace<0> for InPlaceRelu {
    const NAME: &'static str = "relu";

    fn cpu(&self, x: &mut [f32], []: [&[f32]; 0]) -> Result<()> {
        let work = x.len();
        for_each_chunk(x, CHUNK, work, |_, x| rectify_in_place(x));
        Ok(())
    }
}

/// Clears the gradient where the result was not positive.
pub(crate) struct Mask;

impl InPlace<1> for Mask {
    const NAME: &'static str = "relu's gradient";

    fn cpu(&self, grad: &mut [f32], [y]: [&[f32]; 1]) -> Result<()> {
        for_each_chunk(grad, CHUNK, y.len(), |i, grad| {
            mask(grad, &y[i * CHUNK..][..grad.len()]);
        });
        Ok(())
    }
}

vectorized! {
    fn rectify(out: &mut [f32], x: &[f32]) {
        for (out, &x) in out.iter_mut().zip(x) {
            // Not `max`, which would turn NaN into 0.
            *out = if x <= 0.0 { 0.0 } else { x };
        }
    }
}

vectorized! {
    fn rectify_in_place(x: &mut [f32]) {
        for x in x {
            *x = if *x <= 0.0 { 0.0 } else { *x };
        }
    }
}

vectorized! {
    fn mask(grad: &mut [f32], y: &[f32]) {
        for (grad, &y) in grad.iter_mut().zip(y) {
            *grad = if y <= 0.0 { 0.0 } else { *grad };
        }
    }
}
