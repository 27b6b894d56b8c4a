//! The patches of the input as columns of a matrix (im2col), and back (col2im).
//!
//! Row r = (channel, ky, kx) of the matrix belongs to one element of the kernel, a column to one output pixel. It is
//! never built whole: a [`Tile`] is a range of its columns, and callers also choose the rows.

use std::ops::Range;

use super::geometry::Geometry;
use crate::simd;

/// A range of columns: whole planes of several pictures, or some output rows of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tile {
    pub(super) picture: usize,
    pub(super) pictures: usize,
    pub(super) row: usize,
    pub(super) rows: usize,
}

impl Tile {
    /// The number of columns.
    pub(super) fn width(&self, g: &Geometry) -> usize {
        self.pictures * self.rows * g.x.output
    }

    /// The columns of one picture.
    fn picture_width(&self, g: &Geometry) -> usize {
        self.rows * g.x.output
    }
}

/// Cuts all columns into tiles of at most about `width` columns. Where that is less than a plane, a tile holds rows of one
/// picture.
pub(super) fn tiles(g: &Geometry, width: usize) -> Vec<Tile> {
    let plane = g.output_plane();
    let per_tile = (width / plane.max(1)).clamp(1, g.n.max(1));
    if plane > width {
        // Equal shares instead of full tiles and a small rest.
        let bands = plane.div_ceil(width).min(g.y.output);
        let rows = g.y.output.div_ceil(bands);
        return (0..g.n)
            .flat_map(|picture| {
                (0..g.y.output).step_by(rows).map(move |row| Tile {
                    picture,
                    pictures: 1,
                    row,
                    rows: rows.min(g.y.output - row),
                })
            })
            .collect();
    }
    let per_tile = g.n.div_ceil(g.n.div_ceil(per_tile).max(1)).max(1);
    (0..g.n)
        .step_by(per_tile)
        .map(|picture| Tile {
            picture,
            pictures: per_tile.min(g.n - picture),
            row: 0,
            rows: g.y.output,
        })
        .collect()
}

/// Writes the rows `rows` of the tile's columns to `out`, one row after the other.
pub(super) fn gather(
    g: &Geometry,
    x: &[f32],
    group: usize,
    rows: Range<usize>,
    tile: &Tile,
    out: &mut [f32],
) {
    let (width, part) = (tile.width(g), tile.picture_width(g));
    for (row, out) in rows.zip(out.chunks_exact_mut(width)) {
        let (c, ky, kx) = element(g, row);
        let channel = group * g.group_channels() + c;
        for (picture, out) in (tile.picture..).zip(out.chunks_exact_mut(part)) {
            let start = (picture * g.channels + channel) * g.input_plane();
            shift_out(g, &x[start..][..g.input_plane()], (ky, kx), tile.row, out);
        }
    }
}

/// Adds the rows `rows` of the tile's columns to where they came from: `plane_of(picture, channel)` is the input plane of
/// a channel of the group. The columns are overwritten on the way.
///
/// # Safety
/// `plane_of` must give a pointer to a whole input plane that nothing else reads or writes meanwhile.
pub(super) unsafe fn scatter(
    g: &Geometry,
    columns: &mut [f32],
    rows: Range<usize>,
    tile: &Tile,
    mut plane_of: impl FnMut(usize, usize) -> *mut f32,
) {
    let (width, part) = (tile.width(g), tile.picture_width(g));
    for (row, columns) in rows.zip(columns.chunks_exact_mut(width)) {
        let (c, ky, kx) = element(g, row);
        for (picture, columns) in (tile.picture..).zip(columns.chunks_exact_mut(part)) {
            // SAFETY: the caller answers for the plane's extent and for its exclusive use.
            let plane =
                unsafe { std::slice::from_raw_parts_mut(plane_of(picture, c), g.input_plane()) };
            shift_back(g, plane, (ky, kx), tile.row, columns);
        }
    }
}

/// The channel within its group and the kernel element that a row belongs to.
fn element(g: &Geometry, row: usize) -> (usize, usize, usize) {
    let area = g.kernel_area();
    let within = row % area;
    (row / area, within / g.x.kernel, within % g.x.kernel)
}

/// What kernel element (ky, kx) sees of `plane` at the output rows from `first` on.
fn shift_out(g: &Geometry, plane: &[f32], (ky, kx): (usize, usize), first: usize, out: &mut [f32]) {
    let (width, valid_x) = (g.x.output, g.x.valid(kx));
    let rows = out.len() / width;
    let valid = g.y.valid(ky);
    let top = valid.start.clamp(first, first + rows) - first;
    let bottom = valid.end.clamp(first + top, first + rows) - first;
    if valid_x.is_empty() || top == bottom {
        out.fill(0.0);
        return;
    }
    out[..top * width].fill(0.0);
    out[bottom * width..].fill(0.0);
    let start =
        |row: usize| g.y.input_at(first + row, ky) * g.x.input + g.x.input_at(valid_x.start, kx);
    if g.keeps_rows() {
        let range = top * width + valid_x.start..(bottom - 1) * width + valid_x.end;
        let len = range.len();
        out[range].copy_from_slice(&plane[start(top)..][..len]);
        clear_margins(&mut out[top * width..bottom * width], width, &valid_x);
        return;
    }
    for row in top..bottom {
        let out = &mut out[row * width..][..width];
        out[..valid_x.start].fill(0.0);
        out[valid_x.end..].fill(0.0);
        let source = &plane[start(row)..];
        let out = &mut out[valid_x.clone()];
        match g.x.stride {
            1 => out.copy_from_slice(&source[..out.len()]),
            2 => simd::every_second(out, source),
            stride => {
                for (out, x) in out.iter_mut().zip(source.iter().step_by(stride)) {
                    *out = *x;
                }
            }
        }
    }
}

/// Adds to `plane` what [`shift_out`] would have read from it.
fn shift_back(
    g: &Geometry,
    plane: &mut [f32],
    (ky, kx): (usize, usize),
    first: usize,
    columns: &mut [f32],
) {
    let (width, valid_x) = (g.x.output, g.x.valid(kx));
    let rows = columns.len() / width;
    let valid = g.y.valid(ky);
    let top = valid.start.clamp(first, first + rows) - first;
    let bottom = valid.end.clamp(first + top, first + rows) - first;
    if valid_x.is_empty() || top == bottom {
        return;
    }
    let start =
        |row: usize| g.y.input_at(first + row, ky) * g.x.input + g.x.input_at(valid_x.start, kx);
    if g.keeps_rows() {
        clear_margins(&mut columns[top * width..bottom * width], width, &valid_x);
        let columns = &columns[top * width + valid_x.start..(bottom - 1) * width + valid_x.end];
        simd::add_assign(&mut plane[start(top)..][..columns.len()], columns);
        return;
    }
    for row in top..bottom {
        let columns = &columns[row * width..][valid_x.clone()];
        let target = &mut plane[start(row)..];
        if g.x.stride == 1 {
            simd::add_assign(&mut target[..columns.len()], columns);
        } else {
            for (target, column) in target.iter_mut().step_by(g.x.stride).zip(columns) {
                *target += column;
            }
        }
    }
}

/// Clears what lies outside `valid` in each row.
fn clear_margins(rows: &mut [f32], width: usize, valid: &Range<usize>) {
    if valid.start > 0 {
        for row in rows.chunks_exact_mut(width) {
            row[..valid.start].fill(0.0);
        }
    }
    if valid.end < width {
        for row in rows.chunks_exact_mut(width) {
            row[valid.end..].fill(0.0);
        }
    }
}
