//! A folder with experiment files, and what a person sees who runs one of them.
#![allow(
    dead_code,
    reason = "each test file is a program of its own and uses a part of this"
)]

use std::{convert::Infallible, fs, path::PathBuf};

use graft_data::SourceSpec;
use graft_model::WeightsSpec;
use graft_runner::{
    experiment::{Experiment, Problems},
    plan::{Fingerprints, Plan},
};

/// An experiment in which nothing is wrong, to spoil in tests.
pub(crate) const GOOD: &str = r#"name = "good"
repeats = 2
seed = 7

[data]
source = "image-folder"
path = "pictures"

[data.transform]
size = 224

[train]
epochs = 20
batch_size = 4
optimizer = { kind = "sgd", lr = 1e-4, momentum = 0.9 }

[[variant]]
name = "scratch"
model = { kind = "convnet", depth = [4, 8], hidden = 512, dropout = 0.5 }

[[variant]]
name = "pretrained"
model = { kind = "resnet18", weights = "hf:timm/resnet18.tv_in1k" }
transfer = "fine-tune"

[[variant]]
name = "frozen"
model = { kind = "resnet18", weights = "hf:timm/resnet18.tv_in1k" }
transfer = "frozen"
"#;

/// A folder with experiment files, and `--set` arguments.
pub(crate) struct Session {
    folder: tempfile::TempDir,
    set: Vec<String>,
}

impl Session {
    pub(crate) fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            set: Vec::new(),
        }
    }

    /// A session with `x.toml`.
    pub(crate) fn with(text: &str) -> Self {
        Self::new().file("x.toml", text)
    }

    /// A session with the good experiment as `x.toml`, in which `from` is replaced.
    pub(crate) fn good_but(from: &str, to: &str) -> Self {
        assert_eq!(GOOD.matches(from).count(), 1, "{from}");
        Self::with(&GOOD.replace(from, to))
    }

    pub(crate) fn file(self, name: &str, text: &str) -> Self {
        let path = self.folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        self
    }

    pub(crate) fn set(mut self, argument: &str) -> Self {
        self.set.push(argument.to_owned());
        self
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn load_file(&self, name: &str) -> Result<Experiment, Problems> {
        Experiment::load(&self.path(name), &self.set)
    }

    /// Loads `x.toml`, which must be good.
    pub(crate) fn load(&self) -> Experiment {
        self.load_file("x.toml").unwrap_or_else(|p| panic!("{p}"))
    }

    /// The text about `x.toml`, which must be bad, without the name of the folder.
    pub(crate) fn errors(&self) -> String {
        let problems = self.load_file("x.toml").expect_err("the file is bad");
        let folder = format!("{}/", self.folder.path().display());
        problems.to_string().replace(&folder, "")
    }
}

/// Fingerprints that depend on what is asked about, as far as it says where something is.
pub(crate) struct Names;

impl Fingerprints for Names {
    type Error = Infallible;

    fn data(&mut self, source: &SourceSpec) -> Result<String, Infallible> {
        Ok(match source {
            SourceSpec::ImageFolder(folder) => format!("content of {}", folder.path),
            SourceSpec::Csv(list) => format!("content of {}", list.path),
            SourceSpec::Cifar10(folder) => format!("content of {}", folder.path),
            SourceSpec::Generated(_) => "generator 1".to_owned(),
        })
    }

    fn weights(&mut self, weights: &WeightsSpec) -> Result<String, Infallible> {
        Ok(format!("content of {weights}"))
    }
}

/// The plan of an experiment.
pub(crate) fn plan(experiment: &Experiment) -> Plan {
    let Ok(plan) = Plan::new(experiment, &mut Names);
    plan
}
