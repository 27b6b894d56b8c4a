//! Results that are written once, without being zeroed first.

use crate::parallel::{SharedMut, for_each};

/// A vector of `len` floats that `fill` writes.
///
/// # Safety
/// `fill` must write every element, and read none before.
pub(crate) unsafe fn uninit(len: usize, fill: impl FnOnce(&SharedMut<f32>)) -> Vec<f32> {
    let mut values: Vec<f32> = Vec::with_capacity(len);
    // SAFETY: the memory is there; `fill` writes before anything reads, and floats have no invalid values.
    unsafe {
        fill(&SharedMut::from_raw(values.as_mut_ptr(), len));
        values.set_len(len);
    }
    values
}

/// A vector of `len` floats, in chunks of `chunk` (the last may be shorter), each of which `task(i, chunk)` writes.
/// `work` is about how many elementary operations all of them are together.
///
/// # Safety
/// `task` must write every element of its chunk, and read none before.
pub(crate) unsafe fn uninit_chunks(
    len: usize,
    chunk: usize,
    work: usize,
    task: impl Fn(usize, &mut [f32]) + Send + Sync,
) -> Vec<f32> {
    let chunk = chunk.max(1);
    // SAFETY: the chunks are disjoint and cover everything; the caller answers for what `task` does with each.
    unsafe {
        uninit(len, |out| {
            for_each(len.div_ceil(chunk), work, |i| {
                let start = i * chunk;
                task(i, out.slice(start, chunk.min(len - start)));
            });
        })
    }
}
