//! The weight, sorted as products read it: in panels of a few columns that lie row by row in memory.

use super::geometry::Geometry;
use crate::lanes::prefetch;
use crate::microkernel::panel_width;
use crate::parallel::for_each_chunk;
use crate::scratch::with_scratch;
use crate::transpose::{NOWHERE, Transposition};

/// Which channels of the weight are the columns of the right matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Columns {
    /// The outputs of a group: for the forward pass, which sums over its input channels.
    Outputs,
    /// The input channels of a group: for the input's gradient, which sums over its outputs.
    Channels,
}

/// The right matrix of every group: a row per kernel element and channel that is summed over, a column per other channel.
#[derive(Clone, Copy)]
pub(super) struct Packing<'a> {
    pub(super) geometry: &'a Geometry,
    pub(super) weight: &'a [f32],
    /// The kernel elements (ky · kw + kx), in the order of the rows.
    pub(super) elements: &'a [usize],
    pub(super) columns: Columns,
    /// Floats left out between the rows of one kernel element and the next, which keep them from meeting in one set of the
    /// cache.
    pub(super) gap: usize,
}

impl Packing<'_> {
    /// The channels of a group that are summed over.
    pub(super) fn depth(&self) -> usize {
        match self.columns {
            Columns::Outputs => self.geometry.group_channels(),
            Columns::Channels => self.geometry.group_outputs(),
        }
    }

    /// The columns of a group.
    pub(super) fn width(&self) -> usize {
        match self.columns {
            Columns::Outputs => self.geometry.group_outputs(),
            Columns::Channels => self.geometry.group_channels(),
        }
    }

    /// The panels of a group.
    pub(super) fn panels(&self) -> usize {
        self.width().div_ceil(panel_width())
    }

    /// The floats of a panel.
    pub(super) fn panel_len(&self) -> usize {
        self.elements.len() * self.element_len()
    }

    /// The floats from one kernel element of a panel to the next.
    pub(super) fn element_len(&self) -> usize {
        self.depth() * panel_width() + self.gap
    }

    /// Writes a panel of a group; columns behind the last are zero.
    pub(super) fn fill(&self, group: usize, panel: usize, out: &mut [f32]) {
        let width = panel_width();
        let first = panel * width;
        let columns = width.min(self.width() - first);
        if columns < width {
            out.fill(0.0);
        }
        let filter = self.geometry.group_channels() * self.geometry.kernel_area();
        let weight = &self.weight[group * self.geometry.group_outputs() * filter..];
        match self.columns {
            Columns::Outputs => self.fill_outputs(&weight[first * filter..], columns, out),
            Columns::Channels => self.fill_channels(weight, first, columns, out),
        }
    }

    /// A column per filter: filters lie side by side, and each is spread over the panel's rows.
    fn fill_outputs(&self, weight: &[f32], columns: usize, out: &mut [f32]) {
        let (depth, area) = (self.depth(), self.geometry.kernel_area());
        let filters: Vec<usize> = (0..columns).map(|o| o * depth * area).collect();
        let places = self.places();
        let spread: Vec<usize> = (0..depth)
            .flat_map(|c| {
                places
                    .iter()
                    .map(move |place| place.saturating_add(c * panel_width()))
            })
            .collect();
        let transposition = Transposition {
            rows: &filters,
            columns: &spread,
        };
        transposition.apply(weight, out);
    }

    /// A column per channel: in each filter channels lie side by side.
    fn fill_channels(&self, weight: &[f32], first: usize, columns: usize, out: &mut [f32]) {
        /// Filters between the one that is read and the one that is asked for: each gives a short stretch only, which the
        /// processor would not foresee.
        const AHEAD: usize = 4;
        let area = self.geometry.kernel_area();
        let filter = self.geometry.group_channels() * area;
        let channels: Vec<usize> = (0..columns).map(|c| c * area).collect();
        let transposition = Transposition {
            rows: &channels,
            columns: &self.places(),
        };
        let (all, len) = (weight, filter);
        for (o, filter) in weight.chunks_exact(filter).take(self.depth()).enumerate() {
            prefetch(all, (o + AHEAD) * len + first * area, columns * area);
            transposition.apply(&filter[first * area..], &mut out[o * panel_width()..]);
        }
    }

    /// Where the first row of each kernel element begins in a panel.
    fn places(&self) -> Vec<usize> {
        let mut places = vec![NOWHERE; self.geometry.kernel_area()];
        for (row, &element) in self.elements.iter().enumerate() {
            places[element] = row * self.element_len();
        }
        places
    }

    /// Lends `work` the panels of all groups.
    pub(super) fn with_panels<R>(&self, work: impl FnOnce(Panels) -> R) -> R {
        let (count, len) = (self.panels(), self.panel_len());
        let total = self.geometry.groups * count * len;
        with_scratch(total, |values| {
            for_each_chunk(values, len.max(1), total, |i, out| {
                self.fill(i / count, i % count, out);
            });
            work(Panels {
                values,
                len,
                width: panel_width(),
                columns: self.width(),
                count,
            })
        })
    }
}

/// The weights of all groups as right matrices, cut into panels.
#[derive(Clone, Copy)]
pub(super) struct Panels<'a> {
    values: &'a [f32],
    len: usize,
    /// Columns of a panel, the last of a group filled up with zeros.
    pub(super) width: usize,
    columns: usize,
    /// Panels of a group.
    pub(super) count: usize,
}

impl<'a> Panels<'a> {
    /// The values of a panel.
    pub(super) fn panel(&self, group: usize, panel: usize) -> &'a [f32] {
        &self.values[(group * self.count + panel) * self.len..][..self.len]
    }

    /// The first column of a panel within its group, and the number of its columns that are none of the filling.
    pub(super) fn columns(&self, panel: usize) -> (usize, usize) {
        let first = panel * self.width;
        (first, self.width.min(self.columns - first))
    }
}
