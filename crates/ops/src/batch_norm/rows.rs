//! How maps are cut for batch norm.
//!
//! The memory of maps (n, h, w, c) is seen as rows of some pixels each, so many that a row is whole vectors; in each
//! column of such rows lies always the same channel. Kernels take what they know of the channels as rows, too.

use super::Channel;
use crate::parallel::for_each_chunk;

/// The floats of the widest vector.
pub(super) const LANES: usize = 16;
/// Rows that are added up as single floats before their sum goes to the doubles.
pub(super) const GROUP: usize = 8;
/// Groups that are added up so.
const GROUPS: usize = 4;
/// About the smallest number of values that a piece of work has.
const SMALLEST_PIECE: usize = 1 << 13;
/// About the largest number of pieces: each leaves a row of sums.
const MOST_PIECES: usize = 64;

/// Maps of `c` channels seen as rows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rows {
    /// All values.
    pub(super) len: usize,
    pub(super) c: usize,
    /// The length of a row, a multiple of `c` and of [`LANES`]. The last row may be cut.
    pub(super) width: usize,
    /// The length of a piece of work, some rows. The last one may be shorter.
    pub(super) piece: usize,
}

impl Rows {
    pub(super) fn new(len: usize, c: usize) -> Self {
        let mut width = c.max(1);
        while !width.is_multiple_of(LANES) || width < 4 * LANES {
            width *= 2;
        }
        let group = GROUP * width;
        let piece = SMALLEST_PIECE.max(len / MOST_PIECES);
        Self {
            len,
            c,
            width,
            piece: piece.div_ceil(group) * group,
        }
    }

    /// A row of what `value` says of each channel.
    pub(super) fn row(&self, value: impl Fn(usize) -> f32) -> Vec<f32> {
        let one: Vec<f32> = (0..self.c).map(value).collect();
        one.repeat(self.width / self.c.max(1))
    }

    /// What normalising takes, as rows.
    pub(super) fn terms(&self, channels: &[Channel], weight: &[f32], bias: &[f32]) -> Terms {
        Terms {
            means: self.row(|c| channels[c].mean as f32),
            scales: self.row(|c| (channels[c].inv_std * f64::from(weight[c])) as f32),
            shifts: self.row(|c| bias[c]),
        }
    }

    pub(super) fn pieces(&self) -> usize {
        self.len.div_ceil(self.piece)
    }

    /// Where a piece starts, and how long it is.
    pub(super) fn piece(&self, i: usize) -> (usize, usize) {
        let start = i * self.piece;
        (start, self.piece.min(self.len - start))
    }

    /// Two sums for each channel. `add(sums, piece)` adds to the columns' sums, two rows, those of one of the pieces, of which
    /// each begins with a first channel.
    pub(super) fn sums(
        &self,
        pieces: usize,
        add: impl Fn(&mut [f64], usize) + Send + Sync,
    ) -> Vec<(f64, f64)> {
        let mut partial = vec![0.0; pieces * 2 * self.width];
        for_each_chunk(&mut partial, 2 * self.width, self.len, |i, sums| {
            add(sums, i);
        });
        let mut totals = vec![(0.0, 0.0); self.c];
        let step = self.c.max(1);
        for rows in partial.chunks_exact(2 * self.width) {
            let (first, second) = rows.split_at(self.width);
            for (first, second) in first.chunks_exact(step).zip(second.chunks_exact(step)) {
                for (total, (first, second)) in totals.iter_mut().zip(first.iter().zip(second)) {
                    total.0 += first;
                    total.1 += second;
                }
            }
        }
        totals
    }
}

pub(super) type Vector = [f32; LANES];

/// Whole vectors of a slice whose length is a multiple of theirs.
#[inline(always)]
pub(super) fn vectors(values: &[f32]) -> &[Vector] {
    values.as_chunks().0
}

/// The sum of eight floats, the same way everywhere.
#[inline(always)]
pub(super) fn tree(x: [f32; GROUP]) -> f32 {
    ((x[0] + x[1]) + (x[2] + x[3])) + ((x[4] + x[5]) + (x[6] + x[7]))
}

/// The vectors of each of the eight rows of a group.
#[inline(always)]
pub(super) fn rows_of(group: &[f32], width: usize) -> [&[Vector]; GROUP] {
    std::array::from_fn(|r| vectors(&group[r * width..][..width]))
}

/// Sums of some groups of rows as single floats, on their way to the doubles.
pub(super) struct Short {
    sums: Vec<f32>,
    groups: usize,
}

impl Short {
    pub(super) fn new(width: usize) -> Self {
        Self {
            sums: vec![0.0; 2 * width],
            groups: 0,
        }
    }

    /// The vectors of the first and of the second sum.
    #[inline(always)]
    pub(super) fn rows(&mut self) -> (&mut [Vector], &mut [Vector]) {
        let width = self.sums.len() / 2;
        let (first, second) = self.sums.split_at_mut(width);
        (first.as_chunks_mut().0, second.as_chunks_mut().0)
    }

    /// Counts a group and moves the sums to `long` if they are of enough groups.
    #[inline(always)]
    pub(super) fn count(&mut self, long: &mut [f64]) {
        self.groups += 1;
        if self.groups == GROUPS {
            self.flush(long);
        }
    }

    #[inline(always)]
    pub(super) fn flush(&mut self, long: &mut [f64]) {
        for (long, short) in long.iter_mut().zip(&mut self.sums) {
            *long += f64::from(*short);
            *short = 0.0;
        }
        self.groups = 0;
    }
}

/// What normalising takes, as rows.
#[derive(Clone, Debug)]
pub(super) struct Terms {
    pub(super) means: Vec<f32>,
    pub(super) scales: Vec<f32>,
    pub(super) shifts: Vec<f32>,
}

impl Terms {
    /// The terms from the column `start` on; made once per loop, so that the compiler sees equal lengths.
    #[inline(always)]
    pub(super) fn cut(&self, len: usize) -> [&[f32]; 3] {
        [&self.means[..len], &self.scales[..len], &self.shifts[..len]]
    }
}
