//! `summary.csv`: what each variant reaches in each cell, over its finished trials.

use graft_record::format_float;

use super::Table;
use crate::{statistics::Estimate, summary::summaries, sweep::Sweep};

pub(super) struct SummaryTable;

impl Table for SummaryTable {
    fn file_name(&self) -> &'static str {
        "summary.csv"
    }

    fn header(&self) -> Vec<&'static str> {
        vec![
            "variant",
            "cell",
            "n",
            "failed",
            "diverged",
            "missing",
            "best_val_accuracy_mean",
            "best_val_accuracy_std",
            "best_val_accuracy_low",
            "best_val_accuracy_high",
            "best_val_error_mean",
            "best_val_error_low",
            "best_val_error_high",
            "last_val_accuracy_mean",
            "last_val_accuracy_std",
            "last_val_accuracy_low",
            "last_val_accuracy_high",
            "last_val_error_mean",
            "last_val_error_low",
            "last_val_error_high",
        ]
    }

    fn rows(&self, sweep: &Sweep) -> Vec<Vec<String>> {
        summaries(sweep)
            .iter()
            .map(|summary| {
                let mut cells = vec![summary.variant.to_owned(), summary.cell.to_owned()];
                cells.extend(
                    [summary.n, summary.failed, summary.diverged, summary.missing]
                        .map(|count| count.to_string()),
                );
                cells.extend(estimate_cells(&summary.best));
                cells.extend(estimate_cells(&summary.last));
                cells
            })
            .collect()
    }
}

/// Accuracy with its spread, then the error, whose interval is the mirror image.
fn estimate_cells(accuracy: &Estimate) -> [String; 7] {
    [
        accuracy.mean,
        accuracy.std,
        accuracy.low,
        accuracy.high,
        1.0 - accuracy.mean,
        1.0 - accuracy.high,
        1.0 - accuracy.low,
    ]
    .map(format_float)
}
