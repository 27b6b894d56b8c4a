//! Functions of each value by itself, sums of tensors, copies and conversions.

use candle_core::cuda::cudarc::driver::result;
use candle_core::{DType, Error, Result, Shape, Tensor};

use super::array::{Array, Kind, Located};
use super::gpu::{Gpu, failed};
use super::launch::Launch;
use super::recording;
use crate::activation::Activation;

/// The number of an activation in the kernels.
pub(crate) fn number(activation: Option<Activation>) -> i32 {
    match activation {
        None => 0,
        Some(Activation::Relu) => 1,
        Some(Activation::Relu6) => 2,
        Some(Activation::Sigmoid) => 3,
        Some(Activation::Hardsigmoid) => 4,
        Some(Activation::Silu) => 5,
        Some(Activation::Hardswish) => 6,
    }
}

fn like(gpu: &Gpu, x: &Array) -> Result<Array> {
    Array::new(gpu, x.tensor().shape().clone(), x.kind())
}

/// Writes the activation of x to y, which may be x.
pub(crate) fn activate(gpu: &Gpu, x: &Array, y: &Array, activation: Activation) -> Result<()> {
    Launch::of(gpu, "activate", x.kind())
        .at(x)
        .at(y)
        .size(x.len())
        .int(number(Some(activation)))
        .each(x.len())
}

/// The activation of x.
pub(crate) fn activated(gpu: &Gpu, x: &Array, activation: Activation) -> Result<Array> {
    let y = like(gpu, x)?;
    activate(gpu, x, &y, activation)?;
    Ok(y)
}

/// Turns the gradient of an activation's values into that of its arguments.
pub(crate) fn activation_gradient(
    gpu: &Gpu,
    grad: &Array,
    saved: &Array,
    activation: Activation,
) -> Result<()> {
    saved.must_be("activation's gradient", grad.kind())?;
    Launch::of(gpu, "activation_gradient", grad.kind())
        .at(grad)
        .at(saved)
        .size(grad.len())
        .int(number(Some(activation)))
        .each(grad.len())
}

/// Writes a + b to y, which may be either.
pub(crate) fn add(gpu: &Gpu, a: &Array, b: &Array, y: &Array) -> Result<()> {
    b.must_be("add", a.kind())?;
    Launch::of(gpu, "add", a.kind())
        .at(a)
        .at(b)
        .at(y)
        .size(a.len())
        .each(a.len())
}

/// a + b.
pub(crate) fn sum(gpu: &Gpu, a: &Array, b: &Array) -> Result<Array> {
    let y = like(gpu, a)?;
    add(gpu, a, b, &y)?;
    Ok(y)
}

/// a + factor · b.
pub(crate) fn scaled_sum(gpu: &Gpu, a: &Array, b: &Array, factor: f32) -> Result<Array> {
    b.must_be("add_scaled", a.kind())?;
    let y = like(gpu, a)?;
    Launch::of(gpu, "scaled_sum", a.kind())
        .at(a)
        .at(b)
        .at(&y)
        .size(a.len())
        .float(factor)
        .each(a.len())?;
    Ok(y)
}

/// factor · a.
pub(crate) fn scaled(gpu: &Gpu, a: &Array, factor: f32) -> Result<Array> {
    let y = like(gpu, a)?;
    Launch::of(gpu, "scaled", a.kind())
        .at(a)
        .at(&y)
        .size(a.len())
        .float(factor)
        .each(a.len())?;
    Ok(y)
}

/// factor · a for a number on the device.
pub(crate) fn scaled_by(gpu: &Gpu, a: &Array, factor: &Array) -> Result<Array> {
    factor.must_be("scaling of a gradient", Kind::F32)?;
    let y = like(gpu, a)?;
    Launch::of(gpu, "scaled_by", a.kind())
        .at(a)
        .at(factor)
        .at(&y)
        .size(a.len())
        .each(a.len())?;
    Ok(y)
}

/// target += share · (other − target).
pub(crate) fn lerp(gpu: &Gpu, target: &Array, other: &Array, share: f32) -> Result<()> {
    target.must_be("lerp", Kind::F32)?;
    other.must_be("lerp", Kind::F32)?;
    Launch::new(gpu, "lerp_f32")
        .at(target)
        .at(other)
        .size(target.len())
        .float(share)
        .each(target.len())
}

/// What of a dropout's parameters the kernel takes.
#[derive(Clone, Copy)]
pub(crate) struct Dropout {
    pub(crate) key: u64,
    pub(crate) p: f32,
    pub(crate) scale: f32,
}

/// x with some elements set to 0 and the others scaled.
pub(crate) fn dropped(gpu: &Gpu, x: &Array, of: Dropout) -> Result<Array> {
    let y = like(gpu, x)?;
    Launch::of(gpu, "dropout", x.kind())
        .at(x)
        .at(&y)
        .size(x.len())
        .key(recording::key(of.key)?)
        .key(of.key)
        .float(of.p)
        .float(of.scale)
        .each(x.len())?;
    Ok(y)
}

/// A tensor of f32 that are all `value`.
pub(crate) fn filled(like: &Tensor, shape: &Shape, value: f32) -> Result<Tensor> {
    let gpu = Gpu::of("a constant", &[like])?;
    let y = Array::new(&gpu, shape.clone(), Kind::F32)?;
    Launch::new(&gpu, "fill_f32")
        .at(&y)
        .size(y.len())
        .float(value)
        .each(y.len())?;
    Ok(y.into_tensor())
}

/// The values of a strided tensor one after another; `x` begins with its first.
pub(super) fn gathered(gpu: &Gpu, x: &Array) -> Result<Array> {
    /// The most dimensions that the kernel knows.
    const RANK: usize = 8;
    let tensor = x.tensor();
    let (dims, strides) = (tensor.dims(), tensor.stride());
    if dims.len() > RANK {
        return Err(Error::Msg(format!(
            "strided tensors of more than {RANK} dimensions are not supported, found shape {dims:?}"
        )));
    }
    let padded = |values: &[usize]| -> Vec<usize> {
        let zeros = std::iter::repeat_n(0, RANK - values.len());
        values.iter().copied().chain(zeros).collect()
    };
    let y = like(gpu, x)?;
    Launch::of(gpu, "gather", x.kind())
        .at(x)
        .at(&y)
        .size(y.len())
        .sizes([vec![dims.len()], padded(dims), padded(strides)].concat())
        .each(y.len())?;
    Ok(y)
}

/// A dense copy of the tensor.
pub(crate) fn copied(tensor: &Tensor) -> Result<Tensor> {
    let gpu = Gpu::of("a copy", &[tensor])?;
    let x = Array::of("a copy", &gpu, tensor)?;
    if !tensor.is_contiguous() {
        return Ok(x.into_tensor());
    }
    let y = like(&gpu, &x)?;
    copy(&gpu, &y, &x)?;
    Ok(y.into_tensor())
}

/// Writes the values of `from` to `to`, which has as many of the same kind.
pub(super) fn copy(gpu: &Gpu, to: &Array, from: &Array) -> Result<()> {
    let bytes = from.len() * from.kind().bytes();
    if bytes == 0 {
        return Ok(());
    }
    // SAFETY: both have so many bytes (see the module for the rest).
    unsafe {
        result::memcpy_dtod_async(
            to.address(),
            from.address(),
            bytes,
            gpu.stream().cu_stream(),
        )
    }
    .map_err(|error| failed("a copy on the device", error))
}

/// The tensor itself where it is dense, or a dense copy.
pub(crate) fn dense(tensor: &Tensor) -> Result<Tensor> {
    if tensor.is_contiguous() {
        return Ok(tensor.clone());
    }
    copied(tensor)
}

/// Sets all values to 0.
pub(super) fn clear(gpu: &Gpu, array: &Array) -> Result<()> {
    let bytes = array.len() * array.kind().bytes();
    if bytes == 0 {
        return Ok(());
    }
    // SAFETY: the array has so many bytes (see the module for the rest).
    unsafe { result::memset_d8_async(array.address(), 0, bytes, gpu.stream().cu_stream()) }
        .map_err(|error| failed("clearing memory on the device", error))
}

/// The values as numbers of another kind.
pub(crate) fn converted(gpu: &Gpu, x: &Array, kind: Kind) -> Result<Array> {
    let name = match (x.kind(), kind) {
        (Kind::F32, Kind::Bf16) => "to_bf16",
        (Kind::Bf16, Kind::F32) => "to_f32",
        _ => return Ok(x.clone()),
    };
    let y = Array::new(gpu, x.tensor().shape().clone(), kind)?;
    Launch::new(gpu, name)
        .at(x)
        .at(&y)
        .size(x.len())
        .each(x.len())?;
    Ok(y)
}

/// A tensor as numbers of the kind that candle calls `dtype`.
pub(crate) fn cast(tensor: &Tensor, dtype: DType) -> Result<Tensor> {
    const OP: &str = "cast";
    let kind = match dtype {
        DType::F32 => Kind::F32,
        DType::BF16 => Kind::Bf16,
        other => {
            return Err(Error::Msg(format!(
                "{OP}: tensors are f32 or bf16, not {other:?}"
            )));
        }
    };
    let gpu = Gpu::of(OP, &[tensor])?;
    let x = Array::of(OP, &gpu, tensor)?;
    Ok(converted(&gpu, &x, kind)?.into_tensor())
}
