//! Experiment files: what a person wrote, and what it means.
//!
//! [`RawExperiment`] is the file as written, every value with the place it stands at. [`Experiment`] is what it
//! means: checked, every default filled in. Only the second travels further. All problems are reported at once.

mod data;
mod document;
mod exclude;
mod fields;
mod fitting;
mod grid;
mod parents;
mod problem;
mod raw;
mod resolve;
mod rules;
mod schedule;
mod set;
mod suggest;
mod train;
mod tree;
mod variant;
mod variants;

use std::{collections::BTreeMap, path::Path, sync::Arc};

use graft_data::{SourceSpec, Subset, TransformSpec};
use graft_model::{ModelSpec, TransferSpec, WeightsSpec};
use graft_trainer::Recipe;

pub use problem::{Place, Problem, Problems};
pub use raw::RawExperiment;

/// An experiment, checked and with every default filled in.
#[derive(Clone, Debug, PartialEq)]
pub struct Experiment {
    /// Its name, which is also the name of its results folder.
    pub name: String,
    /// How often each cell of each variant is repeated; at most so often if [`Self::until`] decides.
    pub repeats: u32,
    /// When a cell of a variant has been repeated often enough, if that depends on what comes out.
    pub until: Option<Until>,
    /// Seed of everything that is drawn.
    pub seed: u64,
    /// Where the pictures come from.
    pub source: SourceSpec,
    /// The axes of the grid in the order of the file; empty without a grid.
    pub grid: Vec<Axis>,
    /// The labels of the grid's cells in which any variant is trained, first axis slowest; `base` alone without a grid.
    pub cells: Vec<String>,
    /// The variants in the order of the file.
    pub variants: Vec<Variant>,
    /// Name of the variant that the others are compared with.
    pub reference: String,
    /// Whether event files for TensorBoard are written.
    pub tensorboard: bool,
    /// The experiments that `trial:` weights of this one come from, by the name used there.
    pub parents: BTreeMap<String, Arc<Experiment>>,
    /// This experiment as a file.
    document: String,
}

/// When a cell of a variant has been repeated often enough.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Until {
    /// Repeats at least.
    pub min: u32,
    /// The 95 % interval of the mean validation accuracy at the last epoch is narrower than this, from end to end.
    pub interval: f64,
}

/// One named way to build and train a network.
#[derive(Clone, Debug, PartialEq)]
pub struct Variant {
    /// Its name.
    pub name: String,
    /// What it is in each cell of the grid that it is trained in, in the order of [`Experiment::cells`].
    pub settings: Vec<Settings>,
    /// Which cells these are: indices into [`Experiment::cells`].
    pub cells: Vec<usize>,
}

/// A variant in one cell of the grid.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// The network.
    pub model: ModelSpec,
    /// Where its backbone's weights come from, if anywhere.
    pub weights: Option<WeightsSpec>,
    /// How they are transferred.
    pub transfer: TransferSpec,
    /// What a repeat starts from.
    pub repeat_from: RepeatFrom,
    /// Which of the training pictures are learnt from.
    pub subset: Subset,
    /// How pictures become inputs.
    pub transform: TransformSpec,
    /// How the network is trained.
    pub train: Recipe,
    /// How many of the last epochs' networks are kept beside the best one.
    pub keep_last: u32,
    /// Where some of this is written.
    pub places: Places,
}

/// Where keys are written that only fit or not when the pictures are known. It means nothing: any two are equal.
#[derive(Clone, Debug, Default)]
pub struct Places {
    /// `train.class_weights`
    pub class_weights: Option<Place>,
    /// `train.label_smoothing`
    pub label_smoothing: Option<Place>,
    /// `data.per_class`
    pub per_class: Option<Place>,
}

impl PartialEq for Places {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

/// What a repeat starts from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RepeatFrom {
    /// The same as every other repeat: its weights, and a head of its own.
    Start,
    /// The network of the repeat before it as that left it, as a loop over repeats does that never builds a new network.
    Previous,
}

/// One axis of the grid.
#[derive(Clone, Debug, PartialEq)]
pub struct Axis {
    /// The key as in a variant, such as `train.optimizer.lr`.
    pub key: String,
    /// Its values.
    pub values: Vec<toml::Value>,
    /// Axes with the same number move together.
    pub group: usize,
}

impl Experiment {
    /// Reads the experiment file `file` with the values of `--set KEY=VALUE` arguments in the place of its own, and
    /// the experiments that its weights come from.
    pub fn load(file: &Path, set: &[String]) -> Result<Self, Problems> {
        let mut raw = RawExperiment::read(file)?;
        raw.set(set);
        raw.resolve()
    }

    /// The experiment as an experiment file with every default filled in. Reading it gives the same experiment.
    pub fn to_toml(&self) -> &str {
        &self.document
    }

    /// The variant of a name.
    pub fn variant(&self, name: &str) -> Option<&Variant> {
        self.variants.iter().find(|variant| variant.name == name)
    }

    /// The experiment and the variant that `trial:` weights come from; `None` for other weights and for none.
    pub fn parent(&self, settings: &Settings) -> Option<(&Experiment, &Variant)> {
        let Some(WeightsSpec::Trial {
            experiment,
            variant,
        }) = &settings.weights
        else {
            return None;
        };
        let parent = self.parents.get(experiment)?;
        Some((parent, parent.variant(variant)?))
    }
}

impl RawExperiment {
    /// Checks everything and fills every default in. All problems are reported at once.
    pub fn resolve(&self) -> Result<Experiment, Problems> {
        let resolved = resolve::resolve(self, &parents::Chain::default())?;
        Ok(resolved.experiment)
    }
}
