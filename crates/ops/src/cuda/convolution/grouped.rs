//! Convolutions by this crate's own kernels, of each channel by itself.

use candle_core::Result;

use crate::conv2d::Geometry;
use crate::cuda::array::{Array, Kind};
use crate::cuda::gpu::Gpu;
use crate::cuda::launch::Launch;

/// Outputs and lanes of the blocks that form the sums of the weight's gradient.
const OUTPUTS: usize = 32;
const LANES: usize = 8;
/// About how many blocks keep a large GPU busy, and the most pieces that pixels are cut into.
const BLOCKS: usize = 1056;
const MOST_PIECES: usize = 256;
/// The most blocks along the third axis of a grid.
const MOST_DEEP: usize = 65_535;

/// The kernels' `Convolution`.
pub(super) fn words(g: &Geometry) -> [usize; 16] {
    let (y, x) = (&g.y, &g.x);
    [
        g.n, y.input, x.input, g.channels, y.output, x.output, g.outputs, g.groups, y.kernel,
        x.kernel, y.stride, x.stride, y.padding, x.padding, y.dilation, x.dilation,
    ]
}

/// Writes the output from input, weight (o, c/groups, kh, kw) and bias.
pub(super) fn forward(
    gpu: &Gpu,
    g: &Geometry,
    [x, weight, y]: [&Array; 3],
    bias: Option<&Array>,
) -> Result<()> {
    Launch::of(gpu, "grouped_forward", x.kind())
        .at(x)
        .at(weight)
        .maybe_at(bias)
        .at(y)
        .sizes(words(g))
        .each(y.len())
}

/// Writes the input's gradient from the output's.
pub(super) fn input_gradient(gpu: &Gpu, g: &Geometry, [dy, weight, dx]: [&Array; 3]) -> Result<()> {
    Launch::of(gpu, "grouped_input_gradient", dy.kind())
        .at(dy)
        .at(weight)
        .at(dx)
        .sizes(words(g))
        .each(dx.len())
}

/// The weight's gradient from input and output's gradient.
pub(super) fn weight_gradient(gpu: &Gpu, g: &Geometry, x: &Array, dy: &Array) -> Result<Array> {
    let gradient = Array::new(gpu, g.weight_shape(), Kind::F32)?;
    let rows = g.n * g.y.output * g.x.output;
    let elements = g.depth();
    let side_by_side = g.outputs.div_ceil(OUTPUTS);
    let count = BLOCKS
        .div_ceil((side_by_side * elements).max(1))
        .min(MOST_PIECES)
        .min(rows.div_ceil(4 * LANES).max(1));
    let chunk = rows.div_ceil(count).max(1);
    let count = rows.div_ceil(chunk).max(1);
    let sums = gpu.buffer::<f64>(count * gradient.len())?;
    Launch::of(gpu, "grouped_weight_sums", x.kind())
        .at(x)
        .at(dy)
        .at(&sums)
        .size(chunk)
        .sizes(words(g))
        .grid(
            [side_by_side, count, elements.min(MOST_DEEP)],
            [OUTPUTS, LANES],
        )?;
    Launch::new(gpu, "finish_weight_sums")
        .at(&sums)
        .size(count)
        .size(elements)
        .size(g.outputs)
        .at(&gradient)
        .each(gradient.len())?;
    Ok(gradient)
}
