//! Convolution with 3×3 kernels by Winograd's F(4×4, 3×3): 36 products of small matrices instead of 144 multiplications per
//! 16 outputs (Lavin and Gray 2016, "Fast algorithms for convolutional neural networks").

mod tiles;
mod transform;
mod weight_gradient;

use std::ops::Range;

use super::geometry::{Axis, Geometry};
use super::panels::{Columns, Packing};
use crate::lanes::{Lanes, for_processor};
use crate::microkernel::{Matrices, panel_width};
use crate::output::uninit;
use crate::parallel::{SharedMut, for_each, for_each_chunk};
use crate::scratch::with_scratch;
use tiles::{Part, Space, Tiles, transform_inputs, transform_products};
use transform::{INPUT, PAIR, PAIRS, VALUES, filter, filter_pair};

pub(super) use weight_gradient::weight_gradient;

/// Fewer channels than this on either side leave too little to the products to pay for the transforms.
const MIN_CHANNELS: usize = 16;

/// Tiles whose transformed inputs and products a task holds at once.
const BLOCK: usize = 56;

/// One line of the cache between matrices whose sizes are powers of two.
const GAP: usize = 16;

/// Whether the convolution can be, and had better be, computed this way. The sizes of maps and batch do not matter, but there
/// must be something to compute.
pub(super) fn suits(g: &Geometry) -> bool {
    let plain = |axis: &Axis| {
        axis.kernel == 3 && axis.stride == 1 && axis.dilation == 1 && axis.padding <= 2
    };
    plain(&g.y)
        && plain(&g.x)
        && g.groups == 1
        && g.channels >= MIN_CHANNELS
        && g.outputs >= MIN_CHANNELS
        && g.work() > 0
}

/// The output from input, weight and bias.
pub(super) fn forward(g: &Geometry, x: &[f32], weight: &[f32], bias: Option<&[f32]>) -> Vec<f32> {
    let elements = [0, 1, 2, 3, 4, 5, 6, 7, 8];
    let packing = Packing {
        geometry: g,
        weight,
        elements: &elements,
        columns: Columns::Outputs,
        gap: GAP,
    };
    let tiles = Tiles::new(g.input_maps(), (g.y.padding, g.x.padding), g.output_maps());
    convolve(&tiles, &packing, x, bias)
}

/// The input's gradient: the convolution of the output's gradient with the filters turned around.
pub(super) fn input_gradient(g: &Geometry, dy: &[f32], weight: &[f32]) -> Vec<f32> {
    let elements = [8, 7, 6, 5, 4, 3, 2, 1, 0];
    let packing = Packing {
        geometry: g,
        weight,
        elements: &elements,
        columns: Columns::Channels,
        gap: GAP,
    };
    let padding = (2 - g.y.padding, 2 - g.x.padding);
    let tiles = Tiles::new(g.output_maps(), padding, g.input_maps());
    convolve(&tiles, &packing, dy, None)
}

/// The transformed filters of one panel and pair of rows: a matrix of `depth` rows for each value, [`Packing::element_len`]
/// floats from the next.
fn transform_panel(packing: &Packing, pair: usize, filters: &[f32], out: &mut [f32]) {
    let (stride, len) = (packing.element_len(), packing.depth() * panel_width());
    assert!(filters.len() >= 9 * stride && out.len() >= PAIR * stride && len <= stride);
    // SAFETY: the lengths were checked; `len` is a multiple of the panels' width.
    unsafe { transform_filters(pair, stride, len, filters.as_ptr(), out.as_mut_ptr()) };
}

for_processor! {
    /// Transforms `len` filters, whose nine elements lie `stride` floats apart, to the values of a pair of rows, which lie
    /// as far apart. `len` is a multiple of the panels' width.
    unsafe fn transform_filters(pair: usize, stride: usize, len: usize, filters: *const f32, out: *mut f32) = filters_with
}

#[inline(always)]
#[expect(
    clippy::needless_range_loop,
    reason = "iterators over both rows keep the compiler from holding them in registers"
)]
unsafe fn filters_with<L: Lanes>(
    pair: usize,
    stride: usize,
    len: usize,
    filters: *const f32,
    out: *mut f32,
) {
    for at in (0..len).step_by(L::LEN) {
        // SAFETY: the caller answers for the elements and the values.
        unsafe {
            let mut rows = [[L::zero(); 3]; 2];
            for j in 0..3 {
                let column =
                    std::array::from_fn(|i| L::load(filters.add((i * 3 + j) * stride + at)));
                let [a, b] = filter_pair(pair, column);
                rows[0][j] = a;
                rows[1][j] = b;
            }
            for (i, row) in rows.into_iter().enumerate() {
                for (j, value) in filter(row).into_iter().enumerate() {
                    value.store(out.add((i * INPUT + j) * stride + at));
                }
            }
        }
    }
}

/// Convolves the maps `x` with the filters of `packing`.
fn convolve(tiles: &Tiles, packing: &Packing, x: &[f32], bias: Option<&[f32]>) -> Vec<f32> {
    let (maps, count) = (tiles.written, tiles.count());
    // Either way gives the same bits. By panels, the transformed inputs are read again for every panel; by blocks, the
    // transformed filters for every block. What is read less is taken.
    let by_panels_reads = count * (1 + packing.panels());
    let by_blocks_reads = packing.width() * (1 + count.div_ceil(BLOCK));
    // SAFETY: the tiles cover every output.
    unsafe {
        uninit(maps.n * maps.height * maps.width * maps.channels, |y| {
            if by_panels_reads <= by_blocks_reads {
                by_panels(tiles, packing, x, bias, y);
            } else {
                by_blocks(tiles, packing, x, bias, y);
            }
        })
    }
}

/// The product of one value's inputs, a row of `depth` channels a tile, with a panel of its filters, `width` columns.
fn product([tiles, depth, width]: [usize; 3], inputs: Space, products: Space) -> Matrices {
    Matrices {
        rows: tiles,
        depth,
        cols: width,
        a_row: inputs.channels,
        a_col: 1,
        b_row: width,
        c_row: products.channels,
    }
}

/// Each task computes some channels of all tiles.
///
/// # Safety
/// `x` and `y` are the maps that the tiles read and write.
unsafe fn by_panels(
    tiles: &Tiles,
    packing: &Packing,
    x: &[f32],
    bias: Option<&[f32]>,
    y: &SharedMut<f32>,
) {
    /// Tiles that are transformed by one task.
    const CHUNK: usize = 8;
    let (count, depth) = (tiles.count(), packing.depth());
    let space = Space::new(count, depth);
    let work = 2 * VALUES * count * depth * packing.width();
    with_scratch(space.len(VALUES), |inputs| {
        let shared = SharedMut::new(inputs);
        for_each(count.div_ceil(CHUNK), work, |chunk| {
            let first = chunk * CHUNK;
            let part = Part {
                tiles,
                first,
                count: CHUNK.min(count - first),
                channel: 0,
                channels: depth,
                space,
            };
            let reach = shared.len() - first * space.channels;
            // SAFETY: each tile belongs to one task.
            unsafe {
                transform_inputs(
                    &part,
                    x.as_ptr(),
                    shared.pointer(first * space.channels, reach),
                );
            }
        });
        let inputs: &[f32] = inputs;
        for_each(packing.panels(), work, |panel| {
            // SAFETY: the panel's channels belong to this task.
            unsafe { one_panel(tiles, packing, (inputs, space), panel, bias, y) };
        });
    });
}

/// Computes the channels of one panel from the transformed inputs of all tiles. The filters are transformed pair by pair, so
/// that they stay in the second-level cache.
///
/// # Safety
/// `y` is the maps that the tiles write, and nobody else writes these channels.
unsafe fn one_panel(
    tiles: &Tiles,
    packing: &Packing,
    (inputs, space): (&[f32], Space),
    panel: usize,
    bias: Option<&[f32]>,
    y: &SharedMut<f32>,
) {
    let (count, depth, width) = (tiles.count(), packing.depth(), panel_width());
    let stride = packing.element_len();
    let products = Space::new(count, width);
    let product = product([count, depth, width], space, products);
    with_scratch(products.len(VALUES), |out| {
        with_scratch(packing.panel_len(), |filters| {
            packing.fill(0, panel, filters);
            with_scratch(PAIR * stride, |transformed| {
                for pair in 0..PAIRS {
                    transform_panel(packing, pair, filters, transformed);
                    for value in 0..PAIR {
                        let whole = pair * PAIR + value;
                        product.write(
                            &inputs[whole * space.stride..],
                            &transformed[value * stride..],
                            &mut out[whole * products.stride..],
                        );
                    }
                }
            });
        });
        let channel = panel * width;
        let part = Part {
            tiles,
            first: 0,
            count,
            channel,
            channels: width.min(packing.width() - channel),
            space: products,
        };
        let bias = bias.map_or(std::ptr::null(), |bias| bias[channel..].as_ptr());
        // SAFETY: the caller answers for the maps.
        unsafe { transform_products(&part, out.as_ptr(), bias, y.pointer(0, y.len())) };
    });
}

/// Each task computes all channels of some tiles.
///
/// # Safety
/// As for [`by_panels`].
unsafe fn by_blocks(
    tiles: &Tiles,
    packing: &Packing,
    x: &[f32],
    bias: Option<&[f32]>,
    y: &SharedMut<f32>,
) {
    let (count, panels) = (tiles.count(), packing.panels());
    let panel_len = VALUES * packing.element_len();
    let work = 2 * VALUES * count * packing.depth() * packing.width();
    with_scratch(panels * panel_len, |filters| {
        for_each_chunk(filters, panel_len, panels * panel_len, |panel, out| {
            with_scratch(packing.panel_len(), |filters| {
                packing.fill(0, panel, filters);
                for (pair, out) in out
                    .chunks_exact_mut(PAIR * packing.element_len())
                    .enumerate()
                {
                    transform_panel(packing, pair, filters, out);
                }
            });
        });
        let filters: &[f32] = filters;
        let blocks = count.div_ceil(BLOCK);
        for_each(blocks, work, |block| {
            let block = count * block / blocks..count * (block + 1) / blocks;
            // SAFETY: these tiles belong to this task.
            unsafe { one_block(tiles, packing, filters, block, x, bias, y) };
        });
    });
}

/// Computes all channels of a block of tiles with the transformed filters of all panels.
///
/// # Safety
/// As for [`by_panels`]; nobody else writes these tiles.
unsafe fn one_block(
    tiles: &Tiles,
    packing: &Packing,
    filters: &[f32],
    block: Range<usize>,
    x: &[f32],
    bias: Option<&[f32]>,
    y: &SharedMut<f32>,
) {
    let (depth, width, panels) = (packing.depth(), panel_width(), packing.panels());
    let space = Space::new(block.len(), depth);
    let products = Space::new(block.len(), panels * width);
    let product = product([block.len(), depth, width], space, products);
    with_scratch(space.len(VALUES), |inputs| {
        let part = Part {
            tiles,
            first: block.start,
            count: block.len(),
            channel: 0,
            channels: depth,
            space,
        };
        // SAFETY: the scratch has room for the space.
        unsafe { transform_inputs(&part, x.as_ptr(), inputs.as_mut_ptr()) };
        with_scratch(products.len(VALUES), |out| {
            for value in 0..VALUES {
                for panel in 0..panels {
                    let at = (panel * VALUES + value) * packing.element_len();
                    product.write(
                        &inputs[value * space.stride..],
                        &filters[at..],
                        &mut out[value * products.stride + panel * width..],
                    );
                }
            }
            let part = Part {
                channels: packing.width(),
                space: products,
                ..part
            };
            let bias = bias.map_or(std::ptr::null(), <[f32]>::as_ptr);
            // SAFETY: the caller answers for the maps.
            unsafe { transform_products(&part, out.as_ptr(), bias, y.pointer(0, y.len())) };
        });
    });
}
