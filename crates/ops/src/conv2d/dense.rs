//! Convolution as matrix products with the input's patches as columns.

use super::columns::{Tile, gather, scatter, tiles};
use super::geometry::Geometry;
use crate::gemm::{Into, Mat, gemm, gemm_raw, reach};
use crate::parallel::{SharedMut, for_each};
use crate::scratch::with_scratch;
use crate::simd;

/// About how many floats of columns are in work at once: they should stay in the second-level cache.
const COLUMN_FLOATS: usize = 1 << 18;

/// A product should have at least this many columns, or rows, to run at full speed.
const WIDE_ENOUGH: usize = 256;

/// The number of partial sums of a narrow weight gradient.
const MAX_PARTS: usize = 4;

/// The output: `weight · columns` for every tile.
pub(super) fn forward(g: &Geometry, x: &[f32], weight: &[f32], bias: Option<&[f32]>) -> Vec<f32> {
    let mut y = vec![0.0; g.output_shape().elem_count()];
    if g.work() == 0 {
        add_bias_everywhere(g, &mut y, bias);
        return y;
    }
    let (depth, outputs, plane) = (g.depth(), g.group_outputs(), g.output_plane());
    let tiles = tiles(g, (COLUMN_FLOATS / depth).max(WIDE_ENOUGH));
    let out = SharedMut::new(&mut y);
    for_each(tiles.len() * g.groups, g.work(), |task| {
        let (tile, group) = (&tiles[task / g.groups], task % g.groups);
        let width = tile.width(g);
        let weight = Mat::rows(&weight[group * outputs * depth..], outputs, depth, depth);
        let first = group * outputs;
        with_columns(g, x, group, 0..depth, tile, |columns| {
            if tile.pictures == 1 {
                let start = (tile.picture * g.outputs + first) * plane + tile.row * g.x.output;
                let target = out.pointer(start, reach(outputs, width, plane));
                // SAFETY: these rows and columns of the picture's output belong to this task alone.
                unsafe { gemm_raw(target, plane, Into::Replace, weight, columns) };
                if let Some(bias) = bias {
                    for o in 0..outputs {
                        // SAFETY: as above.
                        let row = unsafe { out.slice(start + o * plane, width) };
                        simd::add_scalar(row, bias[first + o]);
                    }
                }
                return;
            }
            with_scratch(outputs * width, |product| {
                gemm(product, width, Into::Replace, weight, columns);
                for (o, row) in product.chunks_exact(width).enumerate() {
                    for (picture, values) in (tile.picture..).zip(row.chunks_exact(plane)) {
                        let start = (picture * g.outputs + first + o) * plane;
                        // SAFETY: the group's planes of the tile's pictures belong to this task alone.
                        let target = unsafe { out.slice(start, plane) };
                        target.copy_from_slice(values);
                        if let Some(bias) = bias {
                            simd::add_scalar(target, bias[first + o]);
                        }
                    }
                }
            });
        });
    });
    y
}

/// Lends `work` the rows `rows` of a tile's columns as a matrix: the input itself where they are its rows.
fn with_columns<R>(
    g: &Geometry,
    x: &[f32],
    group: usize,
    rows: std::ops::Range<usize>,
    tile: &Tile,
    work: impl FnOnce(Mat) -> R,
) -> R {
    let (count, width) = (rows.len(), tile.width(g));
    if g.is_pointwise() && tile.pictures == 1 {
        let channel = tile.picture * g.channels + group * g.group_channels() + rows.start;
        let start = channel * g.input_plane() + tile.row * g.x.output;
        return work(Mat::rows(&x[start..], count, width, g.input_plane()));
    }
    with_scratch(count * width, |columns| {
        gather(g, x, group, rows, tile, columns);
        work(Mat::rows(columns, count, width, width))
    })
}

/// Lends `work` a tile of the output's gradient as a matrix with one row per output channel of the group.
fn with_output_gradient<R>(
    g: &Geometry,
    dy: &[f32],
    group: usize,
    tile: &Tile,
    work: impl FnOnce(Mat) -> R,
) -> R {
    let (outputs, plane, width) = (g.group_outputs(), g.output_plane(), tile.width(g));
    let first = group * outputs;
    if tile.pictures == 1 {
        let start = (tile.picture * g.outputs + first) * plane + tile.row * g.x.output;
        return work(Mat::rows(&dy[start..], outputs, width, plane));
    }
    with_scratch(outputs * width, |rows| {
        for (o, row) in rows.chunks_exact_mut(width).enumerate() {
            for (picture, values) in (tile.picture..).zip(row.chunks_exact_mut(plane)) {
                let start = (picture * g.outputs + first + o) * plane;
                values.copy_from_slice(&dy[start..][..plane]);
            }
        }
        work(Mat::rows(rows, outputs, width, width))
    })
}

/// The input's gradient: `weightᵀ · dy` gives the gradient of the columns, which is added up where they came from.
pub(super) fn input_gradient(g: &Geometry, dy: &[f32], weight: &[f32]) -> Vec<f32> {
    let mut dx = vec![0.0; g.input_shape().elem_count()];
    if g.work() == 0 {
        return dx;
    }
    let (depth, outputs, area) = (g.depth(), g.group_outputs(), g.kernel_area());
    let width = g.output_plane().clamp(WIDE_ENOUGH, 4 * WIDE_ENOUGH);
    let tiles = tiles(g, width);
    // The tiles of one picture overlap in the input, so they stay with one task, one after the other.
    let by_picture: Vec<&[Tile]> = tiles.chunk_by(|a, b| a.picture == b.picture).collect();
    let channels = (COLUMN_FLOATS / (width * area)).clamp(1, g.group_channels());
    let channels = channels.max(WIDE_ENOUGH.div_ceil(area).min(g.group_channels()));
    let blocks = g.group_channels().div_ceil(channels);
    let out = SharedMut::new(&mut dx);
    for_each(by_picture.len() * g.groups * blocks, g.work(), |task| {
        let (block, rest) = (task % blocks, task / blocks);
        let (group, tiles) = (rest % g.groups, by_picture[rest / g.groups]);
        let first = block * channels;
        let count = channels.min(g.group_channels() - first);
        let rows = first * area..(first + count) * area;
        let weight = &weight[group * outputs * depth + rows.start..];
        let weight = Mat::rows(weight, outputs, rows.len(), depth).t();
        for tile in tiles {
            let width = tile.width(g);
            with_output_gradient(g, dy, group, tile, |dy| {
                let plane_at = |picture: usize, c: usize| {
                    (picture * g.channels + group * g.group_channels() + c) * g.input_plane()
                };
                if g.is_pointwise() && tile.pictures == 1 {
                    let start = plane_at(tile.picture, first) + tile.row * g.x.output;
                    let target = out.pointer(start, reach(count, width, g.input_plane()));
                    // SAFETY: these channels of the picture belong to this task alone.
                    unsafe { gemm_raw(target, g.input_plane(), Into::Replace, weight, dy) };
                    return;
                }
                with_scratch(rows.len() * width, |columns| {
                    gemm(columns, width, Into::Replace, weight, dy);
                    let plane_of = |picture: usize, c: usize| {
                        out.pointer(plane_at(picture, c), g.input_plane())
                    };
                    // SAFETY: `pointer` checks the extent, and these channels of the tile's pictures belong to
                    // this task alone.
                    unsafe { scatter(g, columns, rows.clone(), tile, plane_of) };
                });
            });
        }
    });
    dx
}

/// The weight's gradient: `dy · columnsᵀ`, added up over the tiles in order.
///
/// A wide gradient is cut into blocks of its columns, of which each task owns one, so that no partial sums are kept.
/// A narrow one would give products too small to be fast; there the tiles are cut into a fixed number of parts.
pub(super) fn weight_gradient(g: &Geometry, x: &[f32], dy: &[f32]) -> Vec<f32> {
    let mut dw = vec![0.0; g.weight_shape().elem_count()];
    if g.work() == 0 {
        return dw;
    }
    let depth = g.depth();
    let blocks = if depth < 2 * WIDE_ENOUGH {
        1
    } else {
        depth.div_ceil(3 * WIDE_ENOUGH).max(2)
    };
    let count = depth.div_ceil(blocks);
    let blocks = depth.div_ceil(count);
    let tiles = tiles(g, (COLUMN_FLOATS / count).max(WIDE_ENOUGH));
    let in_a_part = if blocks > 1 || g.groups > 1 {
        tiles.len()
    } else {
        tiles.len().div_ceil(MAX_PARTS)
    };
    let parts: Vec<&[Tile]> = tiles.chunks(in_a_part).collect();
    let size = dw.len();
    let mut others = vec![0.0; (parts.len() - 1) * size];
    let (out, other) = (SharedMut::new(&mut dw), SharedMut::new(&mut others));
    for_each(parts.len() * g.groups * blocks, g.work(), |task| {
        let (part, rest) = (task % parts.len(), task / parts.len());
        let (group, block) = (rest / blocks, rest % blocks);
        let rows = block * count..((block + 1) * count).min(depth);
        let start = group * g.group_outputs() * depth + rows.start;
        let len = reach(g.group_outputs(), rows.len(), depth);
        let target = match part {
            0 => out.pointer(start, len),
            _ => other.pointer((part - 1) * size + start, len),
        };
        for tile in parts[part] {
            with_output_gradient(g, dy, group, tile, |dy| {
                with_columns(g, x, group, rows.clone(), tile, |columns| {
                    // SAFETY: these columns of the group's part of the gradient belong to this task alone.
                    unsafe { gemm_raw(target, depth, Into::Add, dy, columns.t()) };
                });
            });
        }
    });
    for part in others.chunks_exact(size) {
        simd::add_assign(&mut dw, part);
    }
    dw
}

fn add_bias_everywhere(g: &Geometry, y: &mut [f32], bias: Option<&[f32]>) {
    let plane = g.output_plane();
    if let (Some(bias), true) = (bias, plane > 0) {
        for (row, bias) in y.chunks_exact_mut(plane).zip(bias.iter().cycle()) {
            row.fill(*bias);
        }
    }
}
