//! Concatenation, its gradient, and transposed matrices.

use candle_core::{Result, Tensor};

use super::array::{Array, Kind};
use super::gpu::Gpu;
use super::launch::{BLOCK, Launch};

/// Where a part lies in each run of the whole: `len` numbers from `first` on, of `stride`.
#[derive(Clone, Copy)]
pub(crate) struct Run {
    pub(crate) first: usize,
    pub(crate) len: usize,
    pub(crate) stride: usize,
}

/// A new tensor for parts to be joined in.
pub(crate) fn whole(part: &Tensor, shape: &[usize]) -> Result<Tensor> {
    let gpu = Gpu::of("cat", &[part])?;
    let kind = Array::of("cat", &gpu, part)?.kind();
    Ok(Array::new(&gpu, shape, kind)?.into_tensor())
}

/// Copies a dense part to where it belongs, rectified if asked.
pub(crate) fn join(gpu: &Gpu, whole: &Array, part: &Array, at: Run, rectify: bool) -> Result<()> {
    part.must_be("cat", whole.kind())?;
    Launch::of(gpu, "join", whole.kind())
        .at(part)
        .at(whole)
        .size(part.len())
        .size(at.first)
        .size(at.len)
        .size(at.stride)
        .flag(rectify)
        .each(part.len())
}

/// Takes a part of this shape back out of the whole; with `result` only where that is positive.
pub(crate) fn slice(
    gpu: &Gpu,
    whole: &Array,
    result: Option<&Array>,
    shape: &[usize],
    at: Run,
) -> Result<Array> {
    let part = Array::new(gpu, shape, whole.kind())?;
    if let Some(result) = result {
        result.must_be("cat's gradient", whole.kind())?;
    }
    Launch::of(gpu, "slice", whole.kind())
        .at(whole)
        .maybe_at(result)
        .at(&part)
        .size(part.len())
        .size(at.first)
        .size(at.len)
        .size(at.stride)
        .each(part.len())?;
    Ok(part)
}

/// `n` matrices.
#[derive(Clone, Copy)]
pub(crate) struct Matrices {
    pub(crate) n: usize,
    pub(crate) rows: usize,
    pub(crate) cols: usize,
}

/// Each matrix transposed, as numbers of this kind: (n, cols, rows).
pub(crate) fn transposed(gpu: &Gpu, x: &Array, of: Matrices, kind: Kind) -> Result<Array> {
    let Matrices { n, rows, cols } = of;
    let y = Array::new(gpu, (n, cols, rows), kind)?;
    let launch = match (x.kind(), kind) {
        (Kind::F32, Kind::Bf16) => Launch::new(gpu, "transpose_to_bf16"),
        (Kind::Bf16, Kind::F32) => Launch::new(gpu, "transpose_to_f32"),
        _ => Launch::of(gpu, "transpose", kind),
    };
    launch
        .at(x)
        .at(&y)
        .size(n)
        .size(rows)
        .size(cols)
        .blocks(x.len().div_ceil(4 * BLOCK).min(2112))?;
    Ok(y)
}
