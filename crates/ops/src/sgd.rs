//! Stochastic gradient descent.

use std::cell::Cell;

use candle_core::{Result, Tensor, Var};

use crate::check::{self, invalid};
use crate::kernel::{InPlace, change0, change1};
use crate::parallel::{SharedMut, for_each};
use crate::simd::vectorized;

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
    check::shape("sgd_step", "the gradient", param.dims(), grad)?;
    check::shape("sgd_step", "the velocity", param.dims(), velocity)?;
    if param.id() == velocity.id() || param.id() == grad.id() || velocity.id() == grad.id() {
        return Err(invalid(
            "sgd_step",
            format_args!("parameter, gradient and velocity must be three tensors"),
        ));
    }
    change1(&Param { velocity, step }, param, grad)
}

/// Changes the parameter, and from within the velocity: both in one pass over the memory.
struct Param<'a> {
    velocity: &'a Var,
    step: &'a SgdStep,
}

impl InPlace<1> for Param<'_> {
    const NAME: &'static str = "sgd_step";

    fn cpu(&self, param: &mut [f32], [grad]: [&[f32]; 1]) -> Result<()> {
        let velocity = Velocity {
            param: Cell::new(Some(param)),
            grad,
            step: self.step,
        };
        change0(&velocity, self.velocity)
    }
}

struct Velocity<'a> {
    param: Cell<Option<&'a mut [f32]>>,
    grad: &'a [f32],
    step: &'a SgdStep,
}

impl InPlace<0> for Velocity<'_> {
    const NAME: &'static str = "sgd_step";

    fn cpu(&self, velocity: &mut [f32], []: [&[f32]; 0]) -> Result<()> {
        const CHUNK: usize = 1 << 16;
        let Some(param) = self.param.take() else {
            return Ok(());
        };
        let factors = [
            self.step.lr as f32,
            self.step.momentum as f32,
            self.step.weight_decay as f32,
        ];
        let total = param.len();
        let (params, velocities) = (SharedMut::new(param), SharedMut::new(velocity));
        for_each(total.div_ceil(CHUNK), total, |i| {
            let start = i * CHUNK;
            let len = CHUNK.min(total - start);
            // SAFETY: chunks are disjoint and each is visited once.
            let (p, v) = unsafe { (params.slice(start, len), velocities.slice(start, len)) };
            descend(p, &self.grad[start..][..len], v, factors);
        });
        Ok(())
    }
}

vectorized! {
    fn descend(param: &mut [f32], grad: &[f32], velocity: &mut [f32], factors: [f32; 3]) {
        let [lr, momentum, decay] = factors;
        for ((p, g), v) in param.iter_mut().zip(grad).zip(velocity) {
            *v = momentum * *v + (g + decay * *p);
            *p -= lr * *v;
        }
    }
}
