//! Work in pieces that are fixed by the shapes, on the current rayon pool.
//!
//! How the work is cut never depends on the number of threads, and no piece's result depends on which thread runs it
//! or when. That is what makes every operation give the same bits with any pool on one kind of processor.
//! (Another kind may differ in the last bits: sums of weights' gradients are cut by the width of its vectors, and one without
//! fused multiply-add rounds more often.)

use std::marker::PhantomData;

use rayon::prelude::*;

/// Fewer elementary operations than this are not worth waking another thread.
const WORTH_SHARING: usize = 1 << 15;

/// Runs `task` for 0..count. `work` is about how many elementary operations all of them are together.
pub(crate) fn for_each(count: usize, work: usize, task: impl Fn(usize) + Send + Sync) {
    if count <= 1 || work < WORTH_SHARING || rayon::current_num_threads() == 1 {
        (0..count).for_each(task);
    } else {
        (0..count).into_par_iter().with_max_len(1).for_each(task);
    }
}

/// Runs `task(i, chunk)` for each chunk of `len` elements of `out`; the last chunk may be shorter.
/// `work` is about how many elementary operations all of them are together.
pub(crate) fn for_each_chunk<T: Send>(
    out: &mut [T],
    len: usize,
    work: usize,
    task: impl Fn(usize, &mut [T]) + Send + Sync,
) {
    let shared = SharedMut::new(out);
    let total = shared.len();
    for_each(total.div_ceil(len.max(1)), work, |i| {
        let start = i * len;
        // SAFETY: the ranges of different chunks are disjoint and each chunk is visited once.
        task(i, unsafe { shared.slice(start, len.min(total - start)) });
    });
}

/// Calls `change(param, state, start)` for chunks of a parameter and of its state, on several threads.
pub(crate) fn in_chunks<const N: usize>(
    param: &mut [f32],
    state: [&mut [f32]; N],
    change: impl Fn(&mut [f32], [&mut [f32]; N], usize) + Send + Sync,
) {
    const CHUNK: usize = 1 << 15;
    let total = param.len();
    let (params, states) = (SharedMut::new(param), state.map(SharedMut::new));
    for_each(total.div_ceil(CHUNK), 2 * total, |i| {
        let start = i * CHUNK;
        let len = CHUNK.min(total - start);
        // SAFETY: chunks are disjoint and each is visited once.
        unsafe {
            let state = std::array::from_fn(|k| states[k].slice(start, len));
            change(params.slice(start, len), state, start);
        }
    });
}

/// A mutable slice that several pieces of work write to at once, each to its own elements.
pub(crate) struct SharedMut<'a, T> {
    start: *mut T,
    len: usize,
    slice: PhantomData<&'a mut [T]>,
}

// SAFETY: the pointer is only used through `slice` and `pointer`, whose callers answer for disjointness; `T: Send`
// lets elements be written from other threads.
unsafe impl<T: Send> Sync for SharedMut<'_, T> {}
// SAFETY: as above; the exclusive borrow that this value stands for may move to another thread.
unsafe impl<T: Send> Send for SharedMut<'_, T> {}

impl<'a, T> SharedMut<'a, T> {
    pub(crate) fn new(slice: &'a mut [T]) -> Self {
        Self {
            start: slice.as_mut_ptr(),
            len: slice.len(),
            slice: PhantomData,
        }
    }

    /// The `len` elements from `start` on.
    ///
    /// # Safety
    /// They must be there, and as good as borrowed exclusively for `'a`; whether they hold values yet is the caller's to know.
    pub(crate) unsafe fn from_raw(start: *mut T, len: usize) -> Self {
        Self {
            start,
            len,
            slice: PhantomData,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The elements from `start` on.
    ///
    /// # Safety
    /// While the slice lives, nothing else may read or write its elements.
    #[expect(clippy::mut_from_ref, reason = "the callers answer for disjointness")]
    pub(crate) unsafe fn slice(&self, start: usize, len: usize) -> &mut [T] {
        assert!(
            start <= self.len && len <= self.len - start,
            "a piece of work reaches past its output"
        );
        // SAFETY: the range was checked to lie inside the slice this was made of; the caller answers for aliasing.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(start), len) }
    }

    /// A pointer to the element `start`, behind which at least `len` elements lie.
    pub(crate) fn pointer(&self, start: usize, len: usize) -> *mut T {
        assert!(
            start <= self.len && len <= self.len - start,
            "a piece of work reaches past its output"
        );
        self.start.wrapping_add(start)
    }
}
