//! Which trials of a plan have to run.

use graft_record::{RecordError, State, TrialFolder};

use crate::{
    failure::Failure,
    plan::{Plan, PlannedTrial},
};

/// What is to be done with a trial.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Standing {
    /// It has all its results.
    Finished,
    /// It runs, or goes on after so many epochs.
    ToRun {
        /// Epochs that are done.
        epochs_done: u32,
    },
    /// It failed or diverged earlier and is left alone. The message of the failure.
    Failed(String),
    /// The trial at this place of the plan, from whose checkpoint it starts, failed and is left alone.
    Blocked(usize),
}

/// How each trial of the plan stands. `folder` gives a trial's folder.
///
/// # Errors
/// When a newer version of the program has written one of them: it must not be run over.
pub(super) fn standings(
    plan: &Plan,
    folder: impl Fn(&PlannedTrial) -> TrialFolder,
    retry_failed: bool,
) -> Result<Vec<Standing>, Failure> {
    let mut standings: Vec<Standing> = Vec::with_capacity(plan.trials.len());
    for trial in &plan.trials {
        let standing = match standing(&folder(trial), retry_failed).map_err(Failure::bad_input)? {
            // A trial stands after those that it depends on.
            Standing::ToRun { epochs_done } => trial
                .dependencies
                .iter()
                .find(|&&parent| {
                    matches!(
                        standings[parent],
                        Standing::Failed(_) | Standing::Blocked(_)
                    )
                })
                .map_or(Standing::ToRun { epochs_done }, |&parent| {
                    Standing::Blocked(parent)
                }),
            other => other,
        };
        standings.push(standing);
    }
    // Last first, since a source that is trained again needs its own source.
    for (place, trial) in plan.trials.iter().enumerate().rev() {
        if !matches!(standings[place], Standing::ToRun { .. }) {
            continue;
        }
        for &source in &trial.dependencies {
            let used = folder(&plan.trials[source]);
            let checkpoint = if trial.previous == Some(source) {
                used.last_checkpoint()
            } else {
                used.best_checkpoint()
            };
            if standings[source] == Standing::Finished && !used.is_whole(&checkpoint) {
                standings[source] = Standing::ToRun { epochs_done: 0 };
            }
        }
    }
    Ok(standings)
}

fn standing(folder: &TrialFolder, retry_failed: bool) -> Result<Standing, RecordError> {
    let status = match folder.status() {
        Ok(Some(status)) => status,
        Err(error) if is_newer(&error) => return Err(error),
        // A status that can't be read belongs to a trial that has to run again.
        Ok(None) | Err(_) => return Ok(Standing::ToRun { epochs_done: 0 }),
    };
    Ok(match status.state {
        State::Finished if folder.is_finished() => Standing::Finished,
        // Parts of its record are gone or damaged: it is made again.
        State::Finished => Standing::ToRun { epochs_done: 0 },
        // Never started means that it was blocked, and its source may have recovered.
        State::Failed | State::Diverged if !retry_failed && status.attempts > 0 => {
            Standing::Failed(
                status
                    .error
                    .unwrap_or_else(|| "it does not say why".to_owned()),
            )
        }
        _ => Standing::ToRun {
            epochs_done: status.epochs_done,
        },
    })
}

/// Whether a file is whole, but of a newer format.
fn is_newer(error: &RecordError) -> bool {
    let RecordError::Format {
        found, expected, ..
    } = error
    else {
        return false;
    };
    found
        .parse()
        .is_ok_and(|found: u64| found > u64::from(*expected))
}
