//! A trial under way: its network, optimizer and position, and what it has written.

use std::{
    collections::BTreeSet,
    path::Path,
    time::{Duration, Instant},
};

use candle_core::{Device, Tensor};
use graft_data::{Batch, Loader, LoaderOptions, Normalization, Split, Transform};
use graft_model::Network;
use graft_record::{EpochRow, Manifest, ParameterCounts, State, Status, TimingRow, TrialFolder};

use crate::{
    Observer, OptimizerSpec, Outcome, Resources, TrainError, Trial,
    checkpoint::{self, Best, CHECKPOINT_FORMAT, ModelCard, Position, Tensors},
    device,
    evaluate::Validation,
    features::{Key, SharedBank},
    fit::Training,
    metrics::Tally,
    network::BuiltNetwork,
    optimizer::{self, Optimizer},
    pace::Pace,
};

/// Batches prepared ahead of the one that is trained on.
const LOOK_AHEAD: usize = 4;

/// A trial under way.
pub(crate) struct Session<'a> {
    pub(crate) trial: &'a Trial,
    pub(crate) built: BuiltNetwork,
    pub(crate) optimizer: Box<dyn Optimizer>,
    pub(crate) loader: Loader,
    /// The features of the training pictures, if backbone and views never change.
    pub(crate) bank: Option<SharedBank>,
    pub(crate) validation: Validation,
    pub(crate) position: Position,
    pub(crate) device: Device,
    folder: TrialFolder,
    card: ModelCard,
    status: Status,
    rows: Vec<EpochRow>,
    timing: Vec<TimingRow>,
    /// The network at its best epoch, until it is on the disk.
    unsaved_best: Option<Vec<(String, Tensor)>>,
    saves: Pace,
    /// When rows and status were written, but for the last ones.
    notes: Pace,
}

impl<'a> Session<'a> {
    /// Builds the network, opens the pictures and goes to where an earlier run of this trial stopped.
    pub(crate) fn open(
        trial: &'a Trial,
        folder: TrialFolder,
        resources: &mut Resources,
        observer: &mut dyn Observer,
    ) -> Result<Self, TrainError> {
        let device = device::open(&trial.device)?;
        let pictures = resources.pictures(trial)?;
        let classes = pictures.source().classes().to_vec();
        let built = BuiltNetwork::new(trial, classes.len(), &device, resources, observer)?;
        let spec = &trial.spec;
        let (mean, std) = built.network.normalization();
        let transform = Transform::new(&spec.data.transform, Normalization { mean, std })?;
        let options = LoaderOptions {
            batch_size: spec.recipe.batch_size,
            threads: trial.loader_threads,
            look_ahead: LOOK_AHEAD,
        };
        let loader = Loader::new(pictures, transform, options);
        let mut bank = |split: Split, views: u32| {
            let backbone = built.backbone.as_ref()?;
            let key = Key::new(
                spec,
                split,
                loader.transform(),
                &built.network,
                backbone,
                &device,
            );
            let items = loader.source().len(split) as u64 * u64::from(views);
            Some(resources.bank(trial, key, items, observer))
        };
        let val_bank = bank(Split::Val, 1);
        let views = spec.data.transform.fixed_views();
        let train_bank = views.and_then(|views| bank(Split::Train, views));
        let card = ModelCard {
            format: CHECKPOINT_FORMAT,
            trial: trial.key.id.clone(),
            epoch: 0,
            model: spec.model.clone(),
            classes,
            transform: spec.data.transform.clone(),
            exif_orientation: spec.data.source.exif_orientation(),
            mean,
            std,
        };
        let mut session = Self {
            optimizer: optimizer::build(&spec.recipe.optimizer, &built.network)?,
            validation: Validation::new(&loader, val_bank, &device),
            bank: train_bank,
            loader,
            position: Position::start(&trial.key.id),
            status: Status::new(State::Running),
            rows: Vec::new(),
            timing: Vec::new(),
            unsaved_best: None,
            saves: Pace::start(),
            notes: Pace::start(),
            trial,
            folder,
            built,
            device,
            card,
        };
        session.resume(observer)?;
        session.begin()?;
        Ok(session)
    }

    /// The network, for another trial.
    pub(crate) fn into_network(self) -> BuiltNetwork {
        self.built
    }

    fn network(&self) -> &Network {
        &self.built.network
    }

    /// The learning rate of the next step.
    pub(crate) fn lr(&self) -> f64 {
        let OptimizerSpec::Sgd { lr, .. } = self.trial.spec.recipe.optimizer;
        lr
    }

    /// Records an epoch: its row, whether it is the best so far, and files and a checkpoint if they are due.
    pub(crate) fn end_epoch(
        &mut self,
        training: Training,
        validation: Tally,
        observer: &mut dyn Observer,
    ) -> Result<(), TrainError> {
        let epoch = self.position.epochs_done + 1;
        let row = EpochRow {
            epoch,
            step: self.position.step,
            train_loss: self.position.tally.mean_loss(),
            train_accuracy: self.position.tally.accuracy(),
            val_loss: validation.mean_loss(),
            val_accuracy: validation.accuracy(),
            lr: self.lr(),
        };
        let timing = TimingRow {
            epoch,
            seconds: training.seconds(),
            images_per_second: training.images_per_second(),
        };
        if self
            .position
            .best
            .is_none_or(|best| row.val_accuracy > best.val_accuracy)
        {
            self.position.best = Some(Best {
                epoch,
                val_accuracy: row.val_accuracy,
            });
            self.unsaved_best = Some(snapshot(self.network())?);
        }
        self.rows.push(row);
        self.timing.push(timing);
        self.position.epochs_done = epoch;
        self.position.batches_done = 0;
        self.position.tally = Tally::default();
        observer.epoch(&row, &timing);
        for bank in self.bank.iter().chain(self.validation.bank()) {
            bank.tell(observer);
        }
        if self.notes.is_due(Duration::ZERO) {
            let start = Instant::now();
            self.write_rows()?;
            self.write_status(State::Running)?;
            self.notes.done(start);
        }
        self.save_if_due()
    }

    /// Writes the rows of the epochs so far.
    fn write_rows(&mut self) -> Result<(), TrainError> {
        self.folder.write_epochs(&self.rows)?;
        Ok(self.folder.write_timing(&self.timing)?)
    }

    /// Writes the checkpoints if it is time to.
    pub(crate) fn save_if_due(&mut self) -> Result<(), TrainError> {
        let least = Duration::from_secs_f64(self.trial.checkpoint_seconds);
        if self.saves.is_due(least) {
            self.save()
        } else {
            Ok(())
        }
    }

    /// Writes the rows and the checkpoints, last the one that says that the others are there.
    pub(crate) fn save(&mut self) -> Result<(), TrainError> {
        let start = Instant::now();
        self.write_rows()?;
        self.save_best()?;
        let path = self.folder.last_checkpoint();
        checkpoint::save_last(
            &path,
            self.network().trained_state(),
            self.optimizer.state(),
            &self.position,
        )?;
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
        self.folder
            .write_predictions(&self.validation.predictions(&self.built.network)?)?;
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

    /// Goes on from the checkpoint of an earlier run. One that can't be used costs its epochs and nothing else.
    fn resume(&mut self, observer: &mut dyn Observer) -> Result<(), TrainError> {
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
                self.optimizer =
                    optimizer::build(&self.trial.spec.recipe.optimizer, self.network())?;
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
        self.optimizer.restore(&saved.optimizer)?;
        self.network().restore_trained(&saved.network)?;
        self.rows = rows[..done].to_vec();
        self.timing = timing.into_iter().take(done).collect();
        self.position = position;
        Ok(true)
    }

    /// Writes what the trial is and that it runs.
    fn begin(&mut self) -> Result<(), TrainError> {
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
            pictures: graft_data::Split::ALL
                .map(|split| (split.name().to_owned(), source.len(split) as u64))
                .into(),
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

    fn write_status(&mut self, state: State) -> Result<(), TrainError> {
        self.status.state = state;
        self.status.epochs_done = self.position.epochs_done;
        self.status.steps_done = self.position.step;
        self.status.best_epoch = self.position.best.map(|best| best.epoch);
        self.status.best_val_accuracy = self.position.best.map(|best| best.val_accuracy);
        Ok(self.folder.write_status(&self.status)?)
    }
}

/// A batch's pixels as a tensor (n, size, size, 3).
pub(crate) fn input(batch: Batch, device: &Device) -> Result<Tensor, TrainError> {
    let (n, size) = (batch.labels.len(), batch.size);
    Ok(Tensor::from_vec(batch.pixels, (n, size, size, 3), device)?)
}

/// The whole state of a network, which later steps do not change.
fn snapshot(network: &Network) -> Result<Vec<(String, Tensor)>, TrainError> {
    let trained: BTreeSet<String> = network
        .trained_state()
        .into_iter()
        .map(|(name, _)| name)
        .collect();
    network
        .state()
        .into_iter()
        .map(|(name, tensor)| {
            // What never changes need not be copied.
            let tensor = if trained.contains(&name) {
                tensor.copy()?
            } else {
                tensor
            };
            Ok((name, tensor))
        })
        .collect()
}

/// The tensors of the trial's best checkpoint, if its epoch is a good one.
fn load_best(
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

fn unusable(path: &Path, reason: &str) -> TrainError {
    TrainError::Checkpoint {
        path: path.to_owned(),
        reason: reason.to_owned(),
    }
}
