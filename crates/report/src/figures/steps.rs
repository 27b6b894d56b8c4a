//! `steps.png`: the validation error over optimizer steps, where recipes validate within epochs, too; and the error on the
//! training pictures, where they are evaluated.

use std::collections::BTreeMap;

use super::{
    Figure, Output,
    averaged::{Averaged, deviation, legend},
    lines::{MOST_CELLS, cells_note, partial_note, shown},
};
use crate::{
    ReportError,
    drawing::{Along, Chart, Panel},
    statistics::estimate,
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
        let mut errors: BTreeMap<u64, Vec<f64>> = BTreeMap::new();
        let trials = shown(sweep, variant, cell);
        let rows = trials.iter().flat_map(|trial| &trial.evaluations);
        for row in rows.filter(|row| row.split == split) {
            let error = 100.0 * (1.0 - row.accuracy);
            errors.entry(row.step).or_default().push(error);
        }
        let found = errors.into_iter();
        let line = Averaged {
            points: found
                .map(|(step, errors)| (step as f64, estimate(&errors)))
                .collect(),
            edges: deviation,
            most: f64::INFINITY,
            labelled: split == "val",
            broken_off: false,
        };
        line.series(variants, place)
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
