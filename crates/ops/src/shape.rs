//! Sums of two tensors, concatenation, and changes of shape.

use candle_core::{Error, Result, Shape, Tensor};

use crate::check::invalid;
use crate::kernel::{Kernel, run1, run2};
use crate::parallel::for_each_chunk;
use crate::simd;
use crate::tape::Tape;

/// `a + b` for tensors of one shape, as at the end of a residual block.
pub fn add(tape: &Tape, a: &Tensor, b: &Tensor) -> Result<Tensor> {
    if a.dims() != b.dims() {
        return Err(invalid(
            "add",
            format_args!("the shapes {:?} and {:?} differ", a.dims(), b.dims()),
        ));
    }
    let y = run2(&Add(a.shape().clone()), a, b)?;
    match (tape.target(a), tape.target(b)) {
        (Some(to_a), Some(to_b)) => tape.record(&y, move |grad, grads| {
            let (for_a, for_b) = grad.split();
            grads.add(to_a, for_a)?;
            grads.add(to_b, for_b)
        }),
        (Some(to), None) | (None, Some(to)) => {
            tape.record(&y, move |grad, grads| grads.add(to, grad));
        }
        (None, None) => {}
    }
    Ok(y)
}

struct Add(Shape);

impl Kernel<2> for Add {
    const NAME: &'static str = "add";

    fn shape(&self) -> Shape {
        self.0.clone()
    }

    fn cpu(&self, [a, b]: [&[f32]; 2]) -> Result<Vec<f32>> {
        const CHUNK: usize = 1 << 16;
        let mut y = vec![0.0; a.len()];
        for_each_chunk(&mut y, CHUNK, a.len(), |i, out| {
            let start = i * CHUNK;
            let len = out.len();
            simd::add(out, &a[start..][..len], &b[start..][..len]);
        });
        Ok(y)
    }
}

/// The tensors one after another along dimension `dim`; all other sizes must agree.
pub fn cat(tape: &Tape, parts: &[&Tensor], dim: usize) -> Result<Tensor> {
    let sizes = cat_sizes(parts, dim)?;
    let dims = parts[0].dims();
    let outer: usize = dims[..dim].iter().product();
    let inner: usize = dims[dim + 1..].iter().product();
    let total: usize = sizes.iter().sum();

    let mut shape = dims.to_vec();
    shape[dim] = total;
    let y = join(parts, &sizes, outer, inner, &shape)?;
    let targets: Vec<_> = parts.iter().map(|part| tape.target(part)).collect();
    if targets.iter().any(Option::is_some) {
        tape.record(&y, move |grad, grads| {
            let mut first = 0;
            for (target, size) in targets.into_iter().zip(sizes) {
                if let Some(id) = target {
                    let mut shape = shape.clone();
                    shape[dim] = size;
                    let slice = Slice {
                        shape,
                        first: first * inner,
                        len: size * inner,
                        stride: total * inner,
                    };
                    grads.give(id, run1(&slice, grad.tensor())?)?;
                }
                first += size;
            }
            Ok(())
        });
    }
    Ok(y)
}

/// The parts' sizes along `dim`, after checking that they fit together.
fn cat_sizes(parts: &[&Tensor], dim: usize) -> Result<Vec<usize>> {
    let Some(first) = parts.first() else {
        return Err(Error::Msg("cat: there is nothing to concatenate".into()));
    };
    if dim >= first.rank() {
        return Err(invalid(
            "cat",
            format_args!("there is no dimension {dim} in shape {:?}", first.dims()),
        ));
    }
    for part in parts {
        let fits = part.rank() == first.rank()
            && (0..first.rank()).all(|d| d == dim || part.dims()[d] == first.dims()[d]);
        if !fits {
            return Err(invalid(
                "cat",
                format_args!(
                    "shapes {:?} and {:?} differ in more than dimension {dim}",
                    first.dims(),
                    part.dims()
                ),
            ));
        }
    }
    Ok(parts.iter().map(|part| part.dims()[dim]).collect())
}

/// Pairwise concatenation would copy early parts again and again, so each part is placed into the whole at once.
fn join(
    parts: &[&Tensor],
    sizes: &[usize],
    outer: usize,
    inner: usize,
    shape: &[usize],
) -> Result<Tensor> {
    use crate::kernel::change1;
    let y = Tensor::zeros(shape, candle_core::DType::F32, parts[0].device())?;
    let stride = sizes.iter().sum::<usize>() * inner;
    let mut first = 0;
    for (part, size) in parts.iter().zip(sizes) {
        let place = Place {
            outer,
            first: first * inner,
            len: size * inner,
            stride,
        };
        change1(&place, &y, part)?;
        first += size;
    }
    Ok(y)
}

/// Copies a dense part to where it belongs in each of `outer` pieces of the whole.
struct Place {
    outer: usize,
    first: usize,
    len: usize,
    stride: usize,
}

impl crate::kernel::InPlace<1> for Place {
    const NAME: &'static str = "cat";

    fn cpu(&self, whole: &mut [f32], [part]: [&[f32]; 1]) -> Result<()> {
        for i in 0..self.outer {
            whole[i * self.stride + self.first..][..self.len]
                .copy_from_slice(&part[i * self.len..][..self.len]);
        }
        Ok(())
    }
}

/// Takes one part back out of the whole.
struct Slice {
    shape: Vec<usize>,
    first: usize,
    len: usize,
    stride: usize,
}

impl Kernel<1> for Slice {
    const NAME: &'static str = "cat's gradient";

    fn shape(&self) -> Shape {
        self.shape.clone().into()
    }

    fn cpu(&self, [whole]: [&[f32]; 1]) -> Result<Vec<f32>> {
        let mut part = Vec::with_capacity(self.shape().elem_count());
        if self.len > 0 {
            for piece in whole.chunks_exact(self.stride) {
                part.extend_from_slice(&piece[self.first..][..self.len]);
            }
        }
        Ok(part)
    }
}

/// (n, …) to (n, k): everything but the first dimension in one.
pub fn flatten(tape: &Tape, x: &Tensor) -> Result<Tensor> {
    let Some((&n, rest)) = x.dims().split_first() else {
        return Err(Error::Msg(
            "flatten: a tensor without dimensions has no first one to keep".into(),
        ));
    };
    let k = rest.iter().product();
    reshape(tape, x, (n, k))
}

/// The same values in row-major order in another shape. The memory is shared where the tensor is contiguous.
pub fn reshape(tape: &Tape, x: &Tensor, shape: impl Into<Shape>) -> Result<Tensor> {
    let shape = shape.into();
    if shape.elem_count() != x.elem_count() {
        return Err(invalid(
            "reshape",
            format_args!(
                "{} elements of shape {:?} do not fit shape {:?}",
                x.elem_count(),
                x.dims(),
                shape.dims()
            ),
        ));
    }
    // Detached, so that candle does not build a graph of its own; its reshape gives a tensor with a new id.
    let y = x.detach().reshape(shape)?;
    if let Some(to_x) = tape.target(x) {
        let dims = x.dims().to_vec();
        tape.record(&y, move |grad, grads| grads.add(to_x, grad.reshape(&dims)?));
    }
    Ok(y)
}
