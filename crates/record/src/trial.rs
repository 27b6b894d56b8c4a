//! The folder of one trial.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs::{self, OpenOptions},
    io::Write,
    path::{Path, PathBuf},
    time::Duration,
};

use crate::{
    Content, EpochRow, EstimateRow, EvaluationRow, Manifest, MetricRow, PredictionRow, Predictions,
    RecordError, State, Status, TimingRow, TrialLock,
    atomic::remove_stale,
    document::{read_json, read_toml, write_json, write_toml},
    table::{read_table, write_table},
};

/// The newest checkpoint.
const LAST: &str = "last.safetensors";
/// The best checkpoint.
const BEST: &str = "best.safetensors";

/// The files whose content is a trial's result, and the checkpoint that another repeat may start from.
const RESULTS: [&str; 9] = [
    "epochs.csv",
    "evaluations.csv",
    "metrics.csv",
    "predictions.csv",
    "predictions-test.csv",
    "estimates.csv",
    "estimates-test.csv",
    BEST,
    LAST,
];

/// The folder of one trial. Making this value touches no disk; [`TrialFolder::create`] or a lock does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrialFolder {
    path: PathBuf,
}

impl TrialFolder {
    /// The trial in this folder, which need not exist yet.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The newest checkpoint, from which a killed trial goes on.
    pub fn last_checkpoint(&self) -> PathBuf {
        self.path.join(LAST)
    }

    /// The checkpoint of the epoch with the best validation accuracy.
    pub fn best_checkpoint(&self) -> PathBuf {
        self.path.join(BEST)
    }

    /// The checkpoint of an epoch among the last ones that are kept.
    pub fn epoch_checkpoint(&self, epoch: u32) -> PathBuf {
        self.path.join(format!("epoch-{epoch:04}.safetensors"))
    }

    /// The epochs whose checkpoints are there, in order.
    pub fn epoch_checkpoints(&self) -> Result<Vec<u32>, RecordError> {
        let failed = |error| RecordError::io("list", &self.path, error);
        let mut epochs = Vec::new();
        for entry in fs::read_dir(&self.path).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            let number = name.to_str().and_then(|name| {
                let name = name.strip_prefix("epoch-")?;
                name.strip_suffix(".safetensors")?.parse::<u32>().ok()
            });
            epochs.extend(number);
        }
        epochs.sort_unstable();
        Ok(epochs)
    }

    /// Removes the checkpoint of an epoch, if it is there.
    pub fn remove_epoch_checkpoint(&self, epoch: u32) -> Result<(), RecordError> {
        remove(&self.epoch_checkpoint(epoch))
    }

    /// Makes the folder and those above it.
    pub fn create(&self) -> Result<(), RecordError> {
        fs::create_dir_all(&self.path)
            .map_err(|error| RecordError::io("create folder", &self.path, error))
    }

    /// Takes the trial, or says at once who has it. Makes the folder, and removes what a killed process left half written.
    pub fn lock(&self) -> Result<TrialLock, RecordError> {
        self.lock_within(Duration::ZERO)
    }

    /// As [`lock`](Self::lock), but waits for a holder that is about to end, such as the worker of a sweep
    /// that was just killed.
    pub fn lock_within(&self, wait: Duration) -> Result<TrialLock, RecordError> {
        self.create()?;
        let lock = TrialLock::take(&self.path, wait)?;
        remove_stale(&self.path)?;
        Ok(lock)
    }

    /// How far the trial is; none if it never began.
    ///
    /// # Errors
    /// A `status.json` that can't be read is an error that names it, for the report to show.
    /// For [`is_finished`](Self::is_finished) such a trial has not finished.
    pub fn status(&self) -> Result<Option<Status>, RecordError> {
        read_json(&self.path.join("status.json"), Status::FORMAT)
    }

    /// Whether the trial has a finished record: a readable status that says so, and every result file as that status
    /// names it; if an earlier version wrote it, every epoch, the predictions and the best checkpoint. Everything else is
    /// to be run.
    ///
    /// Of checkpoints only the size of the best one is looked at: see [`is_whole`](Self::is_whole).
    pub fn is_finished(&self) -> bool {
        let Ok(Some(status)) = self.status() else {
            return false;
        };
        if status.state != State::Finished {
            return false;
        }
        if !status.files.is_empty() {
            return status.files.iter().all(|(name, content)| {
                let path = self.path.join(name);
                match name.as_str() {
                    LAST => true,
                    BEST => content.has_size_of(&path),
                    _ => content.is_in(&path),
                }
            });
        }
        self.epochs()
            .is_ok_and(|rows| rows.len() == status.epochs_done as usize)
            && (self.predictions().is_ok_and(|rows| !rows.is_empty())
                || self.estimates().is_ok_and(|rows| !rows.is_empty()))
            && self.best_checkpoint().is_file()
    }

    /// What the result files hold now, by their names, for the status of a trial that has finished.
    ///
    /// # Errors
    /// When one of them can't be read.
    pub fn contents(&self) -> Result<BTreeMap<String, Content>, RecordError> {
        let mut contents = BTreeMap::new();
        for name in RESULTS {
            if let Some(content) = Content::of(&self.path.join(name))? {
                contents.insert(name.to_owned(), content);
            }
        }
        Ok(contents)
    }

    /// Whether a file of the trial holds what the trial wrote, as far as its status says what that is. Reads the file.
    pub fn is_whole(&self, file: &Path) -> bool {
        let name = file.file_name().and_then(OsStr::to_str).unwrap_or_default();
        let status = self.status().ok().flatten();
        let written = status.as_ref().and_then(|status| status.files.get(name));
        written.is_none_or(|content| content.is_in(file))
    }

    /// The files of a trial that was finished which do not hold what it wrote. Reads all of them.
    pub fn damaged(&self) -> Vec<String> {
        let status = self.status().ok().flatten();
        let files = status.filter(|status| status.state == State::Finished);
        let files = files.map(|status| status.files).unwrap_or_default();
        files
            .into_iter()
            .filter(|(name, content)| !content.is_in(&self.path.join(name)))
            .map(|(name, _)| name)
            .collect()
    }

    /// Removes what a trial goes on from, so that it starts over.
    ///
    /// # Errors
    /// When a file is there and can't be removed.
    pub fn remove_checkpoints(&self) -> Result<(), RecordError> {
        remove(&self.last_checkpoint())?;
        remove(&self.best_checkpoint())
    }

    /// Writes `status.json`.
    pub fn write_status(&self, status: &Status) -> Result<(), RecordError> {
        write_json(&self.path.join("status.json"), status)
    }

    /// What the trial is; none if it never began.
    pub fn manifest(&self) -> Result<Option<Manifest>, RecordError> {
        read_toml(&self.path.join("trial.toml"), Manifest::FORMAT)
    }

    /// Writes `trial.toml`.
    pub fn write_manifest(&self, manifest: &Manifest) -> Result<(), RecordError> {
        write_toml(&self.path.join("trial.toml"), manifest)
    }

    /// The epochs so far; none if the file is not there yet.
    pub fn epochs(&self) -> Result<Vec<EpochRow>, RecordError> {
        read_table(&self.path.join("epochs.csv"))
    }

    /// Writes `epochs.csv` whole.
    pub fn write_epochs(&self, rows: &[EpochRow]) -> Result<(), RecordError> {
        write_table(&self.path.join("epochs.csv"), rows)
    }

    /// What was found within epochs and of the training pictures; none if the recipe wants neither.
    pub fn evaluations(&self) -> Result<Vec<EvaluationRow>, RecordError> {
        read_table(&self.path.join("evaluations.csv"))
    }

    /// Writes `evaluations.csv` whole.
    pub fn write_evaluations(&self, rows: &[EvaluationRow]) -> Result<(), RecordError> {
        write_table(&self.path.join("evaluations.csv"), rows)
    }

    /// How long the epochs took; none if the file is not there yet.
    pub fn timing(&self) -> Result<Vec<TimingRow>, RecordError> {
        read_table(&self.path.join("timing.csv"))
    }

    /// Writes `timing.csv` whole.
    pub fn write_timing(&self, rows: &[TimingRow]) -> Result<(), RecordError> {
        write_table(&self.path.join("timing.csv"), rows)
    }

    /// What the best checkpoint says about the validation pictures, if they have classes; none if the file is not there yet.
    pub fn predictions(&self) -> Result<Vec<PredictionRow>, RecordError> {
        read_table(&self.path.join("predictions.csv"))
    }

    /// What the best checkpoint says about the validation pictures, if they have numbers; none if the file is not there yet.
    pub fn estimates(&self) -> Result<Vec<EstimateRow>, RecordError> {
        read_table(&self.path.join("estimates.csv"))
    }

    /// Writes what the best checkpoint says about the validation pictures: `predictions.csv`, or `estimates.csv` if they have
    /// numbers.
    pub fn write_predictions(&self, predictions: &Predictions) -> Result<(), RecordError> {
        self.write_said("", predictions)
    }

    /// Writes the same of the test pictures: `predictions-test.csv` or `estimates-test.csv`.
    pub fn write_test_predictions(&self, predictions: &Predictions) -> Result<(), RecordError> {
        self.write_said("-test", predictions)
    }

    fn write_said(&self, split: &str, predictions: &Predictions) -> Result<(), RecordError> {
        let path = |kind: &str| self.path.join(format!("{kind}{split}.csv"));
        match predictions {
            Predictions::Classes(rows) => write_table(&path("predictions"), rows),
            Predictions::Numbers(rows) => write_table(&path("estimates"), rows),
        }
    }

    /// What the best checkpoint is worth on the validation and the test pictures; none if the trial has not finished.
    pub fn metrics(&self) -> Result<Vec<MetricRow>, RecordError> {
        read_table(&self.path.join("metrics.csv"))
    }

    /// Writes `metrics.csv` whole.
    pub fn write_metrics(&self, rows: &[MetricRow]) -> Result<(), RecordError> {
        write_table(&self.path.join("metrics.csv"), rows)
    }

    /// Adds a line to `log.txt`. This file is for people: it is not flushed to the disk and never read back.
    pub fn append_log(&self, line: &str) -> Result<(), RecordError> {
        let path = self.path.join("log.txt");
        OpenOptions::new()
            .create(true)
            .append(true)
            .open(&path)
            .and_then(|mut file| file.write_all(format!("{}\n", line.trim_end()).as_bytes()))
            .map_err(|error| RecordError::io("write", &path, error))
    }
}

/// Removes a file, if it is there.
fn remove(path: &Path) -> Result<(), RecordError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(RecordError::io("remove", path, error))
        }
        _ => Ok(()),
    }
}
