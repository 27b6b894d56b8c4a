//! The CSV tables of a report.

mod comparisons;
mod metrics_summary;
mod per_trial;
mod summary;

use std::{
    io::{self, Write},
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
        atomic_write(&path, |file| file.write_all(&text(*table, sweep)?))?;
        files.push(path);
    }
    Ok(files)
}

/// Whether every table in `folder` is what the records say.
pub(crate) fn are_current(sweep: &Sweep, folder: &Path) -> bool {
    REGISTRY.iter().all(|table| {
        let path = folder.join(table.file_name());
        if !table.is_wanted(sweep) {
            return !path.exists();
        }
        let written = std::fs::read(&path);
        written.is_ok_and(|written| text(*table, sweep).is_ok_and(|text| text == written))
    })
}

/// A table as its file holds it.
fn text(table: &dyn Table, sweep: &Sweep) -> io::Result<Vec<u8>> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(table.header())?;
    for row in table.rows(sweep) {
        writer.write_record(row)?;
    }
    writer
        .into_inner()
        .map_err(|error| io::Error::other(error.to_string()))
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
