//! `RMSprop` (Tieleman and Hinton 2012).

use candle_core::{Result, Tensor, Var};

use crate::check::{self, invalid};
use crate::clip::{Clip, Clipping};
#[cfg(feature = "cuda")]
use crate::cuda::optimizer;
use crate::kernel::{InPlace, change1, cpu_only};
use crate::parallel::in_chunks;
use crate::sgd::with_velocity;
use crate::simd::vectorized;
use crate::tape::Gradients;

/// The numbers of one step of `RMSprop`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RmspropStep {
    /// The learning rate.
    pub lr: f64,
    /// How much of the last mean square is kept.
    pub alpha: f64,
    /// Added to the root of the mean square.
    pub eps: f64,
    /// How much of the last velocity is kept.
    pub momentum: f64,
    /// The factor of the parameter that is added to its gradient.
    pub weight_decay: f64,
    /// What becomes of the gradient first.
    pub clipping: Clipping,
}

/// One step in place, as `torch.optim.RMSprop` without centring. All four have one shape; the mean `square` of the gradient and
/// the velocity start as zeros.
pub fn rmsprop_step(
    param: &Var,
    grad: &Tensor,
    square: &Var,
    velocity: &Var,
    step: &RmspropStep,
) -> Result<()> {
    checked(param, grad, [square, velocity])?;
    let factors = Factors::of(step);
    #[cfg(feature = "cuda")]
    if crate::cuda::has(param) {
        return optimizer::step(OP, &[factors.update([param, grad, square, velocity])]);
    }
    change1(&Param(square, velocity, factors), param, grad)
}

/// [`rmsprop_step`] for many parameters with their mean square and velocity, along what `gradients` has of them; on CUDA
/// devices in a few launches. A parameter without a gradient stays as it is.
pub fn rmsprop_steps(
    gradients: &Gradients,
    targets: &[(&Var, [&Var; 2], RmspropStep)],
) -> Result<()> {
    #[cfg(feature = "cuda")]
    if targets.iter().any(|(param, ..)| crate::cuda::has(param)) {
        let mut updates = Vec::with_capacity(targets.len());
        for (param, [square, velocity], step) in targets {
            if let Some(grad) = gradients.get(param) {
                checked(param, grad, [square, velocity])?;
                updates.push(Factors::of(step).update([param, grad, square, velocity]));
            }
        }
        return optimizer::step(OP, &updates);
    }
    for (param, [square, velocity], step) in targets {
        if let Some(grad) = gradients.get(param) {
            rmsprop_step(param, grad, square, velocity, step)?;
        }
    }
    Ok(())
}

const OP: &str = "rmsprop_step";

fn checked(param: &Var, grad: &Tensor, [square, velocity]: [&Var; 2]) -> Result<()> {
    for (name, tensor) in [
        ("the gradient", grad),
        ("the mean square", square.as_tensor()),
        ("the velocity", velocity.as_tensor()),
    ] {
        check::shape(OP, name, param.dims(), tensor)?;
    }
    let ids = [param.id(), grad.id(), square.id(), velocity.id()];
    if (1..ids.len()).any(|i| ids[..i].contains(&ids[i])) {
        return Err(invalid(
            OP,
            format_args!("parameter, gradient, mean square and velocity must be four tensors"),
        ));
    }
    Ok(())
}

/// The numbers of a step as they are used.
#[derive(Clone, Copy)]
struct Factors {
    lr: f32,
    alpha: f32,
    rest: f32,
    eps: f32,
    momentum: f32,
    weight_decay: f32,
    clipping: Clip,
}

impl Factors {
    fn of(step: &RmspropStep) -> Self {
        Self {
            lr: step.lr as f32,
            alpha: step.alpha as f32,
            rest: (1.0 - step.alpha) as f32,
            eps: step.eps as f32,
            momentum: step.momentum as f32,
            weight_decay: step.weight_decay as f32,
            clipping: Clip::of(&step.clipping),
        }
    }

    /// Parameter, gradient, mean square and velocity with the numbers in the kernel's order.
    #[cfg(feature = "cuda")]
    fn update<'a>(&self, tensors: [&'a Tensor; 4]) -> optimizer::Update<'a> {
        let Clip { scale, limit } = self.clipping;
        optimizer::Update {
            tensors: tensors.to_vec(),
            numbers: vec![
                self.lr,
                self.alpha,
                self.rest,
                self.eps,
                self.momentum,
                self.weight_decay,
                scale,
                limit,
            ],
        }
    }
}

/// Changes the parameter, and from within mean square and velocity: all in one pass over the memory.
struct Param<'a>(&'a Var, &'a Var, Factors);

impl InPlace<1> for Param<'_> {
    const NAME: &'static str = "rmsprop_step";

    fn cpu(&self, param: &mut [f32], [grad]: [&[f32]; 1]) -> Result<()> {
        let &Self(square, velocity, factors) = self;
        let mut inner = Ok(());
        with_velocity(square, param, |param, square| {
            inner = with_velocity(velocity, param, |param, velocity| {
                in_chunks(
                    param,
                    [square, velocity],
                    |param, [square, velocity], start| {
                        let grad = &grad[start..][..param.len()];
                        descend(param, grad, [square, velocity], factors);
                    },
                );
            });
        })?;
        inner
    }

    cpu_only!(in place of 1);
}

vectorized! {
    fn descend(param: &mut [f32], grad: &[f32], state: [&mut [f32]; 2], factors: Factors) {
        let Factors { lr, alpha, rest, eps, momentum, weight_decay, clipping } = factors;
        let [square, velocity] = state;
        for (((p, g), s), v) in param.iter_mut().zip(grad).zip(square).zip(velocity) {
            let g = clipping.apply(*g) + weight_decay * *p;
            *s = alpha * *s + rest * (g * g);
            *v = momentum * *v + g / (s.sqrt() + eps);
            *p -= lr * *v;
        }
    }
}
