//! `epochs.csv`: the epochs of all trials, also of those that are not finished.

use graft_record::Row;

use super::{Table, key_cells};
use crate::sweep::Sweep;

pub(super) struct Epochs;

impl Table for Epochs {
    fn file_name(&self) -> &'static str {
        "epochs.csv"
    }

    fn header(&self) -> &'static [&'static str] {
        &[
            "variant",
            "cell",
            "repeat",
            "seed",
            "epoch",
            "step",
            "train_loss",
            "train_accuracy",
            "val_loss",
            "val_accuracy",
            "lr",
        ]
    }

    fn rows(&self, sweep: &Sweep) -> Vec<Vec<String>> {
        let mut rows = Vec::new();
        for trial in &sweep.trials {
            let key = key_cells(&trial.key, sweep.plan.seed);
            rows.extend(
                trial
                    .epochs
                    .iter()
                    .map(|row| [key.clone(), row.cells()].concat()),
            );
        }
        rows
    }
}
