//! Kernels that work on a list of tensors in one launch, as optimizers do: a launch costs more than most tensors.

use candle_core::Result;

use super::array::{Array, Located};
use super::gpu::Gpu;
use super::launch::{BLOCK, Launch};

/// Arrays of an item, and numbers: the kernels' `Item`.
const ARRAYS: usize = 4;
const NUMBERS: usize = 12;
/// Items of one launch: the kernels' `Items`.
const TOGETHER: usize = 44;
/// Elements that one thread works on.
const EACH: usize = 16;
/// Blocks of an item at most.
const MOST_BLOCKS: usize = 512;

/// One tensor of a list: arrays of one length, and the numbers of its step.
pub(crate) struct Item {
    pub(crate) arrays: Vec<Array>,
    pub(crate) numbers: Vec<f32>,
}

impl Item {
    /// Arrays without numbers.
    pub(crate) fn plain(arrays: Vec<Array>) -> Self {
        Self {
            arrays,
            numbers: Vec::new(),
        }
    }

    fn len(&self) -> usize {
        self.arrays.first().map_or(0, Array::len)
    }

    /// The kernels' `Item`.
    fn words(&self) -> [u64; ARRAYS + 1 + NUMBERS / 2] {
        let mut words = [0; ARRAYS + 1 + NUMBERS / 2];
        for (word, array) in words.iter_mut().zip(&self.arrays) {
            *word = array.address();
        }
        words[ARRAYS] = self.len() as u64;
        for (i, number) in self.numbers.iter().enumerate() {
            let bits = u64::from(number.to_bits());
            words[ARRAYS + 1 + i / 2] |= if i % 2 == 0 { bits } else { bits << 32 };
        }
        words
    }
}

/// Some items that fit one launch.
pub(crate) struct Batch<'a> {
    items: &'a [Item],
}

impl Batch<'_> {
    /// Blocks along each item.
    pub(crate) fn blocks(&self) -> usize {
        let longest = self.items.iter().map(Item::len).max().unwrap_or(0);
        longest.div_ceil(BLOCK * EACH).clamp(1, MOST_BLOCKS)
    }

    /// Sums that kernels leave: one of each block.
    pub(crate) fn sums(&self) -> usize {
        self.blocks() * self.items.len()
    }

    /// Pushes the items as an argument.
    pub(crate) fn push<'g>(&self, launch: Launch<'g>) -> Launch<'g> {
        const WORDS: usize = ARRAYS + 1 + NUMBERS / 2;
        let mut words = vec![0; TOGETHER * WORDS];
        for (to, item) in words.chunks_exact_mut(WORDS).zip(self.items) {
            to.copy_from_slice(&item.words());
        }
        launch.structure(words)
    }

    /// Launches a kernel over the items.
    pub(crate) fn run(&self, launch: Launch) -> Result<()> {
        launch.grid([self.blocks(), self.items.len(), 1], [BLOCK, 1])
    }
}

/// The items in batches that fit one launch each.
pub(crate) fn batches(items: &[Item]) -> impl Iterator<Item = Batch<'_>> {
    items.chunks(TOGETHER).map(|items| Batch { items })
}

/// Launches a kernel whose only argument is its items.
pub(crate) fn run(gpu: &Gpu, name: &'static str, items: &[Item]) -> Result<()> {
    for batch in batches(items) {
        batch.run(batch.push(Launch::new(gpu, name)))?;
    }
    Ok(())
}
