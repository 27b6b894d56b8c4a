//! The threads of a command that runs in this process.

use std::thread::available_parallelism;

use rayon::ThreadPool;

use crate::failure::Failure;

/// A pool of `threads` threads, or of as many as there are cores.
pub(super) fn pool(threads: Option<u32>) -> Result<ThreadPool, Failure> {
    let threads = threads.map_or_else(
        || available_parallelism().map_or(1, usize::from),
        |threads| threads as usize,
    );
    crate::threads::build(threads).map_err(|error| {
        Failure::bad_input(format!("can't start {threads} threads: {error}"))
            .hint("choose fewer with --threads")
    })
}
