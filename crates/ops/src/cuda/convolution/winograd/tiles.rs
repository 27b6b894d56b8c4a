//! Tiles of maps, and the kernels that transform them.

use std::ops::Range;

use candle_core::Result;

use crate::cuda::array::{Array, Buffer};
use crate::cuda::gpu::Gpu;
use crate::cuda::launch::Launch;

/// Rows and columns of outputs of a tile.
const OUTPUTS: usize = 4;
/// Threads of a block, and channels of a thread where channels come in pairs: more would need too many registers.
const THREADS: usize = 128;
const WIDE: usize = 2;

/// Maps (n, height, width, channels) of f32.
#[derive(Clone, Copy)]
pub(super) struct Maps {
    pub(super) height: usize,
    pub(super) width: usize,
    pub(super) channels: usize,
    /// How far the first tile reaches past the top and the left edge; negative where it begins inside.
    pub(super) reach: [i64; 2],
}

/// The tiles that cover some maps of outputs, counted by rows over all pictures.
#[derive(Clone, Copy)]
pub(super) struct Tiling {
    n: usize,
    /// Tiles of a picture.
    down: usize,
    across: usize,
}

/// Some tiles, and how their values lie: (piece, 36, tile, channels).
pub(super) struct Part {
    tiles: Range<usize>,
    pieces: usize,
    /// Tiles of a piece. Those behind the last one are zeros.
    pub(super) piece: usize,
}

impl Part {
    /// In one piece.
    pub(super) fn whole(tiles: Range<usize>) -> Self {
        Self::in_pieces(tiles, 1)
    }

    /// In pieces of one size.
    pub(super) fn in_pieces(tiles: Range<usize>, pieces: usize) -> Self {
        let piece = tiles.len().div_ceil(pieces);
        Self {
            tiles,
            pieces,
            piece,
        }
    }
}

impl Tiling {
    /// The tiles of `n` pictures.
    pub(super) fn of(n: usize, written: &Maps) -> Self {
        Self {
            n,
            down: written.height.div_ceil(OUTPUTS),
            across: written.width.div_ceil(OUTPUTS),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.n * self.down * self.across
    }

    /// Writes the values of a part of the maps by this kernel: of inputs, or of outputs' gradients.
    pub(super) fn transform(
        &self,
        gpu: &Gpu,
        kernel: &'static str,
        (array, maps): (&Array, &Maps),
        values: &Buffer<f32>,
        part: &Part,
    ) -> Result<()> {
        let launch = Launch::new(gpu, kernel).at(array).at(values);
        self.launch(launch, maps, part, is_wide(maps, &[array]))
    }

    /// Writes a part of the maps from the values of outputs, and adds the bias.
    pub(super) fn finish(
        &self,
        gpu: &Gpu,
        values: &Buffer<f32>,
        bias: Option<&Array>,
        (array, maps): (&Array, &Maps),
        part: &Part,
    ) -> Result<()> {
        let launch = Launch::new(gpu, "winograd_output")
            .at(values)
            .maybe_at(bias)
            .at(array);
        let arrays: Vec<&Array> = bias.into_iter().chain([array]).collect();
        self.launch(launch, maps, part, is_wide(maps, &arrays))
    }

    fn launch(&self, launch: Launch, maps: &Maps, part: &Part, wide: bool) -> Result<()> {
        let count = part.pieces * part.piece;
        let each = if wide { WIDE } else { 1 };
        let blocks = (count * (maps.channels / each)).div_ceil(THREADS);
        launch
            .structure(self.words(maps, part))
            .flag(wide)
            .grid([blocks, 1, 1], [THREADS, 1])
    }

    /// The kernels' `Tiles`.
    fn words(&self, maps: &Maps, part: &Part) -> [u64; 11] {
        let sizes = [
            part.tiles.start,
            part.tiles.end,
            part.pieces * part.piece,
            part.piece,
            self.down,
            self.across,
            maps.height,
            maps.width,
            maps.channels,
        ];
        let [top, left] = maps.reach;
        let mut words = [0; 11];
        for (word, size) in words.iter_mut().zip(sizes) {
            *word = size as u64;
        }
        words[9..].copy_from_slice(&[top as u64, left as u64]);
        words
    }
}

/// Whether a thread can take [`WIDE`] channels.
fn is_wide(maps: &Maps, arrays: &[&Array]) -> bool {
    let bytes = (WIDE * size_of::<f32>()) as u64;
    maps.channels.is_multiple_of(WIDE) && arrays.iter().all(|array| array.is_aligned(bytes))
}
