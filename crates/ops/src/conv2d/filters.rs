//! A weight gradient, brought from the order in which products write it into that of the weight.

use super::geometry::Geometry;
use crate::microkernel::panel_width;
use crate::output::uninit;
use crate::parallel::{for_each, for_each_chunk};
use crate::simd::add_assign;
use crate::transpose::Transposition;

/// The sizes of a weight gradient as products write it: for each group and panel of outputs a row of the panel's width per
/// kernel element and input channel.
#[derive(Clone, Copy)]
pub(super) struct Sums {
    /// Panels of a group.
    pub(super) panels: usize,
    /// Rows of a panel.
    pub(super) rows: usize,
    /// Columns of a panel.
    pub(super) width: usize,
}

impl Sums {
    pub(super) fn new(g: &Geometry) -> Self {
        let width = panel_width();
        Self {
            panels: g.group_outputs().div_ceil(width),
            rows: g.depth(),
            width,
        }
    }

    /// The floats of a panel.
    pub(super) fn panel_len(&self) -> usize {
        self.rows * self.width
    }

    /// The floats of all groups.
    pub(super) fn len(&self, g: &Geometry) -> usize {
        g.groups * self.panels * self.panel_len()
    }

    /// Adds up `parts` such gradients, in order, and gives them the shape of the weight, (o, c/groups, kh, kw). Columns behind
    /// the last output of a group may hold anything.
    pub(super) fn to_filters(self, g: &Geometry, parts: &mut [f32]) -> Vec<f32> {
        /// Floats that are added at once.
        const CHUNK: usize = 1 << 13;
        let len = self.len(g);
        let (sum, rest) = parts.split_at_mut(len);
        if !rest.is_empty() {
            for_each_chunk(sum, CHUNK, rest.len(), |i, out| {
                for part in rest.chunks_exact(len) {
                    add_assign(out, &part[i * CHUNK..][..out.len()]);
                }
            });
        }
        let (channels, area, outputs) = (g.group_channels(), g.kernel_area(), g.group_outputs());
        let filter = channels * area;
        // Element (c, k) of a filter is row (k, c) of the panel.
        let rows: Vec<usize> = (0..filter)
            .map(|at| (at % area * channels + at / area) * self.width)
            .collect();
        // SAFETY: the panels cover all filters.
        unsafe {
            uninit(g.outputs * filter, |out| {
                for_each(g.groups * self.panels, len, |i| {
                    let (group, first) = (i / self.panels, i % self.panels * self.width);
                    let count = self.width.min(outputs - first);
                    let filters: Vec<usize> = (0..count).map(|o| o * filter).collect();
                    let transposition = Transposition {
                        rows: &rows,
                        columns: &filters,
                    };
                    // The panel's filters belong to this task alone.
                    let out = out.slice((group * outputs + first) * filter, count * filter);
                    transposition.apply(&sum[i * self.panel_len()..][..self.panel_len()], out);
                });
            })
        }
    }
}
