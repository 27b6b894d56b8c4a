//! A trial under way: its network, optimizer and position, and what it has written.

mod resuming;
mod saving;

use std::time::{Duration, Instant};

use candle_core::{Device, Tensor};
use graft_data::{Batch, Loader, LoaderOptions, Normalization, Split, Transform};
use graft_model::Network;
use graft_record::{EpochRow, EvaluationRow, State, Status, TimingRow, TrialFolder};

use crate::{
    Observer, Recipe, Resources, Time, TrainError, Trial,
    average::WeightAverage,
    checkpoint::{Best, CHECKPOINT_FORMAT, ModelCard, Position, Tensors},
    device,
    evaluate::Validation,
    events::Events,
    features::{Key, SharedBank},
    feed::Feed,
    fit::Training,
    metrics::Tally,
    network::BuiltNetwork,
    optimizer::{self, Optimizer},
    pace::Pace,
    recorder::Recorder,
    step::{Found, StepResult},
};

/// Batches prepared ahead of the one that is trained on.
const LOOK_AHEAD: usize = 4;

/// Steps on a GPU that may go by before anybody waits for what they found: often enough for the eye, and seldom enough that
/// the GPU has always something to do.
const UNHEARD: usize = 32;

/// A trial under way.
pub(crate) struct Session<'a> {
    pub(crate) trial: &'a Trial,
    pub(crate) built: BuiltNetwork,
    pub(crate) optimizer: Box<dyn Optimizer>,
    pub(crate) recorder: Recorder,
    /// The average of the weights that is validated in their place, if the recipe wants one.
    pub(crate) average: Option<WeightAverage>,
    pub(crate) loader: Loader,
    /// The features of the training pictures, if backbone and views never change.
    pub(crate) bank: Option<SharedBank>,
    pub(crate) validation: Validation,
    pub(crate) position: Position,
    pub(crate) device: Device,
    pub(crate) feed: Feed,
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
    /// What the last steps found, as long as nobody has waited for it.
    pub(crate) unheard: Vec<Found>,
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
        device::set_precision(&device, &trial.spec.recipe)?;
        let pictures = resources.pictures(trial)?;
        let classes = pictures.source().classes().to_vec();
        let outputs = pictures.source().outputs();
        let mut built = BuiltNetwork::new(trial, outputs, &device, resources, observer)?;
        let spec = &trial.spec;
        built.network.set_precision(spec.recipe.precision);
        let (mean, std) = built.network.normalization();
        let transform = Transform::new(&spec.data.transform, Normalization { mean, std })?;
        let options = LoaderOptions {
            batch_size: spec.recipe.batch_size,
            threads: trial.loader_threads,
            look_ahead: LOOK_AHEAD,
        };
        let kept = (spec.data.subset).pick(&**pictures.source(), spec.seed, spec.repeat.into())?;
        let feed = Feed::new(&device, &transform, resources.gallery(&pictures, &device)?)?;
        let loader = Loader::new(pictures, transform, options)
            .with_train(kept)
            .with_shelf(feed.shelf());
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
            recorder: Recorder::new(&device, &spec.recipe),
            optimizer: build_optimizer(&spec.recipe, &built.network)?,
            average: start_average(&spec.recipe, &built.network)?,
            validation: Validation::new(&loader, val_bank, &feed),
            bank: train_bank,
            loader,
            position: Position::start(&trial.key.id),
            status: Status::new(State::Running),
            rows: Vec::new(),
            evaluations: Vec::new(),
            timing: Vec::new(),
            events: None,
            unsaved_best: None,
            unheard: Vec::new(),
            saves: Pace::start(),
            notes: Pace::start(),
            trial,
            folder,
            built,
            device,
            feed,
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

    /// Whether what the last steps found has to be known before the next one.
    pub(crate) fn must_know(&self) -> bool {
        self.device.is_cpu()
            || self.unheard.len() >= UNHEARD
            || self.is_validation_due()
            || self.is_save_due()
    }

    /// Waits for what the last steps found and counts it. `false` if a loss was not finite: the position is that of its
    /// step then.
    pub(crate) fn hear(&mut self) -> Result<bool, TrainError> {
        let unheard = std::mem::take(&mut self.unheard);
        let first = self.position.step + 1 - unheard.len() as u64;
        for (step, found) in (first..).zip(&unheard) {
            let StepResult {
                loss,
                score,
                images,
            } = found.read()?;
            if !loss.is_finite() {
                self.position.step = step;
                return Ok(false);
            }
            self.position.tally.add(loss, score, images);
        }
        Ok(true)
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
        self.keep_epoch(epoch)?;
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
        let is_better = |best: Best| best.is_worse_than(monitor, figure);
        if !self.position.best.is_none_or(is_better) {
            return Ok(());
        }
        self.position.best = Some(Best {
            epoch: row.epoch,
            figure,
            val_accuracy: row.val_accuracy,
        });
        self.unsaved_best = Some(snapshot(self.network(), self.average.as_ref())?);
        Ok(())
    }

    /// Whether the recipe wants a validation after the last step, which is not that of the epoch.
    pub(crate) fn is_validation_due(&self) -> bool {
        let Position {
            step, batches_done, ..
        } = self.position;
        let validated = self.evaluations.last().map_or(0, |row| row.step);
        let due = |every: u64| step % every == 0 && validated < step;
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
}

/// A batch's pixels as a tensor (n, size, size, 3).
pub(crate) fn input(batch: Batch, device: &Device) -> Result<Tensor, TrainError> {
    let size = batch.size;
    let n = batch.pixels.len() / (3 * size * size);
    Ok(Tensor::from_vec(batch.pixels, (n, size, size, 3), device)?)
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

/// The whole state of a network, which later steps do not change, with the average in the place of what trains if there is
/// one.
fn snapshot(
    network: &Network,
    average: Option<&WeightAverage>,
) -> Result<Vec<(String, Tensor)>, TrainError> {
    let trained: Tensors = match average {
        Some(average) => average.tensors(),
        None => network.trained_state().into_iter().collect(),
    };
    let copied = |(name, tensor): (String, Tensor)| {
        // What never changes need not be copied.
        let tensor = match trained.get(&name) {
            Some(trained) => trained.copy()?,
            None => tensor,
        };
        Ok((name, tensor))
    };
    network.state().into_iter().map(copied).collect()
}
