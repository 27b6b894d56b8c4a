//! Sums of two tensors, concatenation, and changes of shape.

use candle_core::{Error, Result, Shape, Tensor};

use crate::check::invalid;
#[cfg(feature = "cuda")]
use crate::cuda::{Array, Gpu, elementwise, rearrange};
use crate::kernel::{InPlace, Kernel, change1, dense, run1, run2};
use crate::output::{uninit, uninit_chunks};
use crate::parallel::for_each_chunk;
use crate::simd::{self, vectorized};
use crate::tape::Tape;
use crate::transpose::Transposition;

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
        const CHUNK: usize = 1 << 14;
        // SAFETY: `add` writes all of the chunk.
        Ok(unsafe {
            uninit_chunks(a.len(), CHUNK, a.len(), |i, out| {
                let start = i * CHUNK;
                let len = out.len();
                simd::add(out, &a[start..][..len], &b[start..][..len]);
            })
        })
    }

    #[cfg(feature = "cuda")]
    fn cuda(&self, gpu: &Gpu, [a, b]: [&Array; 2]) -> Result<Array> {
        elementwise::sum(gpu, a, b)
    }
}

/// The tensors one after another along dimension `dim`; all other sizes must agree.
pub fn cat(tape: &Tape, parts: &[&Tensor], dim: usize) -> Result<Tensor> {
    joined(tape, parts, dim, false)
}

/// [`cat`] of the [rectified](crate::relu()) parts, in one pass.
pub fn cat_relu(tape: &Tape, parts: &[&Tensor], dim: usize) -> Result<Tensor> {
    joined(tape, parts, dim, true)
}

fn joined(tape: &Tape, parts: &[&Tensor], dim: usize, rectify: bool) -> Result<Tensor> {
    let sizes = cat_sizes(parts, dim)?;
    let dims = parts[0].dims();
    let outer: usize = dims[..dim].iter().product();
    let inner: usize = dims[dim + 1..].iter().product();
    let total: usize = sizes.iter().sum();

    let mut shape = dims.to_vec();
    shape[dim] = total;
    let y = join(parts, &sizes, outer, inner, &shape, rectify)?;
    let targets: Vec<_> = parts.iter().map(|part| tape.target(part)).collect();
    if targets.iter().any(Option::is_some) {
        let result = rectify.then(|| y.clone());
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
                    let part = match &result {
                        Some(result) => run2(&slice, grad.tensor(), result)?,
                        None => run1(&slice, grad.tensor())?,
                    };
                    grads.give(id, part)?;
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
    rectify: bool,
) -> Result<Tensor> {
    let y = unwritten(parts[0], shape)?;
    let stride = sizes.iter().sum::<usize>() * inner;
    let mut first = 0;
    for (part, size) in parts.iter().zip(sizes) {
        let place = Place {
            outer,
            first: first * inner,
            len: size * inner,
            stride,
            rectify,
        };
        change1(&place, &y, part)?;
        first += size;
    }
    Ok(y)
}

/// Memory for parts like `part` that are placed next to each other, so that together they write everything.
fn unwritten(part: &Tensor, shape: &[usize]) -> Result<Tensor> {
    #[cfg(feature = "cuda")]
    if crate::cuda::has(part) {
        return rearrange::whole(part, shape);
    }
    // SAFETY: the parts write everything.
    let whole = unsafe { uninit(shape.iter().product(), |_| {}) };
    Tensor::from_vec(whole, shape, part.device())
}

/// Runs in one piece of work, so many that they are some thousand numbers.
fn runs_together(stride: usize) -> usize {
    ((1 << 14) / stride.max(1)).max(1)
}

/// Copies a dense part to where it belongs in each of `outer` pieces of the whole.
struct Place {
    outer: usize,
    first: usize,
    len: usize,
    stride: usize,
    rectify: bool,
}

impl InPlace<1> for Place {
    const NAME: &'static str = "cat";

    fn cpu(&self, whole: &mut [f32], [part]: [&[f32]; 1]) -> Result<()> {
        let &Self {
            outer,
            first,
            len,
            stride,
            rectify,
        } = self;
        if len == 0 {
            return Ok(());
        }
        let runs = runs_together(stride);
        for_each_chunk(whole, runs * stride, outer * len, |i, whole| {
            let part = &part[i * runs * len..];
            place_runs(whole, part, [first, len, stride], rectify);
        });
        Ok(())
    }

    #[cfg(feature = "cuda")]
    fn cuda(&self, gpu: &Gpu, whole: &Array, [part]: [&Array; 1]) -> Result<()> {
        let &Self {
            first, len, stride, ..
        } = self;
        let run = rearrange::Run { first, len, stride };
        rearrange::join(gpu, whole, part, run, self.rectify)
    }
}

vectorized! {
    fn place_runs(whole: &mut [f32], part: &[f32], of: [usize; 3], rectify: bool) {
        let [first, len, stride] = of;
        for (whole, part) in whole.chunks_exact_mut(stride).zip(part.chunks_exact(len)) {
            let whole = &mut whole[first..][..len];
            if rectify {
                for (whole, part) in whole.iter_mut().zip(part) {
                    *whole = if *part <= 0.0 { 0.0 } else { *part };
                }
            } else {
                whole.copy_from_slice(part);
            }
        }
    }
}

/// Takes one part back out of the whole.
struct Slice {
    shape: Vec<usize>,
    first: usize,
    len: usize,
    stride: usize,
}

impl Slice {
    #[cfg(feature = "cuda")]
    fn run(&self) -> rearrange::Run {
        let &Self {
            first, len, stride, ..
        } = self;
        rearrange::Run { first, len, stride }
    }

    /// Calls `take(part, whole's start)` for pieces of the part, each of which it has to write.
    ///
    /// # Safety
    /// `take` must write all of the piece.
    unsafe fn pieces(&self, take: impl Fn(&mut [f32], usize) + Send + Sync) -> Vec<f32> {
        let len = self.shape.iter().product();
        let runs = runs_together(self.stride);
        // SAFETY: the caller answers for `take`.
        unsafe {
            uninit_chunks(len, runs * self.len, len, |i, part| {
                take(part, i * runs * self.stride);
            })
        }
    }
}

impl Kernel<1> for Slice {
    const NAME: &'static str = "cat's gradient";

    fn shape(&self) -> Shape {
        self.shape.clone().into()
    }

    fn cpu(&self, [whole]: [&[f32]; 1]) -> Result<Vec<f32>> {
        let &Self {
            first, len, stride, ..
        } = self;
        // SAFETY: a piece is whole runs, all of which are copied.
        Ok(unsafe {
            self.pieces(|part, start| {
                let whole = whole[start..].chunks_exact(stride);
                for (part, whole) in part.chunks_exact_mut(len).zip(whole) {
                    part.copy_from_slice(&whole[first..][..len]);
                }
            })
        })
    }

    #[cfg(feature = "cuda")]
    fn cuda(&self, gpu: &Gpu, [whole]: [&Array; 1]) -> Result<Array> {
        rearrange::slice(gpu, whole, None, &self.shape, self.run())
    }
}

/// Of what was rectified.
impl Kernel<2> for Slice {
    const NAME: &'static str = "cat's gradient";

    fn shape(&self) -> Shape {
        self.shape.clone().into()
    }

    fn cpu(&self, [whole, result]: [&[f32]; 2]) -> Result<Vec<f32>> {
        let of = [self.first, self.len, self.stride];
        // SAFETY: a piece is whole runs, all of which are written.
        Ok(unsafe {
            self.pieces(|part, start| take_runs(part, &whole[start..], &result[start..], of))
        })
    }

    #[cfg(feature = "cuda")]
    fn cuda(&self, gpu: &Gpu, [whole, result]: [&Array; 2]) -> Result<Array> {
        rearrange::slice(gpu, whole, Some(result), &self.shape, self.run())
    }
}

vectorized! {
    /// Takes the gradient where the result is positive.
    fn take_runs(part: &mut [f32], whole: &[f32], result: &[f32], of: [usize; 3]) {
        let [first, len, stride] = of;
        let runs = whole.chunks_exact(stride).zip(result.chunks_exact(stride));
        for (part, (whole, result)) in part.chunks_exact_mut(len).zip(runs) {
            let (whole, result) = (&whole[first..][..len], &result[first..][..len]);
            for ((part, whole), result) in part.iter_mut().zip(whole).zip(result) {
                *part = if *result <= 0.0 { 0.0 } else { *whole };
            }
        }
    }
}

/// (n, …) to (n, k): everything but the first dimension in one. Of maps, (n, h, w, c), the values come in the order
/// (c, h, w), as the weights of linear layers behind `torch.flatten` expect them.
pub fn flatten(tape: &Tape, x: &Tensor) -> Result<Tensor> {
    let Some((&n, rest)) = x.dims().split_first() else {
        return Err(Error::Msg(
            "flatten: a tensor without dimensions has no first one to keep".into(),
        ));
    };
    let k = rest.iter().product();
    match *rest {
        [h, w, c] if h * w > 1 && c > 1 => {
            let to_planes = Transpose {
                n,
                rows: h * w,
                cols: c,
            };
            let y = run1(&to_planes, x)?.reshape((n, k))?;
            if let Some(to_x) = tape.target(x) {
                let to_pixels = Transpose {
                    n,
                    rows: c,
                    cols: h * w,
                };
                tape.record(&y, move |grad, grads| {
                    let dx = run1(&to_pixels, grad.tensor())?;
                    grads.give(to_x, dx.reshape((n, h, w, c))?)
                });
            }
            Ok(y)
        }
        _ => reshape(tape, x, (n, k)),
    }
}

/// Each of `n` matrices transposed.
struct Transpose {
    n: usize,
    rows: usize,
    cols: usize,
}

impl Kernel<1> for Transpose {
    const NAME: &'static str = "flatten";

    fn shape(&self) -> Shape {
        (self.n, self.cols, self.rows).into()
    }

    fn cpu(&self, [x]: [&[f32]; 1]) -> Result<Vec<f32>> {
        let &Self { rows, cols, .. } = self;
        let (from, to): (Vec<_>, Vec<_>) = (
            (0..rows).map(|row| row * cols).collect(),
            (0..cols).map(|col| col * rows).collect(),
        );
        let each = Transposition {
            rows: &from,
            columns: &to,
        };
        // SAFETY: all of a matrix is written.
        Ok(unsafe {
            uninit_chunks(x.len(), rows * cols, x.len(), |n, y| {
                each.apply(&x[n * rows * cols..][..rows * cols], y);
            })
        })
    }

    #[cfg(feature = "cuda")]
    fn cuda(&self, gpu: &Gpu, [x]: [&Array; 1]) -> Result<Array> {
        let &Self { n, rows, cols } = self;
        rearrange::transposed(gpu, x, rearrange::Matrices { n, rows, cols }, x.kind())
    }
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
    let y = dense(&x.detach())?.reshape(shape)?;
    if let Some(to_x) = tape.target(x) {
        let dims = x.dims().to_vec();
        tape.record(&y, move |grad, grads| grads.add(to_x, grad.reshape(&dims)?));
    }
    Ok(y)
}
