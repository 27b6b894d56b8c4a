//! How many repeats there are, when the experiment leaves that to what comes out.
//!
//! Whether a variant gets its repeat k + 1 in a cell depends on the records of its repeats 1 to k there and on nothing else:
//! neither on the order in which they ended nor on how often the sweep was stopped on the way.

use graft_record::TrialFolder;
use graft_report::estimate;

use super::selection::Standing;
use crate::{
    experiment::{Experiment, Until},
    plan::{Plan, PlannedTrial},
};

/// Which trials of a plan are wanted, as far as that is known.
pub(super) struct Repeats<'a> {
    plan: &'a Plan,
    until: Option<Until>,
    /// The places in the plan of a variant's trials in a cell, by repeat.
    groups: Vec<Vec<usize>>,
    /// For each trial that has ended its last validation accuracy, which is no number if it failed.
    ended: Vec<Option<f64>>,
    wanted: Vec<bool>,
}

impl<'a> Repeats<'a> {
    /// What is wanted by what is recorded. `folder` gives a trial's folder.
    pub(super) fn new(
        experiment: &Experiment,
        plan: &'a Plan,
        standings: &[Standing],
        folder: impl Fn(&PlannedTrial) -> TrialFolder,
    ) -> Self {
        if experiment.until.is_none() {
            return Self::all(plan);
        }
        let mut repeats = Self {
            until: experiment.until,
            groups: groups(plan, &experiment.name),
            wanted: vec![false; plan.trials.len()],
            ..Self::all(plan)
        };
        for place in repeats.groups.concat() {
            repeats.ended[place] = match standings[place] {
                Standing::ToRun { .. } => None,
                Standing::Failed(_) | Standing::Blocked(_) => Some(f64::NAN),
                Standing::Finished => Some(last_accuracy(&folder(&plan.trials[place]))),
            };
        }
        for group in 0..repeats.groups.len() {
            repeats.decide(group);
        }
        repeats
    }

    /// All trials are wanted.
    pub(super) fn all(plan: &'a Plan) -> Self {
        Self {
            plan,
            until: None,
            groups: Vec::new(),
            ended: vec![None; plan.trials.len()],
            wanted: vec![true; plan.trials.len()],
        }
    }

    /// Whether the trial at a place of the plan is wanted.
    pub(super) fn is_wanted(&self, place: usize) -> bool {
        self.wanted[place]
    }

    /// Number of trials that are wanted.
    pub(super) fn count(&self) -> usize {
        self.wanted.iter().filter(|wanted| **wanted).count()
    }

    /// The trial at `place` ended with this last validation accuracy, NaN if it failed. Returns the places of the trials
    /// that are wanted for that.
    pub(super) fn end(&mut self, place: usize, accuracy: f64) -> Vec<usize> {
        self.ended[place] = Some(accuracy);
        let group = self.groups.iter().position(|group| group.contains(&place));
        group.map_or_else(Vec::new, |group| self.decide(group))
    }

    /// Decides how many repeats of a group are wanted. Returns the places of those that were not wanted before, after those
    /// of the trials that they start from.
    fn decide(&mut self, group: usize) -> Vec<usize> {
        let Some(until) = self.until else {
            return Vec::new();
        };
        let places = &self.groups[group];
        let ended: Vec<Option<f64>> = places.iter().map(|&place| self.ended[place]).collect();
        let enough = enough(until, &ended);
        let mut new = Vec::new();
        for &place in &self.groups[group][..enough] {
            want(self.plan, place, &mut self.wanted, &mut new);
        }
        new
    }
}

/// How many of the repeats that these are, by what ended in them, are wanted.
fn enough(until: Until, ended: &[Option<f64>]) -> usize {
    let mut enough = (until.min as usize).min(ended.len());
    while enough < ended.len() {
        let values: Option<Vec<f64>> = ended[..enough].iter().copied().collect();
        // While one of them is open, or when the mean is known well enough.
        let is_enough = values.is_none_or(|values| {
            let mean = estimate(&values);
            mean.high - mean.low < until.interval
        });
        if is_enough {
            break;
        }
        enough += 1;
    }
    enough
}

/// Wants a trial and, before it, those that it starts from.
fn want(plan: &Plan, place: usize, wanted: &mut [bool], new: &mut Vec<usize>) {
    if wanted[place] {
        return;
    }
    for &source in &plan.trials[place].dependencies {
        want(plan, source, wanted, new);
    }
    wanted[place] = true;
    new.push(place);
}

/// The places of an experiment's trials, those of one variant and cell together, in the order of the repeats.
fn groups(plan: &Plan, experiment: &str) -> Vec<Vec<usize>> {
    let mut groups: Vec<Vec<usize>> = Vec::new();
    let mut known = std::collections::BTreeMap::new();
    for (place, trial) in plan.trials.iter().enumerate() {
        if trial.experiment != experiment {
            continue;
        }
        let key = (&trial.key.variant, &trial.key.cell);
        let group = *known.entry(key).or_insert_with(|| {
            groups.push(Vec::new());
            groups.len() - 1
        });
        groups[group].push(place);
    }
    groups
}

/// The validation accuracy of a trial's last epoch; NaN if there is none.
pub(super) fn last_accuracy(folder: &TrialFolder) -> f64 {
    let rows = folder.epochs().unwrap_or_default();
    rows.last().map_or(f64::NAN, |row| row.val_accuracy)
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNTIL: Until = Until {
        min: 3,
        interval: 0.1,
    };

    #[test]
    fn repeats_are_added_until_the_mean_is_known_well_enough() {
        let (near, far) = (
            [Some(0.5), Some(0.51), Some(0.5)],
            [Some(0.5), Some(0.7), Some(0.6)],
        );
        let rest = [None; 4];
        assert_eq!(enough(UNTIL, &[&near[..], &rest].concat()), 3);
        assert_eq!(enough(UNTIL, &[&far[..], &rest].concat()), 4);
        // The whole width counts: of these eight it is 0.089, of the first seven 0.107.
        let more = [Some(0.6); 5];
        assert_eq!(enough(UNTIL, &[&far[..], &more].concat()), 8);
        assert_eq!(
            enough(UNTIL, &[&far[..], &more, &[Some(0.6), None]].concat()),
            8
        );
        assert_eq!(enough(UNTIL, &[&far[..], &more[..1], &rest].concat()), 5);
    }

    #[test]
    fn an_open_repeat_is_waited_for_and_a_failed_one_is_not() {
        let open = [Some(0.5), None, Some(0.9), Some(0.1), None];
        assert_eq!(enough(UNTIL, &open), 3);
        let failed = [Some(0.5), Some(f64::NAN), Some(0.51), None, None];
        assert_eq!(enough(UNTIL, &failed), 4);
        let none_left = [Some(f64::NAN); 5];
        assert_eq!(enough(UNTIL, &none_left), 5);
        assert_eq!(enough(UNTIL, &[None, None]), 2);
    }
}
