//! `metrics-summary.csv`: the figures of `metrics.csv` over the repeats of each variant and cell.

use graft_record::{MetricRow, format_float};

use super::Table;
use crate::{statistics::estimate, sweep::Sweep};

pub(super) struct MetricsSummary;

impl Table for MetricsSummary {
    fn file_name(&self) -> &'static str {
        "metrics-summary.csv"
    }

    fn header(&self) -> Vec<&'static str> {
        vec![
            "variant", "cell", "split", "metric", "class", "n", "mean", "std", "low", "high",
        ]
    }

    fn rows(&self, sweep: &Sweep) -> Vec<Vec<String>> {
        let mut rows = Vec::new();
        for (variant, cell) in sweep.groups() {
            // Every trial of a variant has the same figures in the same order; an older one may lack some.
            let trials: Vec<&[MetricRow]> = sweep
                .finished(variant, cell)
                .map(|trial| trial.metrics.as_slice())
                .collect();
            let longest = trials.iter().max_by_key(|rows| rows.len());
            for figure in longest.copied().unwrap_or_default() {
                let same = |row: &&MetricRow| {
                    (&row.split, &row.metric, &row.class)
                        == (&figure.split, &figure.metric, &figure.class)
                };
                let values: Vec<f64> = trials
                    .iter()
                    .filter_map(|rows| rows.iter().find(same))
                    .map(|row| row.value)
                    .collect();
                let mut cells: Vec<String> = [variant, cell]
                    .into_iter()
                    .chain([&figure.split, &figure.metric, &figure.class].map(String::as_str))
                    .map(str::to_owned)
                    .collect();
                let found = estimate(&values);
                cells.push(values.len().to_string());
                cells.extend([found.mean, found.std, found.low, found.high].map(format_float));
                rows.push(cells);
            }
        }
        rows
    }

    fn is_wanted(&self, sweep: &Sweep) -> bool {
        sweep.trials.iter().any(|trial| !trial.metrics.is_empty())
    }
}
