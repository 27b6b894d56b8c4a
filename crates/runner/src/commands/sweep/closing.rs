//! What a sweep says at its end.

use std::fmt::Write;

use super::recorder::FailedTrial;
use crate::{
    commands::folders::display,
    failure::{EXIT_SOME_FAILED, Failure, printable},
    interrupt::EXIT_INTERRUPTED,
    schedule::{Stop, Tally},
};

/// Causes that are named; more are only counted.
const NAMED: usize = 4;
/// Lines of a cause that are shown.
const LINES: usize = 6;

/// How the trials of a plan stand when the sweep ends.
pub(super) struct Closing<'a> {
    /// Trials in all.
    pub(super) total: usize,
    /// Trials that had finished before.
    pub(super) finished_before: usize,
    /// How the sweep went.
    pub(super) tally: &'a Tally,
    /// Trials that failed, now or in an earlier sweep.
    pub(super) failed: &'a [FailedTrial],
    /// How many of them were not tried this time.
    pub(super) left_alone: usize,
}

impl Closing<'_> {
    /// What was not as it should be; none if all trials have finished.
    pub(super) fn failure(&self) -> Option<Failure> {
        let finished = self.finished_before + self.tally.finished;
        let count = format!("{finished} of {} trials are finished", self.total);
        let mut failure = match &self.tally.stop {
            Some(Stop::Signal) => {
                let text =
                    format!("interrupted: {count}\nhint: run the same command again to go on");
                return Some(Failure::new(EXIT_INTERRUPTED, text));
            }
            Some(Stop::TimeUp) => {
                let mut text = format!(
                    "the time of --max-hours is up: {count}\nhint: run the same command again to go on"
                );
                if !self.failed.is_empty() {
                    let _ = write!(text, "\nerror: {}", self.name_failed());
                }
                return Some(Failure::new(EXIT_INTERRUPTED, text));
            }
            Some(Stop::DiskFull(error)) => {
                let mut failure = Failure::new(EXIT_SOME_FAILED, error)
                    .hint("free space on that disk, then run the same command again; finished trials are kept");
                let _ = write!(failure.text, "\n{count}; no finished result was lost");
                return Some(failure);
            }
            Some(Stop::NoWorkers(error)) => {
                let text = format!("no worker process can be started: {error}\n{count}");
                return Some(Failure::new(EXIT_SOME_FAILED, text));
            }
            _ if !self.failed.is_empty() => Failure::new(EXIT_SOME_FAILED, self.name_failed()),
            _ if self.tally.interrupted > 0 => {
                let text =
                    format!("interrupted: {count}\nhint: run the same command again to go on");
                return Some(Failure::new(EXIT_INTERRUPTED, text));
            }
            _ => return None,
        };
        if self.tally.stop == Some(Stop::FailFast) {
            let open = self.tally.not_started + self.tally.interrupted;
            let _ = write!(
                failure.text,
                "\nhint: --fail-fast left {open} trials to be run; {count}"
            );
        }
        Some(failure)
    }

    fn name_failed(&self) -> String {
        let number = self.failed.len();
        let earlier = match self.left_alone {
            0 => String::new(),
            n if n == number => " in an earlier sweep and are left alone".to_owned(),
            n => format!(", {n} of them in an earlier sweep"),
        };
        let trials = if self.total == 1 { "trial" } else { "trials" };
        let mut text = format!("{number} of {} {trials} failed{earlier}\n", self.total);
        let mut causes: Vec<(&str, Vec<&FailedTrial>)> = Vec::new();
        for trial in self.failed {
            match causes.iter_mut().find(|(cause, _)| *cause == trial.error) {
                Some((_, trials)) => trials.push(trial),
                None => causes.push((&trial.error, vec![trial])),
            }
        }
        for (cause, trials) in causes.iter().take(NAMED) {
            let first = trials[0];
            let others = match trials.len() - 1 {
                0 => String::new(),
                n => format!(" and {n} more"),
            };
            let _ = writeln!(text, "  {}{others}:", first.name);
            for line in cause.lines().take(LINES) {
                let _ = writeln!(text, "    {}", printable(line));
            }
            let log = first.folder.path().join("log.txt");
            if log.is_file() {
                let _ = writeln!(text, "    log: {}", display(&log));
            }
        }
        if causes.len() > NAMED {
            let _ = writeln!(text, "  and {} more causes", causes.len() - NAMED);
        }
        text.push_str(if self.failed.iter().all(|trial| trial.is_resumed) {
            "hint: run the same command again to go on"
        } else {
            "hint: run the same command with --retry-failed to try them again"
        });
        text
    }
}
