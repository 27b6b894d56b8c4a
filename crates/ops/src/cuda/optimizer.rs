//! Steps of optimizers, averages, and norms of gradients: all tensors in a few launches.

use candle_core::{Result, Tensor};

use super::array::{Array, Buffer, Kind, Located};
use super::gpu::Gpu;
use super::items::{self, Item, batches};
use super::launch::Launch;

/// What of a step goes to a kernel: the parameter first, then its gradient, then what the optimizer keeps.
pub(crate) struct Update<'a> {
    pub(crate) tensors: Vec<&'a Tensor>,
    pub(crate) numbers: Vec<f32>,
}

/// Changes parameters and what is kept of them by the kernel `name`. All tensors of an update have one shape.
pub(crate) fn step(name: &'static str, updates: &[Update]) -> Result<()> {
    let Some(first) = updates.first() else {
        return Ok(());
    };
    let gpu = Gpu::of(name, &first.tensors)?;
    let mut all = Vec::with_capacity(updates.len());
    for update in updates {
        Gpu::of(name, &update.tensors)?;
        let arrays = update.tensors.iter().enumerate().map(|(i, tensor)| {
            // The gradient is only read.
            let array = if i == 1 {
                Array::of(name, &gpu, tensor)?
            } else {
                Array::of_changed(name, &gpu, tensor)?
            };
            array.must_be(name, Kind::F32)?;
            Ok(array)
        });
        all.push(Item {
            arrays: arrays.collect::<Result<_>>()?,
            numbers: update.numbers.clone(),
        });
    }
    items::run(&gpu, name, &all)
}

/// target += share · (other − target) for each pair.
pub(crate) fn lerp(pairs: &[(&Tensor, &Tensor)], share: f32) -> Result<()> {
    const OP: &str = "lerp";
    let Some((first, _)) = pairs.first() else {
        return Ok(());
    };
    let gpu = Gpu::of(OP, &[first])?;
    let mut all = Vec::with_capacity(pairs.len());
    for (target, other) in pairs {
        Gpu::of(OP, &[first, target, other])?;
        let target = Array::of_changed(OP, &gpu, target)?;
        target.must_be(OP, Kind::F32)?;
        all.push(Item::plain(vec![target, Array::of_f32(OP, &gpu, other)?]));
    }
    for batch in batches(&all) {
        batch.run(batch.push(Launch::new(&gpu, "lerp_items")).float(share))?;
    }
    Ok(())
}

const NORM: &str = "norm of gradients";

/// The sums of the squares of parts of all gradients, and how many there are.
fn square_sums(gpu: &Gpu, all: &[Item]) -> Result<(Buffer<f64>, usize)> {
    let total: usize = batches(all).map(|batch| batch.sums()).sum();
    let sums = gpu.buffer::<f64>(total)?;
    let mut first = 0;
    for batch in batches(all) {
        let launch = batch.push(Launch::new(gpu, "square_sums"));
        batch.run(launch.key(sums.address() + (first * size_of::<f64>()) as u64))?;
        first += batch.sums();
    }
    Ok((sums, total))
}

/// The sum of the squares as a float and what that lacks of it: (2).
pub(crate) fn sum_of_squares(gpu: &Gpu, gradient: &Array) -> Result<Array> {
    gradient.must_be(NORM, Kind::F32)?;
    let (sums, count) = square_sums(gpu, &[Item::plain(vec![gradient.clone()])])?;
    let parts = Array::new(gpu, 2, Kind::F32)?;
    Launch::new(gpu, "sum_as_two_floats")
        .at(&sums)
        .size(count)
        .at(&parts)
        .blocks(1)?;
    Ok(parts)
}

/// Multiplies the gradients, which nobody else may see, so that the norm of all together is at most `most`.
pub(crate) fn clip_norm(gradients: &[Tensor], most: f64) -> Result<()> {
    let Some(first) = gradients.first() else {
        return Ok(());
    };
    let gpu = Gpu::of(NORM, &[first])?;
    let mut all = Vec::with_capacity(gradients.len());
    for gradient in gradients {
        Gpu::of(NORM, &[first, gradient])?;
        let array = Array::of_changed(NORM, &gpu, gradient)?;
        array.must_be(NORM, Kind::F32)?;
        all.push(Item::plain(vec![array]));
    }
    let (sums, count) = square_sums(&gpu, &all)?;
    let scale = gpu.buffer::<f32>(1)?;
    Launch::new(&gpu, "clip_scale")
        .at(&sums)
        .size(count)
        .double(most)
        .at(&scale)
        .blocks(1)?;
    for batch in batches(&all) {
        batch.run(batch.push(Launch::new(&gpu, "scale_items")).at(&scale))?;
    }
    Ok(())
}
