//! What the trials of a sweep need before the first epoch: pictures, weight files, and the hashes of both.

use std::{path::PathBuf, sync::Arc};

use graft_data::{
    DataFolders, DataSpec, Source, SourceSpec, Split, Subset, Target, ensure_present, open,
};
use graft_model::{Init, ModelSpec, Network, WeightFile, WeightsFolders, WeightsSpec, locate};

use crate::{
    experiment::{Experiment, Variant},
    failure::Failure,
    plan::{Fingerprints, Pictures},
    progress::DownloadProgress,
};

/// What an experiment needs, with that of the experiments that its weights come from. Each is named once.
#[derive(Default)]
pub(in crate::commands) struct Needs<'e> {
    sources: Vec<&'e SourceSpec>,
    subsets: Vec<(&'e SourceSpec, Subset)>,
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
            let subset = (&experiment.source, settings.subset);
            if !self.subsets.contains(&subset) {
                self.subsets.push(subset);
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
                .map_err(|error| error.to_string())
        });
        if materials.missing.is_empty() {
            return Ok(materials);
        }
        let messages: Vec<String> = materials
            .missing
            .iter()
            .map(|message| format!("error: {message}"))
            .collect();
        Err(Failure::bad_input(messages.join("\n")))
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
        mut ensure: impl FnMut(&SourceSpec) -> Result<(), String>,
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
            let opened =
                ensure(spec).and_then(|()| open(spec, data).map_err(|error| error.to_string()));
            match opened {
                Ok(source) if source.target() == Target::Classes && source.classes().len() < 2 => materials.missing.push(format!(
                    "the pictures have one class only, `{}`\nhint: a classifier needs at least two class folders",
                    source.classes().join("")
                )),
                Ok(source) => materials.sources.push((spec.clone(), source)),
                Err(error) => materials.missing.push(error),
            }
        }
        for (spec, subset) in needs.subsets {
            let Some(source) = materials.source(spec) else {
                continue;
            };
            if let Err(error) = subset.count(&**source) {
                materials.missing.push(error.to_string());
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
        for variant in &experiment.variants {
            // One cell tells enough.
            let wrong = variant.settings.iter().find_map(|settings| {
                let weights = settings.train.class_weights.len();
                let is_smoothed = settings.train.label_smoothing > 0.0;
                match source.target() {
                    Target::Classes if weights > 0 && weights != classes.len() => Some(format!(
                        "`class_weights` has {weights} numbers for {} classes\nhint: the classes are {}",
                        classes.len(),
                        classes.join(", ")
                    )),
                    Target::Number if weights > 0 || is_smoothed => Some(format!(
                        "`{}` is for classes, and the pictures have numbers\nhint: leave it out",
                        if weights > 0 { "class_weights" } else { "label_smoothing" },
                    )),
                    _ => None,
                }
            });
            let wrong = wrong.map(|wrong| format!("{}: {wrong}", variant.name));
            self.missing.extend(wrong);
        }
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
                self.missing.push(error.to_string());
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
