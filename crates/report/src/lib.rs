//! Statistics, tables and plots made from a results folder.
//!
//! [`write()`] reads the records of a sweep, also of one that is still running, and leaves CSV tables and PNG
//! figures beside them. What it makes depends on the records and the plan alone: not on the order of folders,
//! the clock or the machine. A new figure is one new file in `figures/` and one line in its registry; so is a
//! new table in `tables/`.

mod comparison;
mod drawing;
mod error;
mod figures;
mod statistics;
mod summary;
mod sweep;
mod tables;
mod verdict;

use std::{fmt, path::PathBuf};

use graft_record::{ResultsFolder, State};

pub use error::ReportError;
pub use figures::{Grid, Preview, PreviewRow, Rates};
pub use statistics::{Estimate, estimate, holm, sign_flip_p};

use crate::sweep::Sweep;

/// What was made of a results folder, and what it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Trials of the plan that are finished.
    pub finished: usize,
    /// Trials of the plan that ended with an error.
    pub failed: usize,
    /// Trials of the plan whose loss was not finite.
    pub diverged: usize,
    /// All trials of the plan.
    pub planned: usize,
    /// The files that were written: tables, then figures.
    pub files: Vec<PathBuf>,
    /// Records that could not be read, and figures that could not be drawn. Their trials are left out.
    pub problems: Vec<String>,
    verdict: String,
}

impl Report {
    /// The result for people: a table, and one sentence for each comparison.
    pub fn verdict(&self) -> &str {
        &self.verdict
    }

    /// Whether trials of the plan are still to be run.
    pub fn is_partial(&self) -> bool {
        self.finished + self.failed + self.diverged < self.planned
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.verdict)
    }
}

/// Reads the records in `results` and writes the tables and figures beside them.
///
/// A trial whose record can't be read counts as not finished and is named in [`Report::problems`].
///
/// # Errors
/// [`ReportError::NoPlan`] if there was never a sweep, [`ReportError::Record`] if a file can't be written or
/// the plan can't be read.
pub fn write(results: &ResultsFolder) -> Result<Report, ReportError> {
    let mut sweep = Sweep::load(results)?;
    // The tables come last: where they are current, a report was not stopped in the middle.
    let drawn = figures::write_all(&sweep, results.root());
    let mut files = tables::write_all(&sweep, results.root())?;
    let (drawn, problems) = drawn?;
    files.extend(drawn);
    sweep.problems.extend(problems);
    Ok(Report {
        finished: sweep.count(State::Finished),
        failed: sweep.count(State::Failed),
        diverged: sweep.count(State::Diverged),
        planned: sweep.trials.len(),
        files,
        verdict: verdict::text(&sweep),
        problems: sweep.problems,
    })
}

/// Whether there is a report in `results` that says what the records say, so that [`write()`] would change nothing.
pub fn is_current(results: &ResultsFolder) -> bool {
    let root = results.root();
    Sweep::load(results)
        .is_ok_and(|sweep| tables::are_current(&sweep, root) && figures::are_there(&sweep, root))
}
