//! From records to lines: errors in percent, averaged over repeats.

use std::collections::BTreeMap;

use graft_record::EpochRow;

use crate::{
    statistics::{Estimate, estimate},
    sweep::{Sweep, TrialResult},
};

/// More rows of panels than this are not drawn: they would not be looked at, and `summary.csv` has them all.
pub(super) const MOST_CELLS: usize = 8;

/// Which of the two errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Measure {
    Training,
    Validation,
}

impl Measure {
    pub(super) const BOTH: [Self; 2] = [Self::Training, Self::Validation];

    /// What is drawn; of numbers it is what R² lacks to 100 %.
    pub(super) fn title(self, sweep: &Sweep) -> &'static str {
        match (self, sweep.plan.has_numbers()) {
            (Self::Training, false) => "Training error",
            (Self::Validation, false) => "Validation error",
            (Self::Training, true) => "Training: unexplained variance",
            (Self::Validation, true) => "Validation: unexplained variance",
        }
    }

    /// The error of an epoch in percent; NaN if it was not measured.
    pub(super) fn of(self, row: &EpochRow) -> f64 {
        let accuracy = match self {
            Self::Training => row.train_accuracy,
            Self::Validation => row.val_accuracy,
        };
        100.0 * (1.0 - accuracy)
    }
}

/// The trials that the curve of a variant in a cell is made of: the finished ones, or while there are none,
/// those that have begun.
pub(super) fn shown<'a>(sweep: &'a Sweep, variant: &'a str, cell: &'a str) -> Vec<&'a TrialResult> {
    let finished: Vec<&TrialResult> = sweep.finished(variant, cell).collect();
    if finished.is_empty() {
        sweep
            .of(variant, cell)
            .filter(|trial| !trial.epochs.is_empty())
            .collect()
    } else {
        finished
    }
}

/// The last epoch that any of the trials has.
pub(super) fn last_epoch(trials: &[&TrialResult]) -> u32 {
    let ends = trials.iter().filter_map(|trial| trial.epochs.last());
    ends.map(|row| row.epoch).max().unwrap_or(0)
}

/// The mean and spread over trials at each epoch that any of them has; finished ones that stopped early stay where they ended.
pub(super) fn average(trials: &[&TrialResult], measure: Measure) -> Vec<(f64, Estimate)> {
    let mut values: BTreeMap<u32, Vec<f64>> = BTreeMap::new();
    let last = last_epoch(trials);
    for row in trials.iter().flat_map(|trial| trial.epochs_up_to(last)) {
        values.entry(row.epoch).or_default().push(measure.of(&row));
    }
    values
        .into_iter()
        .map(|(epoch, values)| (f64::from(epoch), estimate(&values)))
        .collect()
}

/// A word on trials that stopped early, if any of those that are drawn did.
pub(super) fn stopped_note(sweep: &Sweep) -> &'static str {
    let some_did = sweep.groups().any(|(variant, cell)| {
        let trials = shown(sweep, variant, cell);
        let last = last_epoch(&trials);
        let mut finished = trials.iter().filter(|trial| trial.is_finished());
        finished.any(|trial| trial.epochs.len() < last as usize)
    });
    if some_did {
        "; trials that stopped early count on with their last epoch"
    } else {
        ""
    }
}

/// `; the first 8 of 20 cells` when a grid is too large to be drawn.
pub(super) fn cells_note(sweep: &Sweep) -> String {
    let cells = sweep.plan.cells.len();
    if cells > MOST_CELLS {
        format!("; the first {MOST_CELLS} of {cells} cells")
    } else {
        String::new()
    }
}

/// ` (partial: 12 of 30 trials finished)`, or nothing for a sweep that is complete.
pub(super) fn partial_note(sweep: &Sweep) -> String {
    let finished = sweep.trials.iter().filter(|t| t.is_finished()).count();
    let planned = sweep.trials.len();
    if finished == planned {
        String::new()
    } else {
        format!(" (partial: {finished} of {planned} trials finished)")
    }
}
