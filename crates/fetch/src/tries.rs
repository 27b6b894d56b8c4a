//! When a failed request is worth another one.

use std::time::Duration;

use crate::{Options, Progress, request::Failure};

/// Longest wait that a server may ask for.
const LONGEST_WAIT: u64 = 60;

/// The tries to get one answer.
pub(crate) struct Tries<'a> {
    options: &'a Options,
    /// How the progress calls what is asked for.
    name: &'a str,
    /// Requests so far.
    pub(crate) made: u32,
    /// Failures in a row.
    failures: u32,
}

impl<'a> Tries<'a> {
    pub(crate) fn new(options: &'a Options, name: &'a str) -> Self {
        Self {
            options,
            name,
            made: 0,
            failures: 0,
        }
    }

    /// Forgets the failures so far: the last try was worth while.
    pub(crate) fn forgive(&mut self) {
        self.failures = 0;
    }

    /// Waits for the next try; false, without a wait, if none makes sense. A server that `was_there`, because
    /// something of it arrived, is worth another try even if the line is dead now.
    pub(crate) fn again(
        &mut self,
        failure: &Failure,
        was_there: bool,
        progress: &mut dyn Progress,
    ) -> bool {
        self.failures += 1;
        if self.failures > self.options.retries {
            return false;
        }
        let Some(wait) = wait_for(failure, self.failures, was_there) else {
            return false;
        };
        progress.note(&format!(
            "{}: {failure}; trying again in {} s",
            self.name,
            wait.as_secs()
        ));
        self.options.pause.pause(wait);
        true
    }
}

/// How long to wait before the next try after `failures` in a row: 1, 2, 4 … seconds, or what the server asks for;
/// `None` if another try makes no sense.
fn wait_for(failure: &Failure, failures: u32, was_there: bool) -> Option<Duration> {
    let backoff = Duration::from_secs(1 << (failures - 1).min(5));
    match failure {
        Failure::Status {
            status: 408 | 429 | 500 | 502 | 503 | 504,
            retry_after,
            ..
        } => Some(match retry_after {
            Some(seconds) if *seconds > LONGEST_WAIT => return None,
            Some(seconds) => backoff.max(Duration::from_secs(*seconds)),
            None => backoff,
        }),
        Failure::Cut { .. } => Some(backoff),
        Failure::Timeout { .. } => (was_there || failures == 1).then_some(backoff),
        Failure::Connection { passing, .. } => (*passing || was_there).then_some(backoff),
        Failure::Status { .. } | Failure::Final(_) => None,
    }
}
