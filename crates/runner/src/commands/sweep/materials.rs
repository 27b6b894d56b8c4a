//! What the trials of a sweep need before the first epoch: pictures, weight files, and the hashes of both.

use std::{fmt::Display, path::PathBuf, sync::Arc};

use graft_data::{
    DataError, DataFolders, DataSpec, Source, SourceSpec, Split, Subset, Target, ensure_present,
    open,
};
use graft_model::{Init, ModelSpec, Network, WeightFile, WeightsFolders, WeightsSpec, locate};

use crate::{
    experiment::{Experiment, Place, Variant},
    failure::{Failure, printable},
    plan::{Fingerprints, Pictures},
    progress::DownloadProgress,
};

/// What an experiment needs, with that of the experiments that its weights come from. Each is named once.
#[derive(Default)]
pub(in crate::commands) struct Needs<'e> {
    sources: Vec<&'e SourceSpec>,
    subsets: Vec<(&'e SourceSpec, Subset, Option<&'e Place>)>,
    pub(in crate::commands) weights: Vec<&'e WeightsSpec>,
}

impl<'e> Needs<'e> {
    pub(in crate::commands) fn of(experiment: &'e Experiment) -> Self {
        let mut needs = Self::default();
        for variant in &experiment.variants {
            needs.add(experiment, variant);
        }
        needs
    }

    fn add(&mut self, experiment: &'e Experiment, variant: &'e Variant) {
        if !self.sources.contains(&&experiment.source) {
            self.sources.push(&experiment.source);
        }
        for settings in &variant.settings {
            let (source, subset) = (&experiment.source, settings.subset);
            let known = |known: &(&SourceSpec, Subset, _)| (known.0, known.1) == (source, subset);
            if !self.subsets.iter().any(known) {
                let place = settings.places.per_class.as_ref();
                self.subsets.push((source, subset, place));
            }
            match (experiment.parent(settings), &settings.weights) {
                (Some((parent, variant)), _) => self.add(parent, variant),
                (None, Some(weights)) if !self.weights.contains(&weights) => {
                    self.weights.push(weights);
                }
                (None, _) => {}
            }
        }
    }
}

/// Opened sources and found weight files.
#[derive(Default)]
pub(in crate::commands) struct Materials {
    sources: Vec<(SourceSpec, Arc<dyn Source>)>,
    weights: Vec<(WeightsSpec, PathBuf)>,
    /// What is missing, in full messages. Only a dry run goes on with something missing.
    pub(super) missing: Vec<String>,
    /// What is there and can't be used, likewise.
    wrong: Vec<String>,
}

impl Materials {
    /// Finds everything, and fetches what may be fetched.
    ///
    /// # Errors
    /// With everything that is missing.
    pub(in crate::commands) fn gather(
        experiment: &Experiment,
        data: &DataFolders,
        weights: &WeightsFolders,
    ) -> Result<Self, Failure> {
        let materials = Self::collect(experiment, weights, data, |source| {
            ensure_present(source, data, &mut DownloadProgress::default())
        });
        let all = || materials.missing.iter().chain(&materials.wrong);
        failure(all()).map_or_else(|| Ok(()), Err)?;
        Ok(materials)
    }

    /// Refuses what is there and can't be used; what is missing may still come.
    pub(super) fn check(&self) -> Result<(), Failure> {
        failure(self.wrong.iter()).map_or(Ok(()), Err)
    }

    /// Finds what is there and notes what is missing. Nothing is fetched or written.
    pub(super) fn look(
        experiment: &Experiment,
        data: &DataFolders,
        weights: &WeightsFolders,
    ) -> Self {
        let weights = WeightsFolders {
            offline: true,
            ..weights.clone()
        };
        Self::collect(experiment, &weights, data, |_| Ok(()))
    }

    fn collect(
        experiment: &Experiment,
        weights: &WeightsFolders,
        data: &DataFolders,
        mut ensure: impl FnMut(&SourceSpec) -> Result<(), DataError>,
    ) -> Self {
        let needs = Needs::of(experiment);
        let mut materials = Self::default();
        // Weights first: they are seldom large, and a missing one should not be found after a long download of data.
        for spec in needs.weights {
            match locate(spec, weights, &mut DownloadProgress::default()) {
                Ok(path) => materials.weights.push((spec.clone(), path)),
                Err(error) => materials.missing.push(error.to_string()),
            }
        }
        for spec in needs.sources {
            match ensure(spec).and_then(|()| open(spec, data)) {
                Ok(source) if source.target() == Target::Classes && source.classes().len() < 2 => materials.wrong.push(format!(
                    "the pictures have one class only, `{}`\nhint: a classifier needs at least two class folders",
                    source.classes().join("")
                )),
                Ok(source) => materials.sources.push((spec.clone(), source)),
                Err(error @ (DataError::MissingFolder { .. } | DataError::MissingList { .. } | DataError::Fetch(_))) => {
                    materials.missing.push(error.to_string());
                }
                Err(error) => materials.wrong.push(error.to_string()),
            }
        }
        for (spec, subset, place) in needs.subsets {
            let Some(source) = materials.source(spec) else {
                continue;
            };
            if let Err(error) = subset.count(&**source) {
                materials.wrong.push(at(place, &error));
            }
        }
        materials.weigh(experiment);
        materials.fit(experiment);
        materials
    }

    /// Notes every loss that does not fit the classes of the pictures.
    fn weigh(&mut self, experiment: &Experiment) {
        let Some(source) = self.source(&experiment.source).cloned() else {
            return;
        };
        let classes = source.classes();
        let mut wrong: Vec<String> = Vec::new();
        let mut note = |place: &Option<Place>, problem: String| {
            let problem = at(place.as_ref(), &problem);
            // What the file says for all variants is wrong once.
            if !wrong.contains(&problem) {
                wrong.push(problem);
            }
        };
        for settings in experiment
            .variants
            .iter()
            .flat_map(|variant| &variant.settings)
        {
            let places = &settings.places;
            let weights = settings.train.class_weights.len();
            let is_smoothed = settings.train.label_smoothing > 0.0;
            let for_classes = |key| {
                format!("`{key}` is for classes, and the pictures have numbers\nhint: leave it out")
            };
            match source.target() {
                Target::Classes if weights > 0 && weights != classes.len() => {
                    let problem = format!(
                        "`class_weights` has {weights} numbers for {} classes\nhint: the classes are {}",
                        classes.len(),
                        list(classes)
                    );
                    note(&places.class_weights, problem);
                }
                Target::Classes => {}
                Target::Number => {
                    if weights > 0 {
                        note(&places.class_weights, for_classes("class_weights"));
                    }
                    if is_smoothed {
                        note(&places.label_smoothing, for_classes("label_smoothing"));
                    }
                }
            }
        }
        self.wrong.extend(wrong);
    }

    /// Notes every weight file that does not fit the network it is for.
    fn fit(&mut self, experiment: &Experiment) {
        let Some(classes) = self
            .source(&experiment.source)
            .map(|source| source.outputs())
        else {
            return;
        };
        let Ok(device) = graft_trainer::device::open("cpu") else {
            return;
        };
        let mut tried: Vec<(&ModelSpec, &WeightsSpec)> = Vec::new();
        for settings in experiment
            .variants
            .iter()
            .flat_map(|variant| &variant.settings)
        {
            let Some(weights) = &settings.weights else {
                continue;
            };
            let Some(path) = self.weights_file(weights) else {
                continue;
            };
            if tried.contains(&(&settings.model, weights)) {
                continue;
            }
            tried.push((&settings.model, weights));
            let (size, init) = (
                settings.transform.size as usize,
                Init { seed: 0, repeat: 1 },
            );
            let fitted = WeightFile::open(path).and_then(|file| {
                Network::pretrained(&settings.model, classes, size, &init, &device, &file)
            });
            if let Err(error) = fitted {
                self.wrong.push(error.to_string());
            }
        }
    }

    /// What is worth telling of the pictures, such as files that are none.
    pub(super) fn notes(&self) -> Vec<String> {
        self.sources
            .iter()
            .flat_map(|(_, source)| source.notes())
            .collect()
    }

    /// The pictures of a source that was found.
    pub(super) fn source(&self, spec: &SourceSpec) -> Option<&Arc<dyn Source>> {
        self.sources
            .iter()
            .find(|(known, _)| known == spec)
            .map(|(_, source)| source)
    }

    /// The number of pictures that a trial sees, if their source was found.
    pub(super) fn pictures(&self, spec: &DataSpec) -> Option<Pictures> {
        let source = self.source(&spec.source)?;
        Some(Pictures {
            train: spec.subset.count(&**source).ok()? as u64,
            val: source.len(Split::Val) as u64,
        })
    }

    /// The file of weights that were found.
    pub(in crate::commands) fn weights_file(&self, spec: &WeightsSpec) -> Option<&PathBuf> {
        self.weights
            .iter()
            .find(|(known, _)| known == spec)
            .map(|(_, path)| path)
    }
}

/// All of these messages as one failure; none if there are none.
fn failure<'m>(messages: impl Iterator<Item = &'m String>) -> Option<Failure> {
    let messages: Vec<String> = messages.map(|text| format!("error: {text}")).collect();
    (!messages.is_empty()).then(|| Failure::bad_input(messages.join("\n")))
}

/// A problem with the place where its key is written.
fn at(place: Option<&Place>, problem: &impl Display) -> String {
    place.map_or_else(
        || problem.to_string(),
        |place| format!("{place}: {problem}"),
    )
}

/// Names of classes on one line.
fn list(names: &[String]) -> String {
    printable(&names.join(", "))
}

impl Fingerprints for Materials {
    type Error = Failure;

    fn data(&mut self, spec: &SourceSpec) -> Result<String, Failure> {
        match self.source(spec) {
            Some(source) => source.fingerprint().map_err(Failure::bad_input),
            None => Ok("missing".to_owned()),
        }
    }

    fn weights(&mut self, spec: &WeightsSpec) -> Result<String, Failure> {
        let Some(path) = self.weights_file(spec) else {
            return Ok("missing".to_owned());
        };
        let file = WeightFile::open(path).map_err(Failure::bad_input)?;
        Ok(file.fingerprint().to_owned())
    }
}
