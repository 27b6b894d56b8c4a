//! From experiments to the list of trials to run.

mod estimate;
mod id;
mod sharing;

use std::collections::BTreeMap;

use graft_data::{DataSpec, SourceSpec};
use graft_model::WeightsSpec;
use graft_record::TrialKey;
use graft_trainer::TrialSpec;

use crate::experiment::{Experiment, RepeatFrom, Settings, Variant};

pub use estimate::{Estimate, Line, Pictures, Work};
pub use id::trial_id;
pub use sharing::{Sharing, shared_features, shared_pictures, sharing};

/// Version of what the program makes of a [`TrialSpec`]; raised when the same spec gives another result.
pub const FORMAT: u32 = 3;

/// The trials of an experiment and of those that its weights come from.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The trials in the order in which they should start: a trial comes after those that it depends on.
    pub trials: Vec<PlannedTrial>,
}

/// A trial and its place in the plan.
#[derive(Clone, Debug, PartialEq)]
pub struct PlannedTrial {
    /// Name of the experiment that it belongs to.
    pub experiment: String,
    /// What it is called.
    pub key: TrialKey,
    /// What it does.
    pub spec: TrialSpec,
    /// Indices into [`Plan::trials`] of the trials whose checkpoints it starts from.
    pub dependencies: Vec<usize>,
    /// The one of them that it goes on with as it is: the repeat before it.
    pub previous: Option<usize>,
    /// How many of the last epochs' networks it keeps.
    pub keep_last: u32,
}

/// Hashes of the content of files. They are asked for once per source and per weights.
pub trait Fingerprints {
    /// Why a hash could not be computed.
    type Error;
    /// Hash of the pictures of a source.
    fn data(&mut self, source: &SourceSpec) -> Result<String, Self::Error>;
    /// Hash of the content of a weight file; never asked about `trial:` weights.
    fn weights(&mut self, weights: &WeightsSpec) -> Result<String, Self::Error>;
}

impl Plan {
    /// The trials of `experiment`, after the trials of other experiments whose checkpoints they start from, of which
    /// only the variants and repeats that are needed are planned.
    ///
    /// Repeats vary slowest, then variants, then cells: every variant has its first repeat before any has its
    /// second, so that a sweep that is stopped early can be compared, and the cells of a variant, which can share
    /// work, stand together.
    pub fn new<F: Fingerprints>(
        experiment: &Experiment,
        fingerprints: &mut F,
    ) -> Result<Self, F::Error> {
        let mut planner = Planner {
            fingerprints,
            data: Vec::new(),
            weights: Vec::new(),
            places: BTreeMap::new(),
            trials: Vec::new(),
        };
        for point in points(experiment) {
            planner.parent(experiment, &point)?;
        }
        for point in points(experiment) {
            planner.trial(experiment, &point)?;
        }
        Ok(Self {
            trials: planner.trials,
        })
    }

    /// The trials of one experiment.
    pub fn of<'a>(&'a self, experiment: &'a str) -> impl Iterator<Item = &'a PlannedTrial> {
        self.trials
            .iter()
            .filter(move |trial| trial.experiment == experiment)
    }
}

/// One trial of an experiment: variant, which of the variant's cells, repeat.
#[derive(Clone, Copy)]
struct Point<'a> {
    variant: &'a Variant,
    cell: usize,
    repeat: u32,
}

impl<'a> Point<'a> {
    fn settings(&self) -> &'a Settings {
        &self.variant.settings[self.cell]
    }
}

/// All trials of an experiment in the order of the plan.
fn points(experiment: &Experiment) -> impl Iterator<Item = Point<'_>> {
    (1..=experiment.repeats).flat_map(move |repeat| {
        experiment.variants.iter().flat_map(move |variant| {
            (0..variant.settings.len()).map(move |cell| Point {
                variant,
                cell,
                repeat,
            })
        })
    })
}

/// Plans trials, each once, and remembers fingerprints.
struct Planner<'f, F> {
    fingerprints: &'f mut F,
    data: Vec<(SourceSpec, String)>,
    weights: Vec<(WeightsSpec, String)>,
    /// Index of the trial of (experiment, variant, cell, repeat).
    places: BTreeMap<(String, String, usize, u32), usize>,
    trials: Vec<PlannedTrial>,
}

impl<F: Fingerprints> Planner<'_, F> {
    /// Plans the trial whose checkpoint a trial starts from, if it starts from one.
    fn parent(
        &mut self,
        experiment: &Experiment,
        point: &Point<'_>,
    ) -> Result<Option<usize>, F::Error> {
        let Some((parent, variant)) = experiment.parent(point.settings()) else {
            return Ok(None);
        };
        // The same repeat, or the only one.
        let repeat = point.repeat.min(parent.repeats);
        let point = Point {
            variant,
            cell: 0,
            repeat,
        };
        self.trial(parent, &point).map(Some)
    }

    /// Plans a trial, and before it the one whose checkpoint it starts from.
    fn trial(&mut self, experiment: &Experiment, point: &Point<'_>) -> Result<usize, F::Error> {
        let place = (
            experiment.name.clone(),
            point.variant.name.clone(),
            point.cell,
            point.repeat,
        );
        if let Some(&index) = self.places.get(&place) {
            return Ok(index);
        }
        let parent = self.parent(experiment, point)?;
        let settings = point.settings();
        let previous = match settings.repeat_from {
            RepeatFrom::Previous if point.repeat > 1 => {
                let repeat = point.repeat - 1;
                Some(self.trial(experiment, &Point { repeat, ..*point })?)
            }
            RepeatFrom::Previous | RepeatFrom::Start => None,
        };
        let weights_fingerprint = match (&settings.weights, parent) {
            (_, Some(parent)) => Some(format!("trial:{}", self.trials[parent].key.id)),
            (Some(weights), None) => Some(self.weights_fingerprint(weights)?),
            (None, None) => None,
        };
        let spec = TrialSpec {
            format: FORMAT,
            seed: experiment.seed,
            repeat: point.repeat,
            data: DataSpec {
                source: experiment.source.clone(),
                subset: settings.subset,
                transform: settings.transform.clone(),
            },
            data_fingerprint: self.data_fingerprint(&experiment.source)?,
            model: settings.model.clone(),
            weights: settings.weights.clone(),
            weights_fingerprint,
            previous: previous.map(|previous| self.trials[previous].key.id.clone()),
            transfer: settings.transfer.clone(),
            recipe: settings.train.clone(),
        };
        let key = TrialKey {
            variant: point.variant.name.clone(),
            cell: experiment.cells[point.variant.cells[point.cell]].clone(),
            repeat: point.repeat,
            id: trial_id(&spec),
        };
        let index = self.trials.len();
        self.trials.push(PlannedTrial {
            experiment: experiment.name.clone(),
            key,
            spec,
            dependencies: parent.into_iter().chain(previous).collect(),
            previous,
            keep_last: settings.keep_last,
        });
        self.places.insert(place, index);
        Ok(index)
    }

    fn data_fingerprint(&mut self, source: &SourceSpec) -> Result<String, F::Error> {
        let hash = |source: &SourceSpec| self.fingerprints.data(source);
        remembered(&mut self.data, source, hash)
    }

    fn weights_fingerprint(&mut self, weights: &WeightsSpec) -> Result<String, F::Error> {
        let hash = |weights: &WeightsSpec| self.fingerprints.weights(weights);
        remembered(&mut self.weights, weights, hash)
    }
}

/// The fingerprint of `spec` from `known`, or else computed and added to it.
fn remembered<S: Clone + PartialEq, E>(
    known: &mut Vec<(S, String)>,
    spec: &S,
    compute: impl FnOnce(&S) -> Result<String, E>,
) -> Result<String, E> {
    if let Some((_, hash)) = known.iter().find(|(other, _)| other == spec) {
        return Ok(hash.clone());
    }
    let hash = compute(spec)?;
    known.push((spec.clone(), hash.clone()));
    Ok(hash)
}
