//! `graft sweep`: from an experiment file to its results.

mod closing;
mod dry_run;
mod events;
mod machine;
mod materials;
mod outlook;
mod recorder;
mod repeats;
mod samples;
mod selection;
mod site;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use graft_data::{DataFolders, Target};
use graft_model::{WeightsFolders, WeightsSpec};
use graft_record::{ResultsFolder, TrialFolder, TrialKey, safe_name};
use graft_trainer::{FeatureCache, Trial, TrialSpec};

pub(super) use self::materials::{Materials, Needs};
use self::{
    closing::Closing,
    machine::Machine,
    outlook::outlook,
    recorder::{FailedTrial, Growth, Recorder, blocked_by, record_failure},
    repeats::Repeats,
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
    progress::{Scene, display},
    schedule::{Job, Schedule, Settings, Stop, Tally, WorkerProgram},
};

/// Seconds between checkpoints of a running trial.
const CHECKPOINT_SECONDS: f64 = 10.0;

/// Where features of frozen backbones are kept, in the folder with all results.
const FEATURE_FOLDER: &str = ".cache/features";

/// Pixels of a step that leaves a large GPU idle most of the time: 16 pictures of the usual size.
const LIGHT_PIXELS: usize = 16 * 224 * 224;

/// A trial that still runs longer than this is moved to idle cores.
const WORTH_MOVING: Duration = Duration::from_secs(15);

/// Runs the trials of an experiment that have not finished, then reports.
pub fn sweep(args: &SweepArgs) -> Result<Answer, Failure> {
    let hours = args
        .max_hours
        .map(|hours| Duration::from_secs_f64(3600.0 * hours));
    let deadline = hours.map(|hours| Instant::now() + hours);
    let experiment = read_experiment(args)?;
    let machine = Machine::of(args)?;
    let offline = folders::is_offline(args.places.offline);
    let data = folders::data(&args.places.data_dir, offline);
    let weights = WeightsFolders::from_env(&args.weights_dir, offline);
    if args.dry_run {
        return dry_run::dry_run(args, &experiment, &data, &weights, machine.workers);
    }
    let own = Site::take(&args.places.results_dir, &experiment.name)?;
    let prepared = Materials::gather(&experiment, &data, &weights)
        .and_then(|mut materials| Ok((Plan::new(&experiment, &mut materials)?, materials)))
        .and_then(|(plan, materials)| {
            let folder = |trial: &_| trial_folder(&args.places.results_dir, trial);
            machine.check(&plan)?;
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
    let sites = Sites::take(
        &args.places.results_dir,
        &experiment,
        own,
        &plan,
        &standings,
    )?;
    let folder = |trial: &_| trial_folder(&args.places.results_dir, trial);
    let repeats = Repeats::new(&experiment, &plan, &standings, folder);
    sites.describe(&experiment, &plan, &materials, &repeats)?;
    let run = Run {
        args,
        experiment: &experiment,
        data: &data,
        plan: &plan,
        materials: &materials,
        sites: &sites,
        machine,
        deadline,
    };
    run.run_and_report(&standings, repeats)
}

fn read_experiment(args: &SweepArgs) -> Result<Experiment, Failure> {
    let read = || -> Result<Experiment, Problems> {
        let mut raw = RawExperiment::read(&args.places.experiment)?;
        raw.set(&args.places.set);
        raw.resolve()
    };
    read().map_err(Failure::bad_input)
}

/// The results folder of an experiment.
pub(super) fn results_root(results_dir: &Path, experiment: &str) -> PathBuf {
    results_dir.join(safe_name(experiment))
}

/// The folder of a trial, which need not exist.
pub(super) fn trial_folder(results_dir: &Path, trial: &PlannedTrial) -> TrialFolder {
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
    experiment: &'a Experiment,
    data: &'a DataFolders,
    plan: &'a Plan,
    materials: &'a Materials,
    sites: &'a Sites,
    machine: Machine,
    /// When to stop, whatever is left to do.
    deadline: Option<Instant>,
}

impl Run<'_> {
    fn run_and_report(
        &self,
        standings: &[Standing],
        repeats: Repeats<'_>,
    ) -> Result<Answer, Failure> {
        let mut failed = self.record_left_alone(standings, &repeats)?;
        let left_alone = failed.len();
        events::write_missing(
            self.experiment,
            self.plan,
            standings,
            &self.args.places.results_dir,
        )?;
        let (tally, newly_failed, repeats) = self.run(standings, repeats)?;
        failed.extend(newly_failed);
        let closing = Closing {
            total: repeats.count(),
            finished_before: finished(standings, &repeats),
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
            if *name == self.experiment.name {
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
    fn record_left_alone(
        &self,
        standings: &[Standing],
        repeats: &Repeats<'_>,
    ) -> Result<Vec<FailedTrial>, Failure> {
        let mut failed = Vec::new();
        let planned = self.plan.trials.iter().zip(standings).enumerate();
        for (_, (trial, standing)) in planned.filter(|(place, _)| repeats.is_wanted(*place)) {
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
                name: self.shown(trial).to_string(),
                error,
                folder,
                is_resumed: matches!(standing, Standing::Blocked(_)),
            });
        }
        Ok(failed)
    }

    /// Runs what is to be run.
    fn run<'r>(
        &'r self,
        standings: &[Standing],
        repeats: Repeats<'r>,
    ) -> Result<(Tally, Vec<FailedTrial>, Repeats<'r>), Failure> {
        let planned = self.plan.trials.iter().zip(standings).enumerate();
        let to_run: Vec<(usize, &PlannedTrial)> = planned
            .filter(|(_, (_, standing))| matches!(standing, Standing::ToRun { .. }))
            .map(|(place, (trial, _))| (place, trial))
            .collect();
        let at_once = to_run.iter().filter(|(place, _)| repeats.is_wanted(*place));
        let at_once = at_once.count();
        let (total, finished) = (repeats.count(), finished(standings, &repeats));
        if at_once == 0 {
            if finished == total {
                eprintln!("nothing to do: all {total} trials are finished");
            }
            return Ok((Tally::default(), Vec::new(), repeats));
        }
        eprintln!(
            "{total} {}, {finished} finished already, {at_once} to run on {}{}",
            if total == 1 { "trial" } else { "trials" },
            self.machine.describe(to_run.len()),
            match to_run.len() - at_once {
                0 => String::new(),
                more => format!(", and up to {more} more by what comes out"),
            }
        );
        let jobs = to_run
            .iter()
            .map(|(place, trial)| self.job(trial, !repeats.is_wanted(*place)))
            .collect::<Result<Vec<_>, _>>()?;
        let executable = std::env::current_exe().map_err(|error| {
            Failure::bad_input(format!(
                "can't find the program to start workers with: {error}"
            ))
        })?;
        let settings = Settings {
            workers: self.machine.workers.min(to_run.len()),
            devices: self.machine.devices.clone(),
            all_at_once: self.machine.all_at_once,
            at_first: self.machine.at_first,
            cores: self.machine.cores,
            worth_moving: WORTH_MOVING,
            fail_fast: self.args.fail_fast,
            deadline: self.deadline,
            program: WorkerProgram {
                program: executable,
                args: vec!["worker".into()],
                env: self.machine.environment(to_run.len()),
            },
        };
        let schedule = Schedule::new(jobs, settings);
        let signals = schedule.signal_sender();
        let _listening = interrupt::listen(move || signals.signal());
        let scene = self.scene(&to_run, standings, &repeats);
        let folders = to_run.iter().map(|(_, trial)| *trial);
        let folders = self.folders(folders);
        let growth = Growth {
            repeats,
            ids: self.plan.trials.iter().map(job_id).collect(),
            write: Box::new(move |repeats| {
                let (experiment, materials) = (self.experiment, self.materials);
                (self.sites).write_plans(experiment, self.plan, materials, repeats)
            }),
            released: Vec::new(),
        };
        let mut recorder = Recorder::new(display(scene), folders, growth);
        let tally = schedule.run(&mut recorder);
        for problem in &recorder.problems {
            eprintln!("warning: {problem}");
        }
        Ok((tally, recorder.failed, recorder.growth.repeats))
    }

    /// The trial as a worker is handed it.
    fn job(&self, trial: &PlannedTrial, held: bool) -> Result<Job, Failure> {
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
            results: results_root(&self.args.places.results_dir, &trial.experiment),
            data_folders: self.data.search.clone(),
            weights_file,
            previous: trial
                .previous
                .map(|previous| self.folder(&self.plan.trials[previous]).last_checkpoint()),
            features: self.feature_cache(),
            tensorboard: events::are_wanted(self.experiment, trial),
            keep_last: trial.keep_last,
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
            kind: kind(trial),
            is_light: is_light(trial),
            held,
            trial: serde_json::to_value(handed)
                .map_err(|error| Failure::bad_input(format!("{}: {error}", trial.key)))?,
        })
    }

    /// Where the workers keep features of frozen backbones.
    fn feature_cache(&self) -> Option<FeatureCache> {
        let limit = (self.args.feature_cache * f64::from(1 << 30)) as u64;
        (limit > 0).then(|| FeatureCache {
            folder: self.args.places.results_dir.join(FEATURE_FOLDER),
            limit,
        })
    }

    fn folder(&self, trial: &PlannedTrial) -> TrialFolder {
        trial_folder(&self.args.places.results_dir, trial)
    }

    /// What a person is told of a trial by; with its experiment where several take part.
    fn shown(&self, trial: &PlannedTrial) -> TrialKey {
        let mut key = trial.key.clone();
        let experiments = self.plan.trials.iter().map(|other| &other.experiment);
        if experiments
            .into_iter()
            .any(|other| *other != trial.experiment)
        {
            key.variant = format!("{}/{}", trial.experiment, key.variant);
        }
        key
    }

    fn folders<'t>(
        &self,
        trials: impl Iterator<Item = &'t PlannedTrial>,
    ) -> BTreeMap<String, (TrialKey, TrialFolder)> {
        trials
            .map(|trial| (job_id(trial), (self.shown(trial), self.folder(trial))))
            .collect()
    }

    fn scene(
        &self,
        to_run: &[(usize, &PlannedTrial)],
        standings: &[Standing],
        repeats: &Repeats<'_>,
    ) -> Scene {
        let mut outlook = outlook(self.plan, standings, |trial| self.folder(trial));
        for (_, trial) in to_run
            .iter()
            .filter(|(place, _)| !repeats.is_wanted(*place))
        {
            outlook.hold(&job_id(trial));
        }
        let pictures = |trial: &PlannedTrial| self.materials.pictures(&trial.spec.data);
        Scene {
            trials: to_run
                .iter()
                .map(|(_, trial)| (job_id(trial), self.shown(trial)))
                .collect(),
            numbers: to_run
                .iter()
                .filter(|(_, trial)| trial.spec.data.source.target() == Target::Number)
                .map(|(_, trial)| job_id(trial))
                .collect(),
            total: repeats.count(),
            finished: finished(standings, repeats),
            workers: self.machine.workers.min(to_run.len()),
            pictures: to_run
                .iter()
                .filter_map(|(_, trial)| Some((job_id(trial), pictures(trial)?.train as usize)))
                .collect(),
            outlook,
        }
    }
}

/// The trials are done, but their report could not be made.
fn report_failure(error: graft_report::ReportError) -> Failure {
    Failure::some_failed(error)
        .hint("the trials are recorded and nothing is lost; run the same command again when this is solved")
}

/// Number of wanted trials that had finished before.
fn finished(standings: &[Standing], repeats: &Repeats<'_>) -> usize {
    let is_finished = |place: &usize| standings[*place] == Standing::Finished;
    let wanted = (0..standings.len()).filter(|&place| repeats.is_wanted(place));
    wanted.filter(is_finished).count()
}

/// What a trial is called among the jobs: where its folder is below the results.
fn job_id(trial: &PlannedTrial) -> String {
    format!("{}/{}", trial.experiment, trial.key.folder_name())
}

/// Trials with the same pictures share them in a worker's memory; with the same fixed backbone, its features too.
fn cohort(trial: &PlannedTrial) -> String {
    shared_features(&trial.spec).unwrap_or_else(|| trial.spec.data_fingerprint.clone())
}

/// Trials whose steps cost the same on the same machine: whatever else differs is in the numbers that they compute with.
fn kind(trial: &PlannedTrial) -> String {
    let TrialSpec {
        data,
        model,
        transfer,
        recipe,
        data_fingerprint,
        ..
    } = &trial.spec;
    format!(
        "{data_fingerprint} {:?} {model:?} {transfer:?} {} {:?} {}",
        data.transform, recipe.batch_size, recipe.precision, recipe.deterministic
    )
}

/// Whether a step has few pixels.
fn is_light(trial: &PlannedTrial) -> bool {
    let side = trial.spec.data.transform.size as usize;
    trial.spec.recipe.batch_size * side * side <= LIGHT_PIXELS
}
