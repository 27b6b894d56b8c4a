//! Steps of optimizers, running statistics, norms and averages: all of them f32.

use candle_core::{Result, Tensor, Var};

use super::case;
use super::comparison::{Case, parameter};
use crate::{
    AdamStep, BatchStatistics, Clipping, Gradients, RmspropStep, SgdStep, Tape, activate,
    adam_steps, add, add_scaled, lerp, lerp_all, rmsprop_steps, sgd_step, sgd_steps,
    update_running,
};

/// A size that fills no whole vectors.
const SIZE: usize = 1003;

/// A variable of its own with the tensor's values.
fn own(tensor: &Tensor) -> Result<Var> {
    Var::from_tensor(&tensor.detach())
}

/// Gradients of two parameters, `a` and `b`.
fn gradients(a: &Var, b: &Var) -> Result<Gradients> {
    let tape = Tape::recording();
    let curved = activate(&tape, b, crate::Activation::Silu)?;
    let sum = add_scaled(&tape, &add(&tape, a, a)?, &curved, 3.0)?;
    tape.backward_from(&sum, &curved.detach())
}

/// Both tensors as one.
fn joined(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    crate::cat(&Tape::disabled(), &[&a.detach(), &b.detach()], 0)
}

fn optimizers() -> Vec<Case> {
    let clipping = Clipping {
        scale: 0.7,
        limit: 0.8,
    };
    let sgd = SgdStep {
        lr: 0.1,
        momentum: 0.9,
        weight_decay: 0.01,
        ..SgdStep::default()
    };
    let nesterov = SgdStep {
        nesterov: true,
        clipping,
        ..sgd
    };
    let adam = AdamStep {
        lr: 0.01,
        betas: (0.9, 0.99),
        eps: 1e-8,
        weight_decay: 0.1,
        decoupled: false,
        number: 3,
        clipping,
    };
    let adamw = AdamStep {
        decoupled: true,
        ..adam
    };
    let rmsprop = RmspropStep {
        lr: 0.01,
        alpha: 0.9,
        eps: 1e-8,
        momentum: 0.5,
        weight_decay: 0.1,
        clipping,
    };
    let mut cases = Vec::new();
    for (name, step) in [("sgd", sgd), ("sgd with nesterov and clipping", nesterov)] {
        cases.push(case!(
            format!("{name}: parameters"),
            [parameter([SIZE]), parameter([SIZE]), parameter([SIZE])],
            |_, [a, b, v]| {
                let (a, b, va, vb) = (own(a)?, own(b)?, own(v)?, own(v)?);
                let other = SgdStep { lr: 0.5, ..step };
                sgd_steps(&gradients(&a, &b)?, &[(&a, &va, step), (&b, &vb, other)])?;
                joined(&a, &b)
            }
        ));
        cases.push(case!(
            format!("{name}: velocity"),
            [parameter([SIZE]), parameter([SIZE]), parameter([SIZE])],
            |_, [a, g, v]| {
                let (a, v) = (own(a)?, own(v)?);
                sgd_step(&a, &g.detach(), &v, &step)?;
                Ok(v.detach())
            }
        ));
    }
    for (name, step) in [("adam", adam), ("adamw", adamw)] {
        cases.push(case!(
            name,
            [
                parameter([SIZE]),
                parameter([SIZE]),
                parameter([SIZE]).positive()
            ],
            |_, [a, b, s]| {
                let (a, b) = (own(a)?, own(b)?);
                let state = [own(s)?, own(s)?, own(s)?, own(s)?];
                let targets = [
                    (&a, [&state[0], &state[1]], step),
                    (&b, [&state[2], &state[3]], step),
                ];
                adam_steps(&gradients(&a, &b)?, &targets)?;
                joined(&joined(&a, &b)?, &joined(&state[0], &state[3])?)
            }
        ));
    }
    cases.push(case!(
        "rmsprop",
        [
            parameter([SIZE]),
            parameter([SIZE]),
            parameter([SIZE]).positive()
        ],
        |_, [a, b, s]| {
            let (a, b) = (own(a)?, own(b)?);
            let state = [own(s)?, own(s)?, own(s)?, own(s)?];
            let targets = [
                (&a, [&state[0], &state[1]], rmsprop),
                (&b, [&state[2], &state[3]], rmsprop),
            ];
            rmsprop_steps(&gradients(&a, &b)?, &targets)?;
            joined(&joined(&a, &b)?, &joined(&state[0], &state[3])?)
        }
    ));
    cases
}

fn statistics() -> Vec<Case> {
    vec![
        case!(
            "update_running",
            [
                parameter([37]),
                parameter([37]).positive(),
                parameter([37]),
                parameter([37]).positive(),
            ],
            |_, [mean, var, batch_mean, batch_var]| {
                let (mean, var) = (own(mean)?, own(var)?);
                let batch = BatchStatistics {
                    mean: batch_mean.detach(),
                    var: batch_var.detach(),
                    count: 7,
                };
                update_running(&mean, &var, &batch, 0.1)?;
                joined(&mean, &var)
            }
        ),
        case!(
            "lerp",
            [parameter([SIZE]), parameter([SIZE])],
            |_, [a, b]| {
                let a = own(a)?;
                lerp(&a, &b.detach(), 0.25)?;
                Ok(a.detach())
            }
        ),
        case!(
            "lerp of many",
            [parameter([SIZE]), parameter([5, 3])],
            |_, [a, b]| {
                let (a, b) = (own(a)?, own(b)?);
                let (to_a, to_b) = (own(&a)?, own(&b)?);
                sgd_step(
                    &to_a,
                    &a.detach(),
                    &own(&a)?,
                    &SgdStep {
                        lr: 1.0,
                        ..SgdStep::default()
                    },
                )?;
                let many: Vec<_> = (0..100).map(|_| own(&b)).collect::<Result<_>>()?;
                let mut pairs = vec![(&a, to_a.as_tensor())];
                pairs.extend(many.iter().map(|var| (var, to_b.as_tensor())));
                lerp_all(&pairs, 0.25)?;
                Ok(a.detach())
            }
        ),
        case!(
            "sum_of_squares",
            [parameter([SIZE]), parameter([SIZE])],
            |_, [a, b]| {
                let (a, b) = (own(a)?, own(b)?);
                let sum = gradients(&a, &b)?.sum_of_squares(&b)?;
                Tensor::new(sum as f32, a.device())
            }
        ),
        case!(
            "clip_norm",
            [parameter([SIZE]), parameter([SIZE])],
            |_, [a, b]| {
                let (a, b) = (own(a)?, own(b)?);
                let mut found = gradients(&a, &b)?;
                found.clip_norm(&[&a, &b], 2.5)?;
                let [a, b] = [found.get(&a), found.get(&b)].map(Option::unwrap);
                joined(a, b)
            }
        ),
        case!(
            "clip_norm of small gradients",
            [parameter([SIZE]), parameter([SIZE])],
            |_, [a, b]| {
                let (a, b) = (own(a)?, own(b)?);
                let mut found = gradients(&a, &b)?;
                found.clip_norm(&[&a, &b], 1e6)?;
                let [a, b] = [found.get(&a), found.get(&b)].map(Option::unwrap);
                joined(a, b)
            }
        ),
    ]
}

pub(super) fn cases() -> Vec<Case> {
    let cases = optimizers().into_iter().chain(statistics());
    cases.map(Case::only_f32).collect()
}
