//! Buffers that a thread keeps between calls, so that convolutions do not ask the system for memory each time.

use std::cell::RefCell;

thread_local! {
    static FREE: RefCell<Vec<Vec<f32>>> = const { RefCell::new(Vec::new()) };
}

/// More buffers than any operation borrows at once are not kept.
const KEPT: usize = 8;

/// Floats in the widest vector and in a line of the cache, where buffers begin.
const ALIGNMENT: usize = 16;

/// Lends `work` a buffer of `len` floats with unspecified contents, which begins with a line of the cache.
pub(crate) fn with_scratch<R>(len: usize, work: impl FnOnce(&mut [f32]) -> R) -> R {
    with_buffer(len + ALIGNMENT - 1, |buffer| {
        let start = buffer.as_ptr().align_offset(ALIGNMENT * size_of::<f32>());
        work(&mut buffer[start.min(ALIGNMENT - 1)..][..len])
    })
}

/// Lends `work` a buffer of `len` floats.
fn with_buffer<R>(len: usize, work: impl FnOnce(&mut [f32]) -> R) -> R {
    let mut buffer = FREE.with_borrow_mut(|free| {
        let smallest_fit = free
            .iter()
            .enumerate()
            .filter(|(_, buffer)| buffer.len() >= len)
            .min_by_key(|(_, buffer)| buffer.len())
            .map(|(i, _)| i);
        match smallest_fit {
            Some(i) => free.swap_remove(i),
            None => free.pop().unwrap_or_default(),
        }
    });
    if buffer.len() < len {
        buffer.clear();
        buffer.resize(len, 0.0);
    }
    let result = work(&mut buffer[..len]);
    FREE.with_borrow_mut(|free| {
        if free.len() < KEPT {
            free.push(buffer);
        }
    });
    result
}
