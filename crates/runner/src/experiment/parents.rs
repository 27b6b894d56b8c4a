//! Finds the experiments that `trial:` weights come from.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    Experiment, Settings,
    fields::Sink,
    problem::{Problem, Problems},
    raw::{RawExperiment, experiment_files},
    resolve::{Resolved, resolve},
    suggest::{nearest, one_of},
    tree::Origin,
};

/// The experiments that lead to one another by `trial:` weights, from the one that was asked for on.
#[derive(Clone, Default)]
pub(super) struct Chain(Vec<Link>);

#[derive(Clone)]
struct Link {
    name: String,
    file: PathBuf,
}

/// `trial:` weights of a variant in a cell.
pub(super) struct Reference<'a> {
    pub(super) experiment: &'a str,
    pub(super) variant: &'a str,
    /// Where the weights are written.
    pub(super) origin: Origin,
    /// What the trial that starts from them is.
    pub(super) child: &'a Settings,
}

/// What was found for the `trial:` weights of an experiment.
#[derive(Default)]
pub(super) struct Parents {
    pub(super) experiments: BTreeMap<String, Arc<Experiment>>,
    /// The file of every experiment that takes part, by its name.
    pub(super) files: BTreeMap<String, PathBuf>,
    /// What is wrong with their files.
    pub(super) problems: Vec<Problem>,
}

impl Chain {
    /// The chain that leads on to `raw`.
    pub(super) fn with(&self, raw: &RawExperiment) -> Self {
        let mut chain = self.clone();
        chain.0.push(Link {
            name: label(raw.name(), &raw.file),
            file: canonical(&raw.file),
        });
        chain
    }
}

/// Reads the experiments of `references`, each once, and checks that they fit `repeats` of the children.
pub(super) fn find(
    raw: &RawExperiment,
    chain: &Chain,
    references: &[Reference<'_>],
    repeats: Option<u32>,
    sink: &Sink,
) -> Parents {
    let mut parents = Parents::default();
    if let Some(name) = raw.name() {
        parents.files.insert(name.to_owned(), canonical(&raw.file));
    }
    let mut tried: Vec<&str> = Vec::new();
    for reference in references {
        let name = reference.experiment;
        if !parents.experiments.contains_key(name) {
            if tried.contains(&name) {
                continue;
            }
            tried.push(name);
            match read(raw, chain, name) {
                Ok(resolved) => parents.add(reference, resolved, sink),
                Err(Failure::Reference(message)) => sink.problem(&reference.origin, message),
                Err(Failure::File(problems)) => {
                    parents.problems.extend(problems.as_slice().iter().cloned());
                }
            }
        }
        if let Some(parent) = parents.experiments.get(name) {
            check(reference, parent, repeats, sink);
        }
    }
    parents
}

impl Parents {
    fn add(&mut self, reference: &Reference<'_>, resolved: Resolved, sink: &Sink) {
        for (name, file) in resolved.files {
            let lower = name.to_lowercase();
            let same = |(known, other): &(&String, &PathBuf)| {
                known.to_lowercase() == lower && **other != file
            };
            if let Some((known, other)) = self.files.iter().find(same) {
                let message = format!(
                    "the experiments `{known}` in {} and `{name}` in {} would write to the same results folder; give one another name",
                    other.display(),
                    file.display()
                );
                sink.problem(&reference.origin, message);
            }
            self.files.entry(name).or_insert(file);
        }
        let experiment = Arc::new(resolved.experiment);
        self.experiments
            .insert(reference.experiment.to_owned(), experiment);
    }
}

/// Why the experiment of a reference can't be had.
enum Failure {
    /// The reference leads nowhere.
    Reference(String),
    /// The file that it leads to has problems.
    File(Problems),
}

fn read(raw: &RawExperiment, chain: &Chain, name: &str) -> Result<Resolved, Failure> {
    let file = locate(&raw.file, name).map_err(Failure::Reference)?;
    let known = canonical(&file);
    if let Some(start) = chain.0.iter().position(|link| link.file == known) {
        let names = chain.0[start..].iter().map(|link| link.name.as_str());
        let names: Vec<&str> = names.chain([chain.0[start].name.as_str()]).collect();
        return Err(Failure::Reference(format!(
            "the experiments lead back to where they started: {}",
            names.join(" → ")
        )));
    }
    let parent = RawExperiment::read(&file).map_err(Failure::File)?;
    resolve(&parent, chain).map_err(Failure::File)
}

/// The file of the experiment called `name`: `<name>.toml` beside `child`, or another file there with that name in
/// it, or the resolved experiment in a neighbouring results folder.
fn locate(child: &Path, name: &str) -> Result<PathBuf, String> {
    let folder = child.parent().unwrap_or(Path::new(""));
    let direct = folder.join(format!("{name}.toml"));
    let plain = !name.contains(['/', '\\']) && !name.starts_with('.');
    if plain && direct.is_file() {
        return Ok(direct);
    }
    let files = experiment_files(folder);
    let names: Vec<(String, &PathBuf)> = files
        .iter()
        .filter_map(|file| Some((RawExperiment::read(file).ok()?.name()?.to_owned(), file)))
        .collect();
    let found: Vec<&PathBuf> = names
        .iter()
        .filter(|(other, _)| other == name)
        .map(|(_, file)| *file)
        .collect();
    match found.as_slice() {
        [file] => return Ok((*file).clone()),
        [] => {}
        several => {
            let files = several.iter().map(|file| file.to_string_lossy());
            let files: Vec<String> = files.map(std::borrow::Cow::into_owned).collect();
            return Err(format!(
                "several experiments are called `{name}`: {}",
                files.join(", ")
            ));
        }
    }
    let resolved = folder.join("..").join(name).join("experiment.toml");
    if plain && child.ends_with("experiment.toml") && resolved.is_file() {
        return Ok(resolved);
    }
    let mut known: Vec<&str> = names.iter().map(|(name, _)| name.as_str()).collect();
    known.sort_unstable();
    let near = nearest(name, known.iter().copied());
    let near = near.map_or(String::new(), |name| format!("; did you mean `{name}`?"));
    Err(format!(
        "there is no experiment `{name}`: looked for {} and for that name in the files beside it{near}",
        direct.display()
    ))
}

/// Whether the parent's trials can be what the child starts from.
fn check(reference: &Reference<'_>, parent: &Experiment, repeats: Option<u32>, sink: &Sink) {
    let problem = |message: String| sink.problem(&reference.origin, message);
    let name = &parent.name;
    let Some(variant) = parent.variant(reference.variant) else {
        let known = || parent.variants.iter().map(|variant| variant.name.as_str());
        let advice = match nearest(reference.variant, known()) {
            Some(near) => format!("did you mean `trial:{}/{near}`?", reference.experiment),
            None => format!("it has {}", one_of(known())),
        };
        problem(format!(
            "experiment `{name}` has no variant `{}`; {advice}",
            reference.variant
        ));
        return;
    };
    if let Some(repeats) = repeats.filter(|repeats| ![1, *repeats].contains(&parent.repeats)) {
        problem(format!(
            "experiment `{name}` has {} repeats, expected 1 or as many as this one, {repeats}",
            parent.repeats
        ));
    }
    let [settings] = variant.settings.as_slice() else {
        problem(format!(
            "experiment `{name}` has a grid of {} cells, expected one trial per repeat to start from",
            variant.settings.len()
        ));
        return;
    };
    let (theirs, ours) = (&settings.model, &reference.child.model);
    if theirs.kind != ours.kind {
        problem(format!(
            "these are weights of `{}`, and the model is `{}`: expected the same network",
            theirs.kind, ours.kind
        ));
    } else if theirs.options != ours.options {
        let differing: Vec<String> = ours
            .options
            .iter()
            .filter(|(key, value)| theirs.options.get(*key) != Some(value))
            .map(|(key, value)| {
                let there = theirs
                    .options
                    .get(key)
                    .map_or("none".to_owned(), ToString::to_string);
                format!("`{key}` is {there} there and {value} here")
            })
            .collect();
        problem(format!(
            "the weights' network has other options: {}",
            differing.join(", ")
        ));
    }
    if theirs.cut != ours.cut {
        let name = |cut: &Option<String>| cut.clone().unwrap_or_else(|| "its end".to_owned());
        problem(format!(
            "the weights' network is cut at {} and this one at {}",
            name(&theirs.cut),
            name(&ours.cut)
        ));
    }
    let (theirs, ours) = (settings.transform.size, reference.child.transform.size);
    // The inputs of its hidden layer are as many as the pictures have room for.
    if reference.child.model.kind == "convnet" && theirs != ours {
        problem(format!(
            "these are weights for pictures of size {theirs}, and `data.transform.size` is {ours}: a `convnet` needs \
             the same size, for its hidden layer depends on it"
        ));
    }
}

/// What a chain calls an experiment: its name, or else its file.
fn label(name: Option<&str>, file: &Path) -> String {
    name.map_or_else(|| file.display().to_string(), str::to_owned)
}

/// The file's one true path, so that two ways to write it are seen to be the same.
fn canonical(file: &Path) -> PathBuf {
    file.canonicalize().unwrap_or_else(|_| file.to_owned())
}
