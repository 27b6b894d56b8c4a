//! Going on from what an earlier run of the trial left.

use std::path::Path;

use graft_record::TrialFolder;

use super::{Session, build_optimizer, start_average};
use crate::{
    Observer, TrainError,
    checkpoint::{self, Position, Tensors},
};

impl Session<'_> {
    /// Goes on from the checkpoint of an earlier run. One that can't be used costs its epochs and nothing else.
    pub(super) fn resume(&mut self, observer: &mut dyn Observer) -> Result<(), TrainError> {
        let earlier = self.folder.status().ok().flatten();
        self.status.attempts = earlier.map_or(0, |status| status.attempts);
        match self.take_over() {
            Ok(false) => {}
            Ok(true) => {
                let Position {
                    epochs_done,
                    batches_done,
                    ..
                } = self.position;
                observer.log(&format!(
                    "going on after epoch {epochs_done}, batch {batches_done}"
                ));
            }
            Err(error) => {
                observer.log(&format!("{error}: starting over"));
                let recipe = &self.trial.spec.recipe;
                self.optimizer = build_optimizer(recipe, self.network())?;
                self.average = start_average(recipe, self.network())?;
            }
        }
        Ok(())
    }

    /// Whether there was a checkpoint to take over. After an error network and position are as they were.
    fn take_over(&mut self) -> Result<bool, TrainError> {
        let (id, path) = (&self.trial.key.id, self.folder.last_checkpoint());
        let Some((position, saved)) = checkpoint::load_last(&path, id)? else {
            return Ok(false);
        };
        if let Some(best) = position.best {
            // A best checkpoint that is newer than the last one is written again when its epoch is.
            load_best(&self.folder, id, |epoch| epoch >= best.epoch)?;
        }
        let (rows, timing) = (
            self.folder.epochs()?,
            self.folder.timing().unwrap_or_default(),
        );
        let done = position.epochs_done as usize;
        if rows.len() < done {
            let reason = format!("epochs.csv has {} of its {done} epochs", rows.len());
            return Err(TrainError::Checkpoint { path, reason });
        }
        let evaluations = self.folder.evaluations()?;
        if evaluations.len() < position.evaluations {
            let reason = format!(
                "evaluations.csv has {} of its {} rows",
                evaluations.len(),
                position.evaluations
            );
            return Err(TrainError::Checkpoint { path, reason });
        }
        if let Some(average) = &mut self.average {
            average.restore(&saved.average)?;
        }
        self.optimizer.restore(&saved.optimizer)?;
        self.network().restore_trained(&saved.network)?;
        self.rows = rows[..done].to_vec();
        self.evaluations = evaluations;
        self.evaluations.truncate(position.evaluations);
        self.timing = timing.into_iter().take(done).collect();
        self.position = position;
        Ok(true)
    }
}

/// The tensors of the trial's best checkpoint, if its epoch is a good one.
pub(super) fn load_best(
    folder: &TrialFolder,
    trial: &str,
    is_good: impl FnOnce(u32) -> bool,
) -> Result<Tensors, TrainError> {
    let path = folder.best_checkpoint();
    let found = checkpoint::load_best(&path)?;
    let (card, tensors) = found.ok_or_else(|| unusable(&path, "the best checkpoint is missing"))?;
    if card.trial != trial || !is_good(card.epoch) {
        let reason = format!("is of epoch {} of trial {}", card.epoch, card.trial);
        return Err(unusable(&path, &reason));
    }
    Ok(tensors)
}

pub(super) fn unusable(path: &Path, reason: &str) -> TrainError {
    TrainError::Checkpoint {
        path: path.to_owned(),
        reason: reason.to_owned(),
    }
}
