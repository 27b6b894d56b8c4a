//! How fast a trial goes.

use std::time::{Duration, Instant};

use graft_trainer::StepProgress;

/// How far a running trial was when it was first heard of, and how far it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    first: (Instant, f64),
    last: (Instant, f64),
}

impl Pace {
    /// Follows a step of a trial whose earlier steps are in `known`.
    pub(super) fn follow(known: Option<Self>, progress: &StepProgress, now: Instant) -> Self {
        let batches = if progress.validating {
            1.0
        } else {
            progress.batch as f64 / progress.batches.max(1) as f64
        };
        let done = (f64::from(progress.epoch) - 1.0 + batches) / f64::from(progress.epochs.max(1));
        Self {
            first: known.map_or((now, done), |pace| pace.first),
            last: (now, done),
        }
    }

    /// How long the trial will still take at this pace; unknown before it has moved.
    pub(super) fn remaining(&self) -> Option<Duration> {
        let (moved, took) = (self.last.1 - self.first.1, self.last.0 - self.first.0);
        if moved <= 0.0 || took.is_zero() {
            return None;
        }
        Duration::try_from_secs_f64((1.0 - self.last.1).max(0.0) * took.as_secs_f64() / moved).ok()
    }

    /// Whether it has been watched long enough to be trusted.
    pub(super) fn is_settled(&self, after: Duration) -> bool {
        self.last.0 - self.first.0 >= after
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(epoch: u32, batch: usize, validating: bool) -> StepProgress {
        let (epochs, batches) = (4, 10);
        StepProgress {
            epoch,
            epochs,
            batch,
            batches,
            validating,
            train_loss: 0.0,
            images_per_second: 0.0,
        }
    }

    #[test]
    fn the_rest_is_judged_by_what_was_seen() {
        let start = Instant::now();
        // Seen first in the middle: it was resumed there.
        let pace = Pace::follow(None, &at(3, 0, false), start);
        assert_eq!(pace.remaining(), None);
        let pace = Pace::follow(Some(pace), &at(3, 5, false), start + Duration::from_secs(3));
        assert_eq!(pace.remaining(), Some(Duration::from_secs(9)));
        let pace = Pace::follow(Some(pace), &at(3, 1, true), start + Duration::from_secs(6));
        assert_eq!(pace.remaining(), Some(Duration::from_secs(6)));
        assert!(
            pace.is_settled(Duration::from_secs(6)) && !pace.is_settled(Duration::from_secs(7))
        );
    }
}
