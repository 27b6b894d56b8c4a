//! A place for a worker.

use super::{pace::Pace, process::WorkerProcess};

/// A place for a worker, with its process once it is needed.
#[derive(Default)]
pub(super) struct Slot {
    pub(super) process: Option<WorkerProcess>,
    /// Which of the processes that were started: messages of an earlier one in this place are told by it.
    pub(super) generation: u64,
    pub(super) running: Option<Running>,
    /// Whether its process has accepted a trial.
    pub(super) has_accepted: bool,
    pub(super) last_cohort: Option<String>,
    /// Whether its process has opened its device already.
    pub(super) is_warm: bool,
    /// Whether a process in this place was ever told to open its device ahead of a trial.
    pub(super) was_prepared: bool,
    /// Why its process was killed, if the schedule did that.
    pub(super) killed_because: Option<String>,
}

/// A trial on a worker.
#[derive(Clone, Copy)]
pub(super) struct Running {
    /// The trial.
    pub(super) place: usize,
    pub(super) threads: usize,
    /// Whether the worker has said that it has the trial.
    pub(super) accepted: bool,
    /// Whether it was asked to come back for more threads.
    pub(super) moving: bool,
    pub(super) pace: Option<Pace>,
}

impl Slot {
    /// Ends the worker at once.
    pub(super) fn kill(&mut self, because: &str) {
        if let Some(process) = &mut self.process {
            self.killed_because = Some(because.to_owned());
            process.kill();
        }
    }

    /// Lets an idle worker exit and waits for it.
    pub(super) fn retire(&mut self) {
        // One that has not said anything yet may be busy with opening its device.
        if !self.has_accepted && !self.is_warm {
            self.kill("it was not needed");
        }
        self.is_warm = false;
        if let Some(process) = self.process.take() {
            // How an idle worker exits concerns no trial.
            drop(process.finish());
        }
    }
}
