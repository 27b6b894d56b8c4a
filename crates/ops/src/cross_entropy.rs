//! The loss of classification.

use std::cell::Cell;

use candle_core::{Error, Result, Shape, Tensor};

use crate::check::{self, invalid};
use crate::kernel::{Kernel, run1, run2};
use crate::softmax::softmax_row;
use crate::tape::Tape;

/// The mean over the rows of `logits`, (n, k), of −log softmax at the row's label, as
/// `torch.nn.functional.cross_entropy`: a scalar. It is computed in double precision and does not overflow.
///
/// An error if there are no rows, if there is not one label per row, or if a label is not below k.
pub fn cross_entropy(tape: &Tape, logits: &Tensor, labels: &[u32]) -> Result<Tensor> {
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
    let to_logits = tape.target(logits);
    let forward = Forward {
        labels,
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
}
