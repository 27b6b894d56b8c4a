//! How a computation over float slices becomes a candle custom op: the one place that knows candle's storages.

use std::borrow::Cow;

use candle_core::{
    CpuStorage, CudaStorage, CustomOp1, CustomOp2, CustomOp3, Error, InplaceOp1, InplaceOp2,
    InplaceOp3, Layout, Result, Shape, Tensor,
};

/// A computation of one new tensor from `N` tensors. What it needs to know of their shapes it carries itself.
pub(crate) trait Kernel<const N: usize> {
    /// The operation's name in messages.
    const NAME: &'static str;

    /// The shape of the result.
    fn shape(&self) -> Shape;

    /// The values of the result from the inputs' values, all of them dense and in row-major order.
    fn cpu(&self, inputs: [&[f32]; N]) -> Result<Vec<f32>>;
}

/// A computation that changes one tensor in place, given the values of `N` others.
pub(crate) trait InPlace<const N: usize> {
    /// The operation's name in messages.
    const NAME: &'static str;

    /// Changes `target`; all values are dense and in row-major order.
    fn cpu(&self, target: &mut [f32], sources: [&[f32]; N]) -> Result<()>;
}

/// The result of `kernel` on `a`.
pub(crate) fn run1<K: Kernel<1>>(kernel: &K, a: &Tensor) -> Result<Tensor> {
    a.apply_op1_no_bwd(&Op(kernel))
}

/// The result of `kernel` on `a` and `b`.
pub(crate) fn run2<K: Kernel<2>>(kernel: &K, a: &Tensor, b: &Tensor) -> Result<Tensor> {
    a.apply_op2_no_bwd(b, &Op(kernel))
}

/// The result of `kernel` on `a`, `b` and `c`.
pub(crate) fn run3<K: Kernel<3>>(kernel: &K, a: &Tensor, b: &Tensor, c: &Tensor) -> Result<Tensor> {
    a.apply_op3_no_bwd(b, c, &Op(kernel))
}

/// Lets `kernel` change `target`.
pub(crate) fn change0<K: InPlace<0>>(kernel: &K, target: &Tensor) -> Result<()> {
    target.inplace_op1(&Op(kernel))
}

/// Lets `kernel` change `target`, given `a`, which must not share its memory.
pub(crate) fn change1<K: InPlace<1>>(kernel: &K, target: &Tensor, a: &Tensor) -> Result<()> {
    target.inplace_op2(a, &Op(kernel))
}

/// Lets `kernel` change `target`, given `a` and `b`, which must not share its memory.
pub(crate) fn change2<K: InPlace<2>>(
    kernel: &K,
    target: &Tensor,
    a: &Tensor,
    b: &Tensor,
) -> Result<()> {
    target.inplace_op3(a, b, &Op(kernel))
}

struct Op<'a, K>(&'a K);

/// The only answer of this build to a tensor on a CUDA device.
fn cuda_not_yet<T>(op: &'static str) -> Result<T> {
    Err(Error::Msg(format!(
        "{op}: this build of graft computes on the CPU only; run with --device cpu"
    )))
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
                cuda_not_yet(K::NAME)
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
                cuda_not_yet(K::NAME)
            }
        }
    };
}

in_place_op!(InplaceOp1, 0:);
in_place_op!(InplaceOp2, 1: s1 l1);
in_place_op!(InplaceOp3, 2: s1 l1, s2 l2);
