//! Functions of each value by itself: rectifiers, sigmoids, and what is made of them.

pub(crate) mod curves;

use candle_core::{Result, Shape, Tensor};

#[cfg(feature = "cuda")]
use crate::cuda::{Array, Gpu, elementwise};
use crate::kernel::{InPlace, Kernel, change0, change1, run1};
use crate::output::uninit_chunks;
use crate::parallel::for_each_chunk;
use crate::simd::vectorized;
use crate::tape::Tape;
use curves::{Curve, with_curve};

/// Elements per piece of work.
const CHUNK: usize = 1 << 14;

/// A function of each value by itself, as `torch.nn.functional` defines it; NaN stays NaN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// The rectifier, max(x, 0); its gradient at 0 is 0.
    Relu,
    /// min(max(x, 0), 6); its gradient at 0 and 6 is 0.
    Relu6,
    /// 1/(1 + e⁻ˣ).
    Sigmoid,
    /// relu6(x + 3)/6, a sigmoid made of lines.
    Hardsigmoid,
    /// x · sigmoid(x), also known as swish.
    Silu,
    /// x · hardsigmoid(x).
    Hardswish,
}

impl Activation {
    /// Whether the backward pass looks at the function's values, rather than at its arguments.
    fn saves_values(self) -> bool {
        matches!(self, Self::Relu | Self::Relu6 | Self::Sigmoid)
    }
}

/// `max(x, 0)` as `torch.relu`: the gradient at 0 is 0, and NaN stays NaN.
pub fn relu(tape: &Tape, x: &Tensor) -> Result<Tensor> {
    activate(tape, x, Activation::Relu)
}

/// [`activate_in_place`] by [`relu`].
pub fn relu_in_place(tape: &Tape, x: Tensor) -> Result<Tensor> {
    activate_in_place(tape, x, Activation::Relu)
}

/// `min(max(x, 0), 6)` as `torch.nn.functional.relu6`.
pub fn relu6(tape: &Tape, x: &Tensor) -> Result<Tensor> {
    activate(tape, x, Activation::Relu6)
}

/// `1/(1 + e⁻ˣ)` as `torch.sigmoid`.
pub fn sigmoid(tape: &Tape, x: &Tensor) -> Result<Tensor> {
    activate(tape, x, Activation::Sigmoid)
}

/// `relu6(x + 3)/6` as `torch.nn.functional.hardsigmoid`.
pub fn hardsigmoid(tape: &Tape, x: &Tensor) -> Result<Tensor> {
    activate(tape, x, Activation::Hardsigmoid)
}

/// `x · sigmoid(x)` as `torch.nn.functional.silu`.
pub fn silu(tape: &Tape, x: &Tensor) -> Result<Tensor> {
    activate(tape, x, Activation::Silu)
}

/// `x · relu6(x + 3)/6` as `torch.nn.functional.hardswish`.
pub fn hardswish(tape: &Tape, x: &Tensor) -> Result<Tensor> {
    activate(tape, x, Activation::Hardswish)
}

/// The function of each value of x.
pub fn activate(tape: &Tape, x: &Tensor, activation: Activation) -> Result<Tensor> {
    let apply = Apply {
        shape: x.shape().clone(),
        activation,
    };
    let y = run1(&apply, x)?;
    record(tape, x, &y, activation);
    Ok(y)
}

/// [`activate`] for an `x` that has just been computed, in its memory where it can be: so nobody else may go on using it, or
/// a view of it. The results of [`conv2d`](crate::conv2d()) and [`linear`](crate::linear()) are of no use to their backward
/// passes; those of other operations may be, and must not be handed in where something is recorded.
#[expect(
    clippy::needless_pass_by_value,
    reason = "the caller gives the memory away"
)]
pub fn activate_in_place(tape: &Tape, x: Tensor, activation: Activation) -> Result<Tensor> {
    let looked_at = tape.needs_grad(&x) && !activation.saves_values();
    if looked_at || x.is_variable() || !x.is_contiguous() {
        return activate(tape, &x, activation);
    }
    change0(&ApplyInPlace(activation), &x)?;
    // The same memory as another tensor, for the tape to tell from x.
    let y = x.reshape(x.shape())?;
    record(tape, &x, &y, activation);
    Ok(y)
}

/// Notes how the gradient goes back from `y`, the function of `x`.
fn record(tape: &Tape, x: &Tensor, y: &Tensor, activation: Activation) {
    if let Some(to_x) = tape.target(x) {
        let saved = if activation.saves_values() { y } else { x }.clone();
        tape.record(y, move |grad, grads| {
            let dx = grad.into_owned_tensor()?;
            change1(&Gradient(activation), &dx, &saved)?;
            grads.give(to_x, dx)
        });
    }
}

struct Apply {
    shape: Shape,
    activation: Activation,
}

impl Kernel<1> for Apply {
    const NAME: &'static str = "activation";

    fn shape(&self) -> Shape {
        self.shape.clone()
    }

    fn cpu(&self, [x]: [&[f32]; 1]) -> Result<Vec<f32>> {
        // SAFETY: `apply` writes all of the chunk.
        Ok(unsafe {
            uninit_chunks(x.len(), CHUNK, x.len(), |i, out| {
                let x = &x[i * CHUNK..][..out.len()];
                with_curve!(Some(self.activation), C => apply::<C>(out, x));
            })
        })
    }

    #[cfg(feature = "cuda")]
    fn cuda(&self, gpu: &Gpu, [x]: [&Array; 1]) -> Result<Array> {
        elementwise::activated(gpu, x, self.activation)
    }
}

struct ApplyInPlace(Activation);

impl InPlace<0> for ApplyInPlace {
    const NAME: &'static str = "activation";

    fn cpu(&self, x: &mut [f32], []: [&[f32]; 0]) -> Result<()> {
        let work = x.len();
        for_each_chunk(x, CHUNK, work, |_, x| {
            with_curve!(Some(self.0), C => apply_in_place::<C>(x));
        });
        Ok(())
    }

    #[cfg(feature = "cuda")]
    fn cuda(&self, gpu: &Gpu, x: &Array, []: [&Array; 0]) -> Result<()> {
        elementwise::activate(gpu, x, x, self.0)
    }
}

/// Turns the gradient of the values into that of the arguments, given what is saved: the values of those functions that
/// [save them](Activation::saves_values), or else the arguments.
pub(crate) struct Gradient(pub(crate) Activation);

impl InPlace<1> for Gradient {
    const NAME: &'static str = "activation's gradient";

    fn cpu(&self, grad: &mut [f32], [saved]: [&[f32]; 1]) -> Result<()> {
        for_each_chunk(grad, CHUNK, saved.len(), |i, grad| {
            let saved = &saved[i * CHUNK..][..grad.len()];
            with_curve!(Some(self.0), C => go_back::<C>(grad, saved));
        });
        Ok(())
    }

    #[cfg(feature = "cuda")]
    fn cuda(&self, gpu: &Gpu, grad: &Array, [saved]: [&Array; 1]) -> Result<()> {
        elementwise::activation_gradient(gpu, grad, saved, self.0)
    }
}

vectorized! {
    fn apply<C: Curve>(out: &mut [f32], x: &[f32]) {
        for (out, &x) in out.iter_mut().zip(x) {
            *out = C::value(x);
        }
    }
}

vectorized! {
    fn apply_in_place<C: Curve>(x: &mut [f32]) {
        for x in x {
            *x = C::value(*x);
        }
    }
}

vectorized! {
    fn go_back<C: Curve>(grad: &mut [f32], saved: &[f32]) {
        for (grad, &saved) in grad.iter_mut().zip(saved) {
            *grad = C::gradient_from_saved(*grad, saved);
        }
    }
}
