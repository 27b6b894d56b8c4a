//! `graft sweep`: from an experiment file to its results.

mod closing;
mod dry_run;
mod materials;
mod recorder;
mod samples;
mod selection;
mod site;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    thread::available_parallelism,
    time::Duration,
};

use graft_data::DataFolders;
use graft_model::{WeightsFolders, WeightsSpec};
use graft_record::{ResultsFolder, TrialFolder, TrialKey, safe_name};
use graft_trainer::{FeatureCache, Trial};

pub(super) use self::materials::Needs;
use self::{
    closing::Closing,
    materials::Materials,
    recorder::{FailedTrial, Recorder, blocked_by, record_failure},
    selection::{Standing, standings},
    site::{Site, Sites},
};
use super::{
    Answer,
    folders::{self, list_results},
};
use crate::{
    cli::SweepArgs,
    experiment::{Experiment, Problems, RawExperiment},
    failure::{Failure, printable},
    interrupt,
    plan::{Plan, PlannedTrial, shared_features},
    progress::{Outlook, Scene, TrialWork, display},
    schedule::{Job, Schedule, Settings, Stop, Tally, WorkerProgram},
};

/// Seconds between checkpoints of a running trial.
const CHECKPOINT_SECONDS: f64 = 10.0;

/// Where features of frozen backbones are kept, in the folder with all results.
const FEATURE_FOLDER: &str = ".cache/features";

/// A trial that still runs longer than this is moved to idle cores.
const WORTH_MOVING: Duration = Duration::from_secs(15);

/// Runs the trials of an experiment that have not finished, then reports.
pub fn sweep(args: &SweepArgs) -> Result<Answer, Failure> {
    let experiment = read_experiment(args)?;
    graft_trainer::device::open(&args.device).map_err(Failure::bad_input)?;
    let offline = folders::is_offline(args.offline);
    let data = folders::data(&args.data_dir, offline);
    let weights = WeightsFolders::from_env(&args.weights_dir, offline);
    let cores = available_parallelism().map_or(1, usize::from);
    let workers = args.jobs.map_or(cores, |jobs| jobs as usize);
    if args.dry_run {
        return dry_run::dry_run(args, &experiment, &data, &weights, workers);
    }
    let own = Site::take(&args.results_dir, &experiment.name)?;
    let prepared = Materials::gather(&experiment, &data, &weights)
        .and_then(|mut materials| Ok((Plan::new(&experiment, &mut materials)?, materials)))
        .and_then(|(plan, materials)| {
            let folder = |trial: &_| trial_folder(&args.results_dir, trial);
            let standings = standings(&plan, folder, args.retry_failed)?;
            Ok((plan, materials, standings))
        });
    let (plan, materials, standings) = match prepared {
        Ok(prepared) => prepared,
        Err(failure) => {
            own.abandon();
            return Err(failure);
        }
    };
    for note in materials.notes() {
        eprintln!("note: {}", printable(&note));
    }
    let sites = Sites::take(&args.results_dir, &experiment, own, &plan, &standings)?;
    sites.describe(&experiment, &plan, &materials)?;
    let run = Run {
        args,
        data: &data,
        plan: &plan,
        materials: &materials,
        sites: &sites,
        cores,
        workers,
    };
    run.run_and_report(&experiment, &standings)
}

fn read_experiment(args: &SweepArgs) -> Result<Experiment, Failure> {
    let read = || -> Result<Experiment, Problems> {
        let mut raw = RawExperiment::read(&args.experiment)?;
        raw.set(&args.set);
        raw.resolve()
    };
    read().map_err(Failure::bad_input)
}

/// The results folder of an experiment.
fn results_root(results_dir: &Path, experiment: &str) -> PathBuf {
    results_dir.join(safe_name(experiment))
}

/// The folder of a trial, which need not exist.
fn trial_folder(results_dir: &Path, trial: &PlannedTrial) -> TrialFolder {
    let root = results_root(results_dir, &trial.experiment);
    match ResultsFolder::open(&root) {
        Ok(results) => results.trial(&trial.key),
        // Then no trial has begun.
        Err(_) => TrialFolder::new(root),
    }
}

/// A sweep whose folders are taken and whose materials are there.
struct Run<'a> {
    args: &'a SweepArgs,
    data: &'a DataFolders,
    plan: &'a Plan,
    materials: &'a Materials,
    sites: &'a Sites,
    cores: usize,
    workers: usize,
}

impl Run<'_> {
    fn run_and_report(
        &self,
        experiment: &Experiment,
        standings: &[Standing],
    ) -> Result<Answer, Failure> {
        let mut failed = self.record_left_alone(standings)?;
        let left_alone = failed.len();
        let finished_before = standings
            .iter()
            .filter(|standing| **standing == Standing::Finished)
            .count();
        let (tally, newly_failed) = self.run(standings, finished_before)?;
        failed.extend(newly_failed);
        let total = self.plan.trials.len();
        let closing = Closing {
            total,
            finished_before,
            tally: &tally,
            failed: &failed,
            left_alone,
        };
        let failure = closing.failure();
        if matches!(
            tally.stop,
            Some(Stop::Signal | Stop::DiskFull(_) | Stop::NoWorkers(_))
        ) {
            return Ok(Answer {
                text: String::new(),
                failure,
            });
        }
        let mut text = String::new();
        for (name, results) in self.sites.iter() {
            let report = graft_report::write(results).map_err(report_failure)?;
            if *name == experiment.name {
                text = format!(
                    "{}{}",
                    report.verdict(),
                    list_results(results.root(), &report.files)
                );
            }
        }
        Ok(Answer { text, failure })
    }

    /// Names the trials that failed earlier and are not tried again, and writes down which ones they block.
    fn record_left_alone(&self, standings: &[Standing]) -> Result<Vec<FailedTrial>, Failure> {
        let mut failed = Vec::new();
        for (trial, standing) in self.plan.trials.iter().zip(standings) {
            let folder = self.folder(trial);
            let error = match standing {
                Standing::Finished | Standing::ToRun { .. } => continue,
                Standing::Failed(error) => error.clone(),
                Standing::Blocked(source) => {
                    let error = blocked_by(&job_id(&self.plan.trials[*source]));
                    record_failure(&folder, &error, false).map_err(Failure::some_failed)?;
                    error
                }
            };
            failed.push(FailedTrial {
                name: trial.key.to_string(),
                error,
                folder,
                is_resumed: matches!(standing, Standing::Blocked(_)),
            });
        }
        Ok(failed)
    }

    /// Runs what is to be run.
    fn run(
        &self,
        standings: &[Standing],
        finished_before: usize,
    ) -> Result<(Tally, Vec<FailedTrial>), Failure> {
        let to_run: Vec<&PlannedTrial> = self
            .plan
            .trials
            .iter()
            .zip(standings)
            .filter(|(_, standing)| matches!(standing, Standing::ToRun { .. }))
            .map(|(trial, _)| trial)
            .collect();
        let total = self.plan.trials.len();
        if to_run.is_empty() {
            if finished_before == total {
                eprintln!("nothing to do: all {total} trials are finished");
            }
            return Ok((Tally::default(), Vec::new()));
        }
        let workers = self.workers.min(to_run.len());
        eprintln!(
            "{total} trials, {finished_before} finished already, {} to run on {workers} {}",
            to_run.len(),
            if workers == 1 { "worker" } else { "workers" }
        );
        let jobs = to_run
            .iter()
            .map(|trial| self.job(trial))
            .collect::<Result<Vec<_>, _>>()?;
        let executable = std::env::current_exe().map_err(|error| {
            Failure::bad_input(format!(
                "can't find the program to start workers with: {error}"
            ))
        })?;
        let settings = Settings {
            workers,
            cores: self.cores,
            worth_moving: WORTH_MOVING,
            fail_fast: self.args.fail_fast,
            program: WorkerProgram {
                program: executable,
                args: vec!["worker".into()],
            },
        };
        let schedule = Schedule::new(jobs, settings);
        let signals = schedule.signal_sender();
        let _listening = interrupt::listen(move || signals.signal());
        let mut recorder = Recorder::new(
            display(self.scene(&to_run, standings, finished_before)),
            self.folders(&to_run),
        );
        let tally = schedule.run(&mut recorder);
        let Recorder {
            failed, problems, ..
        } = recorder;
        for problem in problems {
            eprintln!("warning: {problem}");
        }
        Ok((tally, failed))
    }

    /// The trial as a worker is handed it.
    fn job(&self, trial: &PlannedTrial) -> Result<Job, Failure> {
        let weights_file = match &trial.spec.weights {
            None => None,
            Some(WeightsSpec::Trial { .. }) => trial.dependencies.first().map(|&source| {
                // A finished trial is never written again, so its folder need not be taken.
                self.folder(&self.plan.trials[source]).best_checkpoint()
            }),
            Some(weights) => self.materials.weights_file(weights).cloned(),
        };
        let handed = Trial {
            spec: trial.spec.clone(),
            key: trial.key.clone(),
            results: results_root(&self.args.results_dir, &trial.experiment),
            data_folders: self.data.search.clone(),
            weights_file,
            features: self.feature_cache(),
            device: self.args.device.clone(),
            loader_threads: 1,
            checkpoint_seconds: CHECKPOINT_SECONDS,
        };
        Ok(Job {
            id: job_id(trial),
            needs: trial
                .dependencies
                .iter()
                .map(|&source| job_id(&self.plan.trials[source]))
                .collect(),
            cohort: cohort(trial),
            trial: serde_json::to_value(handed)
                .map_err(|error| Failure::bad_input(format!("{}: {error}", trial.key)))?,
        })
    }

    /// Where the workers keep features of frozen backbones.
    fn feature_cache(&self) -> Option<FeatureCache> {
        let limit = (self.args.feature_cache * f64::from(1 << 30)) as u64;
        (limit > 0).then(|| FeatureCache {
            folder: self.args.results_dir.join(FEATURE_FOLDER),
            limit,
        })
    }

    fn folder(&self, trial: &PlannedTrial) -> TrialFolder {
        trial_folder(&self.args.results_dir, trial)
    }

    fn folders(&self, trials: &[&PlannedTrial]) -> BTreeMap<String, (TrialKey, TrialFolder)> {
        trials
            .iter()
            .map(|trial| (job_id(trial), (trial.key.clone(), self.folder(trial))))
            .collect()
    }

    fn scene(&self, to_run: &[&PlannedTrial], standings: &[Standing], finished: usize) -> Scene {
        let pictures = |trial: &PlannedTrial| self.materials.pictures(&trial.spec.data.source);
        Scene {
            trials: to_run
                .iter()
                .map(|trial| (job_id(trial), trial.key.clone()))
                .collect(),
            total: self.plan.trials.len(),
            finished,
            workers: self.workers.min(to_run.len()),
            pictures: to_run
                .iter()
                .filter_map(|trial| Some((job_id(trial), pictures(trial)?.train as usize)))
                .collect(),
            outlook: outlook(self.plan, standings, |trial| self.folder(trial)),
        }
    }
}

/// The trials are done, but their report could not be made.
fn report_failure(error: graft_report::ReportError) -> Failure {
    Failure::some_failed(error)
        .hint("the trials are recorded and nothing is lost; run the same command again when this is solved")
}

/// What a trial is called among the jobs: where its folder is below the results.
fn job_id(trial: &PlannedTrial) -> String {
    format!("{}/{}", trial.experiment, trial.key.folder_name())
}

/// Trials with the same pictures share them in a worker's memory; with the same fixed backbone, its features too.
fn cohort(trial: &PlannedTrial) -> String {
    shared_features(&trial.spec).unwrap_or_else(|| trial.spec.data_fingerprint.clone())
}

/// What is left to do, and how long epochs took in earlier sweeps.
fn outlook(
    plan: &Plan,
    standings: &[Standing],
    folder: impl Fn(&PlannedTrial) -> TrialFolder,
) -> Outlook {
    let kind = |trial: &PlannedTrial, finds_features: bool| {
        let TrialKey { variant, cell, .. } = &trial.key;
        let shared = if finds_features { "/shared" } else { "" };
        format!("{}/{variant}/{cell}{shared}", trial.experiment)
    };
    let mut work = BTreeMap::new();
    let find_features = finds_features(plan);
    for ((trial, standing), &finds) in plan.trials.iter().zip(standings).zip(&find_features) {
        if let Standing::ToRun { epochs_done } = standing {
            let epochs = f64::from(trial.spec.recipe.epochs.saturating_sub(*epochs_done));
            work.insert(
                job_id(trial),
                TrialWork {
                    kind: kind(trial, finds),
                    epochs,
                    weight: if finds { LIGHT } else { 1.0 },
                },
            );
        }
    }
    let mut outlook = Outlook::new(work);
    for (trial, &finds) in plan.trials.iter().zip(&find_features) {
        // Timing that can't be read says nothing.
        for row in folder(trial).timing().unwrap_or_default() {
            outlook.measured(&kind(trial, finds), row.seconds);
        }
    }
    outlook
}

/// An epoch on features that are there, as part of one that computes them.
const LIGHT: f64 = 0.05;

/// Whether each trial of the plan finds its features computed by those before it.
fn finds_features(plan: &Plan) -> Vec<bool> {
    let mut epochs_before: BTreeMap<String, u64> = BTreeMap::new();
    let finds = plan.trials.iter().map(|PlannedTrial { spec, .. }| {
        let (Some(views), Some(key)) = (spec.data.transform.fixed_views(), shared_features(spec))
        else {
            return false;
        };
        let before = epochs_before.entry(key).or_default();
        let finds = *before >= u64::from(views);
        *before += u64::from(spec.recipe.epochs);
        finds
    });
    finds.collect()
}
