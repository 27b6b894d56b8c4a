//! Threads to compute with.

use rayon::{ThreadPool, ThreadPoolBuildError, ThreadPoolBuilder};

/// The stack of a thread that computes, in bytes. NVIDIA's driver compiles kernels, and cuDNN plans, on the thread that asks for it, and
/// elsewhere that is a main thread, which has four times the stack of Rust's others.
const STACK: usize = 16 << 20;

/// A pool of so many threads.
pub(crate) fn build(threads: usize) -> Result<ThreadPool, ThreadPoolBuildError> {
    ThreadPoolBuilder::new()
        .num_threads(threads)
        .stack_size(STACK)
        .build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::large_stack_arrays, reason = "that is what is tested")]
    fn there_is_room_on_the_stack() {
        #[inline(never)]
        fn sum(of: &[u8]) -> usize {
            of.iter().map(|&byte| usize::from(byte)).sum()
        }
        let pool = build(1).unwrap();
        // More than a thread of Rust's has.
        let found = pool.install(|| sum(std::hint::black_box(&[1; 6 << 20])));
        assert_eq!(found, 6 << 20);
    }
}
