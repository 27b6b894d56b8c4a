//! `predictions-<variant>.png`: what a variant says about the same validation pictures as every other.

use graft_record::{PredictionRow, Sample, SampleKind};

use super::{
    Figure, Output, best_cell, class_name, group_name,
    tiles::{self, Tile},
    variant_file,
};
use crate::{
    ReportError,
    drawing::{RIGHT, WRONG},
    sweep::{Sweep, TrialResult},
};

/// More pictures are not looked at.
const MOST: usize = 24;

pub(super) struct Predictions;

impl Figure for Predictions {
    fn draw(&self, sweep: &Sweep, output: &mut Output<'_>) -> Result<(), ReportError> {
        // A list that can't be read is told once, by the figure of the batch.
        let samples: Vec<Sample> = sweep
            .folder
            .samples()
            .unwrap_or_default()
            .into_iter()
            .filter(|sample| sample.kind == SampleKind::Val)
            .take(MOST)
            .collect();
        for variant in &sweep.plan.variants {
            let Some(cell) = best_cell(sweep, variant) else {
                continue;
            };
            // The first repeat, or the first that is there.
            let Some(trial) = sweep.finished(variant, cell).next() else {
                continue;
            };
            let predictions = match trial.predictions() {
                Ok(predictions) => predictions,
                Err(error) => {
                    output.problem(&error);
                    continue;
                }
            };
            let tiles = tiles(sweep, &samples, &predictions, output);
            if tiles.is_empty() {
                continue;
            }
            let title = format!(
                "{}: {}",
                sweep.plan.experiment,
                group_name(sweep, variant, cell)
            );
            let canvas = tiles::draw(&title, &caption(trial, &predictions), &tiles);
            output.save(&variant_file("predictions", variant), canvas)?;
        }
        Ok(())
    }
}

fn caption(trial: &TrialResult, predictions: &[PredictionRow]) -> String {
    let right = predictions.iter().filter(|p| p.predicted == p.label);
    format!(
        "Validation pictures and what the best checkpoint of repeat {} says; {} of {} are right",
        trial.key.repeat,
        right.count(),
        predictions.len()
    )
}

fn tiles(
    sweep: &Sweep,
    samples: &[Sample],
    predictions: &[PredictionRow],
    output: &mut Output<'_>,
) -> Vec<Tile> {
    let mut tiles = Vec::new();
    for sample in samples {
        let Some(prediction) = predictions.iter().find(|p| p.index == sample.index) else {
            continue;
        };
        let picture = match sweep.folder.thumbnail(sample) {
            Ok(picture) => picture,
            Err(error) => {
                output.problem(&error);
                continue;
            }
        };
        let right = prediction.predicted == prediction.label;
        tiles.push(Tile {
            picture,
            frame: Some(if right { RIGHT } else { WRONG }),
            lines: vec![
                format!(
                    "{} {} {:.0} %",
                    if right { "✓" } else { "✗" },
                    class_name(sweep, prediction.predicted),
                    100.0 * prediction.probability
                ),
                if right {
                    String::new()
                } else {
                    format!("true class: {}", class_name(sweep, prediction.label))
                },
            ],
        });
    }
    tiles
}
