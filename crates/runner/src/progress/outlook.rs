//! How long a sweep will still take, from what its epochs have taken so far.

use std::{collections::BTreeMap, time::Duration};

/// The work that a trial still has.
#[derive(Clone, Debug, PartialEq)]
pub struct TrialWork {
    /// Trials with the same word take about the same time per epoch.
    pub kind: String,
    /// Epochs that are not done yet.
    pub epochs: f64,
    /// How an epoch compares with those of other kinds, as long as none of this kind has been timed.
    pub weight: f64,
}

/// The trials that are not done yet, by id, and what an epoch of their kinds has taken.
#[derive(Clone, Debug, Default)]
pub struct Outlook {
    work: BTreeMap<String, TrialWork>,
    /// The work of trials that may never be run.
    held: BTreeMap<String, TrialWork>,
    /// Seconds of the epochs that were measured, by kind.
    measured: BTreeMap<String, Vec<f64>>,
    /// Seconds per epoch guessed from the first steps, by kind; used until an epoch has been measured.
    guessed: BTreeMap<String, f64>,
}

impl Outlook {
    /// An outlook on these trials.
    pub fn new(work: BTreeMap<String, TrialWork>) -> Self {
        Self {
            work,
            ..Self::default()
        }
    }

    /// An epoch of this kind took so many seconds.
    pub fn measured(&mut self, kind: &str, seconds: f64) {
        if seconds.is_finite() {
            self.measured
                .entry(kind.to_owned())
                .or_default()
                .push(seconds);
        }
    }

    /// An epoch of the trial took so many seconds.
    pub fn epoch(&mut self, id: &str, seconds: f64) {
        if let Some(work) = self.work.get(id) {
            let kind = work.kind.clone();
            self.measured(&kind, seconds);
        }
    }

    /// The first steps of a trial make its epochs look this long.
    pub fn guess(&mut self, id: &str, seconds: f64) {
        if let (Some(work), true) = (self.work.get(id), seconds.is_finite()) {
            self.guessed.insert(work.kind.clone(), seconds);
        }
    }

    /// A trial has so many epochs left.
    pub fn left(&mut self, id: &str, epochs: f64) {
        if let Some(work) = self.work.get_mut(id) {
            work.epochs = epochs.max(0.0);
        }
    }

    /// Trials that are only run if they are released do not count until then.
    pub fn hold(&mut self, id: &str) {
        if let Some(work) = self.work.remove(id) {
            self.held.insert(id.to_owned(), work);
        }
    }

    /// A trial that was held is to be run.
    pub fn release(&mut self, id: &str) {
        if let Some(work) = self.held.remove(id) {
            self.work.insert(id.to_owned(), work);
        }
    }

    /// A trial is over.
    pub fn over(&mut self, id: &str) {
        self.work.remove(id);
    }

    /// How long the rest takes with so many trials at a time; none while no epoch has been timed. A kind that was
    /// never timed is taken to be as the mean of those that were.
    pub fn remaining(&self, at_a_time: usize) -> Option<Duration> {
        let known: Vec<f64> = self.kinds().filter_map(|kind| self.seconds(kind)).collect();
        if known.is_empty() && !self.work.is_empty() {
            return None;
        }
        let mean = known.iter().sum::<f64>() / known.len().max(1) as f64;
        let seconds = self.work.values().map(|work| {
            let seconds = self.seconds(&work.kind);
            work.epochs * seconds.unwrap_or(mean * work.weight)
        });
        let (sum, longest) = seconds.fold((0.0_f64, 0.0_f64), |(sum, longest), s| {
            (sum + s, longest.max(s))
        });
        let seconds = (sum / at_a_time.max(1) as f64).max(longest);
        Duration::try_from_secs_f64(seconds).ok()
    }

    fn kinds(&self) -> impl Iterator<Item = &str> {
        let guessed = self
            .guessed
            .keys()
            .filter(|kind| !self.measured.contains_key(*kind));
        self.measured.keys().chain(guessed).map(String::as_str)
    }

    /// Seconds of an epoch: the median of the measured ones.
    fn seconds(&self, kind: &str) -> Option<f64> {
        let Some(measured) = self.measured.get(kind) else {
            return self.guessed.get(kind).copied();
        };
        let mut sorted = measured.clone();
        sorted.sort_by(f64::total_cmp);
        sorted.get(sorted.len() / 2).copied()
    }
}

/// `48 s`, `12 min`, `1 h 20 min`.
pub fn rough(duration: Duration) -> String {
    let seconds = duration.as_secs_f64().round() as u64;
    let minutes = (seconds + 30) / 60;
    match seconds {
        0..90 => format!("{seconds} s"),
        90..5400 => format!("{minutes} min"),
        _ => format!("{} h {:02} min", minutes / 60, minutes % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outlook(work: &[(&str, &str, f64)]) -> Outlook {
        let work = work.iter().map(|&(id, kind, epochs)| {
            (
                id.to_owned(),
                TrialWork {
                    kind: kind.to_owned(),
                    epochs,
                    weight: 1.0,
                },
            )
        });
        Outlook::new(work.collect())
    }

    #[test]
    fn nothing_is_known_before_an_epoch_was_timed() {
        let mut outlook = outlook(&[("a", "x", 2.0)]);
        assert_eq!(outlook.remaining(1), None);
        outlook.guess("a", 5.0);
        assert_eq!(outlook.remaining(1), Some(Duration::from_secs(10)));
        outlook.epoch("a", 7.0);
        outlook.left("a", 1.0);
        assert_eq!(outlook.remaining(1), Some(Duration::from_secs(7)));
        outlook.over("a");
        assert_eq!(outlook.remaining(1), Some(Duration::ZERO));
    }

    #[test]
    fn workers_share_the_work_but_not_within_a_trial() {
        let mut outlook = outlook(&[("a", "x", 10.0), ("b", "x", 10.0), ("c", "y", 50.0)]);
        outlook.measured("x", 1.0);
        outlook.measured("y", 1.0);
        assert_eq!(outlook.remaining(1), Some(Duration::from_secs(70)));
        assert_eq!(outlook.remaining(2), Some(Duration::from_secs(50)));
    }

    #[test]
    fn a_trial_that_is_held_does_not_count() {
        let mut outlook = outlook(&[("a", "x", 10.0), ("b", "x", 10.0)]);
        outlook.measured("x", 1.0);
        outlook.hold("b");
        assert_eq!(outlook.remaining(1), Some(Duration::from_secs(10)));
        outlook.release("b");
        assert_eq!(outlook.remaining(1), Some(Duration::from_secs(20)));
    }

    #[test]
    fn an_untimed_kind_is_taken_as_the_mean_and_an_outlier_does_not_count() {
        let mut outlook = outlook(&[("a", "x", 1.0), ("b", "y", 1.0)]);
        for seconds in [2.0, 2.0, 100.0, f64::NAN] {
            outlook.measured("x", seconds);
        }
        assert_eq!(outlook.remaining(1), Some(Duration::from_secs(4)));
    }

    #[test]
    fn a_light_kind_counts_by_its_weight_until_it_is_timed() {
        let mut outlook = outlook(&[("a", "x", 1.0), ("b", "y", 10.0)]);
        outlook.work.get_mut("b").unwrap().weight = 0.1;
        outlook.measured("x", 2.0);
        assert_eq!(outlook.remaining(1), Some(Duration::from_secs(4)));
        outlook.measured("y", 3.0);
        assert_eq!(outlook.remaining(1), Some(Duration::from_secs(32)));
    }

    #[test]
    fn durations_are_rounded_to_what_matters() {
        for (seconds, text) in [
            (0, "0 s"),
            (89, "89 s"),
            (90, "2 min"),
            (3600, "60 min"),
            (5400, "1 h 30 min"),
        ] {
            assert_eq!(rough(Duration::from_secs(seconds)), text);
        }
    }
}
