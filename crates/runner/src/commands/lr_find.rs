//! `graft lr-find`: which learning rate suits a variant, by steps at growing rates.

use std::path::{Path, PathBuf};

use graft_model::{WeightsFolders, WeightsSpec};
use graft_record::{
    EpochRow, Fields, ResultsFolder, Row, TimingRow, format_float, safe_name, write_table,
};
use graft_report::Rates;
use graft_trainer::{
    Observer, RangeTest, RateCurve, RatePoint, Resources, StepProgress, Trial, find_rate,
};

use super::{
    Answer, folders,
    sweep::{Materials, results_root, trial_folder},
    threads,
};
use crate::{
    cli::LrFindArgs,
    experiment::{Experiment, RawExperiment},
    failure::Failure,
    plan::{Plan, PlannedTrial},
};

/// Runs a range test of every variant that is asked for, and leaves its points and a figure in the results folder.
pub fn lr_find(args: &LrFindArgs) -> Result<Answer, Failure> {
    let test = range_test(args)?;
    let experiment = read_experiment(args)?;
    let variants = variants(args, &experiment)?;
    graft_trainer::device::check(&args.device).map_err(Failure::bad_input)?;
    let pool = threads::pool(args.threads)?;
    let offline = folders::is_offline(args.places.offline);
    let data = folders::data(&args.places.data_dir, offline);
    let weights = WeightsFolders::from_env(&args.weights_dir, offline);
    let mut materials = Materials::gather(&experiment, &data, &weights)?;
    let plan = Plan::new(&experiment, &mut materials)?;
    let root = results_root(&args.places.results_dir, &experiment.name);
    ResultsFolder::create(&root).map_err(Failure::bad_input)?;
    let mut resources = Resources::default();
    let (mut text, mut files) = (String::new(), Vec::new());
    for name in variants {
        let of_variant = |trial: &&PlannedTrial| trial.key.variant == name;
        let planned = plan.of(&experiment.name).find(of_variant);
        let planned = planned.ok_or_else(|| Failure::bad_input(format!("{name} has no trial")))?;
        let trial = Trial {
            previous: None,
            spec: planned.spec.clone(),
            key: planned.key.clone(),
            results: root.clone(),
            data_folders: data.search.clone(),
            weights_file: weights_file(args, &plan, planned, &materials)?,
            features: None,
            tensorboard: false,
            keep_last: 0,
            device: args.device.clone(),
            loader_threads: pool.current_num_threads(),
            checkpoint_seconds: f64::MAX,
        };
        eprintln!("{name}: up to {} steps", test.steps);
        let find = || find_rate(&trial, &test, &mut resources, &mut Silent);
        let curve = pool.install(find).map_err(Failure::some_failed)?;
        text += &tell(name, &curve, &test);
        files.extend(write(&root, &experiment, name, &curve)?);
    }
    text += &folders::list_results(&root, &files);
    Ok(Answer::from(text))
}

fn range_test(args: &LrFindArgs) -> Result<RangeTest, Failure> {
    if args.min_lr >= args.max_lr {
        return Err(Failure::bad_input(format!(
            "--min-lr {} is not below --max-lr {}",
            args.min_lr, args.max_lr
        )));
    }
    Ok(RangeTest {
        min_lr: args.min_lr,
        max_lr: args.max_lr,
        steps: args.steps as usize,
    })
}

/// The experiment, of which one repeat is enough.
fn read_experiment(args: &LrFindArgs) -> Result<Experiment, Failure> {
    let mut raw = RawExperiment::read(&args.places.experiment).map_err(Failure::bad_input)?;
    raw.set(&args.places.set);
    if let Some(seed) = args.seed {
        raw.set(&[format!("seed={seed}")]);
    }
    let mut experiment = raw.resolve().map_err(Failure::bad_input)?;
    experiment.repeats = 1;
    Ok(experiment)
}

/// The names of the variants that are asked for; all of them if none is named.
fn variants<'e>(args: &LrFindArgs, experiment: &'e Experiment) -> Result<Vec<&'e str>, Failure> {
    let known: Vec<&str> = (experiment.variants.iter())
        .map(|variant| variant.name.as_str())
        .collect();
    if let Some(unknown) = (args.variant.iter()).find(|name| !known.contains(&name.as_str())) {
        return Err(
            Failure::bad_input(format!("--variant {unknown}: there is no such variant"))
                .hint(format!("the variants are {}", known.join(", "))),
        );
    }
    let wanted = |name: &&str| args.variant.is_empty() || args.variant.iter().any(|v| v == name);
    Ok(known.into_iter().filter(wanted).collect())
}

/// The file that the variant's weights come from, if it starts from any.
fn weights_file(
    args: &LrFindArgs,
    plan: &Plan,
    planned: &PlannedTrial,
    materials: &Materials,
) -> Result<Option<PathBuf>, Failure> {
    match &planned.spec.weights {
        None => Ok(None),
        Some(weights @ WeightsSpec::Trial { .. }) => {
            let source = planned.dependencies.first().map(|&at| &plan.trials[at]);
            let folder = source.map(|source| trial_folder(&args.places.results_dir, source));
            let problem = match folder.filter(graft_record::TrialFolder::is_finished) {
                Some(folder) if folder.is_whole(&folder.best_checkpoint()) => {
                    return Ok(Some(folder.best_checkpoint()));
                }
                Some(_) => "whose checkpoint is damaged",
                None => "which has not been trained yet",
            };
            Err(Failure::bad_input(format!(
                "variant `{}` starts from {weights}, {problem}",
                planned.key.variant
            ))
            .hint(format!(
                "run `graft sweep {}` first, or choose another variant with --variant",
                args.places.experiment.display()
            )))
        }
        Some(weights) => Ok(materials.weights_file(weights).cloned()),
    }
}

/// The rates that a curve speaks for, the suggested one first, each with its reason.
fn suggestions(curve: &RateCurve) -> Vec<(f64, &'static str)> {
    let minimum = curve.tenth_of_minimum().map(|lr| (lr, "minimum / 10"));
    let steepest = curve.steepest().map(|lr| (lr, "steepest"));
    minimum.into_iter().chain(steepest).collect()
}

/// What was found, in a line.
fn tell(variant: &str, curve: &RateCurve, test: &RangeTest) -> String {
    let last = curve.points.last().map_or(test.min_lr, |point| point.lr);
    let steps = if curve.blew_up {
        format!(
            "the loss blew up at {last:.2e}, step {}",
            curve.points.len()
        )
    } else {
        format!("{} steps", curve.points.len())
    };
    let found = suggestions(curve);
    let Some((lr, _)) = found.first() else {
        return format!("{variant}: no suggestion, for the loss never fell ({steps})\n");
    };
    let reasons: Vec<String> = found
        .iter()
        .map(|(lr, reason)| format!("{reason} {lr:.2e}"))
        .collect();
    format!(
        "{variant}: lr = {lr:.2e} ({}; {steps})\n",
        reasons.join(", ")
    )
}

/// Writes points and figure; returns their paths.
fn write(
    root: &Path,
    experiment: &Experiment,
    variant: &str,
    curve: &RateCurve,
) -> Result<[PathBuf; 2], Failure> {
    let path = |end: &str| root.join(format!("lr-find-{}.{end}", safe_name(variant)));
    let (table, figure) = (path("csv"), path("png"));
    let rows: Vec<RateRow> = curve.points.iter().copied().map(RateRow).collect();
    write_table(&table, &rows).map_err(Failure::some_failed)?;
    let rates = Rates {
        title: format!("{}: {variant}", experiment.name),
        caption: "Loss of each step (points) and smoothed (line) while the learning rate grows"
            .to_owned(),
        points: (curve.points.iter())
            .map(|point| (point.lr, point.loss, point.smoothed))
            .collect(),
        marks: (suggestions(curve).into_iter())
            .map(|(lr, reason)| (lr, reason.to_owned()))
            .collect(),
    };
    rates.write(&figure).map_err(Failure::some_failed)?;
    Ok([table, figure])
}

/// A line of `lr-find-<variant>.csv`.
struct RateRow(RatePoint);

impl Row for RateRow {
    const HEADER: &'static [&'static str] = &["step", "lr", "loss", "smoothed_loss"];

    fn cells(&self) -> Vec<String> {
        let point = &self.0;
        let numbers = [point.lr, point.loss, point.smoothed].map(format_float);
        [vec![point.step.to_string()], numbers.into()].concat()
    }

    fn parse(fields: &Fields<'_>) -> Result<Self, String> {
        Ok(Self(RatePoint {
            step: fields.whole("step")?,
            lr: fields.float("lr")?,
            loss: fields.float("loss")?,
            smoothed: fields.float("smoothed_loss")?,
        }))
    }

    fn follows(&self, previous: Option<&Self>) -> Result<(), String> {
        let before = previous.map_or(0, |row| row.0.step);
        if self.0.step == before + 1 {
            return Ok(());
        }
        Err(format!("step {} follows step {before}", self.0.step))
    }
}

/// Says nothing and never stops: Ctrl-C ends the program, which has nothing to lose.
struct Silent;

impl Observer for Silent {
    fn step(&mut self, _progress: &StepProgress) {}

    fn epoch(&mut self, _row: &EpochRow, _timing: &TimingRow) {}

    fn log(&mut self, _line: &str) {}

    fn should_stop(&self) -> bool {
        false
    }
}
