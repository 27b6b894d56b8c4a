//! `metrics.csv`: what the best checkpoint of each finished trial is worth on the validation and the test pictures.

use graft_record::Row;

use super::{Table, key_cells};
use crate::sweep::Sweep;

pub(super) struct Metrics;

impl Table for Metrics {
    fn file_name(&self) -> &'static str {
        "metrics.csv"
    }

    fn header(&self) -> &'static [&'static str] {
        &[
            "variant", "cell", "repeat", "seed", "split", "metric", "class", "value",
        ]
    }

    fn rows(&self, sweep: &Sweep) -> Vec<Vec<String>> {
        let mut rows = Vec::new();
        for trial in &sweep.trials {
            let key = key_cells(&trial.key, sweep.plan.seed);
            let metrics = trial.metrics.iter();
            rows.extend(metrics.map(|row| [key.clone(), row.cells()].concat()));
        }
        rows
    }

    fn is_wanted(&self, sweep: &Sweep) -> bool {
        sweep.trials.iter().any(|trial| !trial.metrics.is_empty())
    }
}
