//! What a trial leaves in its folder: rows, checkpoints, and how it ended.

use std::time::{Duration, Instant};

use graft_data::Split;
use graft_record::{Manifest, ParameterCounts, State};

use super::{
    Session,
    resuming::{load_best, unusable},
    snapshot,
};
use crate::{
    ModelCard, Outcome, TrainError,
    average::WeightAverage,
    checkpoint::{self, Saved, Tensors},
};

impl Session<'_> {
    /// Writes what the trial is and that it runs.
    pub(super) fn begin(&mut self) -> Result<(), TrainError> {
        let source = self.validation.source();
        let numbers = |trainable_only: bool| {
            let parameters = self.network().parameters().iter();
            let counted = parameters.filter(|parameter| !trainable_only || parameter.trainable());
            counted
                .map(|parameter| parameter.var.elem_count() as u64)
                .sum()
        };
        let manifest = Manifest {
            format: Manifest::FORMAT,
            classes: source.classes().to_vec(),
            notes: source.notes(),
            key: self.trial.key.clone(),
            pictures: Split::ALL
                .into_iter()
                .filter(|&split| !source.is_empty(split))
                .map(|split| (split.name().to_owned(), self.loader.pictures(split) as u64))
                .collect(),
            parameters: ParameterCounts {
                total: numbers(false),
                trainable: numbers(true),
            },
            spec: toml::Table::try_from(&self.trial.spec)
                .map_err(|error| TrainError::Spec(error.to_string()))?,
        };
        self.folder.write_manifest(&manifest)?;
        self.status.attempts += 1;
        self.write_status(State::Running)
    }

    pub(super) fn write_status(&mut self, state: State) -> Result<(), TrainError> {
        self.status.state = state;
        self.status.epochs_done = self.position.epochs_done;
        self.status.steps_done = self.position.step;
        self.status.best_epoch = self.position.best.map(|best| best.epoch);
        self.status.best_val_accuracy = self.position.best.map(|best| best.val_accuracy);
        Ok(self.folder.write_status(&self.status)?)
    }

    /// Writes the rows of the epochs so far.
    pub(super) fn write_rows(&mut self) -> Result<(), TrainError> {
        self.folder.write_epochs(&self.rows)?;
        if !self.evaluations.is_empty() {
            self.folder.write_evaluations(&self.evaluations)?;
        }
        Ok(self.folder.write_timing(&self.timing)?)
    }

    /// Writes the checkpoints if it is time to and all is known that belongs into them.
    pub(crate) fn save_if_due(&mut self) -> Result<(), TrainError> {
        if self.unheard.is_empty() && self.is_save_due() {
            self.save()
        } else {
            Ok(())
        }
    }

    /// Whether it is time for checkpoints.
    pub(super) fn is_save_due(&self) -> bool {
        let least = Duration::from_secs_f64(self.trial.checkpoint_seconds);
        self.saves.is_due(least)
    }

    /// Writes the rows and the checkpoints, last the one that says that the others are there.
    pub(crate) fn save(&mut self) -> Result<(), TrainError> {
        let start = Instant::now();
        self.write_rows()?;
        self.save_best()?;
        let path = self.folder.last_checkpoint();
        let tensors = Saved {
            network: self.network().trained_state().into_iter().collect(),
            optimizer: self.optimizer.state().into_iter().collect(),
            average: self
                .average
                .as_ref()
                .map_or_else(Tensors::new, WeightAverage::tensors),
        };
        checkpoint::save_last(&path, tensors, &self.position)?;
        self.saves.done(start);
        Ok(())
    }

    /// Writes the best checkpoint if there is a new one.
    fn save_best(&mut self) -> Result<(), TrainError> {
        if let (Some(best), Some(tensors)) = (self.position.best, &self.unsaved_best) {
            self.card.epoch = best.epoch;
            checkpoint::save_best(&self.folder.best_checkpoint(), tensors, &self.card)?;
            self.unsaved_best = None;
        }
        Ok(())
    }

    /// Writes the network as it was validated after `epoch`, and removes those of epochs that are no longer among the last.
    pub(super) fn keep_epoch(&self, epoch: u32) -> Result<(), TrainError> {
        let kept = self.trial.keep_last;
        if kept == 0 {
            return Ok(());
        }
        let tensors = snapshot(self.network(), self.average.as_ref())?;
        let card = ModelCard {
            epoch,
            ..self.card.clone()
        };
        checkpoint::save_best(&self.folder.epoch_checkpoint(epoch), &tensors, &card)?;
        for old in self.folder.epoch_checkpoints()? {
            if old.saturating_add(kept) <= epoch {
                self.folder.remove_epoch_checkpoint(old)?;
            }
        }
        Ok(())
    }

    /// Leaves the trial where it is, to go on from later.
    pub(crate) fn interrupt(&mut self) -> Result<Outcome, TrainError> {
        self.save()?;
        self.write_status(State::Interrupted)?;
        Ok(Outcome::Interrupted {
            epochs_done: self.position.epochs_done,
        })
    }

    /// Ends the trial as diverged: what it has recorded stays, and no checkpoint is made of numbers that are none.
    pub(crate) fn diverge(&mut self) -> Result<Outcome, TrainError> {
        let (epoch, step) = (self.position.epochs_done + 1, self.position.step);
        self.write_rows()?;
        self.save_best()?;
        self.status.error = Some(format!(
            "diverged: the loss was not finite at step {step} (epoch {epoch})\n\
             hint: try a smaller learning rate than {}",
            self.lr()
        ));
        self.write_status(State::Diverged)?;
        Ok(Outcome::Diverged { epoch, step })
    }

    /// Ends the trial: checkpoints, predictions of the best epoch, and last the word that it is finished.
    pub(crate) fn finish(&mut self) -> Result<Outcome, TrainError> {
        let at_best = self.unsaved_best.clone();
        self.save()?;
        let path = self.folder.best_checkpoint();
        let best = self
            .position
            .best
            .ok_or_else(|| unusable(&path, "there is no best epoch"))?;
        let tensors = match at_best {
            Some(tensors) => tensors.into_iter().collect(),
            None => load_best(&self.folder, &self.trial.key.id, |epoch| {
                epoch == best.epoch
            })?,
        };
        self.restore_best(&tensors)?;
        let network = &self.built.network;
        let (predictions, mut metrics) = self.validation.judge(network, Split::Val)?;
        self.folder.write_predictions(&predictions)?;
        if !self.validation.source().is_empty(Split::Test) {
            let (predictions, more) = self.validation.judge(network, Split::Test)?;
            self.folder.write_test_predictions(&predictions)?;
            metrics.extend(more);
        }
        self.folder.write_metrics(&metrics)?;
        self.status.files = self.folder.contents()?;
        self.write_status(State::Finished)?;
        Ok(Outcome::Finished {
            best_epoch: best.epoch,
            best_val_accuracy: best.val_accuracy,
        })
    }

    /// Sets the network to what it was at its best epoch.
    fn restore_best(&self, tensors: &Tensors) -> Result<(), TrainError> {
        let network = self.network();
        if !network.features_are_fixed() {
            return Ok(network.restore(tensors)?);
        }
        let trained = network.trained_state().into_iter();
        let trained = trained.filter_map(|(name, _)| tensors.get_key_value(&name));
        let trained = trained.map(|(name, tensor)| (name.clone(), tensor.clone()));
        Ok(network.restore_trained(&trained.collect())?)
    }
}
