//! From the operations of the CPU to those here.

use candle_core::{Result, Tensor};

use super::array::Array;
use super::gpu::Gpu;
use crate::kernel::{InPlace, Kernel};

/// Whether the tensor is on a CUDA device.
pub(crate) fn has(tensor: &Tensor) -> bool {
    tensor.device().is_cuda()
}

/// The result of a kernel, if one of its inputs is on a CUDA device.
pub(crate) fn run<K: Kernel<N>, const N: usize>(
    kernel: &K,
    inputs: [&Tensor; N],
) -> Option<Result<Tensor>> {
    inputs.iter().any(|input| has(input)).then(|| {
        let gpu = Gpu::of(K::NAME, &inputs)?;
        let arrays = arrays(K::NAME, &gpu, inputs)?;
        Ok(kernel.cuda(&gpu, arrays.each_ref())?.into_tensor())
    })
}

/// Lets a kernel change `target`, if that or one of its sources is on a CUDA device.
pub(crate) fn change<K: InPlace<N>, const N: usize>(
    kernel: &K,
    target: &Tensor,
    sources: [&Tensor; N],
) -> Option<Result<()>> {
    (has(target) || sources.iter().any(|source| has(source))).then(|| {
        let gpu = Gpu::of(K::NAME, &[&[target], sources.as_slice()].concat())?;
        let target = Array::of_changed(K::NAME, &gpu, target)?;
        let arrays = arrays(K::NAME, &gpu, sources)?;
        kernel.cuda(&gpu, &target, arrays.each_ref())
    })
}

fn arrays<const N: usize>(op: &str, gpu: &Gpu, tensors: [&Tensor; N]) -> Result<[Array; N]> {
    let mut arrays = Vec::with_capacity(N);
    for tensor in tensors {
        arrays.push(Array::of(op, gpu, tensor)?);
    }
    let arrays: std::result::Result<[Array; N], _> = arrays.try_into();
    Ok(arrays.unwrap_or_else(|_| unreachable!("there is an array for each tensor")))
}
