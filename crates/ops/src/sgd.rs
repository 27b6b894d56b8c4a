//! Stochastic gradient descent.

use std::cell::Cell;

use candle_core::{Result, Tensor, Var};

use crate::check::{self, invalid};
use crate::kernel::{InPlace, change0, change1};
use crate::parallel::{SharedMut, for_each};
use crate::simd::vectorized;
use crate::tape::Gradients;

/// The numbers of one step of stochastic gradient descent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SgdStep {
    /// The learning rate.
    pub lr: f64,
    /// How much of the last velocity is kept.
    pub momentum: f64,
    /// The factor of the parameter that is added to its gradient.
    pub weight_decay: f64,
}

/// One step in place, as `torch.optim.SGD` without dampening and Nesterov:
/// `velocity = momentum · velocity + (grad + weight_decay · param)`, `param −= lr · velocity`.
/// All three have one shape; the velocity starts as zeros, which gives `torch`'s first step.
pub fn sgd_step(param: &Var, grad: &Tensor, velocity: &Var, step: &SgdStep) -> Result<()> {
    checked(param, grad.dims(), velocity)?;
    if param.id() == grad.id() || velocity.id() == grad.id() {
        return Err(not_three());
    }
    let step = Param {
        velocity,
        factors: Factors::of(step),
    };
    change1(&step, param, grad)
}

/// [`sgd_step`] along the gradient of `param` among `gradients`; false, and nothing is changed, if there is none.
/// Cheaper than that with [`Gradients::get`], which has to write out what was not written out before.
pub fn sgd_step_along(
    gradients: &Gradients,
    param: &Var,
    velocity: &Var,
    step: &SgdStep,
) -> Result<bool> {
    if let Some(outer) = gradients.outer(param) {
        checked(param, &outer.shape()?, velocity)?;
        outer.descend(param, velocity, Factors::of(step))?;
        return Ok(true);
    }
    let Some(grad) = gradients.get(param) else {
        return Ok(false);
    };
    sgd_step(param, grad, velocity, step)?;
    Ok(true)
}

fn checked(param: &Var, grad: &[usize], velocity: &Var) -> Result<()> {
    const OP: &str = "sgd_step";
    if param.dims() != grad {
        return Err(invalid(
            OP,
            format_args!(
                "the gradient must have shape {:?}, found {grad:?}",
                param.dims()
            ),
        ));
    }
    check::shape(OP, "the velocity", param.dims(), velocity)?;
    if param.id() == velocity.id() {
        return Err(not_three());
    }
    Ok(())
}

fn not_three() -> candle_core::Error {
    invalid(
        "sgd_step",
        format_args!("parameter, gradient and velocity must be three tensors"),
    )
}

/// The numbers of a step as they are used.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Factors {
    pub(crate) lr: f32,
    pub(crate) momentum: f32,
    pub(crate) weight_decay: f32,
}

impl Factors {
    fn of(step: &SgdStep) -> Self {
        Self {
            lr: step.lr as f32,
            momentum: step.momentum as f32,
            weight_decay: step.weight_decay as f32,
        }
    }
}

/// Changes the parameter, and from within the velocity: both in one pass over the memory.
struct Param<'a> {
    velocity: &'a Var,
    factors: Factors,
}

impl InPlace<1> for Param<'_> {
    const NAME: &'static str = "sgd_step";

    fn cpu(&self, param: &mut [f32], [grad]: [&[f32]; 1]) -> Result<()> {
        const CHUNK: usize = 1 << 15;
        with_velocity(self.velocity, param, |param, velocity| {
            let total = param.len();
            let (params, velocities) = (SharedMut::new(param), SharedMut::new(velocity));
            for_each(total.div_ceil(CHUNK), total, |i| {
                let start = i * CHUNK;
                let len = CHUNK.min(total - start);
                // SAFETY: chunks are disjoint and each is visited once.
                let (p, v) = unsafe { (params.slice(start, len), velocities.slice(start, len)) };
                descend(p, &grad[start..][..len], v, self.factors);
            });
        })
    }
}

/// Calls `change(param, velocity)` with the values of both.
pub(crate) fn with_velocity<'a>(
    velocity: &Var,
    param: &'a mut [f32],
    change: impl FnOnce(&'a mut [f32], &mut [f32]),
) -> Result<()> {
    let both = Both(Cell::new(Some((param, change))));
    change0(&both, velocity)
}

/// What is called once with the velocity's values.
struct Both<P, F>(Cell<Option<(P, F)>>);

impl<'a, F: FnOnce(&'a mut [f32], &mut [f32])> InPlace<0> for Both<&'a mut [f32], F> {
    const NAME: &'static str = "sgd_step";

    fn cpu(&self, velocity: &mut [f32], []: [&[f32]; 0]) -> Result<()> {
        if let Some((param, change)) = self.0.take() {
            change(param, velocity);
        }
        Ok(())
    }
}

vectorized! {
    fn descend(param: &mut [f32], grad: &[f32], velocity: &mut [f32], factors: Factors) {
        let Factors { lr, momentum, weight_decay } = factors;
        for ((p, g), v) in param.iter_mut().zip(grad).zip(velocity) {
            *v = momentum * *v + (g + weight_decay * *p);
            *p -= lr * *v;
        }
    }
}
