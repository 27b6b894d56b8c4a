//! `errors-<variant>.png`: every repeat of a variant as a thin line, and their mean.

use graft_record::State;

use super::{
    Figure, Output,
    lines::{MOST_CELLS, Measure, average, cells_note, partial_note, shown},
    variant_file,
};
use crate::{
    ReportError,
    drawing::{AXIS, Along, Chart, Dash, LegendEntry, Panel, Series, tint, variant_color},
    sweep::Sweep,
};

const THIN: f64 = 1.3;
const BOLD: f64 = 3.4;

pub(super) struct Errors;

impl Figure for Errors {
    fn draw(&self, sweep: &Sweep, output: &mut Output<'_>) -> Result<(), ReportError> {
        for (place, variant) in sweep.plan.variants.iter().enumerate() {
            let begun = sweep
                .trials
                .iter()
                .any(|t| t.key.variant == *variant && !t.epochs.is_empty());
            if begun {
                let canvas = chart(sweep, place, variant).draw();
                output.save(&variant_file("errors", variant), canvas)?;
            }
        }
        Ok(())
    }
}

fn chart(sweep: &Sweep, place: usize, variant: &str) -> Chart {
    let (color, _) = variant_color(place);
    let thin = tint(color, 0.45);
    let cells = &sweep.plan.cells[..sweep.plan.cells.len().min(MOST_CELLS)];
    let rows = cells
        .iter()
        .map(|cell| {
            Measure::BOTH
                .map(|measure| panel(sweep, place, variant, cell, measure))
                .into()
        })
        .collect();
    let entry = |label: &str, color, width, dash| LegendEntry {
        label: label.to_owned(),
        note: String::new(),
        color,
        width,
        dash,
    };
    let mut legend = vec![
        entry("mean", color, BOLD, Dash::Solid),
        entry("one repeat", thin, THIN, Dash::Solid),
    ];
    let ended_early = sweep
        .trials
        .iter()
        .any(|t| t.key.variant == variant && !t.is_finished() && !t.epochs.is_empty());
    if ended_early {
        legend.push(entry(
            "not finished, failed or diverged (×); not in the mean",
            AXIS,
            THIN,
            Dash::Dashed,
        ));
    }
    Chart {
        title: format!(
            "{}: {variant}{}",
            sweep.plan.experiment,
            partial_note(sweep)
        ),
        caption: format!(
            "Every repeat by itself, and the mean of the finished ones{}",
            cells_note(sweep)
        ),
        legend,
        along: Along::Numbers("epoch"),
        rows,
    }
}

fn panel(sweep: &Sweep, place: usize, variant: &str, cell: &str, measure: Measure) -> Panel {
    let (color, _) = variant_color(place);
    let mut series: Vec<Series> = sweep
        .of(variant, cell)
        .map(|trial| Series {
            color: if trial.is_finished() {
                tint(color, 0.45)
            } else {
                AXIS
            },
            width: THIN,
            dash: if trial.is_finished() {
                Dash::Solid
            } else {
                Dash::Dashed
            },
            points: trial
                .epochs
                .iter()
                .map(|row| (f64::from(row.epoch), measure.of(row)))
                .collect(),
            band: Vec::new(),
            label: None,
            broken_off: matches!(trial.state, Some(State::Diverged | State::Failed)),
        })
        .collect();
    let trials = shown(sweep, variant, cell);
    if trials.iter().any(|trial| trial.is_finished()) {
        let average = average(&trials, measure);
        let last = average.iter().rev().find(|(_, e)| !e.mean.is_nan());
        series.push(Series {
            color,
            width: BOLD,
            dash: Dash::Solid,
            points: average.iter().map(|(epoch, e)| (*epoch, e.mean)).collect(),
            band: Vec::new(),
            label: last
                .filter(|_| measure == Measure::Validation)
                .map(|(_, e)| format!("{:.1} %  mean, n = {}", e.mean, e.n)),
            broken_off: false,
        });
    }
    let title = if sweep.has_grid() {
        format!("{}, {cell}", measure.title(sweep))
    } else {
        measure.title(sweep).to_owned()
    };
    Panel { title, series }
}
