//! `timing.csv`: how long the epochs took. The only table that differs from run to run.

use graft_record::Row;

use super::{Table, key_cells};
use crate::sweep::Sweep;

pub(super) struct Timing;

impl Table for Timing {
    fn file_name(&self) -> &'static str {
        "timing.csv"
    }

    fn header(&self) -> &'static [&'static str] {
        &[
            "variant",
            "cell",
            "repeat",
            "seed",
            "epoch",
            "seconds",
            "images_per_second",
        ]
    }

    fn rows(&self, sweep: &Sweep) -> Vec<Vec<String>> {
        let mut rows = Vec::new();
        for trial in &sweep.trials {
            let key = key_cells(&trial.key, sweep.plan.seed);
            rows.extend(
                trial
                    .timing
                    .iter()
                    .map(|row| [key.clone(), row.cells()].concat()),
            );
        }
        rows
    }
}
