//! A trial as its device sees it.

use std::time::{Duration, Instant};

use graft_trainer::StepProgress;

use super::rates::{Piece, Stretch};

/// Epochs that take longer are measured by their steps alone, in seconds.
const SHORT_EPOCH: f64 = 20.0;

/// A trial as its device sees it.
#[derive(Debug)]
pub(super) struct Guest {
    pub(super) kind: String,
    /// The most trials that were there at a time, itself among them.
    pub(super) beside: usize,
    /// Whether it computes: it has told of a step, and not yet of its last.
    pub(super) is_computing: bool,
    /// Whether it has ever told of a step, so that it holds its memory.
    pub(super) has_begun: bool,
    /// Whether its worker had run a trial before, or was prepared: the first trial waits for the device and its libraries.
    is_warm: bool,
    /// When its worker took it.
    taken: Option<Instant>,
    /// How long it has computed.
    computed: Duration,
    since: Option<Instant>,
    last: Option<Mark>,
    /// When it last ended the training of an epoch.
    trained: Option<Mark>,
}

/// A moment that a trial told of.
#[derive(Clone, Copy, Debug)]
struct Mark {
    at: Instant,
    /// Seconds of computing of all trials on the device until then.
    work: f64,
    epoch: u32,
    batch: usize,
}

impl Guest {
    pub(super) fn new(kind: &str, is_warm: bool) -> Self {
        Self {
            kind: kind.to_owned(),
            beside: 0,
            is_computing: false,
            has_begun: false,
            is_warm,
            taken: None,
            computed: Duration::ZERO,
            since: None,
            last: None,
            trained: None,
        }
    }

    /// Its worker took it.
    pub(super) fn taken(&mut self, now: Instant) {
        self.taken.get_or_insert(now);
    }

    /// Follows a step; `work` are the seconds of computing of all trials on the device so far. What can be measured now.
    pub(super) fn step(&mut self, progress: &StepProgress, now: Instant, work: f64) -> Vec<Piece> {
        self.has_begun = true;
        let is_last = progress.validating
            && progress.epoch == progress.epochs
            && progress.batch == progress.batches;
        if self.is_computing == is_last {
            self.set_computing(!is_last, now);
        }
        if progress.validating {
            return Vec::new();
        }
        let mark = Mark {
            at: now,
            work,
            epoch: progress.epoch,
            batch: progress.batch,
        };
        let mut pieces = Vec::new();
        let is_end = progress.batch == progress.batches;
        // A GPU may still be busy with the last steps of an epoch when it has been given all of them.
        if let Some(last) = self.last.filter(|last| !is_end && last.epoch == mark.epoch) {
            let stretch = match mark.epoch {
                1 => Stretch::FirstEpoch,
                _ => Stretch::Steps,
            };
            let steps = mark.batch.saturating_sub(last.batch) as f64;
            pieces.extend(last.until(&mark, stretch, steps));
        }
        self.last = Some(mark);
        if is_end {
            if let Some(trained) = self.trained {
                let epochs = f64::from(mark.epoch.saturating_sub(trained.epoch));
                let piece = trained.until(&mark, Stretch::Epochs, epochs * progress.batches as f64);
                pieces.extend(piece.filter(|piece| piece.seconds < SHORT_EPOCH * epochs));
            }
            self.trained = Some(mark);
        }
        pieces
    }

    /// It ends. For how long it computed, and how long its worker had it; none where that tells nothing of the next one.
    pub(super) fn left(&mut self, now: Instant) -> Option<(Duration, Duration)> {
        self.set_computing(false, now);
        let taken = self
            .taken
            .filter(|_| self.is_warm && !self.computed.is_zero());
        taken.map(|taken| (self.computed, now.saturating_duration_since(taken)))
    }

    fn set_computing(&mut self, is_computing: bool, now: Instant) {
        if let Some(since) = self.since.take() {
            self.computed += now.saturating_duration_since(since);
        }
        self.since = is_computing.then_some(now);
        self.is_computing = is_computing;
    }
}

impl Mark {
    fn until(&self, later: &Self, stretch: Stretch, steps: f64) -> Option<Piece> {
        let seconds = later.at.saturating_duration_since(self.at).as_secs_f64();
        (steps > 0.0 && seconds > 0.0).then(|| Piece {
            stretch,
            steps,
            seconds,
            crowd: (later.work - self.work) / seconds,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tells `guest` of steps `(epoch, batch, validating)` a second apart, while `crowd` trials compute; two epochs of four steps.
    fn tell(guest: &mut Guest, crowd: f64, steps: &[(u32, usize, bool)]) -> Vec<Vec<Piece>> {
        let start = Instant::now();
        let steps = steps.iter().zip(1..);
        let pieces = steps.map(|(&(epoch, batch, validating), second)| {
            let progress = StepProgress {
                epoch,
                epochs: 2,
                batch,
                batches: if validating { 1 } else { 4 },
                validating,
                train_loss: 0.0,
                images_per_second: 0.0,
            };
            let now = start + Duration::from_millis(500 * second);
            guest.step(&progress, now, crowd * 0.5 * second as f64)
        });
        pieces.collect()
    }

    #[test]
    fn steps_of_an_epoch_and_whole_epochs_are_measured() {
        let mut guest = Guest::new("a", true);
        let first = tell(
            &mut guest,
            3.0,
            &[(1, 1, false), (1, 3, false), (1, 4, false), (1, 1, true)],
        );
        let piece = |stretch, steps, seconds| Piece {
            stretch,
            steps,
            seconds,
            crowd: 3.0,
        };
        let none = Vec::new();
        let expected = [
            none.clone(),
            vec![piece(Stretch::FirstEpoch, 2.0, 0.5)],
            none.clone(),
            none.clone(),
        ];
        assert_eq!(first, expected);
        let mut guest = Guest::new("a", true);
        let both = tell(
            &mut guest,
            3.0,
            &[
                (1, 4, false),
                (1, 1, true),
                (2, 2, false),
                (2, 4, false),
                (2, 1, true),
            ],
        );
        assert_eq!(both[2], none);
        assert_eq!(both[3], [piece(Stretch::Epochs, 4.0, 1.5)]);
        assert!(!guest.is_computing, "only files are left to be written");
    }

    #[test]
    fn the_time_without_steps_is_known_but_of_a_cold_worker() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let step = StepProgress {
            epoch: 1,
            epochs: 1,
            batch: 1,
            batches: 9,
            validating: false,
            train_loss: 0.0,
            images_per_second: 0.0,
        };
        for (is_warm, told) in [(true, Some((300, 500))), (false, None)] {
            let mut guest = Guest::new("a", is_warm);
            guest.taken(at(0));
            guest.step(&step, at(200), 0.0);
            let told = told.map(|(a, b)| (Duration::from_millis(a), Duration::from_millis(b)));
            assert_eq!(guest.left(at(500)), told);
        }
        let mut failed = Guest::new("a", true);
        failed.taken(at(0));
        assert_eq!(failed.left(at(500)), None);
    }
}
