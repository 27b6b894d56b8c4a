//! How kernels go over maps seen as a matrix, one row per pixel and one column per channel: `columns.cuh`.

use candle_core::Result;

use super::array::{Array, Buffer};
use super::gpu::Gpu;
use super::launch::{BLOCK, Launch};

/// Channels of a thread where channels come in fours.
const WIDE: usize = 4;
/// Threads side by side over the channels, at most.
const ACROSS: usize = 32;
/// About how many blocks keep a large GPU busy.
const BLOCKS: usize = 1056;
/// The most pieces that rows are cut into for sums: each leaves sums behind.
const MOST_PIECES: usize = 256;
/// Rows of one thread at least.
const LEAST_ROWS: usize = 8;
/// Channels and lanes of the blocks that add up what the pieces left.
const FINISHED: usize = 8;
const LANES: usize = 32;

/// Rows of pixels, columns of channels. All sizes of a launch follow from these, so that sums are the same on every GPU.
#[derive(Clone, Copy)]
pub(crate) struct Columns {
    pub(crate) rows: usize,
    pub(crate) c: usize,
}

/// How blocks share them out.
#[derive(Clone, Copy)]
pub(crate) struct Split {
    /// Whether each thread has four channels.
    pub(crate) wide: bool,
    /// The threads of a block.
    threads: [usize; 2],
    /// Blocks side by side over the channels.
    side_by_side: usize,
}

impl Columns {
    /// The split for these arrays.
    pub(crate) fn split(&self, arrays: &[&Array]) -> Split {
        let fits = |array: &&Array| array.is_aligned((WIDE * array.kind().bytes()) as u64);
        let wide = self.c.is_multiple_of(WIDE) && arrays.iter().all(fits);
        let each = if wide { WIDE } else { 1 };
        let across = self.c.div_ceil(each).next_power_of_two().min(ACROSS);
        Split {
            wide,
            threads: [across, BLOCK / across],
            side_by_side: self.c.div_ceil(across * each),
        }
    }

    /// Launches a kernel that visits every row.
    pub(crate) fn visit(&self, split: &Split, launch: Launch) -> Result<()> {
        let down = split.threads[1];
        let most = self.rows.div_ceil(LEAST_ROWS * down).max(1);
        let blocks = (2 * BLOCKS).div_ceil(split.side_by_side.max(1)).min(most);
        if self.rows == 0 {
            return Ok(());
        }
        launch.grid([split.side_by_side, blocks, 1], split.threads)
    }

    /// How the rows are cut for sums.
    pub(crate) fn pieces(&self, split: &Split) -> Pieces {
        let most = self.rows.div_ceil(LEAST_ROWS * split.threads[1]).max(1);
        let count = BLOCKS
            .div_ceil(split.side_by_side.max(1))
            .min(MOST_PIECES)
            .min(most);
        let chunk = self.rows.div_ceil(count).max(1);
        Pieces {
            columns: *self,
            split: *split,
            chunk,
            count: self.rows.div_ceil(chunk).max(1),
        }
    }
}

/// Rows in pieces, each of which leaves two sums for each channel.
#[derive(Clone, Copy)]
pub(crate) struct Pieces {
    columns: Columns,
    split: Split,
    /// Rows of a piece.
    pub(crate) chunk: usize,
    /// How many there are.
    pub(crate) count: usize,
}

impl Pieces {
    /// Memory for the sums of all pieces.
    pub(crate) fn sums(&self, gpu: &Gpu) -> Result<Buffer<f64>> {
        gpu.buffer(self.count * 2 * self.columns.c)
    }

    /// Launches a kernel that forms the sums of the pieces.
    pub(crate) fn form(&self, launch: Launch) -> Result<()> {
        let grid = [self.split.side_by_side, self.count, 1];
        launch.grid(grid, self.split.threads)
    }

    /// Launches a kernel that adds them up.
    pub(crate) fn finish(&self, launch: Launch) -> Result<()> {
        launch.grid([self.columns.c.div_ceil(FINISHED), 1, 1], [FINISHED, LANES])
    }
}
