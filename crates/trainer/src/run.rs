//! One trial from its folder to its record.

use std::{io::ErrorKind, time::Duration};

use graft_record::{RecordError, ResultsFolder, State, Status, TrialFolder};

use crate::{
    Observer, Outcome, Resources, TrainError, Trial, device, fit::fit, out_of_memory::explained,
    session::Session,
};

/// How long a worker that has just lost its parent may still hold a trial.
const LOCK_WAIT: Duration = Duration::from_secs(30);

/// Runs a trial to its end, or from where it stopped, or not at all if it has finished.
///
/// The trial's folder holds the outcome afterwards: its status, epochs, checkpoints and predictions. The caller chooses
/// the number of threads by running this inside a rayon pool; the result does not depend on it.
///
/// # Errors
/// When the trial can't go on: its pictures, weights or results folder can't be read or written. The reason
/// is in the trial's `status.json` too. An error of the results folder leaves the trial to be run again.
pub fn run_trial(
    trial: &Trial,
    resources: &mut Resources,
    observer: &mut dyn Observer,
) -> Result<Outcome, TrainError> {
    let folder = ResultsFolder::open(&trial.results)?.trial(&trial.key);
    let _lock = folder.lock_within(LOCK_WAIT)?;
    if let Some(outcome) = finished(&folder)? {
        return Ok(outcome);
    }
    forget_damaged(&folder, observer)?;
    let mut outcome = attempt(trial, &folder, resources, observer);
    // Results matter more than features that can be computed again.
    if outcome.as_ref().is_err_and(is_disk_full) && resources.make_room(trial) {
        observer.log("the disk is full: features that were kept on it are removed");
        outcome = attempt(trial, &folder, resources, observer);
    }
    // Others on the device have a use for what this trial no longer needs; so has the next one here, of other sizes.
    device::give_memory_back();
    if let Err(error) = &outcome {
        record_failure(&folder, error, observer);
    }
    outcome
}

/// Runs a trial from where it is.
fn attempt(
    trial: &Trial,
    folder: &TrialFolder,
    resources: &mut Resources,
    observer: &mut dyn Observer,
) -> Result<Outcome, TrainError> {
    let outputs = resources.pictures(trial)?.source().outputs();
    let attempted =
        Session::open(trial, folder.clone(), resources, observer).and_then(|mut session| {
            let outcome = fit(&mut session, observer);
            resources.keep_network(session.into_network());
            outcome
        });
    attempted.map_err(|error| explained(error, trial, outputs))
}

/// Whether the results could not be written because there is no room for them.
fn is_disk_full(error: &TrainError) -> bool {
    let TrainError::Record(RecordError::Io { error, .. }) = error else {
        return false;
    };
    matches!(
        error.kind(),
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded
    )
}

/// The outcome of a trial that has finished.
fn finished(folder: &TrialFolder) -> Result<Option<Outcome>, TrainError> {
    if !folder.is_finished() || !folder.damaged().is_empty() {
        return Ok(None);
    }
    Ok(folder.status()?.and_then(|status| {
        Some(Outcome::Finished {
            best_epoch: status.best_epoch?,
            // One that is no number is not written.
            best_val_accuracy: status.best_val_accuracy.unwrap_or(f64::NAN),
        })
    }))
}

/// What a trial goes on from.
const GOES_ON_FROM: [&str; 4] = [
    "epochs.csv",
    "evaluations.csv",
    "best.safetensors",
    "last.safetensors",
];

/// Makes a trial start over that was finished, if what it would go on from is not what it wrote then. Other files it makes
/// again from its checkpoints.
fn forget_damaged(folder: &TrialFolder, observer: &mut dyn Observer) -> Result<(), TrainError> {
    let damaged = folder.damaged();
    if damaged.is_empty() {
        return Ok(());
    }
    let named = damaged.join(", ");
    if damaged.iter().any(|name| GOES_ON_FROM.contains(&&**name)) {
        observer.log(&format!("damaged: {named}: starting over"));
        folder.remove_checkpoints()?;
    } else {
        observer.log(&format!(
            "damaged: {named}: made again from the checkpoints"
        ));
    }
    Ok(())
}

/// Writes why a trial failed into its status, as far as the results folder lets us.
fn record_failure(folder: &TrialFolder, error: &TrainError, observer: &mut dyn Observer) {
    let mut status = folder.status().ok().flatten().unwrap_or_else(|| Status {
        attempts: 1,
        ..Status::new(State::Failed)
    });
    // What the results folder could not take is no fault of the trial: it can go on when there is room again.
    // Nor is a device's memory that others use, too.
    let is_passing = matches!(error, TrainError::Record(RecordError::Io { .. }));
    status.state = if is_passing || error.is_out_of_memory() {
        State::Interrupted
    } else {
        State::Failed
    };
    status.error = Some(error.to_string());
    if let Err(unwritten) = folder.write_status(&status) {
        observer.log(&unwritten.to_string());
    }
}
