//! `curves.png`: training and validation error of every variant over the epochs, averaged over repeats.

use graft_record::State;

use super::{
    Figure, Output,
    averaged::{Averaged, are_banded, deviation, legend},
    lines::{MOST_CELLS, Measure, average, cells_note, partial_note, shown, stopped_note},
};
use crate::{
    ReportError,
    drawing::{Along, Chart, Panel},
    sweep::Sweep,
};

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
    let band = if are_banded(rows.iter().flatten()) {
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
            let trials = shown(sweep, variant, cell);
            let line = Averaged {
                points: average(&trials, measure),
                edges: deviation,
                most,
                labelled: measure == Measure::Validation,
                broken_off: !trials.is_empty()
                    && trials.iter().all(|t| t.state == Some(State::Diverged)),
            };
            line.series(variants, place)
        })
        .collect();
    Panel { title, series }
}
