//! `batch.png`: an augmented training batch, to see whether the pictures still show what their labels say.

use graft_record::SampleKind;

use super::{
    Figure, Output, class_name,
    tiles::{self, Tile},
};
use crate::{ReportError, sweep::Sweep};

/// More pictures are not looked at.
const MOST: usize = 24;

pub(super) struct Batch;

impl Figure for Batch {
    fn draw(&self, sweep: &Sweep, output: &mut Output<'_>) -> Result<(), ReportError> {
        let samples = match sweep.folder.samples() {
            Ok(samples) => samples,
            Err(error) => {
                output.problem(&error);
                return Ok(());
            }
        };
        let mut shown = Vec::new();
        let batch = samples.iter().filter(|s| s.kind == SampleKind::Batch);
        for sample in batch.take(MOST) {
            match sweep.folder.thumbnail(sample) {
                Ok(picture) => shown.push(Tile {
                    picture,
                    frame: None,
                    lines: vec![class_name(sweep, sample.label)],
                }),
                Err(error) => output.problem(&error),
            }
        }
        if shown.is_empty() {
            return Ok(());
        }
        let title = format!("{}: a training batch", sweep.plan.experiment);
        let caption = "Training pictures after the random transforms, with their classes";
        output.save("batch.png", tiles::draw(&title, caption, &shown))
    }
}
