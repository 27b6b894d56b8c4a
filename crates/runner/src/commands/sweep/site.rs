//! The results folders of a sweep: that of its experiment and those of the experiments it starts from.

use std::{collections::BTreeMap, fs, path::Path};

use graft_data::Source;
use graft_record::{Plan as PlanRecord, ResultsFolder, SweepLock, TrialKey};

use super::{materials::Materials, repeats::Repeats, results_root, samples, selection::Standing};
use crate::{experiment::Experiment, failure::Failure, plan::Plan};

/// A results folder that is this sweep's alone while it lives.
pub(super) struct Site {
    pub(super) results: ResultsFolder,
    _lock: SweepLock,
    /// Whether this sweep made the folder.
    made: bool,
}

impl Site {
    /// Makes the folder and takes it, or says who has it or why it can't be written.
    pub(super) fn take(results_dir: &Path, experiment: &str) -> Result<Self, Failure> {
        let root = results_root(results_dir, experiment);
        let made = !root.exists();
        let results = ResultsFolder::create(&root).map_err(Failure::bad_input)?;
        let lock = results.lock().map_err(Failure::bad_input)?;
        Ok(Self {
            results,
            _lock: lock,
            made,
        })
    }

    /// Removes the folder again if this sweep made it and nothing was written into it.
    pub(super) fn abandon(self) {
        if self.made {
            let root = self.results.root();
            // Only empty folders can be removed this way, so nothing is lost whatever else is in them.
            let removed = fs::remove_dir(root.join("trials"))
                .and_then(|()| fs::remove_file(root.join(".lock")))
                .and_then(|()| fs::remove_dir(root));
            // A leftover does no harm.
            drop(removed);
        }
    }
}

/// The results folders that a sweep writes into, by name of the experiment.
pub(super) struct Sites {
    by_name: BTreeMap<String, Site>,
}

impl Sites {
    /// The folders of a plan: that of the experiment itself is taken already, those of its sources are taken now if
    /// one of their trials is to be run or blocked, or if their report is not what their records say, such as after a
    /// sweep that was killed. Others are only read.
    pub(super) fn take(
        results_dir: &Path,
        experiment: &Experiment,
        own: Site,
        plan: &Plan,
        standings: &[Standing],
    ) -> Result<Self, Failure> {
        let mut by_name = BTreeMap::from([(experiment.name.clone(), own)]);
        for (trial, standing) in plan.trials.iter().zip(standings) {
            let is_written = matches!(standing, Standing::ToRun { .. } | Standing::Blocked(_));
            if is_written && !by_name.contains_key(&trial.experiment) {
                by_name.insert(
                    trial.experiment.clone(),
                    Site::take(results_dir, &trial.experiment)?,
                );
            }
        }
        for trial in &plan.trials {
            let name = &trial.experiment;
            if by_name.contains_key(name) || has_report(results_dir, name, plan, standings) {
                continue;
            }
            // Whoever has it makes its report; and where nothing can be written, there never was one.
            if let Ok(site) = Site::take(results_dir, name) {
                by_name.insert(name.clone(), site);
            }
        }
        Ok(Self { by_name })
    }

    /// All results folders with the names of their experiments.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&String, &ResultsFolder)> {
        self.by_name
            .iter()
            .map(|(name, site)| (name, &site.results))
    }

    /// The folders whose experiment and pictures are known, with both.
    fn described<'a>(
        &'a self,
        experiment: &'a Experiment,
        materials: &'a Materials,
    ) -> impl Iterator<Item = (&'a ResultsFolder, &'a Experiment, &'a dyn Source)> {
        self.by_name.iter().filter_map(move |(name, site)| {
            let described = find(experiment, name)?;
            let source = materials.source(&described.source)?;
            Some((&site.results, described, &**source))
        })
    }

    /// Writes what the reports need to know of each experiment: itself, its plan and its pictures.
    pub(super) fn describe(
        &self,
        experiment: &Experiment,
        plan: &Plan,
        materials: &Materials,
        repeats: &Repeats<'_>,
    ) -> Result<(), Failure> {
        for (results, described, source) in self.described(experiment, materials) {
            results
                .write_experiment(described.to_toml())
                .map_err(Failure::some_failed)?;
            samples::write(results, described, source)?;
        }
        self.write_plans(experiment, plan, materials, repeats)
    }

    /// Writes which trials there are to be in each folder.
    pub(super) fn write_plans(
        &self,
        experiment: &Experiment,
        plan: &Plan,
        materials: &Materials,
        repeats: &Repeats<'_>,
    ) -> Result<(), Failure> {
        for (results, described, source) in self.described(experiment, materials) {
            let mut record = plan_record(described, plan, source.classes(), repeats);
            if described.name != experiment.name {
                keep_earlier_trials(results, &mut record);
            }
            let written = results.write_plan(&record);
            written.map_err(Failure::some_failed)?;
        }
        Ok(())
    }
}

/// Whether the report of a source experiment is there, with the finished trials of the plan in it.
fn has_report(results_dir: &Path, experiment: &str, plan: &Plan, standings: &[Standing]) -> bool {
    let Ok(results) = ResultsFolder::open(results_root(results_dir, experiment)) else {
        return false;
    };
    let Ok(Some(reported)) = results.plan() else {
        return false;
    };
    let mut used = plan
        .trials
        .iter()
        .zip(standings)
        .filter(|(trial, standing)| {
            trial.experiment == experiment && **standing == Standing::Finished
        });
    used.all(|(trial, _)| reported.trials.contains(&trial.key))
        && graft_report::is_current(&results)
}

/// The experiment of a name among `experiment` and those that it starts from.
pub(super) fn find<'e>(experiment: &'e Experiment, name: &str) -> Option<&'e Experiment> {
    if experiment.name == name {
        return Some(experiment);
    }
    experiment
        .parents
        .values()
        .find_map(|parent| find(parent, name))
}

fn plan_record(
    experiment: &Experiment,
    plan: &Plan,
    classes: &[String],
    repeats: &Repeats<'_>,
) -> PlanRecord {
    let places = plan.trials.iter().enumerate();
    let own = places.filter(|(_, trial)| trial.experiment == experiment.name);
    let wanted = own.filter(|(place, _)| repeats.is_wanted(*place));
    PlanRecord {
        format: PlanRecord::FORMAT,
        experiment: experiment.name.clone(),
        seed: experiment.seed,
        repeats: experiment.repeats,
        reference: Some(experiment.reference.clone()),
        variants: experiment
            .variants
            .iter()
            .map(|variant| variant.name.clone())
            .collect(),
        cells: experiment.cells.clone(),
        classes: classes.to_vec(),
        trials: wanted.map(|(_, trial)| trial.key.clone()).collect(),
    }
}

/// A sweep plans only those trials of a source experiment that it needs. Others that the source's own sweep planned
/// stay in its plan, unless they are older versions of the needed ones.
fn keep_earlier_trials(results: &ResultsFolder, record: &mut PlanRecord) {
    let Ok(Some(earlier)) = results.plan() else {
        return;
    };
    let place = |key: &TrialKey| (key.variant.clone(), key.cell.clone(), key.repeat);
    for key in earlier.trials {
        let known = record.variants.contains(&key.variant) && record.cells.contains(&key.cell);
        if known
            && record
                .trials
                .iter()
                .all(|other| place(other) != place(&key))
        {
            record.trials.push(key);
        }
    }
}
