//! Tables with the rows of all trials, also of those that are not finished: `epochs.csv`, `timing.csv` (the only one that differs
//! from run to run), `metrics.csv` and `evaluations.csv`.

use graft_record::Row;

use super::{Table, key_cells};
use crate::sweep::{Sweep, TrialResult};

/// The rows that trials have of one kind, each with what says which trial it belongs to.
pub(super) struct PerTrial<R: 'static> {
    pub(super) file_name: &'static str,
    pub(super) rows: fn(&TrialResult) -> &[R],
    /// Whether the table is there without rows, too.
    pub(super) is_always_there: bool,
}

impl<R: Row> Table for PerTrial<R> {
    fn file_name(&self) -> &'static str {
        self.file_name
    }

    fn header(&self) -> Vec<&'static str> {
        [&["variant", "cell", "repeat", "seed"], R::HEADER].concat()
    }

    fn rows(&self, sweep: &Sweep) -> Vec<Vec<String>> {
        let mut rows = Vec::new();
        for trial in &sweep.trials {
            let key = key_cells(&trial.key, sweep.plan.seed);
            let own = (self.rows)(trial).iter();
            rows.extend(own.map(|row| [key.clone(), row.cells()].concat()));
        }
        rows
    }

    fn is_wanted(&self, sweep: &Sweep) -> bool {
        let has_rows = |trial| !(self.rows)(trial).is_empty();
        self.is_always_there || sweep.trials.iter().any(has_rows)
    }
}
