//! Weighted sums, as of the losses of several classifiers.

use candle_core::{Result, Shape, Tensor, Var};

use crate::check::{self, invalid};
#[cfg(feature = "cuda")]
use crate::cuda::{Array, Gpu, elementwise};
use crate::kernel::{InPlace, Kernel, change1, run1, run2};
use crate::parallel::in_chunks;
use crate::simd::vectorized;
use crate::tape::Tape;

/// `a + factor · b` for tensors of one shape, also for scalars.
pub fn add_scaled(tape: &Tape, a: &Tensor, b: &Tensor, factor: f64) -> Result<Tensor> {
    if a.dims() != b.dims() {
        return Err(invalid(
            "add_scaled",
            format_args!("the shapes {:?} and {:?} differ", a.dims(), b.dims()),
        ));
    }
    let scaled = Scaled {
        shape: a.shape().clone(),
        factor: factor as f32,
    };
    let y = run2(&scaled, a, b)?;
    let (to_a, to_b) = (tape.target(a), tape.target(b));
    if to_a.is_some() || to_b.is_some() {
        tape.record(&y, move |grad, grads| {
            if let Some(id) = to_b {
                grads.give(id, run1(&scaled, grad.tensor())?)?;
            }
            match to_a {
                Some(id) => grads.add(id, grad),
                None => Ok(()),
            }
        });
    }
    Ok(y)
}

struct Scaled {
    shape: Shape,
    factor: f32,
}

impl Kernel<2> for Scaled {
    const NAME: &'static str = "add_scaled";

    fn shape(&self) -> Shape {
        self.shape.clone()
    }

    fn cpu(&self, [a, b]: [&[f32]; 2]) -> Result<Vec<f32>> {
        let pairs = a.iter().zip(b);
        Ok(pairs.map(|(a, b)| self.factor * b + a).collect())
    }

    #[cfg(feature = "cuda")]
    fn cuda(&self, gpu: &Gpu, [a, b]: [&Array; 2]) -> Result<Array> {
        elementwise::scaled_sum(gpu, a, b, self.factor)
    }
}

impl Kernel<1> for Scaled {
    const NAME: &'static str = "add_scaled's gradient";

    fn shape(&self) -> Shape {
        self.shape.clone()
    }

    fn cpu(&self, [grad]: [&[f32]; 1]) -> Result<Vec<f32>> {
        Ok(grad.iter().map(|grad| self.factor * grad).collect())
    }

    #[cfg(feature = "cuda")]
    fn cuda(&self, gpu: &Gpu, [grad]: [&Array; 1]) -> Result<Array> {
        elementwise::scaled(gpu, grad, self.factor)
    }
}

/// `target += share · (other − target)` in place, as `torch.lerp`.
pub fn lerp(target: &Var, other: &Tensor, share: f64) -> Result<()> {
    check::shape("lerp", "the other tensor", target.dims(), other)?;
    if target.id() == other.id() {
        return Ok(());
    }
    change1(&Lerp(share as f32), target, other)
}

/// [`lerp`] of many pairs of target and other, on CUDA devices in a few launches.
pub fn lerp_all(pairs: &[(&Var, &Tensor)], share: f64) -> Result<()> {
    #[cfg(feature = "cuda")]
    if pairs.iter().any(|(target, _)| crate::cuda::has(target)) {
        let mut moved: Vec<(&Tensor, &Tensor)> = Vec::with_capacity(pairs.len());
        for (target, other) in pairs {
            check::shape("lerp", "the other tensor", target.dims(), other)?;
            if target.id() != other.id() {
                moved.push((target.as_tensor(), other));
            }
        }
        return crate::cuda::optimizer::lerp(&moved, share as f32);
    }
    pairs
        .iter()
        .try_for_each(|(target, other)| lerp(target, other, share))
}

struct Lerp(f32);

impl InPlace<1> for Lerp {
    const NAME: &'static str = "lerp";

    fn cpu(&self, target: &mut [f32], [other]: [&[f32]; 1]) -> Result<()> {
        in_chunks(target, [], |target, [], start| {
            towards(target, &other[start..][..target.len()], self.0);
        });
        Ok(())
    }

    #[cfg(feature = "cuda")]
    fn cuda(&self, gpu: &Gpu, target: &Array, [other]: [&Array; 1]) -> Result<()> {
        elementwise::lerp(gpu, target, other, self.0)
    }
}

vectorized! {
    fn towards(target: &mut [f32], other: &[f32], share: f32) {
        for (target, other) in target.iter_mut().zip(other) {
            *target += share * (other - *target);
        }
    }
}
