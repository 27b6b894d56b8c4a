//! The training loop.

use std::time::Instant;

use graft_data::Split;

use crate::{
    Observer, Outcome, StepProgress, TrainError,
    inputs::{Example, Inputs},
    session::Session,
    step::{Draws, StepResult, step},
};

/// Trains until the recipe's last epoch, the observer's wish to stop, or a loss that is not finite.
pub(crate) fn fit(
    session: &mut Session,
    observer: &mut dyn Observer,
) -> Result<Outcome, TrainError> {
    let epochs = session.trial.spec.recipe.epochs;
    while session.position.epochs_done < epochs {
        let epoch = session.position.epochs_done + 1;
        let mut training = Training::start();
        let mut progress = StepProgress::begin(epoch, epochs, session.loader.batches(Split::Train));
        let mut inputs = Inputs::new(session, epoch, session.position.batches_done);
        while let Some(example) = inputs.next(&session.built.network, &session.device)? {
            let (loss, images) = train_step(session, &example)?;
            if !loss.is_finite() {
                return session.diverge();
            }
            training.add(images);
            progress.batch = session.position.batches_done;
            progress.train_loss = session.position.tally.mean_loss();
            progress.images_per_second = training.images_per_second();
            observer.step(&progress);
            if observer.should_stop() {
                return session.interrupt();
            }
            session.save_if_due()?;
        }
        training.stop();
        let validated = session
            .validation
            .run(&session.built.network, &mut |batch, batches| {
                observer.step(&StepProgress {
                    batch,
                    batches,
                    validating: true,
                    ..progress
                });
                !observer.should_stop()
            })?;
        let Some(validation) = validated else {
            return session.interrupt();
        };
        if !validation.mean_loss().is_finite() {
            return session.diverge();
        }
        session.end_epoch(training, validation, observer)?;
    }
    session.finish()
}

/// One step on one batch. Returns the batch's mean loss and its number of pictures.
fn train_step(session: &mut Session, example: &Example) -> Result<(f64, usize), TrainError> {
    let (spec, lr) = (&session.trial.spec, session.lr());
    let draws = Draws {
        seed: spec.seed,
        repeat: u64::from(spec.repeat),
        step: session.position.step + 1,
    };
    let (network, optimizer) = (&session.built.network, session.optimizer.as_mut());
    let StepResult { loss, correct } = step(network, optimizer, example, draws, lr)?;

    let images = example.labels.len();
    session.position.step = draws.step;
    session.position.batches_done += 1;
    session.position.tally.add(loss, correct, images);
    Ok((loss, images))
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
