//! Stochastic gradient descent.

use std::cell::Cell;

use candle_core::{Result, Tensor, Var};

use crate::check::{self, invalid};
use crate::clip::{Clip, Clipping};
#[cfg(feature = "cuda")]
use crate::cuda::optimizer;
use crate::kernel::{InPlace, change0, change1, cpu_only};
use crate::parallel::in_chunks;
use crate::simd::vectorized;
use crate::tape::Gradients;

const OP: &str = "sgd_step";

/// The numbers of one step of stochastic gradient descent.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct SgdStep {
    /// The learning rate.
    pub lr: f64,
    /// How much of the last velocity is kept.
    pub momentum: f64,
    /// The factor of the parameter that is added to its gradient.
    pub weight_decay: f64,
    /// Goes along the gradient plus `momentum` times the new velocity, not along the velocity (Nesterov 1983).
    pub nesterov: bool,
    /// What becomes of the gradient first.
    pub clipping: Clipping,
}

/// One step in place, as `torch.optim.SGD` without dampening; without clipping and Nesterov:
/// `velocity = momentum · velocity + (grad + weight_decay · param)`, `param −= lr · velocity`.
/// All three have one shape; the velocity starts as zeros, which gives `torch`'s first step.
pub fn sgd_step(param: &Var, grad: &Tensor, velocity: &Var, step: &SgdStep) -> Result<()> {
    checked(param, grad.dims(), velocity)?;
    if param.id() == grad.id() || velocity.id() == grad.id() {
        return Err(not_three());
    }
    let factors = Factors::of(step);
    #[cfg(feature = "cuda")]
    if crate::cuda::has(param) {
        return optimizer::step(OP, &[factors.update([param, grad, velocity])]);
    }
    change1(&Param { velocity, factors }, param, grad)
}

/// [`sgd_step_along`] for many parameters with their velocities, on CUDA devices in a few launches.
pub fn sgd_steps(gradients: &Gradients, targets: &[(&Var, &Var, SgdStep)]) -> Result<()> {
    #[cfg(feature = "cuda")]
    if targets.iter().any(|(param, ..)| crate::cuda::has(param)) {
        let mut updates = Vec::with_capacity(targets.len());
        for (param, velocity, step) in targets {
            if let Some(grad) = gradients.get(param) {
                checked(param, grad.dims(), velocity)?;
                updates.push(Factors::of(step).update([param, grad, velocity]));
            }
        }
        return optimizer::step(OP, &updates);
    }
    for (param, velocity, step) in targets {
        sgd_step_along(gradients, param, velocity, step)?;
    }
    Ok(())
}

/// [`sgd_step`] along the gradient of `param` among `gradients`; false, and nothing is changed, if there is none.
/// Cheaper than that with [`Gradients::get`], which has to write out what was not written out before.
pub fn sgd_step_along(
    gradients: &Gradients,
    param: &Var,
    velocity: &Var,
    step: &SgdStep,
) -> Result<bool> {
    let factors = Factors::of(step);
    if let Some(outer) = gradients.outer(param).filter(|_| factors.is_plain()) {
        checked(param, &outer.shape()?, velocity)?;
        outer.descend(param, velocity, factors)?;
        return Ok(true);
    }
    let Some(grad) = gradients.get(param) else {
        return Ok(false);
    };
    sgd_step(param, grad, velocity, step)?;
    Ok(true)
}

fn checked(param: &Var, grad: &[usize], velocity: &Var) -> Result<()> {
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
    pub(crate) nesterov: bool,
    pub(crate) clipping: Clip,
}

impl Factors {
    fn of(step: &SgdStep) -> Self {
        Self {
            lr: step.lr as f32,
            momentum: step.momentum as f32,
            weight_decay: step.weight_decay as f32,
            nesterov: step.nesterov,
            clipping: Clip::of(&step.clipping),
        }
    }
}

impl Factors {
    /// Parameter, gradient and velocity with the numbers in the kernel's order.
    #[cfg(feature = "cuda")]
    fn update<'a>(&self, tensors: [&'a Tensor; 3]) -> optimizer::Update<'a> {
        let nesterov = if self.nesterov { 1.0 } else { 0.0 };
        let Clip { scale, limit } = self.clipping;
        optimizer::Update {
            tensors: tensors.to_vec(),
            numbers: vec![
                self.lr,
                self.momentum,
                self.weight_decay,
                nesterov,
                scale,
                limit,
            ],
        }
    }

    /// Whether gradients are taken as they are, and steps go along the velocity.
    pub(crate) fn is_plain(&self) -> bool {
        !self.nesterov && self.clipping == Clip::of(&Clipping::default())
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
        with_velocity(self.velocity, param, |param, velocity| {
            in_chunks(param, [velocity], |param, [velocity], start| {
                let grad = &grad[start..][..param.len()];
                if self.factors.is_plain() {
                    descend(param, grad, velocity, self.factors);
                } else {
                    descend_clipped(param, grad, velocity, self.factors);
                }
            });
        })
    }

    cpu_only!(in place of 1);
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

    cpu_only!(in place of 0);
}

vectorized! {
    fn descend(param: &mut [f32], grad: &[f32], velocity: &mut [f32], factors: Factors) {
        let Factors { lr, momentum, weight_decay, .. } = factors;
        for ((p, g), v) in param.iter_mut().zip(grad).zip(velocity) {
            *v = momentum * *v + (g + weight_decay * *p);
            *p -= lr * *v;
        }
    }
}

vectorized! {
    /// [`descend`] with clipping and Nesterov's momentum.
    fn descend_clipped(param: &mut [f32], grad: &[f32], velocity: &mut [f32], factors: Factors) {
        let Factors { lr, momentum, weight_decay, nesterov, clipping } = factors;
        for ((p, g), v) in param.iter_mut().zip(grad).zip(velocity) {
            let g = clipping.apply(*g) + weight_decay * *p;
            *v = momentum * *v + g;
            *p -= lr * if nesterov { g + momentum * *v } else { *v };
        }
    }
}
