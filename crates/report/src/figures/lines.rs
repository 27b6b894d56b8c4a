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

    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Training => "Training error",
            Self::Validation => "Validation error",
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

/// The mean and spread over trials at each epoch that any of them has.
pub(super) fn average(trials: &[&TrialResult], measure: Measure) -> Vec<(f64, Estimate)> {
    let mut values: BTreeMap<u32, Vec<f64>> = BTreeMap::new();
    for row in trials.iter().flat_map(|trial| &trial.epochs) {
        values.entry(row.epoch).or_default().push(measure.of(row));
    }
    values
        .into_iter()
        .map(|(epoch, values)| (f64::from(epoch), estimate(&values)))
        .collect()
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
