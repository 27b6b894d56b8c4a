//! The rectifier.

use candle_core::{Result, Shape, Tensor};

use crate::kernel::{InPlace, Kernel, change1, run1};
use crate::parallel::for_each_chunk;
use crate::simd::vectorized;
use crate::tape::Tape;

/// Elements per piece of work.
const CHUNK: usize = 1 << 16;

/// `max(x, 0)` as `torch.relu`: the gradient at 0 is 0, and NaN stays NaN.
pub fn relu(tape: &Tape, x: &Tensor) -> Result<Tensor> {
    let y = run1(&Relu(x.shape().clone()), x)?;
    if let Some(to_x) = tape.target(x) {
        let saved = y.clone();
        tape.record(&y, move |grad, grads| {
            let dx = grad.into_owned_tensor()?;
            change1(&Mask, &dx, &saved)?;
            grads.give(to_x, dx)
        });
    }
    Ok(y)
}

struct Relu(Shape);

impl Kernel<1> for Relu {
    const NAME: &'static str = "relu";

    fn shape(&self) -> Shape {
        self.0.clone()
    }

    fn cpu(&self, [x]: [&[f32]; 1]) -> Result<Vec<f32>> {
        let mut y = vec![0.0; x.len()];
        for_each_chunk(&mut y, CHUNK, x.len(), |i, out| {
            rectify(out, &x[i * CHUNK..][..out.len()]);
        });
        Ok(y)
    }
}

/// Clears the gradient where the result was not positive.
struct Mask;

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
    fn mask(grad: &mut [f32], y: &[f32]) {
        for (grad, &y) in grad.iter_mut().zip(y) {
            *grad = if y <= 0.0 { 0.0 } else { *grad };
        }
    }
}
