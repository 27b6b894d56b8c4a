//! The PNG figures of a report.

mod along_grid;
mod averaged;
mod batch;
mod confusion;
mod curves;
mod errors;
mod grid;
mod lines;
mod predictions;
mod preview;
mod rates;
mod steps;
mod tiles;

use std::path::{Path, PathBuf};

use graft_record::safe_name;

use crate::{ReportError, drawing::Canvas, summary::summaries, sweep::Sweep};

pub use grid::Grid;
pub use preview::{Preview, PreviewRow};
pub use rates::Rates;

/// One kind of figure, of which there may be one file for each variant, or none if the records lack something.
pub(crate) trait Figure {
    /// Draws what can be drawn. Records that can't be read go to [`Output::problem`].
    fn draw(&self, sweep: &Sweep, output: &mut Output<'_>) -> Result<(), ReportError>;
}

/// Every figure. A new one is a file in this folder and a line here.
const REGISTRY: &[&dyn Figure] = &[
    &curves::Curves,
    &along_grid::AlongGrid,
    &steps::Steps,
    &errors::Errors,
    &predictions::Predictions,
    &batch::Batch,
    &confusion::Confusion,
];

/// What the names of figures begin with of which there is one for each variant.
const VARIANT_FIGURES: [&str; 3] = ["errors-", "predictions-", "confusion-"];

/// Where figures go.
pub(crate) struct Output<'a> {
    folder: &'a Path,
    files: Vec<PathBuf>,
    problems: Vec<String>,
}

impl Output<'_> {
    /// Writes a figure.
    fn save(&mut self, name: &str, canvas: Canvas) -> Result<(), ReportError> {
        let path = self.folder.join(name);
        canvas.write(&path)?;
        self.files.push(path);
        Ok(())
    }

    /// Notes what could not be read.
    fn problem(&mut self, problem: &impl ToString) {
        self.problems.push(problem.to_string());
    }
}

/// Draws every figure into `folder`; returns the paths, and what could not be read.
pub(crate) fn write_all(
    sweep: &Sweep,
    folder: &Path,
) -> Result<(Vec<PathBuf>, Vec<String>), ReportError> {
    let mut output = Output {
        folder,
        files: Vec::new(),
        problems: Vec::new(),
    };
    for figure in REGISTRY {
        figure.draw(sweep, &mut output)?;
    }
    remove_outdated(folder, &output.files);
    Ok((output.files, output.problems))
}

/// Whether there are figures in `folder`, if there is anything to draw.
pub(crate) fn are_there(sweep: &Sweep, folder: &Path) -> bool {
    sweep.trials.iter().all(|trial| trial.epochs.is_empty()) || folder.join("curves.png").is_file()
}

/// Removes figures of an earlier report that this one did not draw again, such as those of a variant that has another
/// name now: beside the new ones they would be taken for true. Files of other names are left alone.
fn remove_outdated(folder: &Path, drawn: &[PathBuf]) {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return;
    };
    for path in entries.flatten().map(|entry| entry.path()) {
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        let is_figure = ["curves.png", "grid.png", "steps.png", "batch.png"].contains(&name)
            || (path.extension().is_some_and(|extension| extension == "png")
                && VARIANT_FIGURES.iter().any(|kind| name.starts_with(kind)));
        if is_figure && path.is_file() && !drawn.contains(&path) {
            // One that can't be removed is no reason to do without the report.
            drop(std::fs::remove_file(&path));
        }
    }
}

/// `errors-<variant>.png`, with awkward names made safe.
fn variant_file(kind: &str, variant: &str) -> String {
    format!("{kind}-{}.png", safe_name(variant))
}

/// The cell that stands for a variant in figures with room for one: that with the highest mean validation
/// accuracy at the last epoch, the first of several. None if no trial of the variant is finished.
fn best_cell<'a>(sweep: &'a Sweep, variant: &str) -> Option<&'a str> {
    summaries(sweep)
        .into_iter()
        .filter(|summary| summary.variant == variant && summary.n > 0)
        .reduce(|best, summary| {
            if summary.last.mean > best.last.mean {
                summary
            } else {
                best
            }
        })
        .map(|summary| summary.cell)
}

/// The name of a class; its number if the plan has no name for it.
fn class_name(sweep: &Sweep, label: u32) -> String {
    sweep
        .plan
        .classes
        .get(label as usize)
        .cloned()
        .unwrap_or_else(|| format!("class {label}"))
}

/// `pretrained`, or `pretrained, lr=0.001` with a grid.
fn group_name(sweep: &Sweep, variant: &str, cell: &str) -> String {
    if sweep.has_grid() {
        format!("{variant}, {cell}")
    } else {
        variant.to_owned()
    }
}
