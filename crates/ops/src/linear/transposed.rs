//! The weight's gradient of a linear layer, written out: a product of which the left matrix is transposed.

use super::Sizes;
use crate::microkernel::{Matrices, panel_width};
use crate::scratch::with_scratch;

/// Rows of the gradient in one piece of work.
pub(super) const ROWS: usize = 252;

/// Rows that are written side by side, so that each is written in long stretches: some whole blocks of registers.
const STRIP: usize = 42;

/// About how many floats of x stay in the second-level cache while all strips pass.
const BLOCK_FLOATS: usize = 1 << 16;

/// One line of the cache between rows whose lengths are powers of two.
const GAP: usize = 16;

/// Writes rows of dyᵀ · x to `out`: one for each of dy's columns, as many as there is room for. No size may be 0.
///
/// Rows of either matrix may lie so far apart that they meet in one set of the cache, so what is needed of them is copied.
pub(super) fn transposed_product(sizes: Sizes, dy: &[f32], x: &[f32], out: &mut [f32]) {
    let Sizes { n, i, o } = sizes;
    let (rows, width) = (out.len() / i, panel_width());
    let block = (BLOCK_FLOATS / (n * width)).max(1) * width;
    let stride = rows + GAP;
    with_scratch(n * stride, |left| {
        for (to, dy) in left.chunks_exact_mut(stride).zip(dy.chunks(o)) {
            to[..rows].copy_from_slice(&dy[..rows]);
        }
        with_scratch(n * block, |panels| {
            for begin in (0..i).step_by(block) {
                let columns = || (begin..i.min(begin + block)).step_by(width);
                for (first, panel) in columns().zip(panels.chunks_exact_mut(n * width)) {
                    copy_columns(x, i, first, width, panel);
                }
                for row in (0..rows).step_by(STRIP) {
                    for (first, panel) in columns().zip(panels.chunks_exact(n * width)) {
                        let product = Matrices {
                            rows: STRIP.min(rows - row),
                            depth: n,
                            cols: width.min(i - first),
                            a_row: 1,
                            a_col: stride,
                            b_row: width,
                            c_row: i,
                        };
                        product.write(&left[row..], panel, &mut out[row * i + first..]);
                    }
                }
            }
        });
    });
}

/// Copies up to `width` columns from `first` on of a matrix with rows of `len` floats.
fn copy_columns(matrix: &[f32], len: usize, first: usize, width: usize, panel: &mut [f32]) {
    let columns = width.min(len - first);
    for (to, row) in panel.chunks_exact_mut(width).zip(matrix.chunks_exact(len)) {
        to[..columns].copy_from_slice(&row[first..][..columns]);
    }
}
