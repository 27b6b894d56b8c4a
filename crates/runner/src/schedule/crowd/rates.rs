//! How fast trials of a kind go beside how many others, and what one more makes of that.

use std::collections::{BTreeMap, VecDeque};

/// A window is measured over at least so many seconds and steps,
const WINDOW: (f64, f64) = (0.5, 30.0);
/// or, where steps are long, over these.
const LONG_WINDOW: (f64, f64) = (5.0, 4.0);
/// So many windows of the same are kept, the newest.
const KEPT: usize = 8;
/// A rate that has ended so many trials ago is forgotten: the machine or the trials may have changed since.
const FORGOTTEN: u64 = 24;
/// Nobody goes faster for having a neighbour. A rate that rises by more than this has other reasons.
const STEADY: f64 = 1.25;

/// What a rate was measured over. Only the same are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stretch {
    /// Steps of a trial's first epoch, in which pictures are decoded and features computed.
    FirstEpoch,
    /// Steps of one later epoch.
    Steps,
    /// Whole epochs with their validations.
    Epochs,
}

/// A part of a trial, and how long it took.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Piece {
    pub(super) stretch: Stretch,
    /// Training steps.
    pub(super) steps: f64,
    pub(super) seconds: f64,
    /// How many trials computed on the device meanwhile, on average, itself among them.
    pub(super) crowd: f64,
}

/// What one more trial makes of what all of them do in a time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Gain {
    /// That of all with it over that of all without it.
    pub(super) factor: f64,
    /// The windows that it was seen in, with it and without it, whichever are fewer.
    pub(super) windows: usize,
}

/// Steps per second of trials by their kind and stretch, and by the number of trials on the device.
#[derive(Debug, Default)]
pub(super) struct Rates {
    by_kind: BTreeMap<(String, Stretch), BTreeMap<usize, Windows>>,
}

/// The rates of one kind, stretch and number.
#[derive(Debug, Default)]
struct Windows {
    /// Steps and seconds of the window that is not full yet. It goes on from one trial of the kind to the next.
    open: (f64, f64),
    /// The rate of each full window, and how many trials had ended then.
    full: VecDeque<(f64, u64)>,
}

impl Windows {
    /// The middle one of its rates; the mean of the two in the middle.
    fn rate(&self) -> f64 {
        let mut rates: Vec<f64> = self.full.iter().map(|(rate, _)| *rate).collect();
        rates.sort_by(f64::total_cmp);
        let middle = rates.len() / 2;
        if rates.len() % 2 == 1 {
            rates[middle]
        } else {
            f64::midpoint(rates[middle - 1], rates[middle])
        }
    }
}

impl Rates {
    /// Adds a part of a trial of `kind`, when `ended` trials have ended. Whether that filled a window.
    pub(super) fn add(&mut self, kind: &str, piece: &Piece, ended: u64) -> bool {
        let crowd = piece.crowd.round().max(1.0) as usize;
        let key = (kind.to_owned(), piece.stretch);
        let windows = self.by_kind.entry(key).or_default();
        let windows = windows.entry(crowd).or_default();
        windows.open.0 += piece.steps;
        windows.open.1 += piece.seconds;
        let (steps, seconds) = windows.open;
        let is_full = |(least, fewest)| seconds >= least && steps >= fewest;
        if !is_full(WINDOW) && !is_full(LONG_WINDOW) {
            return false;
        }
        windows.open = (0.0, 0.0);
        windows.full.push_back((steps / seconds, ended));
        if windows.full.len() > KEPT {
            windows.full.pop_front();
        }
        true
    }

    /// Forgets what is too old, when `ended` trials have ended.
    pub(super) fn forget(&mut self, ended: u64) {
        for windows in self.by_kind.values_mut().flat_map(BTreeMap::values_mut) {
            windows
                .full
                .retain(|(_, then)| ended.saturating_sub(*then) <= FORGOTTEN);
        }
        self.by_kind.retain(|_, by_crowd| {
            by_crowd.retain(|_, windows| !windows.full.is_empty() || windows.open.1 > 0.0);
            !by_crowd.is_empty()
        });
    }

    /// Windows of trials of these kinds while `crowd` of them computed.
    pub(super) fn windows(&self, crowd: usize, is_meant: impl Fn(&str) -> bool) -> usize {
        let kinds = self.by_kind.iter().filter(|((kind, _), _)| is_meant(kind));
        let of = |by_crowd: &BTreeMap<usize, Windows>| Some(by_crowd.get(&crowd)?.full.len());
        kinds.filter_map(|(_, by_crowd)| of(by_crowd)).sum()
    }

    /// Whether trials of a kind can be compared with and without the last one of `crowd`.
    pub(super) fn is_known(&self, crowd: usize, kind: &str) -> bool {
        self.gain(crowd, |other| other == kind).is_some()
    }

    /// What the last one of `crowd` trials of these kinds adds, if that is known: each kind is compared with itself, and counts by
    /// the time that it was seen for.
    pub(super) fn gain(&self, crowd: usize, is_meant: impl Fn(&str) -> bool) -> Option<Gain> {
        let (mut kept, mut windows) = (0.0, 0);
        for ((kind, _), by_crowd) in &self.by_kind {
            let (Some(with), Some(without)) = (by_crowd.get(&crowd), by_crowd.get(&(crowd - 1)))
            else {
                continue;
            };
            let seen = with.full.len().min(without.full.len());
            if seen < 2 || !is_meant(kind) {
                continue;
            }
            let slower = with.rate() / without.rate();
            if slower <= STEADY {
                kept += seen as f64 * slower.min(1.0);
                windows += seen;
            }
        }
        (windows > 0).then(|| Gain {
            factor: kept / windows as f64 * crowd as f64 / (crowd - 1) as f64,
            windows,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(steps: f64, seconds: f64, crowd: f64) -> Piece {
        Piece {
            stretch: Stretch::Epochs,
            steps,
            seconds,
            crowd,
        }
    }

    /// Adds `count` windows of one second.
    fn fill(rates: &mut Rates, kind: &str, crowd: f64, rate: f64, count: usize) {
        for _ in 0..count {
            assert!(rates.add(kind, &piece(rate, 1.0, crowd), 0));
        }
    }

    #[test]
    fn windows_are_filled_by_several_trials_and_need_time_and_steps() {
        let mut rates = Rates::default();
        assert!(!rates.add("a", &piece(20.0, 0.3, 2.2), 0));
        assert!(
            !rates.add("a", &piece(20.0, 0.3, 3.0), 0),
            "beside another number"
        );
        assert!(
            !rates.add("b", &piece(20.0, 0.3, 2.0), 0),
            "of another kind"
        );
        assert!(rates.add("a", &piece(20.0, 0.3, 1.8), 0));
        assert!(!rates.add("a", &piece(2.0, 4.0, 1.0), 0));
        assert!(rates.add("a", &piece(2.0, 4.0, 1.0), 0), "long steps");
        assert_eq!(rates.windows(2, |_| true), 1);
        assert_eq!(rates.windows(2, |kind| kind == "b"), 0);
    }

    #[test]
    fn kinds_are_compared_with_themselves() {
        let mut rates = Rates::default();
        assert_eq!(rates.gain(2, |_| true), None);
        fill(&mut rates, "slow", 1.0, 40.0, 4);
        fill(&mut rates, "fast", 2.0, 4000.0, 4);
        assert_eq!(rates.gain(2, |_| true), None, "no kind with both");
        fill(&mut rates, "slow", 2.0, 30.0, 2);
        let gain = rates.gain(2, |_| true).unwrap();
        assert!((gain.factor - 1.5).abs() < 1e-9 && gain.windows == 2);
        fill(&mut rates, "fast", 1.0, 8000.0, 2);
        let gain = rates.gain(2, |_| true).unwrap();
        assert!((gain.factor - 1.25).abs() < 1e-9 && gain.windows == 4);
        assert_eq!(rates.gain(2, |kind| kind == "other"), None);
    }

    #[test]
    fn one_odd_window_changes_little_and_what_can_not_be_is_left_out() {
        let mut rates = Rates::default();
        fill(&mut rates, "a", 1.0, 100.0, 5);
        fill(&mut rates, "a", 2.0, 90.0, 4);
        fill(&mut rates, "a", 2.0, 35.0, 1);
        let gain = rates.gain(2, |_| true).unwrap();
        assert!((gain.factor - 1.8).abs() < 1e-9);
        // Its later epochs are cheaper.
        fill(&mut rates, "b", 1.0, 100.0, 5);
        fill(&mut rates, "b", 2.0, 900.0, 5);
        assert_eq!(rates.gain(2, |kind| kind == "b"), None);
    }

    #[test]
    fn what_is_old_is_forgotten() {
        let mut rates = Rates::default();
        fill(&mut rates, "a", 1.0, 100.0, 2);
        rates.forget(FORGOTTEN);
        assert_eq!(rates.windows(1, |_| true), 2);
        rates.forget(FORGOTTEN + 1);
        assert_eq!(rates.windows(1, |_| true), 0);
    }
}
