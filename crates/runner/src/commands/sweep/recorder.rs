//! Writes down what a worker could not write itself, and keeps what has to be said at the end of a sweep.

use std::collections::BTreeMap;

use graft_record::{EpochRow, RecordError, State, Status, TimingRow, TrialFolder, TrialKey};
use graft_trainer::StepProgress;

use super::repeats::{Repeats, last_accuracy};
use crate::{
    failure::Failure,
    schedule::{End, Job, Listener, Stop},
};

/// A trial that failed.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct FailedTrial {
    pub(super) name: String,
    pub(super) error: String,
    pub(super) folder: TrialFolder,
    /// Whether the next sweep tries it again without being told to.
    pub(super) is_resumed: bool,
}

/// Listens to a sweep, records crashes, and passes everything on to the display.
pub(super) struct Recorder<'a> {
    display: Box<dyn Listener>,
    /// What adds repeats.
    pub(super) growth: Growth<'a>,
    trials: BTreeMap<String, (TrialKey, TrialFolder)>,
    /// The trials that failed, in the order in which they did.
    pub(super) failed: Vec<FailedTrial>,
    /// What could not be written.
    pub(super) problems: Vec<String>,
}

/// Writes down which trials are wanted.
pub(super) type Write<'a> = dyn Fn(&Repeats<'_>) -> Result<(), Failure> + 'a;

/// What adds repeats to a sweep.
pub(super) struct Growth<'a> {
    /// Decides what is wanted.
    pub(super) repeats: Repeats<'a>,
    /// The ids of the jobs, in the order of the plan.
    pub(super) ids: Vec<String>,
    /// Writes down what is wanted.
    pub(super) write: Box<Write<'a>>,
    /// Ids of trials that are wanted from now on.
    pub(super) released: Vec<String>,
}

impl Growth<'_> {
    /// A trial has ended. Returns what could not be written.
    fn end(&mut self, job: &Job, accuracy: f64) -> Result<(), Failure> {
        let Some(place) = self.ids.iter().position(|id| *id == job.id) else {
            return Ok(());
        };
        let new = self.repeats.end(place, accuracy);
        if new.is_empty() {
            return Ok(());
        }
        let ids = new.into_iter().map(|place| self.ids[place].clone());
        self.released.extend(ids);
        (self.write)(&self.repeats)
    }
}

impl<'a> Recorder<'a> {
    /// A recorder of these trials, by the id of their jobs.
    pub(super) fn new(
        display: Box<dyn Listener>,
        trials: BTreeMap<String, (TrialKey, TrialFolder)>,
        growth: Growth<'a>,
    ) -> Self {
        Self {
            display,
            growth,
            trials,
            failed: Vec::new(),
            problems: Vec::new(),
        }
    }

    /// Adds repeats if the end of this trial asks for them.
    fn grow(&mut self, job: &Job, end: &End) {
        let accuracy = match end {
            End::Interrupted | End::DiskFull { .. } | End::Unrecorded { .. } => return,
            End::Finished { .. } => {
                let folder = self.trials.get(&job.id);
                folder.map_or(f64::NAN, |(_, folder)| last_accuracy(folder))
            }
            _ => f64::NAN,
        };
        if let Err(problem) = self.growth.end(job, accuracy) {
            let text = problem.text.trim_start_matches("error: ");
            self.problems.push(text.to_owned());
        }
    }

    fn keep_failure(&mut self, job: &Job, error: &str, kind: Kind) {
        let Some((key, folder)) = self.trials.get(&job.id) else {
            return;
        };
        let recorded = match kind {
            Kind::Failed => record_failure(folder, error, true),
            Kind::Blocked => record_failure(folder, error, false),
            // Whoever has it writes there.
            Kind::Unrecorded { in_use: true } => Ok(()),
            Kind::Unrecorded { in_use: false } => record_unstarted(folder, error),
        };
        if let Err(problem) = recorded {
            self.problems.push(problem.to_string());
        }
        self.failed.push(FailedTrial {
            name: key.to_string(),
            error: error.to_owned(),
            folder: folder.clone(),
            is_resumed: kind != Kind::Failed,
        });
    }
}

/// How a trial failed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// By itself.
    Failed,
    /// With the trial that it starts from.
    Blocked,
    /// Its folder could not be used.
    Unrecorded { in_use: bool },
}

/// Writes a failure into a trial's status and log, unless an end is written there already. A trial that was never
/// `started` has no attempt counted.
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
    match status.state {
        State::Finished | State::Diverged => return Ok(()),
        State::Failed if status.error.as_deref() == Some(error) && status.attempts > 0 => {
            return Ok(());
        }
        State::Failed | State::Running | State::Interrupted => {}
    }
    status.attempts = status.attempts.max(u32::from(started));
    status.state = State::Failed;
    status.error = Some(error.to_owned());
    folder.write_status(&status)?;
    folder.append_log(error)
}

/// Writes why a trial without a status could not be begun. The next sweep tries it again.
fn record_unstarted(folder: &TrialFolder, error: &str) -> Result<(), RecordError> {
    folder.create()?;
    if folder.status()?.is_some() {
        return Ok(());
    }
    folder.write_status(&Status {
        attempts: 0,
        error: Some(error.to_owned()),
        ..Status::new(State::Interrupted)
    })
}

impl Listener for Recorder<'_> {
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

    fn finished(&self, job: &Job) -> Option<End> {
        let (_, folder) = self.trials.get(&job.id)?;
        // A status that can't be read is no end.
        let status = folder.status().ok()??;
        (status.state == State::Finished).then_some(End::Finished {
            best_epoch: status.best_epoch?,
            best_val_accuracy: status.best_val_accuracy.unwrap_or(f64::NAN),
        })
    }

    fn ended(&mut self, job: &Job, worker: Option<usize>, end: &End) {
        match end {
            End::Finished { .. } | End::Interrupted | End::DiskFull { .. } => {}
            // The trial has recorded a failure itself, if it got that far.
            End::Failed { error } | End::Crashed { error } | End::OutOfMemory { error } => {
                self.keep_failure(job, error, Kind::Failed);
            }
            End::Unrecorded { error, in_use } => {
                self.keep_failure(job, error, Kind::Unrecorded { in_use: *in_use });
            }
            End::Diverged { epoch, step } => {
                let error =
                    format!("diverged: the loss was not finite at epoch {epoch}, step {step}");
                self.keep_failure(job, &error, Kind::Failed);
            }
            End::Blocked { source } => {
                self.keep_failure(job, &blocked_by(source), Kind::Blocked);
            }
        }
        self.display.ended(job, worker, end);
        self.grow(job, end);
    }

    fn released(&mut self) -> Vec<String> {
        let released = std::mem::take(&mut self.growth.released);
        if !released.is_empty() {
            self.display.grew(&released);
        }
        released
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Plan;

    struct Silent;

    impl Listener for Silent {
        fn started(&mut self, _job: &Job, _worker: usize, _threads: usize) {}
        fn step(&mut self, _job: &Job, _worker: usize, _progress: &StepProgress) {}
        fn epoch(&mut self, _job: &Job, _worker: usize, _row: &EpochRow, _timing: &TimingRow) {}
        fn moved(&mut self, _job: &Job, _worker: usize) {}
        fn ended(&mut self, _job: &Job, _worker: Option<usize>, _end: &End) {}
        fn stopping(&mut self, _why: &Stop, _running: usize) {}
        fn killing(&mut self, _running: usize) {}
        fn tick(&mut self) {}
    }

    /// The status after `end` of a trial with the status `before`, and whether the trial is resumed.
    fn after(before: Option<&Status>, end: &End) -> (Option<Status>, Option<bool>) {
        let root = tempfile::tempdir().unwrap();
        let folder = TrialFolder::new(root.path().join("trial"));
        if let Some(before) = before {
            folder.create().unwrap();
            folder.write_status(before).unwrap();
        }
        let key = TrialKey {
            variant: "v".to_owned(),
            cell: "base".to_owned(),
            repeat: 1,
            id: "0".repeat(16),
        };
        let trials = BTreeMap::from([("v".to_owned(), (key, folder.clone()))]);
        let job = Job {
            id: "v".to_owned(),
            needs: Vec::new(),
            cohort: String::new(),
            kind: String::new(),
            is_light: false,
            trial: serde_json::Value::Null,
            held: false,
        };
        let plan = Plan { trials: Vec::new() };
        let growth = Growth {
            repeats: Repeats::all(&plan),
            ids: Vec::new(),
            write: Box::new(|_| Ok(())),
            released: Vec::new(),
        };
        let mut recorder = Recorder::new(Box::new(Silent), trials, growth);
        recorder.ended(&job, Some(0), end);
        assert!(recorder.problems.is_empty(), "{:?}", recorder.problems);
        let resumed = recorder.failed.first().map(|trial| trial.is_resumed);
        (folder.status().unwrap(), resumed)
    }

    fn error() -> String {
        "it broke".to_owned()
    }

    #[test]
    fn a_crash_leaves_an_end_that_is_written_down() {
        for state in [State::Finished, State::Diverged] {
            let before = Status::new(state);
            let end = End::Crashed { error: error() };
            assert_eq!(after(Some(&before), &end).0, Some(before));
        }
        let (status, _) = after(
            Some(&Status::new(State::Running)),
            &End::Crashed { error: error() },
        );
        let status = status.unwrap();
        assert_eq!((status.state, status.error), (State::Failed, Some(error())));
    }

    #[test]
    fn a_failure_before_the_first_file_is_recorded() {
        let (status, resumed) = after(None, &End::Failed { error: error() });
        let status = status.unwrap();
        assert_eq!((status.state, status.attempts), (State::Failed, 1));
        assert_eq!((status.error, resumed), (Some(error()), Some(false)));
    }

    #[test]
    fn what_the_folder_could_not_take_is_run_again() {
        let end = |in_use| End::Unrecorded {
            error: error(),
            in_use,
        };
        assert_eq!(after(None, &end(true)), (None, Some(true)));
        let running = Status::new(State::Running);
        for in_use in [false, true] {
            let found = after(Some(&running), &end(in_use));
            assert_eq!(found, (Some(running.clone()), Some(true)));
        }
        let (status, resumed) = after(None, &end(false));
        let status = status.unwrap();
        assert_eq!(
            (status.state, status.error),
            (State::Interrupted, Some(error()))
        );
        assert_eq!(resumed, Some(true));
    }
}
