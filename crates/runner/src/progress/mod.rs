//! What a person sees while a sweep runs: bars on a terminal, plain lines elsewhere. Everything goes to stderr.

mod download;
mod label;
mod live;
mod outlook;
mod plain;
mod screen;

use std::{
    collections::{BTreeMap, BTreeSet},
    io::IsTerminal,
};

use graft_record::TrialKey;
use graft_trainer::StepProgress;

pub use download::DownloadProgress;
pub use label::fit_label;
pub use live::LiveProgress;
pub use outlook::{Outlook, TrialWork, rough};
pub use plain::PlainProgress;

use crate::{
    failure::printable,
    schedule::{End, Listener, Stop},
};

/// What the display knows of a sweep before it starts.
#[derive(Clone, Debug)]
pub struct Scene {
    /// The trials that will run, by id.
    pub trials: BTreeMap<String, TrialKey>,
    /// Those of them whose pictures have numbers in the place of classes.
    pub numbers: BTreeSet<String>,
    /// Trials in all, with those that need not run.
    pub total: usize,
    /// Trials that had finished before.
    pub finished: usize,
    /// Trials that run at a time.
    pub workers: usize,
    /// Training pictures of an epoch, by id of the trial; for the first guess of the time.
    pub pictures: BTreeMap<String, usize>,
    /// What is left to do and how long it takes.
    pub outlook: Outlook,
}

impl Scene {
    /// These trials, which were held, are to be run.
    fn grow(&mut self, ids: &[String]) {
        self.total += ids.len();
        for id in ids {
            self.outlook.release(id);
        }
    }

    /// What is told of a trial's validation.
    fn figure(&self, id: &str) -> &'static str {
        if self.numbers.contains(id) {
            "validation R²"
        } else {
            "validation accuracy"
        }
    }

    /// The trial's name for a person.
    fn name(&self, id: &str) -> String {
        self.trials
            .get(id)
            .map_or_else(|| id.to_owned(), TrialKey::to_string)
    }

    /// Follows a step: how much of the trial is left, and how long an epoch seems to take.
    fn follow(&mut self, id: &str, progress: &StepProgress) {
        let part = if progress.validating {
            1.0
        } else {
            progress.batch as f64 / progress.batches.max(1) as f64
        };
        self.outlook.left(
            id,
            f64::from(progress.epochs) - f64::from(progress.epoch) + 1.0 - part,
        );
        if let (Some(&pictures), true) = (self.pictures.get(id), progress.images_per_second > 0.0) {
            self.outlook
                .guess(id, pictures as f64 / progress.images_per_second);
        }
    }

    /// How long the rest will take, for a person; empty while nothing is known.
    fn left(&self) -> String {
        self.outlook
            .remaining(self.workers)
            .map_or_else(String::new, |left| format!("about {} left", rough(left)))
    }
}

/// Bars if stderr is a terminal, plain lines otherwise.
pub fn display(scene: Scene) -> Box<dyn Listener> {
    if std::io::stderr().is_terminal() {
        Box::new(LiveProgress::new(scene))
    } else {
        Box::new(PlainProgress::new(scene))
    }
}

/// How a trial ended, in a few words.
fn describe_end(end: &End, figure: &str) -> String {
    match end {
        End::Finished {
            best_epoch,
            best_val_accuracy,
        } => {
            format!("best {figure} {best_val_accuracy:.3} at epoch {best_epoch}")
        }
        End::Interrupted => "interrupted, can be resumed".to_owned(),
        End::Diverged { epoch, step } => {
            format!("diverged: the loss was not finite at epoch {epoch}, step {step}")
        }
        End::Failed { error }
        | End::Crashed { error }
        | End::OutOfMemory { error }
        | End::Unrecorded { error, .. } => {
            format!(
                "failed: {}",
                printable(error.lines().next().unwrap_or_default())
            )
        }
        // The whole message comes at the end of the sweep.
        End::DiskFull { error } => {
            format!("stopped: {}", error.lines().next().unwrap_or_default())
        }
        End::Blocked { source } => {
            format!("not run: the trial that it starts from ({source}) did not finish")
        }
    }
}

/// Why no more trials are started.
fn describe_stop(why: &Stop, running: usize) -> String {
    let trials = match running {
        0 => return describe_reason(why).to_owned(),
        1 => "1 running trial writes a checkpoint".to_owned(),
        n => format!("{n} running trials write checkpoints"),
    };
    let again = if *why == Stop::Signal {
        "; a second Ctrl-C kills"
    } else {
        ""
    };
    format!("{}: {trials}{again}", describe_reason(why))
}

fn describe_reason(why: &Stop) -> &'static str {
    match why {
        Stop::Signal => "stopping",
        Stop::TimeUp => "stopping because the time is up",
        Stop::FailFast => "stopping at the first failure",
        Stop::DiskFull(_) => "stopping because the results can't be written",
        Stop::NoWorkers(_) => "stopping because no worker process can be started",
    }
}
