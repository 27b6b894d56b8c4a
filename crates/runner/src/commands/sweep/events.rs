//! Event files for TensorBoard, of trials that finished without them.

use std::path::Path;

use graft_record::ResultsFolder;
use graft_trainer::{events_file, write_events};

use super::{results_root, selection::Standing, site, trial_folder};
use crate::{
    experiment::Experiment,
    failure::Failure,
    plan::{Plan, PlannedTrial},
};

/// Whether the experiment of a trial, `experiment` or one that it starts from, wants event files.
pub(super) fn are_wanted(experiment: &Experiment, trial: &PlannedTrial) -> bool {
    let own = site::find(experiment, &trial.experiment);
    own.is_some_and(|own| own.tensorboard)
}

/// Writes the event files of finished trials that have none, from their records. Their weights are gone, so there are no
/// histograms in them.
pub(super) fn write_missing(
    experiment: &Experiment,
    plan: &Plan,
    standings: &[Standing],
    results_dir: &Path,
) -> Result<(), Failure> {
    let finished = |(_, standing): &(_, &Standing)| **standing == Standing::Finished;
    for (trial, _) in plan.trials.iter().zip(standings).filter(finished) {
        if !are_wanted(experiment, trial) {
            continue;
        }
        let root = results_root(results_dir, &trial.experiment);
        let results = ResultsFolder::open(root).map_err(Failure::some_failed)?;
        if events_file(&results, &trial.key).exists() {
            continue;
        }
        let folder = trial_folder(results_dir, trial);
        let rows = folder.epochs().map_err(Failure::some_failed)?;
        let timing = folder.timing().unwrap_or_default();
        write_events(&results, &trial.key, &trial.spec, &rows, &timing)
            .map_err(Failure::some_failed)?;
    }
    Ok(())
}
