//! The memory that tensors live in: an allocator for programs that train.
//!
//! A training step allocates and frees many large tensors. Systems give such memory back at once and clear every page
//! again at the next step: that took up to half of a ResNet-18 step at batch 32. mimalloc keeps freed memory for the
//! next step and asks Linux for huge pages, of which the processor looks up fewer.

use std::{ffi::c_long, time::Duration};

/// The allocator. A program takes it by
/// `#[global_allocator] static ALLOCATOR: graft_ops::Allocator = graft_ops::Allocator;` and calls [`keep_freed_memory`]
/// at its start.
pub use mimalloc::MiMalloc as Allocator;

/// mimalloc's option `purge_delay`, in milliseconds. libmimalloc-sys gives it no name.
const PURGE_DELAY: libmimalloc_sys::mi_option_t = 15;

/// Lets [`Allocator`] keep freed memory for so long before the system gets it back, unless the environment says
/// something else (`MIMALLOC_PURGE_DELAY`). To be called before there are other threads.
pub fn keep_freed_memory(time: Duration) {
    let milliseconds = c_long::try_from(time.as_millis()).unwrap_or(c_long::MAX);
    // SAFETY: the function only writes an entry of mimalloc's static table of options, and ignores an option that it
    // does not know. mimalloc warns that this is not synchronised with other threads that read or write the entry; it
    // is a word, and every value that was or is in it is a good one.
    unsafe { libmimalloc_sys::mi_option_set_default(PURGE_DELAY, milliseconds) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_option_is_the_one_that_is_meant() {
        if std::env::var_os("MIMALLOC_PURGE_DELAY").is_some() {
            return;
        }
        // SAFETY: reads an entry of a static table.
        let delay = || unsafe { libmimalloc_sys::mi_option_get(PURGE_DELAY) };
        // mimalloc 3's own delay: if the table is ever ordered in another way, this is another value.
        assert_eq!(delay(), 1000);
        keep_freed_memory(Duration::from_secs(7));
        // The table remembers that 1000 was its own value.
        assert_eq!(delay(), 7000);
    }
}
