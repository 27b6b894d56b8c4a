//! A trial under way: its network, optimizer and position, and what it has written.

use std::{
    collections::BTreeSet,
    path::Path,
    time::{Duration, Instant},
};

use candle_core::{Device, Tensor};
use graft_data::{Batch, Loader, LoaderOptions, Normalization, Split, Target, Transform};
use graft_model::Network;
use graft_record::{
    EpochRow, EvaluationRow, Manifest, ParameterCounts, State, Status, TimingRow, TrialFolder,
};

use crate::{
    Observer, Outcome, Recipe, Resources, Time, TrainError, Trial,
    average::WeightAverage,
    checkpoint::{self, Best, CHECKPOINT_FORMAT, ModelCard, Position, Saved, Tensors},
    device,
    evaluate::Validation,
    events::Events,
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
    /// The average of the weights that is validated in their place, if the recipe wants one.
    pub(crate) average: Option<WeightAverage>,
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
    /// Validations within epochs, and looks at the training pictures, if the recipe wants any.
    evaluations: Vec<EvaluationRow>,
    timing: Vec<TimingRow>,
    /// TensorBoard's event file, if one is wanted.
    events: Option<Events>,
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
        let mut session = Self::prepare(trial, folder, resources, observer)?;
        session.resume(observer)?;
        session.begin()?;
        if trial.tensorboard {
            session.events = Some(Events::open(trial, &session.rows, &session.timing)?);
        }
        Ok(session)
    }

    /// Builds the network and opens the pictures. Nothing is read from the trial's folder or written into it.
    pub(crate) fn prepare(
        trial: &'a Trial,
        folder: TrialFolder,
        resources: &mut Resources,
        observer: &mut dyn Observer,
    ) -> Result<Self, TrainError> {
        let device = device::open(&trial.device)?;
        let pictures = resources.pictures(trial)?;
        let classes = pictures.source().classes().to_vec();
        let outputs = match pictures.source().target() {
            Target::Classes => classes.len(),
            Target::Number => 1,
        };
        let built = BuiltNetwork::new(trial, outputs, &device, resources, observer)?;
        let spec = &trial.spec;
        let (mean, std) = built.network.normalization();
        let transform = Transform::new(&spec.data.transform, Normalization { mean, std })?;
        let options = LoaderOptions {
            batch_size: spec.recipe.batch_size,
            threads: trial.loader_threads,
            look_ahead: LOOK_AHEAD,
        };
        let kept = (spec.data.subset).pick(&**pictures.source(), spec.seed, spec.repeat.into())?;
        let loader = Loader::new(pictures, transform, options).with_train(kept);
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
        let train_bank = spec
            .kept_views()
            .and_then(|views| bank(Split::Train, views));
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
        Ok(Self {
            optimizer: build_optimizer(&spec.recipe, &built.network)?,
            average: start_average(&spec.recipe, &built.network)?,
            validation: Validation::new(&loader, val_bank, &device),
            bank: train_bank,
            loader,
            position: Position::start(&trial.key.id),
            status: Status::new(State::Running),
            rows: Vec::new(),
            evaluations: Vec::new(),
            timing: Vec::new(),
            events: None,
            unsaved_best: None,
            saves: Pace::start(),
            notes: Pace::start(),
            trial,
            folder,
            built,
            device,
            card,
        })
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
        self.lr_at(self.position.step, self.position.epochs_done)
    }

    /// The learning rate after so many steps, in the epoch after so many.
    fn lr_at(&self, step: u64, epoch: u32) -> f64 {
        let recipe = &self.trial.spec.recipe;
        let time = Time {
            epoch,
            step,
            epochs: recipe.epochs,
            steps_per_epoch: self.loader.batches(Split::Train) as u64,
        };
        let scheduled = recipe.schedule.rate(recipe.optimizer.lr(), time);
        self.position.plateau.rate(scheduled)
    }

    /// Records an epoch: its row, whether it is the best so far, and files and a checkpoint if they are due.
    pub(crate) fn end_epoch(
        &mut self,
        training: Training,
        validation: Tally,
        train: Option<Tally>,
        observer: &mut dyn Observer,
    ) -> Result<(), TrainError> {
        let epoch = self.position.epochs_done + 1;
        // That of the epoch's last step.
        let lr = self.lr_at(self.position.step.saturating_sub(1), epoch - 1);
        let row = self.row(&validation, lr);
        let recipe = &self.trial.spec.recipe;
        if let Some(plateau) = recipe.schedule.plateau() {
            let figure = plateau.monitor.of(&row);
            self.position.plateau.note(plateau, figure, lr);
        }
        if let Some(rule) = &recipe.early_stopping {
            self.position.stopping.note(rule, rule.monitor.of(&row));
        }
        let timing = TimingRow {
            epoch,
            seconds: training.seconds(),
            images_per_second: training.images_per_second(),
        };
        self.keep_if_best(&row)?;
        if recipe.validate_every.is_some() || train.is_some() {
            self.note_evaluation(Split::Val, &validation);
        }
        if let Some(train) = train {
            self.note_evaluation(Split::Train, &train);
        }
        if let Some(events) = &mut self.events {
            events.epoch(&row, &timing, &self.built.network)?;
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

    /// The row of the running epoch after a validation.
    fn row(&self, validation: &Tally, lr: f64) -> EpochRow {
        EpochRow {
            epoch: self.position.epochs_done + 1,
            step: self.position.step,
            train_loss: self.position.tally.mean_loss(),
            train_accuracy: self.position.tally.accuracy(),
            val_loss: validation.mean_loss(),
            val_accuracy: validation.accuracy(),
            lr,
        }
    }

    /// Keeps the network if a validation found it better than ever before.
    fn keep_if_best(&mut self, row: &EpochRow) -> Result<(), TrainError> {
        let monitor = self.trial.spec.recipe.best;
        let figure = monitor.of(row);
        let is_better = |best: Best| {
            if monitor.rises() {
                figure > best.figure
            } else {
                figure < best.figure
            }
        };
        if !self.position.best.is_none_or(is_better) {
            return Ok(());
        }
        self.position.best = Some(Best {
            epoch: row.epoch,
            figure,
            val_accuracy: row.val_accuracy,
        });
        self.unsaved_best = Some(match &self.average {
            Some(average) => average.in_place(self.network(), || snapshot(self.network()))?,
            None => snapshot(self.network())?,
        });
        Ok(())
    }

    /// Whether the recipe wants a validation after the last step, which is not that of the epoch.
    pub(crate) fn is_validation_due(&self) -> bool {
        let Position {
            step, batches_done, ..
        } = self.position;
        let due = |every: u64| step % every == 0 && self.position.validated < step;
        let within = 0 < batches_done && batches_done < self.loader.batches(Split::Train);
        within && self.trial.spec.recipe.validate_every.is_some_and(due)
    }

    /// Records a validation within an epoch.
    pub(crate) fn note_validation(&mut self, validation: &Tally) -> Result<(), TrainError> {
        let lr = self.lr_at(self.position.step - 1, self.position.epochs_done);
        self.keep_if_best(&self.row(validation, lr))?;
        self.note_evaluation(Split::Val, validation);
        Ok(())
    }

    /// Adds what was found of a split after the last step.
    fn note_evaluation(&mut self, split: Split, tally: &Tally) {
        self.evaluations.push(EvaluationRow {
            epoch: self.position.epochs_done + 1,
            step: self.position.step,
            split: split.name().to_owned(),
            loss: tally.mean_loss(),
            accuracy: tally.accuracy(),
        });
        self.position.validated = self.position.step;
        self.position.evaluations = self.evaluations.len();
    }

    /// Looks at a split with the network, or with the average of its weights; `None` if `proceed` said no after a batch.
    pub(crate) fn validate(
        &mut self,
        split: Split,
        proceed: &mut dyn FnMut(usize, usize) -> bool,
    ) -> Result<Option<Tally>, TrainError> {
        let (network, validation) = (&self.built.network, &mut self.validation);
        match &self.average {
            Some(average) => average.in_place(network, || validation.run(network, split, proceed)),
            None => validation.run(network, split, proceed),
        }
    }

    /// Writes the rows of the epochs so far.
    fn write_rows(&mut self) -> Result<(), TrainError> {
        self.folder.write_epochs(&self.rows)?;
        if !self.evaluations.is_empty() {
            self.folder.write_evaluations(&self.evaluations)?;
        }
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

    fn write_status(&mut self, state: State) -> Result<(), TrainError> {
        self.status.state = state;
        self.status.epochs_done = self.position.epochs_done;
        self.status.steps_done = self.position.step;
        self.status.best_epoch = self.position.best.map(|best| best.epoch);
        self.status.best_val_accuracy = self.position.best.map(|best| best.val_accuracy);
        Ok(self.folder.write_status(&self.status)?)
    }
}

fn build_optimizer(recipe: &Recipe, network: &Network) -> Result<Box<dyn Optimizer>, TrainError> {
    let optimizer = optimizer::build(&recipe.optimizer, recipe.weight_decay_on, network)?;
    Ok(optimizer)
}

fn start_average(recipe: &Recipe, network: &Network) -> Result<Option<WeightAverage>, TrainError> {
    recipe
        .ema
        .map(|ema| WeightAverage::new(ema, network))
        .transpose()
}

/// A batch's pixels as a tensor (n, size, size, 3).
pub(crate) fn input(batch: Batch, device: &Device) -> Result<Tensor, TrainError> {
    let size = batch.size;
    let n = batch.pixels.len() / (3 * size * size);
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
