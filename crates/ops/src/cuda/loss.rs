//! Losses and probabilities. Targets come from the host; what is computed of them stays on the device.

use candle_core::{Result, Tensor};

use super::array::{Array, Kind};
use super::elementwise;
use super::gpu::Gpu;
use super::launch::Launch;
use super::recording;
use crate::cross_entropy::Weighing;
use crate::tape::Tape;

/// The most rows that blocks work on at once.
const MOST_ROWS: usize = 65_535;

/// The softmax of each of n rows of k logits, as f32.
pub(crate) fn softmax(gpu: &Gpu, logits: &Array, (n, k): (usize, usize)) -> Result<Array> {
    let y = Array::new(gpu, (n, k), Kind::F32)?;
    Launch::of(gpu, "softmax", logits.kind())
        .at(logits)
        .at(&y)
        .size(n)
        .size(k)
        .blocks(n.min(MOST_ROWS))?;
    Ok(y)
}

/// [`weighted_cross_entropy`](crate::weighted_cross_entropy) on CUDA tensors, whose sizes, labels and weights have been
/// checked. Loss and gradient are computed together.
pub(crate) fn cross_entropy(
    tape: &Tape,
    logits: &Tensor,
    labels: &[u32],
    weighing: &Weighing<'_>,
) -> Result<Tensor> {
    const OP: &str = "cross_entropy";
    let gpu = Gpu::of(OP, &[logits])?;
    let (n, k) = logits.dims2()?;
    let values = Array::of(OP, &gpu, logits)?;
    let to_logits = tape.target(logits);
    let total: f64 = match weighing.class_weights {
        Some(weights) => labels.iter().map(|label| weights[*label as usize]).sum(),
        None => n as f64,
    };
    let share = match weighing.class_weights {
        // It depends on the labels, which are others each time.
        Some(_) if recording::is_active() => -1.0,
        _ if total > 0.0 => 1.0 / total,
        _ => 0.0,
    };
    let labels = recording::targets(&gpu, labels)?;
    let weights = weighing.class_weights.map(|weights| gpu.constant(weights));
    let weights = weights.transpose()?;
    let losses = gpu.buffer::<f64>(n)?;
    let gradient = to_logits.map(|_| Array::new(&gpu, (n, k), values.kind()));
    let gradient = gradient.transpose()?;
    Launch::of(&gpu, OP, values.kind())
        .at(&values)
        .at(&labels)
        .maybe_at(weights.as_deref())
        .double(weighing.label_smoothing)
        .double(share)
        .size(n)
        .size(k)
        .at(&losses)
        .maybe_at(gradient.as_ref())
        .blocks(n.min(MOST_ROWS))?;
    let loss = Array::new(&gpu, (), Kind::F32)?;
    Launch::new(&gpu, "sum_of_doubles")
        .at(&losses)
        .size(n)
        .double(1.0)
        .at(&loss)
        .blocks(1)?;
    let loss = loss.into_tensor();
    if let (Some(id), Some(gradient)) = (to_logits, gradient) {
        tape.record(&loss, move |upstream, grads| {
            let upstream = Array::of(OP, &gpu, upstream.tensor())?;
            let gradient = elementwise::scaled_by(&gpu, &gradient, &upstream)?;
            grads.give(id, gradient.into_tensor())
        });
    }
    Ok(loss)
}

fn bits(numbers: &[f32]) -> Vec<u32> {
    numbers.iter().map(|number| number.to_bits()).collect()
}

/// The mean squared difference of the outputs, (n, 1), to the targets: a scalar.
pub(crate) fn mean_squared_error(gpu: &Gpu, outputs: &Array, targets: &[f32]) -> Result<Array> {
    let loss = Array::new(gpu, (), Kind::F32)?;
    Launch::of(gpu, "mean_squared_error", outputs.kind())
        .at(outputs)
        .at(&recording::targets(gpu, &bits(targets))?)
        .size(targets.len())
        .at(&loss)
        .blocks(1)?;
    Ok(loss)
}

/// The gradient of the outputs, given that of the loss.
pub(crate) fn mean_squared_error_gradient(
    gpu: &Gpu,
    outputs: &Array,
    targets: &[f32],
    upstream: &Array,
) -> Result<Array> {
    upstream.must_be("mean_squared_error's gradient", Kind::F32)?;
    let n = targets.len();
    let dx = Array::new(gpu, (n, 1), outputs.kind())?;
    Launch::of(gpu, "mean_squared_error_gradient", outputs.kind())
        .at(outputs)
        .at(&recording::targets(gpu, &bits(targets))?)
        .at(upstream)
        .at(&dx)
        .size(n)
        .each(n)?;
    Ok(dx)
}
