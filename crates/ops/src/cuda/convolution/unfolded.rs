//! Convolutions as products of matrices, for what cuDNN has nothing for: the input is unfolded to a row of numbers for each
//! pixel of the output (`unfold.cu`), some pictures at a time. A row has the columns of each group side by side, so that one
//! call of cuBLAS multiplies all groups. How many pictures there are at a time depends on the sizes alone.

use std::cell::Cell;

use candle_core::Result;

use super::grouped::words;
use crate::conv2d::Geometry;
use crate::cuda::array::{Array, Kind, Located};
use crate::cuda::gpu::Gpu;
use crate::cuda::launch::{BLOCK, Launch};
use crate::cuda::product::{Matrix, Product};

/// The most bytes of unfolded pictures, unless a single one takes more.
pub(super) const LIMIT: usize = 256 << 20;
/// The most numbers of a matrix: cuBLAS counts in 32 bits.
const MOST_NUMBERS: usize = i32::MAX as usize;
/// Threads side by side over the columns, at most.
const ACROSS: usize = 32;
/// More blocks than the largest GPUs run at once are of no use.
const MOST_BLOCKS: usize = 2112;
/// Rows of one thread at least.
const LEAST_ROWS: usize = 2;
/// Bytes that a thread takes at once where channels allow it.
const WIDE: usize = 16;

thread_local! {
    static FORCED: Cell<Option<usize>> = const { Cell::new(None) };
}

/// Does something without cuDNN: its convolutions are products of matrices that take at most so many bytes, but for those
/// of single channels.
pub(crate) fn by_products<R>(limit: usize, work: impl FnOnce() -> R) -> R {
    let before = FORCED.replace(Some(limit));
    let result = work();
    FORCED.set(before);
    result
}

/// How many bytes the matrices may take where cuDNN is not to be used.
pub(super) fn forced() -> Option<usize> {
    FORCED.get()
}

/// Neighbouring pictures.
#[derive(Clone, Copy)]
struct Pictures {
    first: usize,
    count: usize,
}

/// A place in an array.
struct Place(u64);

impl Located for Place {
    fn address(&self) -> u64 {
        self.0
    }
}

/// A convolution of given sizes, none of which is 0.
pub(super) struct Unfolded<'a> {
    pub(super) gpu: &'a Gpu,
    pub(super) geometry: &'a Geometry,
    /// The most bytes of unfolded pictures.
    pub(super) limit: usize,
}

impl Unfolded<'_> {
    /// Writes the output from input and filter (o, kh, kw, c/groups).
    pub(super) fn forward(&self, [x, filter, y]: [&Array; 3]) -> Result<()> {
        let g = self.geometry;
        let (wide, depth) = (g.outputs / g.groups, g.depth());
        let memory = self.memory(x.kind())?;
        for pictures in self.at_once(x.kind()) {
            let input = self.input(x, pictures, memory.as_ref())?;
            let to = Matrix::of(y, g.outputs).skip(pictures.first * self.pixels());
            let filter = Matrix::of(filter, depth).apart(wide * depth);
            let product = Product {
                rows: pictures.count * self.pixels(),
                columns: wide,
                inner: depth,
                count: g.groups,
                adds: false,
            };
            product.compute(self.gpu, input, filter.turned(), to.apart(wide))?;
        }
        Ok(())
    }

    /// The filter's gradient (o, kh·kw, c/groups), as f32, from input and output's gradient.
    pub(super) fn weight_gradient(&self, x: &Array, dy: &Array) -> Result<Array> {
        let g = self.geometry;
        let (wide, depth) = (g.outputs / g.groups, g.depth());
        let shape = (g.outputs, g.kernel_area(), g.group_channels());
        let dw = Array::new(self.gpu, shape, Kind::F32)?;
        let memory = self.memory(x.kind())?;
        for pictures in self.at_once(x.kind()) {
            let input = self.input(x, pictures, memory.as_ref())?;
            let from = Matrix::of(dy, g.outputs).skip(pictures.first * self.pixels());
            let product = Product {
                rows: wide,
                columns: depth,
                inner: pictures.count * self.pixels(),
                count: g.groups,
                adds: pictures.first > 0,
            };
            let to = Matrix::of(&dw, depth).apart(wide * depth);
            product.compute(self.gpu, from.apart(wide).turned(), input, to)?;
        }
        Ok(dw)
    }

    /// Writes the input's gradient from the output's and the filter. What the kernel's elements give is summed as f32.
    pub(super) fn input_gradient(&self, [dy, filter, dx]: [&Array; 3]) -> Result<()> {
        let g = self.geometry;
        let (wide, depth) = (g.outputs / g.groups, g.depth());
        let memory = self.memory(Kind::F32)?;
        for pictures in self.at_once(Kind::F32) {
            let first = pictures.first * self.pixels();
            let product = Product {
                rows: pictures.count * self.pixels(),
                columns: depth,
                inner: wide,
                count: g.groups,
                adds: false,
            };
            let to = match &memory {
                Some(memory) => Matrix::of(memory, self.width()),
                None => Matrix::of(dx, g.channels).skip(first),
            };
            let from = Matrix::of(dy, g.outputs).skip(first).apart(wide);
            let filter = Matrix::of(filter, depth).apart(wide * depth);
            product.compute(self.gpu, from, filter, to.apart(depth))?;
            if let Some(memory) = &memory {
                self.fold(memory, dx, pictures)?;
            }
        }
        Ok(())
    }

    /// Pixels of a picture's output.
    fn pixels(&self) -> usize {
        self.geometry.y.output * self.geometry.x.output
    }

    /// Numbers of an unfolded row.
    fn width(&self) -> usize {
        self.geometry.channels * self.geometry.kernel_area()
    }

    /// Whether the input's pixels are the rows as they are.
    fn is_plain(&self) -> bool {
        let g = self.geometry;
        [&g.y, &g.x]
            .iter()
            .all(|axis| axis.kernel == 1 && axis.stride == 1 && axis.padding == 0)
    }

    /// All pictures, those together that are unfolded at once.
    fn at_once(&self, kind: Kind) -> impl Iterator<Item = Pictures> + use<> {
        let numbers = self.pixels() * self.width();
        let bytes = if self.is_plain() {
            0
        } else {
            numbers * kind.bytes()
        };
        let of_output = self.pixels() * self.geometry.outputs;
        let most = most(numbers.max(of_output), bytes, self.limit);
        shared_out(self.geometry.n, most)
    }

    /// Memory for the unfolded rows of as many pictures as there are at once; none where nothing has to be unfolded.
    fn memory(&self, kind: Kind) -> Result<Option<Array>> {
        if self.is_plain() {
            return Ok(None);
        }
        let pictures = self.at_once(kind).map(|pictures| pictures.count).max();
        let rows = pictures.unwrap_or(0) * self.pixels();
        Array::new(self.gpu, (rows, self.width()), kind).map(Some)
    }

    /// The rows of these pictures, a matrix for each group; unfolded into the memory, if there is any.
    fn input(&self, x: &Array, pictures: Pictures, memory: Option<&Array>) -> Result<Matrix> {
        let (g, depth) = (self.geometry, self.geometry.depth());
        let Some(memory) = memory else {
            let all = Matrix::of(x, g.channels).apart(depth);
            return Ok(all.skip(pictures.first * self.pixels()));
        };
        let kind = x.kind();
        let each = WIDE / kind.bytes();
        let from = place(x, pictures.first * g.y.input * g.x.input * g.channels);
        let wide = self.suits(each) && from.0.is_multiple_of(WIDE as u64);
        let rows = pictures.count * self.pixels();
        let launch = Launch::of(self.gpu, "unfold", kind)
            .at(&from)
            .at(memory)
            .size(rows)
            .sizes(words(g))
            .flag(wide);
        over_rows(launch, rows, self.width(), if wide { each } else { 1 })?;
        Ok(Matrix::of(memory, self.width()).apart(depth))
    }

    /// Sums the rows of these pictures to their part of the input's gradient.
    fn fold(&self, memory: &Array, dx: &Array, pictures: Pictures) -> Result<()> {
        let g = self.geometry;
        let pixels = g.y.input * g.x.input;
        let each = WIDE / Kind::F32.bytes();
        let to = place(dx, pictures.first * pixels * g.channels);
        let wide = self.suits(each) && to.0.is_multiple_of((each * dx.kind().bytes()) as u64);
        let launch = Launch::of(self.gpu, "fold", dx.kind())
            .at(memory)
            .at(&to)
            .size(pictures.count * pixels)
            .sizes(words(g))
            .flag(wide);
        let each = if wide { each } else { 1 };
        over_rows(launch, pictures.count * pixels, g.channels, each)
    }

    /// Whether a group's channels come in so many.
    fn suits(&self, each: usize) -> bool {
        self.geometry.group_channels().is_multiple_of(each)
    }
}

/// How many pictures are within the limits, if each makes so many numbers of a matrix, and so many bytes in memory; at least one.
fn most(numbers: usize, bytes: usize, limit: usize) -> usize {
    let within = limit.checked_div(bytes).unwrap_or(usize::MAX);
    within.min(MOST_NUMBERS / numbers).max(1)
}

/// `n` pictures in pieces of about the same size, of at most so many.
fn shared_out(n: usize, most: usize) -> impl Iterator<Item = Pictures> {
    let count = n.div_ceil(n.div_ceil(most));
    (0..n).step_by(count).map(move |first| Pictures {
        first,
        count: count.min(n - first),
    })
}

/// Where this number of an array lies.
fn place(array: &Array, number: usize) -> Place {
    Place(array.address() + (number * array.kind().bytes()) as u64)
}

/// Launches a kernel whose threads have `each` of a row's numbers and go over rows.
fn over_rows(launch: Launch, rows: usize, numbers: usize, each: usize) -> Result<()> {
    let packs = numbers.div_ceil(each);
    let across = packs.next_power_of_two().min(ACROSS);
    let down = BLOCK / across;
    let side_by_side = packs.div_ceil(across);
    let most = rows.div_ceil(LEAST_ROWS * down).max(1);
    let blocks = MOST_BLOCKS.div_ceil(side_by_side).min(most);
    launch.grid([side_by_side, blocks, 1], [across, down])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_at_once_are_within_the_limits() {
        assert_eq!(most(10, 40, 400), 10);
        assert_eq!(most(10, 40, 399), 9);
        assert_eq!(most(10, 40, 39), 1);
        // Nothing is unfolded, but matrices have to be counted in 32 bits.
        assert_eq!(most(1 << 20, 0, 39), 2047);
        assert_eq!(most(1 << 40, 0, 39), 1);
    }

    #[test]
    fn every_picture_is_in_one_piece() {
        for n in [1, 2, 5, 16, 17] {
            for most in [1, 2, 3, 16, 100] {
                let mut next = 0;
                for pictures in shared_out(n, most) {
                    assert_eq!(pictures.first, next);
                    assert!((1..=most).contains(&pictures.count));
                    next += pictures.count;
                }
                assert_eq!(next, n);
            }
        }
        let sizes: Vec<usize> = shared_out(9, 8).map(|pictures| pictures.count).collect();
        assert_eq!(sizes, [5, 4]);
    }
}
