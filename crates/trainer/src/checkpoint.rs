//! Checkpoints: safetensors files whose tensors have the network's own names, with a description in the header.
//!
//! `last.safetensors` holds what training goes on from: the trained tensors, the optimizer's state under
//! `optimizer/…`, and a [`Position`]. `best.safetensors` holds the whole network at its best epoch and a
//! [`ModelCard`]: all that is needed to use it elsewhere.

use std::{
    collections::{BTreeMap, HashMap},
    io::Write,
    path::Path,
};

use candle_core::{Device, Tensor};
use graft_data::TransformSpec;
use graft_model::ModelSpec;
use safetensors::SafeTensors;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{Monitor, PlateauState, StoppingState, TrainError, metrics::Tally};

/// Version of the checkpoint files.
pub const CHECKPOINT_FORMAT: u32 = 1;
/// The key of the description in the file's header.
const HEADER_KEY: &str = "graft";
/// What the names of the optimizer's tensors begin with.
const OPTIMIZER: &str = "optimizer/";
/// What the names of averaged weights begin with.
const AVERAGE: &str = "average/";

/// How far a trial has come.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Position {
    /// [`CHECKPOINT_FORMAT`].
    pub format: u32,
    /// The trial's id.
    pub trial: String,
    /// Whole epochs that are done.
    pub epochs_done: u32,
    /// Batches of the next epoch that are done.
    pub batches_done: usize,
    /// Optimizer steps that are done.
    pub step: u64,
    /// Training loss and accuracy over those batches.
    pub tally: Tally,
    /// The best epoch so far.
    pub best: Option<Best>,
    /// Rows of `evaluations.csv`.
    #[serde(default)]
    pub evaluations: usize,
    /// What early stopping remembers.
    #[serde(default)]
    pub stopping: StoppingState,
    /// What a schedule that watches for plateaus remembers.
    #[serde(default)]
    pub plateau: PlateauState,
}

impl Position {
    /// The beginning of a trial.
    pub(crate) fn start(trial: &str) -> Self {
        Self {
            format: CHECKPOINT_FORMAT,
            trial: trial.to_owned(),
            epochs_done: 0,
            batches_done: 0,
            step: 0,
            tally: Tally::default(),
            best: None,
            evaluations: 0,
            plateau: PlateauState::default(),
            stopping: StoppingState::default(),
        }
    }
}

/// The epoch with the best figure of the recipe's choice; the earliest of equals.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Best {
    /// Its number, from 1.
    pub epoch: u32,
    /// The figure.
    #[serde(with = "graft_record::nullable")]
    pub figure: f64,
    /// Its validation accuracy, from 0 to 1.
    #[serde(with = "graft_record::nullable")]
    pub val_accuracy: f64,
}

impl Best {
    /// Whether a figure is better. Any number is better than what is none.
    pub(crate) fn is_worse_than(self, monitor: Monitor, figure: f64) -> bool {
        if self.figure.is_nan() {
            !figure.is_nan()
        } else if monitor.rises() {
            figure > self.figure
        } else {
            figure < self.figure
        }
    }
}

/// What one has to know to use the network of a checkpoint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelCard {
    /// [`CHECKPOINT_FORMAT`].
    pub format: u32,
    /// The trial's id.
    pub trial: String,
    /// The epoch, from 1.
    pub epoch: u32,
    /// The network.
    pub model: ModelSpec,
    /// Names of its classes, in the order of its outputs.
    pub classes: Vec<String>,
    /// How pictures become inputs: its evaluation steps are the ones to use.
    pub transform: TransformSpec,
    /// Whether the orientation in a picture's EXIF data is applied first.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub exif_orientation: bool,
    /// Mean of each colour that inputs are normalised with.
    pub mean: [f32; 3],
    /// Standard deviation of each colour that inputs are normalised with.
    pub std: [f32; 3],
}

/// Tensors by name.
pub type Tensors = BTreeMap<String, Tensor>;

/// The tensors of the file `last.safetensors`.
pub(crate) struct Saved {
    pub(crate) network: Tensors,
    pub(crate) optimizer: Tensors,
    /// The average of the weights, if there is one.
    pub(crate) average: Tensors,
}

/// Writes `last.safetensors`.
pub(crate) fn save_last(
    path: &Path,
    tensors: Saved,
    position: &Position,
) -> Result<(), TrainError> {
    let below = |prefix: &'static str, tensors: Tensors| {
        let tensors = tensors.into_iter();
        tensors.map(move |(name, tensor)| (format!("{prefix}{name}"), tensor))
    };
    let all = below("", tensors.network)
        .chain(below(OPTIMIZER, tensors.optimizer))
        .chain(below(AVERAGE, tensors.average));
    save(path, all, position)
}

/// Reads `last.safetensors`; `None` if there is no such file.
pub(crate) fn load_last(path: &Path, trial: &str) -> Result<Option<(Position, Saved)>, TrainError> {
    let Some((position, tensors)) = load::<Position>(path)? else {
        return Ok(None);
    };
    if position.trial != trial {
        return Err(damaged(
            path,
            &format!("belongs to trial {}, not {trial}", position.trial),
        ));
    }
    let mut saved = Saved {
        network: BTreeMap::new(),
        optimizer: BTreeMap::new(),
        average: BTreeMap::new(),
    };
    for (name, tensor) in tensors {
        if let Some(name) = name.strip_prefix(OPTIMIZER) {
            saved.optimizer.insert(name.to_owned(), tensor);
        } else if let Some(name) = name.strip_prefix(AVERAGE) {
            saved.average.insert(name.to_owned(), tensor);
        } else {
            saved.network.insert(name, tensor);
        }
    }
    Ok(Some((position, saved)))
}

/// Writes `best.safetensors`.
pub(crate) fn save_best(
    path: &Path,
    network: &[(String, Tensor)],
    card: &ModelCard,
) -> Result<(), TrainError> {
    save(path, network.iter().cloned(), card)
}

/// Reads `best.safetensors`; `None` if there is no such file.
///
/// # Errors
/// When the file can't be read, is damaged or is no checkpoint of this version.
pub fn load_best(path: &Path) -> Result<Option<(ModelCard, Tensors)>, TrainError> {
    load(path)
}

/// Reads what `best.safetensors` says of its network, without the network; `None` if there is no such file.
///
/// # Errors
/// As [`load_best`].
pub fn read_card(path: &Path) -> Result<Option<ModelCard>, TrainError> {
    let Some(bytes) = read(path)? else {
        return Ok(None);
    };
    Ok(Some(describe(path, &bytes)?))
}

fn save(
    path: &Path,
    tensors: impl Iterator<Item = (String, Tensor)>,
    description: &impl Serialize,
) -> Result<(), TrainError> {
    let description =
        serde_json::to_string(description).map_err(|error| damaged(path, &error.to_string()))?;
    let header = HashMap::from([(HEADER_KEY.to_owned(), description)]);
    let bytes = safetensors::serialize(tensors, Some(header))
        .map_err(|error| damaged(path, &error.to_string()))?;
    Ok(graft_record::atomic_write(path, |file| {
        file.write_all(&bytes)
    })?)
}

fn load<D: DeserializeOwned>(path: &Path) -> Result<Option<(D, Tensors)>, TrainError> {
    let Some(bytes) = read(path)? else {
        return Ok(None);
    };
    let description = describe(path, &bytes)?;
    let file = SafeTensors::deserialize(&bytes).map_err(|error| unreadable(path, &error))?;
    let tensors = file
        .iter()
        .map(|(name, view)| {
            let tensor = candle_core::safetensors::Load::load(&view, &Device::Cpu)?;
            Ok((name.to_owned(), tensor))
        })
        .collect::<Result<_, TrainError>>()?;
    Ok(Some((description, tensors)))
}

/// The bytes of a file, if there is one.
fn read(path: &Path) -> Result<Option<Vec<u8>>, TrainError> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(damaged(path, &error.to_string())),
    }
}

/// The description in the header of a file.
fn describe<D: DeserializeOwned>(path: &Path, bytes: &[u8]) -> Result<D, TrainError> {
    let (_, metadata) =
        SafeTensors::read_metadata(bytes).map_err(|error| unreadable(path, &error))?;
    let description = metadata
        .metadata()
        .as_ref()
        .and_then(|header| header.get(HEADER_KEY));
    let description =
        description.ok_or_else(|| unreadable(path, &"its header has no description"))?;
    check_format(path, description)?;
    serde_json::from_str(description).map_err(|error| unreadable(path, &error))
}

/// Says which version a description has before its other fields are read.
fn check_format(path: &Path, description: &str) -> Result<(), TrainError> {
    #[derive(Deserialize)]
    struct Versioned {
        format: u32,
    }
    match serde_json::from_str::<Versioned>(description) {
        Ok(Versioned {
            format: CHECKPOINT_FORMAT,
        }) => Ok(()),
        Ok(Versioned { format }) => Err(damaged(
            path,
            &format!("checkpoint format {format}; this program reads format {CHECKPOINT_FORMAT}"),
        )),
        Err(error) => Err(unreadable(path, &error)),
    }
}

fn unreadable(path: &Path, error: &dyn std::fmt::Display) -> TrainError {
    damaged(path, &format!("no readable checkpoint: {error}"))
}

fn damaged(path: &Path, reason: &str) -> TrainError {
    TrainError::Checkpoint {
        path: path.to_owned(),
        reason: reason.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_better_than_none_and_goes_through_a_checkpoint() {
        let best = |figure| Best {
            epoch: 1,
            figure,
            val_accuracy: f64::NAN,
        };
        let (rises, falls) = (Monitor::ValAccuracy, Monitor::ValLoss);
        assert!(best(0.5).is_worse_than(rises, 0.6) && !best(0.5).is_worse_than(rises, 0.5));
        assert!(best(0.5).is_worse_than(falls, 0.4) && !best(0.5).is_worse_than(falls, 0.5));
        for monitor in [rises, falls] {
            assert!(best(f64::NAN).is_worse_than(monitor, -3.0));
            assert!(!best(f64::NAN).is_worse_than(monitor, f64::NAN));
            assert!(!best(-3.0).is_worse_than(monitor, f64::NAN));
        }
        let text = serde_json::to_string(&best(f64::NAN)).unwrap();
        let read: Best = serde_json::from_str(&text).unwrap();
        assert!(read.figure.is_nan() && read.val_accuracy.is_nan(), "{text}");
    }
}
