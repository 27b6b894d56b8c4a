//! Which trials of a plan have to run.

use graft_record::{State, TrialFolder};

use crate::plan::{Plan, PlannedTrial};

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
pub(super) fn standings(
    plan: &Plan,
    folder: impl Fn(&PlannedTrial) -> TrialFolder,
    retry_failed: bool,
) -> Vec<Standing> {
    let mut standings: Vec<Standing> = Vec::with_capacity(plan.trials.len());
    for trial in &plan.trials {
        let standing = match standing(&folder(trial), retry_failed) {
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
    standings
}

fn standing(folder: &TrialFolder, retry_failed: bool) -> Standing {
    // A status that can't be read belongs to a trial that has to run again.
    let Ok(Some(status)) = folder.status() else {
        return Standing::ToRun { epochs_done: 0 };
    };
    match status.state {
        State::Finished => Standing::Finished,
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
    }
}
