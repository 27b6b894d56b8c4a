//! What benches and examples share.

use candle_core::{DType, Device, Error, Result, Tensor};

/// Numbers between −1 and 1, the same each time.
pub(crate) fn wave(shape: &[usize]) -> Result<Tensor> {
    let count = shape.iter().product::<usize>() as u32;
    Tensor::arange(0, count, &Device::Cpu)?
        .to_dtype(DType::F32)?
        .sin()?
        .reshape(shape)
}

/// A pool of so many threads.
pub(crate) fn threads(count: usize) -> Result<rayon::ThreadPool> {
    rayon::ThreadPoolBuilder::new()
        .num_threads(count)
        .build()
        .map_err(Error::wrap)
}
