//! The training loop.

use std::time::Instant;

use graft_data::Split;

use crate::{
    Observer, Outcome, StepProgress, TrainError,
    inputs::{Example, Inputs},
    metrics::Tally,
    session::Session,
    step::{Draws, Trained, step},
};

/// Trains until the recipe's last epoch, the observer's wish to stop, or a loss that is not finite.
pub(crate) fn fit(
    session: &mut Session,
    observer: &mut dyn Observer,
) -> Result<Outcome, TrainError> {
    let epochs = session.trial.spec.recipe.epochs;
    while session.position.epochs_done < epochs && !session.position.stopping.stopped {
        let epoch = session.position.epochs_done + 1;
        let mut training = Training::start();
        let mut progress = StepProgress::begin(epoch, epochs, session.loader.batches(Split::Train));
        // One that an earlier run was to make here.
        if let Some(outcome) = validate_within(session, &progress, observer)? {
            return Ok(outcome);
        }
        let mut inputs = Inputs::new(session, epoch, session.position.batches_done);
        while let Some(example) = inputs.next(&session.built.network, &session.feed)? {
            train_step(session, &example)?;
            if let Some(note) = session.recorder.take_note() {
                observer.log(&note);
            }
            training.add(example.targets.len());
            if session.must_know() && !session.hear()? {
                return session.diverge();
            }
            progress.batch = session.position.batches_done;
            if session.unheard.is_empty() {
                progress.train_loss = session.position.tally.mean_loss();
            }
            progress.images_per_second = training.images_per_second();
            observer.step(&progress);
            if observer.should_stop() {
                return if session.hear()? {
                    session.interrupt()
                } else {
                    session.diverge()
                };
            }
            if let Some(outcome) = validate_within(session, &progress, observer)? {
                return Ok(outcome);
            }
            session.save_if_due()?;
        }
        if !session.hear()? {
            return session.diverge();
        }
        training.stop();
        let validation = match validate(session, Split::Val, &progress, observer)? {
            Ok(validation) => validation,
            Err(outcome) => return Ok(outcome),
        };
        let train = if session.trial.spec.recipe.evaluate_train {
            match validate(session, Split::Train, &progress, observer)? {
                Ok(tally) => Some(tally),
                Err(outcome) => return Ok(outcome),
            }
        } else {
            None
        };
        session.end_epoch(training, validation, train, observer)?;
    }
    session.finish()
}

/// Validates within an epoch if the recipe wants that after this step. `Some` outcome ends the trial.
fn validate_within(
    session: &mut Session,
    progress: &StepProgress,
    observer: &mut dyn Observer,
) -> Result<Option<Outcome>, TrainError> {
    if !session.is_validation_due() {
        return Ok(None);
    }
    match validate(session, Split::Val, progress, observer)? {
        Ok(validation) => session.note_validation(&validation).map(|()| None),
        Err(outcome) => Ok(Some(outcome)),
    }
}

/// Looks at the pictures of a split. The outcome ends the trial: the observer wants to stop, or the loss is not finite.
fn validate(
    session: &mut Session,
    split: Split,
    progress: &StepProgress,
    observer: &mut dyn Observer,
) -> Result<Result<Tally, Outcome>, TrainError> {
    let validated = session.validate(split, &mut |batch, batches| {
        observer.step(&StepProgress {
            batch,
            batches,
            validating: true,
            ..*progress
        });
        !observer.should_stop()
    })?;
    match validated {
        None => session.interrupt().map(Err),
        Some(tally) if !tally.mean_loss().is_finite() => session.diverge().map(Err),
        Some(tally) => Ok(Ok(tally)),
    }
}

/// One step on one batch. What it found is heard of later.
fn train_step(session: &mut Session, example: &Example) -> Result<(), TrainError> {
    let (spec, lr) = (&session.trial.spec, session.lr());
    let draws = Draws {
        seed: spec.seed,
        repeat: u64::from(spec.repeat),
        epoch: session.position.epochs_done + 1,
        step: session.position.step + 1,
    };
    let trained = Trained {
        network: &session.built.network,
        optimizer: session.optimizer.as_mut(),
        recorder: &mut session.recorder,
    };
    let found = step(trained, &spec.recipe, example, draws, lr)?;

    if let Some(average) = &mut session.average {
        average.update(&session.built.network)?;
    }
    session.position.step = draws.step;
    session.position.batches_done += 1;
    session.unheard.push(found);
    Ok(())
}

/// Pictures and seconds of an epoch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Training {
    start: Instant,
    images: usize,
    trained: Option<f64>,
}

impl Training {
    fn start() -> Self {
        Self {
            start: Instant::now(),
            images: 0,
            trained: None,
        }
    }

    fn add(&mut self, images: usize) {
        self.images += images;
    }

    /// Training is over; validation follows.
    fn stop(&mut self) {
        self.trained = Some(self.seconds());
    }

    /// Seconds since the epoch began.
    pub(crate) fn seconds(&self) -> f64 {
        self.start.elapsed().as_secs_f64()
    }

    /// Training pictures per second.
    pub(crate) fn images_per_second(&self) -> f64 {
        self.images as f64
            / self
                .trained
                .unwrap_or_else(|| self.seconds())
                .max(f64::MIN_POSITIVE)
    }
}
