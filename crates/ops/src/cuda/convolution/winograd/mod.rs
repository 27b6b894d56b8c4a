//! Convolutions with kernels of 3×3 in f32 by Winograd's F(4×4, 3×3), which cuDNN does not have for channels-last maps.
//!
//! Maps are cut into tiles of 4×4 outputs, each of which comes from 6×6 inputs (Lavin and Gray 2016, "Fast algorithms for
//! convolutional neural networks"). Inputs and filters are transformed to 36 values each, the values are multiplied and
//! summed over the channels, and the sums transformed to outputs: y = Aᵀ[Σ (G g Gᵀ) ⊙ (Bᵀ d B)]A. For each of the 36 that
//! sum is a product of matrices, (tiles × inputs) · (inputs × outputs): 36 multiplications instead of 144 per channel and
//! tile. The input's gradient is the convolution of the output's with the filters turned around. The weight's gradient is
//! the transposed algorithm, Gᵀ[Σ (Bᵀ d B) ⊙ (A dy Aᵀ)]G, whose sums go over the tiles.
//!
//! The points of evaluation are those of the CPU's convolutions, 0, ±√½, ±√2 and ∞, whose rounding errors are several times
//! smaller than those of 0, ±1, ±2 and ∞ (Barabasz et al. 2020, "Error analysis and improving the accuracy of Winograd
//! convolution for deep neural networks").
//!
//! # What it gains
//! Computed from bytes and operations for the 3×3 convolutions of ResNet-18's four stages at batch 128, on a GPU that moves 4.3 TB/s and
//! multiplies f32 at 45 TFLOP/s. All four have 29.6 GFLOP a pass, 0.66 ms as they are; transforms are bound by what they move.
//!
//! | stage | tiles | channels | products | transforms move | filters | one pass |
//! |---|---|---|---|---|---|---|
//! | 56×56 | 25088 | 64 | 7.4 GFLOP, 0.16 ms | 0.67 GB, 0.16 ms | 0.7 MB | 0.32 ms |
//! | 28×28 | 6272 | 128 | 7.4 GFLOP, 0.16 ms | 0.33 GB, 0.08 ms | 3 MB | 0.24 ms |
//! | 14×14 | 2048 | 256 | 9.7 GFLOP, 0.21 ms | 0.20 GB, 0.05 ms | 12 MB | 0.26 ms |
//! | 7×7 | 512 | 512 | 9.7 GFLOP, 0.21 ms | 0.10 GB, 0.02 ms | 47 MB, 0.01 ms | 0.25 ms |
//!
//! The last two have more products since 14 and 7 are no multiples of 4. A pass is at least four launches, and small batches
//! wait for launches already: so it is taken only from [`WORK`] on, which 64 channels of 56×56 reach at 18 pictures.

mod products;
#[cfg(test)]
mod tests;
mod tiles;

use std::cell::Cell;
use std::ops::Range;

use candle_core::Result;

use crate::conv2d::Geometry;
use crate::cuda::array::{Array, Buffer, Kind};
use crate::cuda::gpu::Gpu;
use crate::cuda::launch::{BLOCK, Launch};
use crate::cuda::options::Options;
use products::Products;
use tiles::{Maps, Part, Tiling};

/// Values of a transformed tile or filter.
const VALUES: usize = 36;
/// Fewer channels than this on either side leave too little to the products to pay for the transforms.
const MIN_CHANNELS: usize = 32;
/// The multiplications of a direct convolution from which on this is faster: 4 GFLOP.
const WORK: usize = 2_000_000_000;
/// Bytes of a chunk's transformed inputs and products that stay in the cache of a large GPU, 50 MB.
const CACHED: usize = 48 << 20;
/// Bytes of a chunk's transformed inputs and products where they need not.
const MOST: usize = 256 << 20;
/// Operations of the products on each byte that they read and write below which they would wait for the memory.
const BUSY: usize = 24;
/// Chunks are multiples of so many tiles, as the blocks of products are.
const TOGETHER: usize = 128;
/// Blocks of 64×64 sums, of all 36 values, that keep a large GPU busy.
const SUMS: usize = 1008;
/// The most pieces that tiles are cut into for those sums, and the fewest tiles of a piece.
const MOST_PIECES: usize = 16;
const LEAST_PIECE: usize = 64;
/// Filters and values of the blocks that form the filters' gradient.
const FILTERS: usize = 32;
const LANES: usize = 12;

/// What is taken instead of what suits the sizes.
#[derive(Clone, Copy)]
pub(in crate::cuda) struct Forced {
    /// Tiles of a chunk.
    pub(in crate::cuda) chunk: usize,
    /// Pieces of a chunk in the weight's gradient.
    pub(in crate::cuda) pieces: usize,
}

thread_local! {
    static FORCED: Cell<Option<Forced>> = const { Cell::new(None) };
}

/// Calls `work`, in which all convolutions that can be are computed this way, however small, forward and backward.
pub(in crate::cuda) fn forced<R>(how: Forced, work: impl FnOnce() -> R) -> R {
    let before = FORCED.replace(Some(how));
    let result = work();
    FORCED.set(before);
    result
}

/// A convolution that is computed this way.
#[derive(Clone, Copy)]
pub(super) struct Winograd {
    geometry: Geometry,
    forced: Option<Forced>,
}

/// A convolution of maps with transformed filters: of the input, or of the output's gradient.
struct Pass {
    read: Maps,
    written: Maps,
    /// Whether filters are turned around, and go from their outputs to their inputs.
    turned: bool,
}

impl Winograd {
    /// This convolution, if it can be and had better be computed this way: a matter of its sizes alone.
    pub(super) fn of(g: &Geometry, kind: Kind, options: Options) -> Option<Self> {
        let plain = [&g.y, &g.x]
            .iter()
            .all(|axis| axis.kernel == 3 && axis.stride == 1 && axis.dilation == 1);
        let exact = kind == Kind::F32 && !options.tf32;
        let forced = FORCED.get();
        let pays = g.channels.min(g.outputs) >= MIN_CHANNELS && g.work() >= WORK;
        let can = plain && exact && g.groups == 1 && g.work() > 0;
        (can && (pays || forced.is_some())).then_some(Self {
            geometry: *g,
            forced,
        })
    }

    /// Writes the output, y, from input, weight (o, c, 3, 3) and bias.
    pub(super) fn forward(
        &self,
        gpu: &Gpu,
        operands: [&Array; 3],
        bias: Option<&Array>,
    ) -> Result<()> {
        let pass = Pass {
            read: self.input(),
            written: self.output(),
            turned: false,
        };
        self.convolve(gpu, &pass, operands, bias)
    }

    /// Writes the input's gradient from the output's and the weight: dy, weight, dx.
    pub(super) fn input_gradient(&self, gpu: &Gpu, operands: [&Array; 3]) -> Result<()> {
        let (input, output) = (self.input(), self.output());
        let pass = Pass {
            read: Maps {
                reach: input.reach.map(|padding| 2 - padding),
                ..output
            },
            written: Maps {
                reach: [0, 0],
                ..input
            },
            turned: true,
        };
        self.convolve(gpu, &pass, operands, None)
    }

    /// The input's maps, whose tiles begin in the padding.
    fn input(&self) -> Maps {
        let (y, x) = (&self.geometry.y, &self.geometry.x);
        Maps {
            height: y.input,
            width: x.input,
            channels: self.geometry.channels,
            reach: [y.padding as i64, x.padding as i64],
        }
    }

    fn output(&self) -> Maps {
        Maps {
            height: self.geometry.y.output,
            width: self.geometry.x.output,
            channels: self.geometry.outputs,
            reach: [0, 0],
        }
    }

    fn convolve(
        &self,
        gpu: &Gpu,
        pass: &Pass,
        [read, weight, written]: [&Array; 3],
        bias: Option<&Array>,
    ) -> Result<()> {
        let g = &self.geometry;
        let tiling = Tiling::of(g.n, &pass.written);
        let chunk = self.chunk(tiling.len(), self.cached());
        let filters = filters(gpu, weight, pass.turned)?;
        let inputs = gpu.buffer(VALUES * chunk * pass.read.channels)?;
        let sums = gpu.buffer(VALUES * chunk * pass.written.channels)?;
        for tiles in chunks(tiling.len(), chunk) {
            let count = tiles.len();
            let part = Part::whole(tiles);
            tiling.transform(gpu, "winograd_input", (read, &pass.read), &inputs, &part)?;
            // Seen by columns, as cuBLAS does: sumsᵀ = filters · inputsᵀ.
            let products = Products {
                transposed: [!pass.turned, false],
                sizes: [pass.written.channels, count, pass.read.channels],
                count: VALUES,
                add: false,
            };
            products.multiply(gpu, [&filters, &inputs, &sums])?;
            tiling.finish(gpu, &sums, bias, (written, &pass.written), &part)?;
        }
        Ok(())
    }

    /// The weight's gradient, (o, c, 3, 3), from input and output's gradient.
    pub(super) fn weight_gradient(&self, gpu: &Gpu, x: &Array, dy: &Array) -> Result<Array> {
        let (g, input, output) = (&self.geometry, self.input(), self.output());
        let tiling = Tiling::of(g.n, &output);
        let chunk = self.chunk(tiling.len(), MOST);
        let pieces = self.pieces(chunk);
        let len = pieces * chunk.div_ceil(pieces) * VALUES;
        let inputs = gpu.buffer(len * input.channels)?;
        let outputs = gpu.buffer(len * output.channels)?;
        let sums = gpu.buffer(pieces * VALUES * input.channels * output.channels)?;
        for tiles in chunks(tiling.len(), chunk) {
            let add = tiles.start > 0;
            let part = Part::in_pieces(tiles, pieces);
            tiling.transform(gpu, "winograd_input", (x, &input), &inputs, &part)?;
            let name = "winograd_output_gradient";
            tiling.transform(gpu, name, (dy, &output), &outputs, &part)?;
            // Seen by columns: sumsᵀ = inputsᵀ · outputs.
            let products = Products {
                transposed: [false, true],
                sizes: [input.channels, output.channels, part.piece],
                count: pieces * VALUES,
                add,
            };
            products.multiply(gpu, [&inputs, &outputs, &sums])?;
        }
        let gradient = Array::new(gpu, g.weight_shape(), Kind::F32)?;
        let n = input.channels * output.channels;
        Launch::new(gpu, "winograd_filter_gradient")
            .at(&sums)
            .at(&gradient)
            .size(n)
            .size(pieces)
            .grid([n.div_ceil(FILTERS), 1, 1], [FILTERS, LANES])?;
        Ok(gradient)
    }

    /// Bytes of a chunk in which products follow transforms: few enough for the cache where the products have little to do
    /// with each number, else many, which needs fewer launches and makes larger products.
    fn cached(&self) -> usize {
        let (c, o) = (self.geometry.channels, self.geometry.outputs);
        if c * o < 2 * BUSY * (c + o) {
            CACHED
        } else {
            MOST
        }
    }

    /// Tiles of a chunk whose values, of inputs and outputs, take so many bytes: chunks are about equal.
    fn chunk(&self, tiles: usize, bytes: usize) -> usize {
        if let Some(forced) = self.forced {
            return forced.chunk.clamp(1, tiles);
        }
        let channels = self.geometry.channels + self.geometry.outputs;
        let most = bytes / (VALUES * Kind::F32.bytes() * channels);
        let count = tiles.div_ceil(most.max(TOGETHER));
        let equal = tiles.div_ceil(count).next_multiple_of(TOGETHER);
        equal.min(tiles)
    }

    /// Pieces of a chunk whose products are sums of their own, so that there are enough of them.
    fn pieces(&self, chunk: usize) -> usize {
        if let Some(forced) = self.forced {
            return forced.pieces.max(1);
        }
        let blocks = self.geometry.channels.div_ceil(64) * self.geometry.outputs.div_ceil(64);
        let wanted = SUMS.div_ceil(VALUES * blocks);
        wanted.min(MOST_PIECES).min(chunk / LEAST_PIECE).max(1)
    }
}

/// The tiles of each chunk.
fn chunks(tiles: usize, chunk: usize) -> impl Iterator<Item = Range<usize>> {
    let starts = (0..tiles).step_by(chunk);
    starts.map(move |start| start..(start + chunk).min(tiles))
}

/// The transformed filters of a weight (o, c, 3, 3), turned around if asked: (36, o, c).
fn filters(gpu: &Gpu, weight: &Array, turned: bool) -> Result<Buffer<f32>> {
    let n = weight.len() / 9;
    let filters = gpu.buffer(VALUES * n)?;
    Launch::new(gpu, "winograd_filter")
        .at(weight)
        .at(&filters)
        .size(n)
        .flag(turned)
        .blocks(n.div_ceil(BLOCK))?;
    Ok(filters)
}
