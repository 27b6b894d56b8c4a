//! The loss of regression.

use candle_core::{Error, Result, Shape, Tensor};

use crate::check::{self, invalid};
#[cfg(feature = "cuda")]
use crate::cuda::{Array, Gpu, loss};
use crate::kernel::{Kernel, run1, run2};
use crate::tape::Tape;

/// The mean over the rows of `outputs`, (n, 1), of the squared difference to the row's target, as
/// `torch.nn.functional.mse_loss`: a scalar. It is computed in double precision.
///
/// An error if there are no rows, if a row has not one output, or if there is not one target per row.
pub fn mean_squared_error(tape: &Tape, outputs: &Tensor, targets: &[f32]) -> Result<Tensor> {
    const OP: &str = "mean_squared_error";
    let [n, k] = check::dims(OP, "the outputs", "(n, 1)", outputs)?;
    if k != 1 || targets.len() != n {
        return Err(invalid(
            OP,
            format_args!(
                "outputs (n, 1) need n targets, found ({n}, {k}) and {} targets",
                targets.len()
            ),
        ));
    }
    if n == 0 {
        return Err(Error::Msg(
            "mean_squared_error: the mean over an empty batch is not defined".into(),
        ));
    }
    let loss = run1(&Forward(targets), outputs)?;
    if let Some(id) = tape.target(outputs) {
        let (outputs, targets) = (outputs.clone(), targets.to_vec());
        tape.record(&loss, move |upstream, grads| {
            grads.give(id, run2(&Backward(&targets), &outputs, upstream.tensor())?)
        });
    }
    Ok(loss)
}

struct Forward<'a>(&'a [f32]);

impl Kernel<1> for Forward<'_> {
    const NAME: &'static str = "mean_squared_error";

    fn shape(&self) -> Shape {
        ().into()
    }

    fn cpu(&self, [outputs]: [&[f32]; 1]) -> Result<Vec<f32>> {
        let squares = differences(outputs, self.0).map(|difference| difference * difference);
        Ok(vec![(squares.sum::<f64>() / self.0.len() as f64) as f32])
    }

    #[cfg(feature = "cuda")]
    fn cuda(&self, gpu: &Gpu, [outputs]: [&Array; 1]) -> Result<Array> {
        loss::mean_squared_error(gpu, outputs, self.0)
    }
}

struct Backward<'a>(&'a [f32]);

impl Kernel<2> for Backward<'_> {
    const NAME: &'static str = "mean_squared_error's gradient";

    fn shape(&self) -> Shape {
        (self.0.len(), 1).into()
    }

    fn cpu(&self, [outputs, upstream]: [&[f32]; 2]) -> Result<Vec<f32>> {
        let scale = 2.0 * f64::from(upstream[0]) / self.0.len() as f64;
        let gradient = differences(outputs, self.0).map(|difference| (scale * difference) as f32);
        Ok(gradient.collect())
    }

    #[cfg(feature = "cuda")]
    fn cuda(&self, gpu: &Gpu, [outputs, upstream]: [&Array; 2]) -> Result<Array> {
        loss::mean_squared_error_gradient(gpu, outputs, self.0, upstream)
    }
}

/// How far each output is from its target.
fn differences(outputs: &[f32], targets: &[f32]) -> impl Iterator<Item = f64> {
    let pairs = outputs.iter().zip(targets);
    pairs.map(|(&output, &target)| f64::from(output) - f64::from(target))
}
