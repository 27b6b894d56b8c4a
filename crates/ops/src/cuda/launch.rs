//! Launches of kernels.

use std::ffi::c_void;

use candle_core::Result;
use candle_core::cuda::cudarc::driver::result;

use super::array::{Kind, Located};
use super::gpu::{Gpu, failed};

/// Threads of a block wherever a block is one row of threads: `BLOCK` of the kernels.
pub(crate) const BLOCK: usize = 256;
/// Elements that one thread works on where there are many.
const EACH: usize = 4;
/// More blocks than the largest GPUs run at once are of no use to kernels that loop over their elements.
const MOST_BLOCKS: usize = 2112;

/// A kernel and its arguments, in the order of its parameters. What is pushed must have the types of those.
pub(crate) struct Launch<'a> {
    gpu: &'a Gpu,
    name: &'static str,
    kind: Option<Kind>,
    /// The arguments. Each begins with a word; the first bytes count where it is smaller.
    words: Vec<u64>,
    starts: Vec<usize>,
}

impl<'a> Launch<'a> {
    /// The kernel `name`.
    pub(crate) fn new(gpu: &'a Gpu, name: &'static str) -> Self {
        Self {
            gpu,
            name,
            kind: None,
            words: Vec::with_capacity(16),
            starts: Vec::with_capacity(16),
        }
    }

    /// The kernel `name` for numbers of this kind.
    pub(crate) fn of(gpu: &'a Gpu, name: &'static str, kind: Kind) -> Self {
        Self {
            kind: Some(kind),
            ..Self::new(gpu, name)
        }
    }

    fn word(mut self, word: u64) -> Self {
        self.starts.push(self.words.len());
        self.words.push(word);
        self
    }

    /// A pointer.
    pub(crate) fn at(self, place: &impl Located) -> Self {
        self.word(place.address())
    }

    /// A pointer, or null.
    pub(crate) fn maybe_at(self, place: Option<&impl Located>) -> Self {
        self.word(place.address())
    }

    /// `Index`.
    pub(crate) fn size(self, size: usize) -> Self {
        self.word(size as u64)
    }

    /// `int`.
    pub(crate) fn int(self, value: i32) -> Self {
        self.word(u64::from(value as u32))
    }

    /// `int`, as a condition.
    pub(crate) fn flag(self, value: bool) -> Self {
        self.int(value.into())
    }

    /// `float`.
    pub(crate) fn float(self, value: f32) -> Self {
        self.word(u64::from(value.to_bits()))
    }

    /// `double`.
    pub(crate) fn double(self, value: f64) -> Self {
        self.word(value.to_bits())
    }

    /// `unsigned long long`.
    pub(crate) fn key(self, key: u64) -> Self {
        self.word(key)
    }

    /// A structure by value, given as its words.
    pub(crate) fn structure(mut self, words: impl IntoIterator<Item = u64>) -> Self {
        self.starts.push(self.words.len());
        self.words.extend(words);
        self
    }

    /// A structure of `Index` by value.
    pub(crate) fn sizes(self, sizes: impl IntoIterator<Item = usize>) -> Self {
        self.structure(sizes.into_iter().map(|size| size as u64))
    }

    /// Launches a kernel that loops over `n` elements; nothing where there are none.
    pub(crate) fn each(self, n: usize) -> Result<()> {
        let blocks = n.div_ceil(BLOCK * EACH).min(MOST_BLOCKS);
        self.blocks(blocks)
    }

    /// Launches so many blocks in a row.
    pub(crate) fn blocks(self, blocks: usize) -> Result<()> {
        self.grid([blocks, 1, 1], [BLOCK, 1])
    }

    /// Launches a grid of blocks of (across, down) threads.
    pub(crate) fn grid(mut self, grid: [usize; 3], [across, down]: [usize; 2]) -> Result<()> {
        if grid.contains(&0) {
            return Ok(());
        }
        let stream = self.gpu.stream();
        let bound = stream.context().bind_to_thread();
        bound.map_err(|error| failed(self.name, error))?;
        let words = self.words.as_mut_ptr();
        let mut arguments: Vec<*mut c_void> = self
            .starts
            .iter()
            // SAFETY: each start is the place of one of the words.
            .map(|start| unsafe { words.add(*start) }.cast())
            .collect();
        let [x, y, z] = grid.map(|blocks| blocks as u32);
        self.gpu.with_function(self.name, self.kind, |function| {
            // SAFETY: the function is loaded, the arguments outlive the call, which copies them, and whoever built the launch
            // answers for their types and for the memory behind the addresses (see the module).
            unsafe {
                result::launch_kernel(
                    function.cu_function(),
                    (x, y, z),
                    (across as u32, down as u32, 1),
                    0,
                    stream.cu_stream(),
                    &mut arguments,
                )
            }
            .map_err(|error| failed(self.name, error))
        })
    }
}
