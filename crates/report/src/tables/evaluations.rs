//! `evaluations.csv`: what was found within epochs, and of the training pictures, where a recipe wants that.

use graft_record::Row;

use super::{Table, key_cells};
use crate::sweep::Sweep;

pub(super) struct Evaluations;

impl Table for Evaluations {
    fn file_name(&self) -> &'static str {
        "evaluations.csv"
    }

    fn header(&self) -> &'static [&'static str] {
        &[
            "variant", "cell", "repeat", "seed", "epoch", "step", "split", "loss", "accuracy",
        ]
    }

    fn rows(&self, sweep: &Sweep) -> Vec<Vec<String>> {
        let mut rows = Vec::new();
        for trial in &sweep.trials {
            let key = key_cells(&trial.key, sweep.plan.seed);
            let evaluations = trial.evaluations.iter();
            rows.extend(evaluations.map(|row| [key.clone(), row.cells()].concat()));
        }
        rows
    }

    fn is_wanted(&self, sweep: &Sweep) -> bool {
        sweep
            .trials
            .iter()
            .any(|trial| !trial.evaluations.is_empty())
    }
}
