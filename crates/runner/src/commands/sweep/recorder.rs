//! Writes down what a worker could not write itself, and keeps what has to be said at the end of a sweep.

use std::collections::BTreeMap;

use graft_record::{EpochRow, RecordError, State, Status, TimingRow, TrialFolder, TrialKey};
use graft_trainer::StepProgress;

use crate::schedule::{End, Job, Listener, Stop};

/// A trial that failed.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct FailedTrial {
    pub(super) name: String,
    pub(super) error: String,
    pub(super) folder: TrialFolder,
}

/// Listens to a sweep, records crashes, and passes everything on to the display.
pub(super) struct Recorder {
    display: Box<dyn Listener>,
    trials: BTreeMap<String, (TrialKey, TrialFolder)>,
    /// The trials that failed, in the order in which they did.
    pub(super) failed: Vec<FailedTrial>,
    /// What could not be written.
    pub(super) problems: Vec<String>,
}

impl Recorder {
    /// A recorder of these trials, by the id of their jobs.
    pub(super) fn new(
        display: Box<dyn Listener>,
        trials: BTreeMap<String, (TrialKey, TrialFolder)>,
    ) -> Self {
        Self {
            display,
            trials,
            failed: Vec::new(),
            problems: Vec::new(),
        }
    }

    fn keep_failure(&mut self, job: &Job, error: &str, started: Option<bool>) {
        let Some((key, folder)) = self.trials.get(&job.id) else {
            return;
        };
        if let Some(started) = started
            && let Err(problem) = record_failure(folder, error, started)
        {
            self.problems.push(problem.to_string());
        }
        self.failed.push(FailedTrial {
            name: key.to_string(),
            error: error.to_owned(),
            folder: folder.clone(),
        });
    }
}

/// Writes a failure into a trial's status and log. A trial that was never `started` has no attempt counted.
pub(super) fn record_failure(
    folder: &TrialFolder,
    error: &str,
    started: bool,
) -> Result<(), RecordError> {
    folder.create()?;
    let fresh = || Status {
        attempts: u32::from(started),
        ..Status::new(State::Failed)
    };
    let mut status = folder.status().ok().flatten().unwrap_or_else(fresh);
    status.state = State::Failed;
    status.error = Some(error.to_owned());
    folder.write_status(&status)?;
    folder.append_log(error)
}

impl Listener for Recorder {
    fn started(&mut self, job: &Job, worker: usize, threads: usize) {
        self.display.started(job, worker, threads);
    }

    fn step(&mut self, job: &Job, worker: usize, progress: &StepProgress) {
        self.display.step(job, worker, progress);
    }

    fn epoch(&mut self, job: &Job, worker: usize, row: &EpochRow, timing: &TimingRow) {
        self.display.epoch(job, worker, row, timing);
    }

    fn moved(&mut self, job: &Job, worker: usize) {
        self.display.moved(job, worker);
    }

    fn ended(&mut self, job: &Job, worker: Option<usize>, end: &End) {
        match end {
            End::Finished { .. } | End::Interrupted | End::DiskFull { .. } => {}
            // The trial has recorded these itself.
            End::Failed { error } => self.keep_failure(job, error, None),
            End::Diverged { epoch, step } => {
                let error =
                    format!("diverged: the loss was not finite at epoch {epoch}, step {step}");
                self.keep_failure(job, &error, None);
            }
            End::Crashed { error } => self.keep_failure(job, error, Some(true)),
            End::Blocked { source } => {
                self.keep_failure(job, &blocked_by(source), Some(false));
            }
        }
        self.display.ended(job, worker, end);
    }

    fn stopping(&mut self, why: &Stop, running: usize) {
        self.display.stopping(why, running);
    }

    fn killing(&mut self, running: usize) {
        self.display.killing(running);
    }

    fn tick(&mut self) {
        self.display.tick();
    }
}

/// Why a trial was not run.
pub(super) fn blocked_by(source: &str) -> String {
    format!("not run: the trial that it starts from ({source}) did not finish")
}
