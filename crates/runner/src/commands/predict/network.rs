//! The network that predicts: a trial's at its best epoch, or one of a kind with weights.

use std::path::{Path, PathBuf};

use graft_data::{Normalization, TransformSpec, Views};
use graft_model::{Entry, ModelError, WeightFile, WeightsFolders, WeightsSpec, find, locate};
use graft_record::{State, TrialFolder};
use graft_trainer::{ModelCard, Predictor, Preprocessing, device, read_card};

use super::names;
use crate::{
    cli::PredictArgs,
    commands::{folders, summary::model_of},
    failure::Failure,
    progress::DownloadProgress,
};

/// A network that is ready to predict.
pub(super) struct Known {
    pub(super) predictor: Predictor,
    /// The names of its classes, in the order of its outputs.
    pub(super) names: Vec<String>,
    /// What it is, in a few words.
    pub(super) title: String,
}

/// The network that the arguments name.
pub(super) fn open(args: &PredictArgs) -> Result<Known, Failure> {
    match (&args.trial, &args.model) {
        (Some(trial), _) => of_trial(trial, args),
        (None, Some(kind)) => of_kind(kind, args),
        (None, None) => Err(Failure::bad_input("--model or --trial is missing")),
    }
}

/// A trial's network, with the preprocessing of its validation.
fn of_trial(trial: &Path, args: &PredictArgs) -> Result<Known, Failure> {
    let path = if trial.is_dir() {
        best_of(trial)?
    } else {
        trial.to_owned()
    };
    let card: ModelCard = read_card(&path)
        .map_err(|error| {
            Failure::bad_input(error).hint(
                "--trial takes a trial's folder or its best.safetensors; \
                 other weight files are for --model KIND --weights FILE",
            )
        })?
        .ok_or_else(|| {
            Failure::bad_input(format!("there is no trial at {}", path.display()))
                .hint("a trial's folder is results/EXPERIMENT/trials/TRIAL")
        })?;
    let trial_folder = TrialFolder::new(path.parent().unwrap_or(Path::new("")));
    if !trial_folder.is_whole(&path) {
        return Err(Failure::bad_input(format!(
            "{} is damaged: it is not what its trial wrote",
            path.display()
        ))
        .hint("delete it, and `graft sweep EXPERIMENT` trains it again"));
    }
    if card.classes.is_empty() {
        return Err(Failure::bad_input(format!(
            "the network of {} gives a number for each picture, and no classes",
            path.display()
        ))
        .hint("what it said of the validation pictures is in estimates.csv beside it"));
    }
    let file = WeightFile::open(&path).map_err(Failure::bad_input)?;
    let device = device::open(&args.device).map_err(Failure::bad_input)?;
    let (classes, preprocessing) = (card.classes.len(), card.preprocessing());
    let predictor = Predictor::new(&card.model, classes, &preprocessing, &file, &device)
        .map_err(Failure::bad_input)?;
    let folder = path.parent().and_then(Path::file_name);
    let name = match folder {
        Some(folder) if trial.is_dir() => folder.to_string_lossy().into_owned(),
        _ => card.trial.clone(),
    };
    Ok(Known {
        predictor,
        names: card.classes,
        title: format!("{name} ({}, epoch {})", card.model.kind, card.epoch),
    })
}

/// The best checkpoint in a trial's folder.
fn best_of(folder: &Path) -> Result<PathBuf, Failure> {
    let trial = TrialFolder::new(folder);
    let best = trial.best_checkpoint();
    if best.is_file() {
        return Ok(best);
    }
    if let Ok(Some(status)) = trial.status() {
        let how = match status.state {
            State::Running => "it runs, or was killed before its first checkpoint",
            State::Interrupted => "it was interrupted before its first checkpoint",
            State::Failed => "it failed",
            State::Diverged => "its loss was not finite before there was one",
            State::Finished => "the file is gone",
        };
        return Err(Failure::bad_input(format!(
            "the trial {} has no best checkpoint: {how}",
            folder.display()
        ))
        .hint("`graft sweep EXPERIMENT` runs it, or goes on with it"));
    }
    let known = trials_in(folder);
    let hint = if known.is_empty() {
        "a trial's folder is results/EXPERIMENT/trials/TRIAL".to_owned()
    } else {
        format!("trials are {}", known.join(", "))
    };
    Err(Failure::bad_input(format!("{} is no folder of a trial", folder.display())).hint(hint))
}

/// The folders of some trials in a results folder, for a hint.
fn trials_in(folder: &Path) -> Vec<String> {
    const SHOWN: usize = 3;
    let places = [folder.join("trials"), folder.to_owned()];
    let entries = places
        .iter()
        .flat_map(std::fs::read_dir)
        .flatten()
        .flatten();
    let mut trials: Vec<PathBuf> = entries
        .map(|entry| entry.path())
        .filter(|path| TrialFolder::new(path).best_checkpoint().is_file())
        .collect();
    trials.sort();
    let mut names: Vec<String> = trials
        .iter()
        .take(SHOWN)
        .map(|path| folders::display(path))
        .collect();
    if trials.len() > SHOWN {
        names.push("…".to_owned());
    }
    names
}

/// A network of a kind, with torchvision's preprocessing for evaluation.
fn of_kind(kind: &str, args: &PredictArgs) -> Result<Known, Failure> {
    let spec = model_of(kind, &args.options)?;
    let entry = find(&spec.kind).map_err(Failure::bad_input)?;
    let path = weights(entry, args)?;
    let file = WeightFile::open(&path).map_err(Failure::bad_input)?;
    let classes = count_classes(&file, entry).ok_or_else(|| {
        Failure::bad_input(format!(
            "{} has no classifier of {}: no tensor is called {}…weight",
            path.display(),
            entry.name,
            entry.classifier
        ))
        .hint(format!(
            "check that the file was made for {}, and holds more than its backbone",
            entry.name
        ))
    })?;
    let size = args.size.unwrap_or(entry.default_size as u32);
    let preprocessing = evaluation(size, entry);
    let device = device::open(&args.device).map_err(Failure::bad_input)?;
    let names = names::of_classes(classes, args.classes.as_deref())?;
    let predictor = Predictor::new(&spec, classes, &preprocessing, &file, &device)
        .map_err(Failure::bad_input)?;
    Ok(Known {
        predictor,
        names,
        title: entry.name.to_owned(),
    })
}

/// The file with the weights.
fn weights(entry: &Entry, args: &PredictArgs) -> Result<PathBuf, Failure> {
    let spec: WeightsSpec = match &args.weights {
        None => {
            let published = entry.weights.first().ok_or_else(|| {
                Failure::bad_input(format!("there are no published weights of {}", entry.name))
                    .hint("name some with --weights, or a trial with --trial")
            })?;
            published.spec.parse().map_err(Failure::bad_input)?
        }
        Some(written) => match written.to_str().map(str::parse) {
            Some(Ok(spec)) => spec,
            _ if written.exists() => return Ok(written.clone()),
            Some(Err(error)) => {
                return Err(Failure::bad_input(error).hint("there is no file of that name, either"));
            }
            None => {
                return Err(Failure::bad_input(format!(
                    "there is no weight file {}",
                    written.display()
                ))
                .hint("check the path"));
            }
        },
    };
    let places = WeightsFolders::from_env(&args.weights_dir, folders::is_offline(args.offline));
    locate(&spec, &places, &mut DownloadProgress::default()).map_err(|error| match error {
        ModelError::Trial { spec } => Failure::bad_input(format!("{spec} names a trial"))
            .hint("name its folder: --trial results/EXPERIMENT/trials/TRIAL"),
        error => Failure::bad_input(error),
    })
}

/// How many classes the network in a file tells apart: the outputs of the last layer of its classifier.
fn count_classes(file: &WeightFile, entry: &Entry) -> Option<usize> {
    let place = |name: &str| -> Vec<(Option<u32>, String)> {
        let parts = name.split('.');
        parts
            .map(|part| (part.parse().ok(), part.to_owned()))
            .collect()
    };
    file.shapes()
        .map(|(name, shape)| ((entry.rename)(name), shape))
        .filter(|(name, shape)| {
            name.starts_with(entry.classifier) && name.ends_with("weight") && shape.len() > 1
        })
        .max_by_key(|(name, _)| place(name))
        .and_then(|(_, shape)| shape.first().copied())
}

/// The usual transform for evaluation.
fn evaluation(size: u32, entry: &Entry) -> Preprocessing {
    let steps = TransformSpec::usual_evaluation(size);
    Preprocessing {
        transform: TransformSpec {
            size,
            train: steps.clone(),
            eval: steps,
            views: Views::Fresh,
        },
        normalization: Normalization {
            mean: entry.mean,
            std: entry.std,
        },
        exif_orientation: false,
    }
}
