//! How a computation over float slices becomes a candle custom op: the one place that knows candle's storages on the CPU.
//! CUDA tensors take another way from here, see [`crate::cuda`].

use std::borrow::Cow;

use candle_core::{
    CpuStorage, CudaStorage, CustomOp1, CustomOp2, CustomOp3, Error, InplaceOp1, InplaceOp2,
    InplaceOp3, Layout, Result, Shape, Tensor,
};

#[cfg(feature = "cuda")]
use crate::cuda::{Array, Gpu};

/// A computation of one new tensor from `N` tensors. What it needs to know of their shapes it carries itself.
pub(crate) trait Kernel<const N: usize> {
    /// The operation's name in messages.
    const NAME: &'static str;

    /// The shape of the result.
    fn shape(&self) -> Shape;

    /// The values of the result from the inputs' values, all of them dense and in row-major order.
    fn cpu(&self, inputs: [&[f32]; N]) -> Result<Vec<f32>>;

    /// The result on a CUDA device, where the inputs are dense, too.
    #[cfg(feature = "cuda")]
    fn cuda(&self, gpu: &Gpu, inputs: [&Array; N]) -> Result<Array>;
}

/// A computation that changes one tensor in place, given the values of `N` others.
pub(crate) trait InPlace<const N: usize> {
    /// The operation's name in messages.
    const NAME: &'static str;

    /// Changes `target`; all values are dense and in row-major order.
    fn cpu(&self, target: &mut [f32], sources: [&[f32]; N]) -> Result<()>;

    /// Changes `target` on a CUDA device.
    #[cfg(feature = "cuda")]
    fn cuda(&self, gpu: &Gpu, target: &Array, sources: [&Array; N]) -> Result<()>;
}

/// The part of a [`Kernel`] or of an [`InPlace`] for CUDA of those that are parts of operations of which all of the CUDA side
/// is elsewhere: they never see a CUDA tensor.
macro_rules! cpu_only {
    (kernel of $n:literal) => {
        #[cfg(feature = "cuda")]
        fn cuda(
            &self,
            _: &$crate::cuda::Gpu,
            _: [&$crate::cuda::Array; $n],
        ) -> candle_core::Result<$crate::cuda::Array> {
            $crate::kernel::only_on_cpu(<Self as $crate::kernel::Kernel<$n>>::NAME)
        }
    };
    (in place of $n:literal) => {
        #[cfg(feature = "cuda")]
        fn cuda(
            &self,
            _: &$crate::cuda::Gpu,
            _: &$crate::cuda::Array,
            _: [&$crate::cuda::Array; $n],
        ) -> candle_core::Result<()> {
            $crate::kernel::only_on_cpu(<Self as $crate::kernel::InPlace<$n>>::NAME)
        }
    };
}
pub(crate) use cpu_only;

/// The result of `kernel` on `a`.
pub(crate) fn run1<K: Kernel<1>>(kernel: &K, a: &Tensor) -> Result<Tensor> {
    #[cfg(feature = "cuda")]
    if let Some(result) = crate::cuda::run(kernel, [a]) {
        return result;
    }
    a.apply_op1_no_bwd(&Op(kernel))
}

/// The result of `kernel` on `a` and `b`.
pub(crate) fn run2<K: Kernel<2>>(kernel: &K, a: &Tensor, b: &Tensor) -> Result<Tensor> {
    #[cfg(feature = "cuda")]
    if let Some(result) = crate::cuda::run(kernel, [a, b]) {
        return result;
    }
    a.apply_op2_no_bwd(b, &Op(kernel))
}

/// The result of `kernel` on `a`, `b` and `c`.
pub(crate) fn run3<K: Kernel<3>>(kernel: &K, a: &Tensor, b: &Tensor, c: &Tensor) -> Result<Tensor> {
    #[cfg(feature = "cuda")]
    if let Some(result) = crate::cuda::run(kernel, [a, b, c]) {
        return result;
    }
    a.apply_op3_no_bwd(b, c, &Op(kernel))
}

/// Lets `kernel` change `target`.
pub(crate) fn change0<K: InPlace<0>>(kernel: &K, target: &Tensor) -> Result<()> {
    #[cfg(feature = "cuda")]
    if let Some(result) = crate::cuda::change(kernel, target, []) {
        return result;
    }
    target.inplace_op1(&Op(kernel))
}

/// Lets `kernel` change `target`, given `a`, which must not share its memory.
pub(crate) fn change1<K: InPlace<1>>(kernel: &K, target: &Tensor, a: &Tensor) -> Result<()> {
    #[cfg(feature = "cuda")]
    if let Some(result) = crate::cuda::change(kernel, target, [a]) {
        return result;
    }
    target.inplace_op2(a, &Op(kernel))
}

/// Lets `kernel` change `target`, given `a` and `b`, which must not share its memory.
pub(crate) fn change2<K: InPlace<2>>(
    kernel: &K,
    target: &Tensor,
    a: &Tensor,
    b: &Tensor,
) -> Result<()> {
    #[cfg(feature = "cuda")]
    if let Some(result) = crate::cuda::change(kernel, target, [a, b]) {
        return result;
    }
    target.inplace_op3(a, b, &Op(kernel))
}

struct Op<'a, K>(&'a K);

/// The answer to a tensor on a CUDA device of a build without CUDA, or of what is done in another way there.
pub(crate) fn only_on_cpu<T>(op: &'static str) -> Result<T> {
    let hint = if cfg!(feature = "cuda") {
        "this is computed on the CPU only; move the tensors there"
    } else {
        "this build of graft computes on the CPU only; run with --device cpu"
    };
    Err(Error::Msg(format!("{op}: {hint}")))
}

/// A dense copy of the tensor.
pub(crate) fn copied(tensor: &Tensor) -> Result<Tensor> {
    #[cfg(feature = "cuda")]
    if crate::cuda::has(tensor) {
        return crate::cuda::elementwise::copied(tensor);
    }
    tensor.force_contiguous()
}

/// The tensor itself where it is dense, or a dense copy.
pub(crate) fn dense(tensor: &Tensor) -> Result<Tensor> {
    #[cfg(feature = "cuda")]
    if crate::cuda::has(tensor) {
        return crate::cuda::elementwise::dense(tensor);
    }
    tensor.contiguous()
}

/// The values of a tensor in row-major order; copied only where the tensor is strided.
fn values<'a>(
    op: &'static str,
    storage: &'a CpuStorage,
    layout: &Layout,
) -> Result<Cow<'a, [f32]>> {
    let CpuStorage::F32(all) = storage else {
        return Err(wrong_dtype(op, storage));
    };
    Ok(match layout.contiguous_offsets() {
        Some((start, end)) => Cow::Borrowed(&all[start..end]),
        None => Cow::Owned(densified(all, layout)),
    })
}

/// The values of a strided tensor in row-major order.
fn densified(all: &[f32], layout: &Layout) -> Vec<f32> {
    fn walk(all: &[f32], dims: &[usize], strides: &[usize], start: usize, out: &mut Vec<f32>) {
        match (dims, strides) {
            ([], _) | (_, []) => out.push(all[start]),
            ([len], [stride]) => out.extend((0..*len).map(|i| all[start + i * stride])),
            ([len, dims @ ..], [stride, strides @ ..]) => {
                for i in 0..*len {
                    walk(all, dims, strides, start + i * stride, out);
                }
            }
        }
    }
    let mut out = Vec::with_capacity(layout.shape().elem_count());
    if layout.shape().elem_count() > 0 {
        walk(
            all,
            layout.dims(),
            layout.stride(),
            layout.start_offset(),
            &mut out,
        );
    }
    out
}

/// The values of a tensor that is changed in place, which has to be dense.
fn values_mut<'a>(
    op: &'static str,
    storage: &'a mut CpuStorage,
    layout: &Layout,
) -> Result<&'a mut [f32]> {
    let Some((start, end)) = layout.contiguous_offsets() else {
        return Err(Error::Msg(format!(
            "{op}: the tensor that is changed in place must be contiguous, but has strides {:?} for shape {:?}",
            layout.stride(),
            layout.dims()
        )));
    };
    match storage {
        CpuStorage::F32(all) => Ok(&mut all[start..end]),
        other => Err(wrong_dtype(op, other)),
    }
}

fn wrong_dtype(op: &'static str, storage: &CpuStorage) -> Error {
    use candle_core::backend::BackendStorage;
    Error::Msg(format!(
        "{op}: tensors of f32 are expected, found {:?}; convert with to_dtype(DType::F32)",
        storage.dtype()
    ))
}

/// Makes a computation of a new tensor one of candle's operations with as many inputs.
macro_rules! custom_op {
    ($of:ident, $n:literal: $($storage:ident $layout:ident),+) => {
        impl<K: Kernel<$n>> $of for Op<'_, K> {
            fn name(&self) -> &'static str {
                K::NAME
            }

            fn cpu_fwd(
                &self,
                $($storage: &CpuStorage, $layout: &Layout),+
            ) -> Result<(CpuStorage, Shape)> {
                let result = self.0.cpu([$(&values(K::NAME, $storage, $layout)?),+])?;
                Ok((CpuStorage::F32(result), self.0.shape()))
            }

            #[expect(unused_variables, reason = "nothing is computed there")]
            fn cuda_fwd(
                &self,
                $($storage: &CudaStorage, $layout: &Layout),+
            ) -> Result<(CudaStorage, Shape)> {
                only_on_cpu(K::NAME)
            }
        }
    };
}

custom_op!(CustomOp1, 1: s l);
custom_op!(CustomOp2, 2: s1 l1, s2 l2);
custom_op!(CustomOp3, 3: s1 l1, s2 l2, s3 l3);

/// Makes a computation in place one of candle's operations with as many sources.
macro_rules! in_place_op {
    ($of:ident, $n:literal: $($storage:ident $layout:ident),*) => {
        impl<K: InPlace<$n>> $of for Op<'_, K> {
            fn name(&self) -> &'static str {
                K::NAME
            }

            fn cpu_fwd(
                &self,
                target: &mut CpuStorage,
                layout: &Layout,
                $($storage: &CpuStorage, $layout: &Layout),*
            ) -> Result<()> {
                let target = values_mut(K::NAME, target, layout)?;
                self.0.cpu(target, [$(&values(K::NAME, $storage, $layout)?),*])
            }

            #[expect(unused_variables, reason = "nothing is computed there")]
            fn cuda_fwd(
                &self,
                target: &mut CudaStorage,
                layout: &Layout,
                $($storage: &CudaStorage, $layout: &Layout),*
            ) -> Result<()> {
                only_on_cpu(K::NAME)
            }
        }
    };
}

in_place_op!(InplaceOp1, 0:);
in_place_op!(InplaceOp2, 1: s1 l1);
in_place_op!(InplaceOp3, 2: s1 l1, s2 l2);
