//! The CSV tables of a report.

mod comparisons;
mod metrics_summary;
mod per_trial;
mod summary;

use std::{
    io,
    path::{Path, PathBuf},
};

use graft_record::{TrialKey, atomic_write};

use self::per_trial::PerTrial;
use crate::{ReportError, sweep::Sweep};

/// A CSV file beside the trials.
pub(crate) trait Table {
    /// Its name in the results folder.
    fn file_name(&self) -> &'static str;

    /// The names of its columns.
    fn header(&self) -> Vec<&'static str>;

    /// Its rows, with cells in the order of the header.
    fn rows(&self, sweep: &Sweep) -> Vec<Vec<String>>;

    /// Whether there is anything to be said in it.
    fn is_wanted(&self, _: &Sweep) -> bool {
        true
    }
}

/// Every table. A new one is a file in this folder and a line here, or the rows of trials that it shows.
const REGISTRY: &[&dyn Table] = &[
    &PerTrial {
        file_name: "epochs.csv",
        rows: |trial| &trial.epochs,
        is_always_there: true,
    },
    &PerTrial {
        file_name: "timing.csv",
        rows: |trial| &trial.timing,
        is_always_there: true,
    },
    &summary::SummaryTable,
    &comparisons::Comparisons,
    &PerTrial {
        file_name: "metrics.csv",
        rows: |trial| &trial.metrics,
        is_always_there: false,
    },
    &metrics_summary::MetricsSummary,
    &PerTrial {
        file_name: "evaluations.csv",
        rows: |trial| &trial.evaluations,
        is_always_there: false,
    },
];

/// Writes every table into `folder` and returns their paths.
pub(crate) fn write_all(sweep: &Sweep, folder: &Path) -> Result<Vec<PathBuf>, ReportError> {
    let mut files = Vec::new();
    for table in REGISTRY {
        let path = folder.join(table.file_name());
        if !table.is_wanted(sweep) {
            // One of an earlier sweep would be taken for this one's.
            drop(std::fs::remove_file(&path));
            continue;
        }
        let rows = table.rows(sweep);
        atomic_write(&path, |file| {
            let mut writer = csv::Writer::from_writer(file);
            writer
                .write_record(table.header())
                .map_err(io::Error::from)?;
            for row in rows {
                writer.write_record(row).map_err(io::Error::from)?;
            }
            writer.flush()
        })?;
        files.push(path);
    }
    Ok(files)
}

/// The cells that say which trial a row belongs to: variant, cell, repeat and seed.
fn key_cells(key: &TrialKey, seed: u64) -> Vec<String> {
    vec![
        key.variant.clone(),
        key.cell.clone(),
        key.repeat.to_string(),
        seed.to_string(),
    ]
}
