//! How often something may be done that keeps training waiting.

use std::time::{Duration, Instant};

/// It takes at most one part in so many of the time.
const SHARE: u32 = 20;

/// When something that keeps training waiting was last done, and how long it took.
#[derive(Clone, Copy)]
pub(crate) struct Pace {
    done: Instant,
    took: Duration,
}

impl Pace {
    pub(crate) fn start() -> Self {
        Self {
            done: Instant::now(),
            took: Duration::ZERO,
        }
    }

    /// Whether doing it again takes no more than its share of the time since, which is at least `least`.
    pub(crate) fn is_due(&self, least: Duration) -> bool {
        self.done.elapsed() >= least.max(self.took * SHARE)
    }

    /// It was done again, from `start` to now.
    pub(crate) fn done(&mut self, start: Instant) {
        self.done = Instant::now();
        self.took = start.elapsed();
    }
}
