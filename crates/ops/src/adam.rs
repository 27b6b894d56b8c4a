//! Adam (Kingma and Ba 2015) and `AdamW` (Loshchilov and Hutter 2019).

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

/// The numbers of one step of Adam.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamStep {
    /// The learning rate.
    pub lr: f64,
    /// How much of the last mean and of the last mean square is kept.
    pub betas: (f64, f64),
    /// Added to the root of the mean square.
    pub eps: f64,
    /// With `decoupled` the share of the parameter, times `lr`, that is taken away; else the factor of the parameter
    /// that is added to its gradient (L2).
    pub weight_decay: f64,
    /// Whether weight decay is decoupled from the gradient: `AdamW`.
    pub decoupled: bool,
    /// The number of this step, from 1, for the correction of the means' bias.
    pub number: u64,
    /// What becomes of the gradient first.
    pub clipping: Clipping,
}

/// One step in place, as `torch.optim.Adam` and `torch.optim.AdamW` without `amsgrad`. All four have one shape; the running
/// `mean` of the gradient and that of its `square` start as zeros.
pub fn adam_step(
    param: &Var,
    grad: &Tensor,
    mean: &Var,
    square: &Var,
    step: &AdamStep,
) -> Result<()> {
    checked(param, grad, [mean, square], step)?;
    let factors = Factors::of(step);
    #[cfg(feature = "cuda")]
    if crate::cuda::has(param) {
        return optimizer::step(OP, &[factors.update([param, grad, mean, square])]);
    }
    change1(&Param(mean, square, factors), param, grad)
}

/// [`adam_step`] for many parameters with their mean and mean square, along what `gradients` has of them; on CUDA devices in a
/// few launches. A parameter without a gradient stays as it is.
pub fn adam_steps(gradients: &Gradients, targets: &[(&Var, [&Var; 2], AdamStep)]) -> Result<()> {
    #[cfg(feature = "cuda")]
    if targets.iter().any(|(param, ..)| crate::cuda::has(param)) {
        let mut updates = Vec::with_capacity(targets.len());
        for (param, [mean, square], step) in targets {
            if let Some(grad) = gradients.get(param) {
                checked(param, grad, [mean, square], step)?;
                updates.push(Factors::of(step).update([param, grad, mean, square]));
            }
        }
        return optimizer::step(OP, &updates);
    }
    for (param, [mean, square], step) in targets {
        if let Some(grad) = gradients.get(param) {
            adam_step(param, grad, mean, square, step)?;
        }
    }
    Ok(())
}

const OP: &str = "adam_step";

fn checked(param: &Var, grad: &Tensor, [mean, square]: [&Var; 2], step: &AdamStep) -> Result<()> {
    for (name, tensor) in [
        ("the gradient", grad),
        ("the mean", mean.as_tensor()),
        ("the mean square", square.as_tensor()),
    ] {
        check::shape(OP, name, param.dims(), tensor)?;
    }
    let ids = [param.id(), grad.id(), mean.id(), square.id()];
    if (1..ids.len()).any(|i| ids[..i].contains(&ids[i])) {
        return Err(invalid(
            OP,
            format_args!("parameter, gradient, mean and mean square must be four tensors"),
        ));
    }
    if step.number == 0 {
        return Err(invalid(OP, format_args!("steps are counted from 1")));
    }
    Ok(())
}

/// The numbers of a step as they are used.
#[derive(Clone, Copy)]
struct Factors {
    /// The parameter is multiplied with this first.
    shrink: f32,
    weight_decay: f32,
    clipping: Clip,
    beta1: f32,
    rest1: f32,
    beta2: f32,
    rest2: f32,
    step_size: f32,
    /// The root of the mean square is multiplied with this.
    root_scale: f32,
    eps: f32,
}

impl Factors {
    fn of(step: &AdamStep) -> Self {
        let (beta1, beta2) = step.betas;
        let number = step.number as f64;
        let correction1 = 1.0 - beta1.powf(number);
        let correction2 = 1.0 - beta2.powf(number);
        let (shrink, weight_decay) = if step.decoupled {
            (1.0 - step.lr * step.weight_decay, 0.0)
        } else {
            (1.0, step.weight_decay)
        };
        Self {
            shrink: shrink as f32,
            weight_decay: weight_decay as f32,
            clipping: Clip::of(&step.clipping),
            beta1: beta1 as f32,
            rest1: (1.0 - beta1) as f32,
            beta2: beta2 as f32,
            rest2: (1.0 - beta2) as f32,
            step_size: (step.lr / correction1) as f32,
            root_scale: (1.0 / correction2.sqrt()) as f32,
            eps: step.eps as f32,
        }
    }

    /// Parameter, gradient, mean and mean square with the numbers in the kernel's order.
    #[cfg(feature = "cuda")]
    fn update<'a>(&self, tensors: [&'a Tensor; 4]) -> optimizer::Update<'a> {
        let Clip { scale, limit } = self.clipping;
        optimizer::Update {
            tensors: tensors.to_vec(),
            numbers: vec![
                self.shrink,
                self.weight_decay,
                scale,
                limit,
                self.beta1,
                self.rest1,
                self.beta2,
                self.rest2,
                self.step_size,
                self.root_scale,
                self.eps,
            ],
        }
    }
}

/// Changes the parameter, and from within mean and mean square: all in one pass over the memory.
struct Param<'a>(&'a Var, &'a Var, Factors);

impl InPlace<1> for Param<'_> {
    const NAME: &'static str = "adam_step";

    fn cpu(&self, param: &mut [f32], [grad]: [&[f32]; 1]) -> Result<()> {
        let &Self(mean, square, factors) = self;
        let mut inner = Ok(());
        with_velocity(mean, param, |param, mean| {
            inner = with_velocity(square, param, |param, square| {
                in_chunks(param, [mean, square], |param, [mean, square], start| {
                    let grad = &grad[start..][..param.len()];
                    descend(param, grad, [mean, square], factors);
                });
            });
        })?;
        inner
    }

    cpu_only!(in place of 1);
}

vectorized! {
    fn descend(param: &mut [f32], grad: &[f32], state: [&mut [f32]; 2], factors: Factors) {
        let Factors { shrink, weight_decay, clipping, beta1, rest1, beta2, rest2, step_size, root_scale, eps } = factors;
        let [mean, square] = state;
        for (((p, g), m), s) in param.iter_mut().zip(grad).zip(mean).zip(square) {
            let g = clipping.apply(*g) + weight_decay * *p;
            *m = beta1 * *m + rest1 * g;
            *s = beta2 * *s + rest2 * (g * g);
            *p = shrink * *p - step_size * *m / (s.sqrt() * root_scale + eps);
        }
    }
}
