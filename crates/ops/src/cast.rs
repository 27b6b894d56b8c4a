//! Between the kinds of numbers that activations come as.

use candle_core::{DType, Error, Result, Tensor};

use crate::tape::Tape;

/// x as numbers of `dtype`, f32 or bf16; its gradient is converted back. On the CPU all numbers are f32.
///
/// An error if `dtype` is another one, or bf16 on the CPU.
pub fn cast(tape: &Tape, x: &Tensor, dtype: DType) -> Result<Tensor> {
    if x.dtype() == dtype {
        return Ok(x.clone());
    }
    let y = converted(x, dtype)?;
    if let Some(to_x) = tape.target(x) {
        let original = x.dtype();
        tape.record(&y, move |grad, grads| {
            grads.give(to_x, converted(grad.tensor(), original)?)
        });
    }
    Ok(y)
}

fn converted(x: &Tensor, dtype: DType) -> Result<Tensor> {
    #[cfg(feature = "cuda")]
    if crate::cuda::has(x) {
        return crate::cuda::elementwise::cast(x, dtype);
    }
    Err(Error::Msg(format!(
        "cast: on the CPU all numbers are f32, so {:?} can't become {dtype:?}",
        x.dtype()
    )))
}
