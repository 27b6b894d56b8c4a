//! The loss of classification.

use std::cell::Cell;

use candle_core::{Error, Result, Shape, Tensor};

use crate::check::{self, invalid};
use crate::kernel::{Kernel, cpu_only, run1, run2};
use crate::softmax::softmax_row;
use crate::tape::Tape;

/// What a cross entropy weighs, as the arguments of the same names of `torch.nn.functional.cross_entropy`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Weighing<'a> {
    /// The share of the target that is spread evenly over all classes (Szegedy et al. 2016), from 0 to 1.
    pub label_smoothing: f64,
    /// A weight for each class; the mean is over the weights of the rows' labels.
    pub class_weights: Option<&'a [f64]>,
}

/// The mean over the rows of `logits`, (n, k), of −log softmax at the row's label, as
/// `torch.nn.functional.cross_entropy`: a scalar. It is computed in double precision and does not overflow.
///
/// An error if there are no rows, if there is not one label per row, or if a label is not below k.
pub fn cross_entropy(tape: &Tape, logits: &Tensor, labels: &[u32]) -> Result<Tensor> {
    weighted_cross_entropy(tape, logits, labels, &Weighing::default())
}

/// [`cross_entropy`] with smoothed labels or weighted classes. A batch whose weights are all 0 has the loss 0.
///
/// An error also if there is not one weight per class, or if one is negative or not finite.
pub fn weighted_cross_entropy(
    tape: &Tape,
    logits: &Tensor,
    labels: &[u32],
    weighing: &Weighing<'_>,
) -> Result<Tensor> {
    const OP: &str = "cross_entropy";
    let [n, k] = check::dims(OP, "the logits", "(n, k)", logits)?;
    if labels.len() != n {
        return Err(invalid(
            OP,
            format_args!("{n} rows of logits need {n} labels, found {}", labels.len()),
        ));
    }
    if n == 0 {
        return Err(Error::Msg(
            "cross_entropy: the mean over an empty batch is not defined".into(),
        ));
    }
    if let Some(&label) = labels.iter().find(|&&label| label as usize >= k) {
        return Err(invalid(
            OP,
            format_args!("label {label} is not below the number of classes, {k}"),
        ));
    }
    if let Some(weights) = weighing.class_weights
        && (weights.len() != k || weights.iter().any(|w| !w.is_finite() || *w < 0.0))
    {
        return Err(invalid(
            OP,
            format_args!("{k} classes need {k} finite weights from 0 on, found {weights:?}"),
        ));
    }
    #[cfg(feature = "cuda")]
    if crate::cuda::has(logits) {
        return crate::cuda::loss::cross_entropy(tape, logits, labels, weighing);
    }
    let to_logits = tape.target(logits);
    let forward = Forward {
        labels,
        weighing,
        k,
        with_grad: to_logits.is_some(),
        grad: Cell::new(Vec::new()),
    };
    let loss = run1(&forward, logits)?;
    if let Some(id) = to_logits {
        let grad = Tensor::from_vec(forward.grad.take(), (n, k), logits.device())?;
        tape.record(&loss, move |upstream, grads| {
            grads.give(id, run2(&Scale(n, k), &grad, upstream.tensor())?)
        });
    }
    Ok(loss)
}

struct Forward<'a> {
    labels: &'a [u32],
    weighing: &'a Weighing<'a>,
    k: usize,
    with_grad: bool,
    grad: Cell<Vec<f32>>,
}

impl Kernel<1> for Forward<'_> {
    const NAME: &'static str = "cross_entropy";

    fn shape(&self) -> Shape {
        ().into()
    }

    fn cpu(&self, [logits]: [&[f32]; 1]) -> Result<Vec<f32>> {
        if *self.weighing != Weighing::default() {
            return Ok(vec![self.weighted(logits)]);
        }
        let n = self.labels.len() as f64;
        let mut probabilities = vec![0.0; logits.len()];
        let mut loss = 0.0;
        for ((row, out), &label) in logits
            .chunks_exact(self.k)
            .zip(probabilities.chunks_exact_mut(self.k))
            .zip(self.labels)
        {
            let log_total = softmax_row(row, out);
            loss += log_total - f64::from(row[label as usize]);
            if self.with_grad {
                out[label as usize] -= 1.0;
                for out in out {
                    *out = (f64::from(*out) / n) as f32;
                }
            }
        }
        if self.with_grad {
            self.grad.set(probabilities);
        }
        Ok(vec![(loss / n) as f32])
    }

    cpu_only!(kernel of 1);
}

impl Forward<'_> {
    /// The loss where targets are spread or rows weigh differently.
    fn weighted(&self, logits: &[f32]) -> f32 {
        let weight = |class: usize| {
            let weights = self.weighing.class_weights;
            weights.map_or(1.0, |weights| weights[class])
        };
        let (smoothing, k) = (self.weighing.label_smoothing, self.k as f64);
        let total: f64 = self
            .labels
            .iter()
            .map(|&label| weight(label as usize))
            .sum();
        let share = if total > 0.0 { 1.0 / total } else { 0.0 };
        let mut gradient = vec![0.0; logits.len()];
        let mut loss = 0.0;
        let rows = logits.chunks_exact(self.k);
        for ((row, out), &label) in rows.zip(gradient.chunks_exact_mut(self.k)).zip(self.labels) {
            let log_total = softmax_row(row, out);
            let target = |class: usize| {
                let hard = if class == label as usize {
                    1.0 - smoothing
                } else {
                    0.0
                };
                weight(class) * (hard + smoothing / k)
            };
            let all: f64 = (0..self.k).map(target).sum();
            for (class, (logit, out)) in row.iter().zip(out).enumerate() {
                loss += share * target(class) * (log_total - f64::from(*logit));
                *out = (share * (all * f64::from(*out) - target(class))) as f32;
            }
        }
        if self.with_grad {
            self.grad.set(gradient);
        }
        loss as f32
    }
}

/// The gradient of the loss times the gradient that arrives at it.
struct Scale(usize, usize);

impl Kernel<2> for Scale {
    const NAME: &'static str = "cross_entropy's gradient";

    fn shape(&self) -> Shape {
        (self.0, self.1).into()
    }

    fn cpu(&self, [grad, upstream]: [&[f32]; 2]) -> Result<Vec<f32>> {
        Ok(grad.iter().map(|g| g * upstream[0]).collect())
    }

    cpu_only!(kernel of 2);
}
