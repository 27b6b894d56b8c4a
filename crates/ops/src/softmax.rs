//! Probabilities from logits.

use candle_core::{Result, Shape, Tensor};

use crate::check;
#[cfg(feature = "cuda")]
use crate::cuda::{Array, Gpu, loss};
use crate::kernel::{Kernel, run1};

/// The softmax of each row of `logits`, (n, k). Not differentiable: training goes through
/// [`cross_entropy`](crate::cross_entropy).
pub fn softmax(logits: &Tensor) -> Result<Tensor> {
    let [n, k] = check::dims("softmax", "the logits", "(n, k)", logits)?;
    run1(&Softmax { n, k }, logits)
}

/// The softmax of one row and the logarithm of its denominator plus the largest logit, in double precision.
/// The largest logit is subtracted first, so nothing overflows.
pub(crate) fn softmax_row(logits: &[f32], out: &mut [f32]) -> f64 {
    let largest = logits.iter().fold(
        f32::NEG_INFINITY,
        |m, &x| if x.is_nan() { x } else { m.max(x) },
    );
    let largest = f64::from(largest);
    let total: f64 = logits.iter().map(|&x| (f64::from(x) - largest).exp()).sum();
    for (out, &x) in out.iter_mut().zip(logits) {
        *out = ((f64::from(x) - largest).exp() / total) as f32;
    }
    total.ln() + largest
}

struct Softmax {
    n: usize,
    k: usize,
}

impl Kernel<1> for Softmax {
    const NAME: &'static str = "softmax";

    fn shape(&self) -> Shape {
        (self.n, self.k).into()
    }

    fn cpu(&self, [logits]: [&[f32]; 1]) -> Result<Vec<f32>> {
        let mut out = vec![0.0; logits.len()];
        let k = self.k.max(1);
        for (row, out) in logits.chunks_exact(k).zip(out.chunks_exact_mut(k)) {
            softmax_row(row, out);
        }
        Ok(out)
    }

    #[cfg(feature = "cuda")]
    fn cuda(&self, gpu: &Gpu, [logits]: [&Array; 1]) -> Result<Array> {
        loss::softmax(gpu, logits, (self.n, self.k))
    }
}
