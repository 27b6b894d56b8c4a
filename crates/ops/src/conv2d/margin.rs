//! Feature maps with zeros around them.

use super::taps::{Phase, margins};
use crate::parallel::for_each_chunk;
use crate::scratch::with_scratch;

/// The sizes of `n` maps of `height` × `width` pixels with `channels` floats each.
#[derive(Clone, Copy, Debug)]
pub(super) struct Maps {
    pub(super) n: usize,
    pub(super) height: usize,
    pub(super) width: usize,
    pub(super) channels: usize,
}

/// Lends `work` the maps with so many zeros around them that every tap of the phases of either axis reads something, their
/// new size, and the rows and columns of zeros before them. Places of a phase are `step` pixels apart. Where no zeros are
/// needed, the maps themselves are lent.
pub(super) fn with_margins<R>(
    values: &[f32],
    maps: Maps,
    phases: (&[Phase], &[Phase]),
    step: (usize, usize),
    work: impl FnOnce(&[f32], Maps, (usize, usize)) -> R,
) -> R {
    let y = margins(phases.0, step.0, maps.height);
    let x = margins(phases.1, step.1, maps.width);
    let margin = (y.0, x.0);
    if (y, x) == ((0, 0), (0, 0)) {
        return work(values, maps, margin);
    }
    let wide = Maps {
        height: maps.height + y.0 + y.1,
        width: maps.width + x.0 + x.1,
        ..maps
    };
    let (row, wide_row) = (maps.width * maps.channels, wide.width * wide.channels);
    let (before, behind) = (x.0 * maps.channels, x.1 * maps.channels);
    let total = maps.n * wide.height * wide_row;
    with_scratch(total, |padded| {
        for_each_chunk(padded, wide_row.max(1), total, |i, out| {
            let (n, line) = (i / wide.height, i % wide.height);
            if line < y.0 || line >= y.0 + maps.height {
                out.fill(0.0);
                return;
            }
            let source = &values[(n * maps.height + line - y.0) * row..][..row];
            out[..before].fill(0.0);
            out[before..before + row].copy_from_slice(source);
            out[before + row..][..behind].fill(0.0);
        });
        work(padded, wide, margin)
    })
}
