//! The folder of one experiment's results.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use crate::{
    Plan, RecordError, Sample, SweepLock, Thumbnail, TrialFolder, TrialKey,
    atomic::remove_stale,
    document::{read_json, read_text, write_json, write_text},
    table::{read_table, write_table},
};

/// The folder of one experiment's results, such as `results/beeant`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResultsFolder {
    root: PathBuf,
}

impl ResultsFolder {
    /// Makes the folder if it is not there yet.
    pub fn create(root: impl Into<PathBuf>) -> Result<Self, RecordError> {
        let root = root.into();
        let trials = root.join("trials");
        fs::create_dir_all(&trials)
            .map_err(|error| RecordError::io("create folder", &trials, error))?;
        Ok(Self { root })
    }

    /// An existing folder.
    ///
    /// # Errors
    /// [`RecordError::NoResults`] if there is none.
    pub fn open(root: impl Into<PathBuf>) -> Result<Self, RecordError> {
        let root = root.into();
        if root.is_dir() {
            Ok(Self { root })
        } else {
            Err(RecordError::NoResults { path: root })
        }
    }

    /// The folder itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Takes the folder for a sweep, or says who has it, and removes what killed processes left half written.
    pub fn lock(&self) -> Result<SweepLock, RecordError> {
        let lock = SweepLock::take(&self.root)?;
        remove_stale(&self.root)?;
        for folder in [self.samples_folder()]
            .into_iter()
            .chain(self.trial_paths()?)
        {
            if folder.is_dir() {
                remove_stale(&folder)?;
            }
        }
        Ok(lock)
    }

    /// The folder of a trial, which need not exist yet.
    pub fn trial(&self, key: &TrialKey) -> TrialFolder {
        TrialFolder::new(self.root.join("trials").join(key.folder_name()))
    }

    /// The trials that have begun, of this plan or an earlier one, by folder name. A folder without a
    /// `trial.toml` is no trial.
    pub fn trials(&self) -> Result<Vec<TrialFolder>, RecordError> {
        let mut paths = self.trial_paths()?;
        paths.retain(|path| path.join("trial.toml").is_file());
        Ok(paths.into_iter().map(TrialFolder::new).collect())
    }

    /// The folders in `trials/`, by name.
    fn trial_paths(&self) -> Result<Vec<PathBuf>, RecordError> {
        let trials = self.root.join("trials");
        let failed = |error| RecordError::io("list", &trials, error);
        let entries = match fs::read_dir(&trials) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(failed(error)),
        };
        let mut paths = Vec::new();
        for entry in entries {
            let path = entry.map_err(failed)?.path();
            if path.is_dir() {
                paths.push(path);
            }
        }
        paths.sort();
        Ok(paths)
    }

    /// The text of `experiment.toml`; none if it is not there.
    pub fn experiment(&self) -> Result<Option<String>, RecordError> {
        read_text(&self.root.join("experiment.toml"))
    }

    /// Writes `experiment.toml`, the experiment as resolved.
    pub fn write_experiment(&self, text: &str) -> Result<(), RecordError> {
        write_text(&self.root.join("experiment.toml"), text)
    }

    /// The plan of the newest sweep; none if it is not there.
    pub fn plan(&self) -> Result<Option<Plan>, RecordError> {
        read_json(&self.root.join("plan.json"), Plan::FORMAT)
    }

    /// Writes `plan.json`.
    pub fn write_plan(&self, plan: &Plan) -> Result<(), RecordError> {
        write_json(&self.root.join("plan.json"), plan)
    }

    /// The pictures that the figures show; none if they are not there.
    pub fn samples(&self) -> Result<Vec<Sample>, RecordError> {
        read_table(&self.samples_folder().join("samples.csv"))
    }

    /// Writes the pictures that the figures show, and then the list of them. They may come in any order.
    pub fn write_samples(&self, samples: &[(Sample, Thumbnail)]) -> Result<(), RecordError> {
        let folder = self.samples_folder();
        fs::create_dir_all(&folder)
            .map_err(|error| RecordError::io("create folder", &folder, error))?;
        for (sample, thumbnail) in samples {
            thumbnail.write(&folder.join(sample.file_name()))?;
        }
        let mut rows: Vec<Sample> = samples.iter().map(|(sample, _)| sample.clone()).collect();
        rows.sort_by_key(|sample| (sample.kind, sample.index));
        write_table(&folder.join("samples.csv"), &rows)
    }

    /// The picture of a sample.
    pub fn thumbnail(&self, sample: &Sample) -> Result<Thumbnail, RecordError> {
        Thumbnail::read(&self.samples_folder().join(sample.file_name()))
    }

    fn samples_folder(&self) -> PathBuf {
        self.root.join("samples")
    }
}
