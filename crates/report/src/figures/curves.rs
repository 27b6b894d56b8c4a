//! `curves.png`: training and validation error of every variant over the epochs, averaged over repeats.

use graft_record::State;

use super::{
    Figure, Output,
    lines::{MOST_CELLS, Measure, average, cells_note, partial_note, shown, stopped_note},
};
use crate::{
    ReportError,
    drawing::{Along, Chart, Dash, LegendEntry, Panel, Series, variant_color},
    sweep::Sweep,
};

/// With more variants, bands would hide the lines.
pub(super) const MOST_BANDS: usize = 6;

/// Longer names, or those of more variants, are in the legend only; the ends of lines then have numbers.
const LONGEST_NAME: usize = 14;
const MOST_NAMES: usize = 6;

/// With more variants, not even numbers.
const MOST_NUMBERS: usize = 16;

pub(super) const LINE: f64 = 2.6;

pub(super) struct Curves;

impl Figure for Curves {
    fn draw(&self, sweep: &Sweep, output: &mut Output<'_>) -> Result<(), ReportError> {
        if sweep.trials.iter().all(|trial| trial.epochs.is_empty()) {
            return Ok(());
        }
        output.save("curves.png", chart(sweep).draw())
    }
}

fn chart(sweep: &Sweep) -> Chart {
    let cells = &sweep.plan.cells[..sweep.plan.cells.len().min(MOST_CELLS)];
    let rows: Vec<Vec<Panel>> = cells
        .iter()
        .map(|cell| Measure::BOTH.map(|m| panel(sweep, cell, m)).into())
        .collect();
    let banded = rows
        .iter()
        .flatten()
        .any(|panel| panel.series.iter().any(|series| !series.band.is_empty()));
    let band = if banded {
        "; bands: ± one standard deviation"
    } else {
        ""
    };
    let lines = if sweep.plan.repeats == 1 {
        "Lines: a single repeat"
    } else {
        "Lines: mean over the repeats"
    };
    Chart {
        title: sweep.plan.experiment.clone() + &partial_note(sweep),
        caption: format!("{lines}{band}{}{}", stopped_note(sweep), cells_note(sweep)),
        legend: legend(sweep),
        along: Along::Numbers("epoch"),
        rows,
    }
}

fn panel(sweep: &Sweep, cell: &str, measure: Measure) -> Panel {
    let title = if sweep.has_grid() {
        format!("{}, {cell}", measure.title(sweep))
    } else {
        measure.title(sweep).to_owned()
    };
    let variants = &sweep.plan.variants;
    let most = if sweep.plan.has_numbers() {
        f64::INFINITY
    } else {
        100.0
    };
    let series = variants
        .iter()
        .enumerate()
        .map(|(place, variant)| {
            let (color, round) = variant_color(place);
            let trials = shown(sweep, variant, cell);
            let average = average(&trials, measure);
            let broken_off =
                !trials.is_empty() && trials.iter().all(|t| t.state == Some(State::Diverged));
            let last = average.iter().rev().find(|(_, e)| !e.mean.is_nan());
            let label = last
                .filter(|_| measure == Measure::Validation)
                .and_then(|(_, e)| label(variants, variant, e.mean, broken_off));
            Series {
                color,
                width: LINE,
                dash: Dash::of_round(round),
                points: average.iter().map(|(epoch, e)| (*epoch, e.mean)).collect(),
                band: if variants.len() <= MOST_BANDS && trials.len() > 1 {
                    average
                        .iter()
                        .map(|(epoch, e)| {
                            let (low, high) = (e.mean - e.std, e.mean + e.std);
                            (*epoch, low.max(0.0), high.min(most))
                        })
                        .collect()
                } else {
                    Vec::new()
                },
                label,
                broken_off,
            }
        })
        .collect();
    Panel { title, series }
}

/// What is written at the end of a line: the error, and the name where names are few and short.
pub(super) fn label(
    variants: &[String],
    variant: &str,
    error: f64,
    broken_off: bool,
) -> Option<String> {
    if variants.len() > MOST_NUMBERS {
        return None;
    }
    let named =
        variants.len() <= MOST_NAMES && variants.iter().all(|v| v.chars().count() <= LONGEST_NAME);
    let number = if broken_off {
        "diverged".to_owned()
    } else {
        format!("{error:.1} %")
    };
    Some(if named {
        format!("{number}  {variant}")
    } else {
        number
    })
}

pub(super) fn legend(sweep: &Sweep) -> Vec<LegendEntry> {
    sweep
        .plan
        .variants
        .iter()
        .enumerate()
        .map(|(place, variant)| {
            let (color, round) = variant_color(place);
            LegendEntry {
                label: variant.clone(),
                note: format!(" ({})", counts(sweep, variant)),
                color,
                width: LINE,
                dash: Dash::of_round(round),
            }
        })
        .collect()
}

/// `n = 10`, or how many of how many, and what became of the others.
fn counts(sweep: &Sweep, variant: &str) -> String {
    let trials = || sweep.trials.iter().filter(|t| t.key.variant == variant);
    let count = |state| trials().filter(|t| t.state == Some(state)).count();
    // With a grid, the repeats of a cell are meant: every cell that the variant is trained in has as many.
    let cells = sweep.groups().filter(|(name, _)| *name == variant).count();
    let cells = cells.max(1);
    let (planned, finished) = (trials().count(), count(State::Finished));
    if finished == planned {
        return format!("n = {}", finished / cells);
    }
    let mut text = format!("{finished} of {planned} finished");
    for (state, word) in [(State::Diverged, "diverged"), (State::Failed, "failed")] {
        match count(state) {
            0 => {}
            count => text.extend([", ", &count.to_string(), " ", word]),
        }
    }
    text
}
