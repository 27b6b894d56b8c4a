//! `steps.png`: the validation error over optimizer steps, where recipes validate within epochs, too; and the error on the
//! training pictures, where they are evaluated.

use std::collections::BTreeMap;

use super::{
    Figure, Output,
    curves::{LINE, MOST_BANDS, label, legend},
    lines::{MOST_CELLS, cells_note, partial_note, shown},
};
use crate::{
    ReportError,
    drawing::{Along, Chart, Dash, Panel, Series, variant_color},
    statistics::{Estimate, estimate},
    sweep::Sweep,
};

pub(super) struct Steps;

impl Figure for Steps {
    fn draw(&self, sweep: &Sweep, output: &mut Output<'_>) -> Result<(), ReportError> {
        let rows = || sweep.trials.iter().flat_map(|trial| &trial.evaluations);
        let splits: Vec<&str> = ["train", "val"]
            .into_iter()
            .filter(|split| rows().any(|row| row.split == *split))
            .collect();
        if splits.is_empty() {
            return Ok(());
        }
        output.save("steps.png", chart(sweep, &splits).draw())
    }
}

fn chart(sweep: &Sweep, splits: &[&str]) -> Chart {
    let cells = &sweep.plan.cells[..sweep.plan.cells.len().min(MOST_CELLS)];
    let rows = cells.iter().map(|cell| {
        splits
            .iter()
            .map(|split| panel(sweep, cell, split))
            .collect()
    });
    Chart {
        title: sweep.plan.experiment.clone() + &partial_note(sweep),
        caption: format!(
            "Evaluated between steps; lines: mean over the repeats; bands: ± one standard deviation{}",
            cells_note(sweep)
        ),
        legend: legend(sweep),
        along: Along::Numbers("step"),
        rows: rows.collect(),
    }
}

fn panel(sweep: &Sweep, cell: &str, split: &str) -> Panel {
    let variants = &sweep.plan.variants;
    let series = variants.iter().enumerate().map(|(place, variant)| {
        let (color, round) = variant_color(place);
        let mut errors: BTreeMap<u64, Vec<f64>> = BTreeMap::new();
        let trials = shown(sweep, variant, cell);
        let rows = trials.iter().flat_map(|trial| &trial.evaluations);
        for row in rows.filter(|row| row.split == split) {
            let error = 100.0 * (1.0 - row.accuracy);
            errors.entry(row.step).or_default().push(error);
        }
        let found: Vec<(f64, Estimate)> = errors
            .into_iter()
            .map(|(step, errors)| (step as f64, estimate(&errors)))
            .collect();
        let band = found.iter().filter(|(_, error)| error.n > 1);
        let last = found.last().filter(|_| split == "val");
        Series {
            color,
            width: LINE,
            dash: Dash::of_round(round),
            points: found
                .iter()
                .map(|(step, error)| (*step, error.mean))
                .collect(),
            band: if variants.len() <= MOST_BANDS {
                let edges = |e: &Estimate| ((e.mean - e.std).max(0.0), e.mean + e.std);
                band.map(|(step, error)| (*step, edges(error).0, edges(error).1))
                    .collect()
            } else {
                Vec::new()
            },
            label: last.and_then(|(_, error)| label(variants, variant, error.mean, false)),
            broken_off: false,
        }
    });
    let what = if sweep.plan.has_numbers() {
        "unexplained variance"
    } else {
        "error"
    };
    let title = match split {
        "train" => format!("Training pictures, evaluated: {what}"),
        _ => format!("Validation: {what}"),
    };
    let title = if sweep.has_grid() {
        format!("{title}, {cell}")
    } else {
        title
    };
    Panel {
        series: series.collect(),
        title,
    }
}
