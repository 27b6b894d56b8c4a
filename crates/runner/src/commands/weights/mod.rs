//! `graft weights`: which weight files experiments need, which are there, and getting the others.

mod table;

use std::path::{Path, PathBuf};

use graft_fetch::HashPrefix;
use graft_model::{Entry, ModelError, WeightFile, WeightsFolders, WeightsSpec, find, locate};

use self::table::table;
use super::{Answer, folders, sweep::Needs};
use crate::{
    cli::WeightsArgs, experiment::Experiment, failure::Failure, progress::DownloadProgress,
};

/// Digits of a fingerprint that are shown; enough to tell files apart.
const SHOWN_DIGITS: usize = 12;

/// Lists the weights of experiments and networks, and fetches what is missing.
pub fn weights(args: &WeightsArgs) -> Result<Answer, Failure> {
    let experiments = load(args)?;
    let models = args
        .model
        .iter()
        .map(|kind| find(kind).map_err(Failure::bad_input))
        .collect::<Result<Vec<_>, _>>()?;
    let search = Search {
        folders: WeightsFolders::from_env(&args.weights_dir, folders::is_offline(args.offline)),
        fetch: !args.dry_run,
    };
    let mut rows: Vec<Row> = Vec::new();
    for experiment in &experiments {
        for &spec in &Needs::of(experiment).weights {
            match rows.iter_mut().find(|row| row.spec == *spec) {
                Some(row) => row.wanted_by.push(experiment.name.clone()),
                None => rows.push(search.row(spec, &experiment.name)),
            }
        }
    }
    for entry in models {
        rows.extend(search.alternatives(entry));
    }
    Ok(answer(&rows, &experiments, args))
}

/// The experiments, or all that is wrong with them.
fn load(args: &WeightsArgs) -> Result<Vec<Experiment>, Failure> {
    let mut problems = Vec::new();
    let mut experiments = Vec::new();
    for file in &args.experiments {
        match Experiment::load(file, &args.set) {
            Ok(experiment) => experiments.push(experiment),
            Err(error) => problems.push(error.to_string().trim_end().to_owned()),
        }
    }
    if problems.is_empty() {
        Ok(experiments)
    } else {
        Err(Failure::bad_input(problems.join("\n")))
    }
}

/// Weights and what became of them.
struct Row {
    spec: WeightsSpec,
    wanted_by: Vec<String>,
    state: State,
    /// Something about the file that a person should know.
    note: Option<String>,
}

/// What became of weights.
enum State {
    /// They were there.
    There(Found),
    /// They were fetched.
    Fetched(Found),
    /// They are not there, and that is the message about it.
    Missing(ModelError),
    /// There is a file, but it can't be used.
    Damaged(PathBuf, ModelError),
    /// Others do as well.
    NotNeeded,
}

/// A weight file.
struct Found {
    path: PathBuf,
    bytes: u64,
    /// The beginning of the hash of its bytes.
    fingerprint: String,
}

/// Where and how weights are looked for.
struct Search {
    folders: WeightsFolders,
    fetch: bool,
}

impl Search {
    /// Looks for weights, and fetches them if that is needed and allowed.
    fn row(&self, spec: &WeightsSpec, wanted_by: &str) -> Row {
        let mut state = self.look(spec);
        if self.fetch && !self.folders.offline && is_absent(&state) {
            state = self.get(spec);
        }
        self.finish(spec, wanted_by, state)
    }

    /// The weights known for a network. They are alternatives: if none is there, the first that can be had is fetched.
    fn alternatives(&self, entry: &Entry) -> Vec<Row> {
        let specs: Vec<WeightsSpec> = entry
            .weights
            .iter()
            .filter_map(|source| source.spec.parse().ok())
            .collect();
        let mut states: Vec<State> = specs.iter().map(|spec| self.look(spec)).collect();
        let mut places = 0..specs.len();
        while self.fetch && !self.folders.offline && !states.iter().any(State::is_usable) {
            let Some(place) = places.next() else {
                break;
            };
            states[place] = self.get(&specs[place]);
        }
        if states.iter().any(State::is_usable) {
            for state in &mut states {
                if is_absent(state) {
                    *state = State::NotNeeded;
                }
            }
        }
        let rows = specs.iter().zip(states);
        rows.map(|(spec, state)| self.finish(spec, entry.name, state))
            .collect()
    }

    /// Looks for weights without the network.
    fn look(&self, spec: &WeightsSpec) -> State {
        let folders = WeightsFolders {
            offline: true,
            ..self.folders.clone()
        };
        match locate(spec, &folders, &mut DownloadProgress::default()) {
            Ok(path) => examine(path, State::There),
            Err(error) => State::of(error),
        }
    }

    /// Gets weights from the network.
    fn get(&self, spec: &WeightsSpec) -> State {
        match locate(spec, &self.folders, &mut DownloadProgress::default()) {
            Ok(path) => examine(path, State::Fetched),
            Err(error) => State::of(error),
        }
    }

    fn finish(&self, spec: &WeightsSpec, wanted_by: &str, state: State) -> Row {
        let note = state
            .path()
            .filter(|path| !path.starts_with(&self.folders.cache))
            .and_then(|path| note(spec, path));
        Row {
            spec: spec.clone(),
            wanted_by: vec![wanted_by.to_owned()],
            state,
            note,
        }
    }
}

impl State {
    fn of(error: ModelError) -> Self {
        match &error {
            ModelError::Damaged { path, .. } => Self::Damaged(path.clone(), error),
            _ => Self::Missing(error),
        }
    }

    fn is_usable(&self) -> bool {
        matches!(self, Self::There(_) | Self::Fetched(_))
    }

    fn path(&self) -> Option<&Path> {
        match self {
            Self::There(found) | Self::Fetched(found) => Some(&found.path),
            Self::Damaged(path, _) => Some(path),
            Self::Missing(_) | Self::NotNeeded => None,
        }
    }

    fn error(&self) -> Option<&ModelError> {
        match self {
            Self::Missing(error) | Self::Damaged(_, error) => Some(error),
            _ => None,
        }
    }
}

/// Whether the network could help: the weights are not there, or a cache has them damaged. A file that a person put
/// there and that can't be read is that person's business.
fn is_absent(state: &State) -> bool {
    matches!(
        state,
        State::Missing(_) | State::Damaged(_, ModelError::Damaged { .. })
    )
}

/// Reads a file that was found.
fn examine(path: PathBuf, state: impl FnOnce(Found) -> State) -> State {
    match WeightFile::open(&path) {
        Ok(file) => state(Found {
            bytes: std::fs::metadata(&path).map_or(0, |metadata| metadata.len()),
            fingerprint: file.fingerprint()[..SHOWN_DIGITS].to_owned(),
            path,
        }),
        Err(error) => State::Damaged(path, error),
    }
}

/// A file in a folder of the person's is taken as it is, even if its name speaks of another one. That is worth a word.
fn note(spec: &WeightsSpec, path: &Path) -> Option<String> {
    let WeightsSpec::Url(_) = spec else {
        return None;
    };
    let named = HashPrefix::in_file_name(path.file_name()?.to_str()?)?;
    // The same network in another format has another hash.
    let is_same_format = path.extension()? != "safetensors";
    let found = graft_fetch::file_sha256(path).ok()?;
    (is_same_format && !named.matches(&found)).then(|| {
        format!(
            "its SHA-256 begins with {}, not with {named} as its name says",
            &found[..SHOWN_DIGITS]
        )
    })
}

fn answer(rows: &[Row], experiments: &[Experiment], args: &WeightsArgs) -> Answer {
    let several = experiments.len() + args.model.len() > 1;
    let mut text = table(rows, several);
    let wanted: Vec<&Row> = rows
        .iter()
        .filter(|row| !matches!(row.state, State::NotNeeded))
        .collect();
    let bad: Vec<&Row> = wanted
        .iter()
        .copied()
        .filter(|row| !row.state.is_usable())
        .collect();
    if rows.is_empty() {
        let names: Vec<&str> = experiments
            .iter()
            .map(|experiment| experiment.name.as_str())
            .chain(args.model.iter().map(String::as_str))
            .collect();
        text = format!("no weights are known or needed for {}\n", names.join(", "));
    }
    let failure = (!bad.is_empty()).then(|| {
        let count = format!("{} of {} weight files", bad.len(), wanted.len());
        if args.dry_run && !folders::is_offline(args.offline) {
            let errors = bad.iter().filter_map(|row| row.state.error());
            let lines: Vec<String> = errors.map(first_line).collect();
            return Failure::some_failed(format!(
                "{count} can't be used yet\n{}",
                lines.join("\n")
            ))
            .hint("the same command without --dry-run fetches what has an address");
        }
        let errors = bad.iter().filter_map(|row| row.state.error());
        let errors: Vec<String> = errors.map(|error| format!("error: {error}")).collect();
        Failure::some_failed(errors.join("\n"))
    });
    Answer { text, failure }
}

fn first_line(error: &ModelError) -> String {
    let text = error.to_string();
    format!("  {}", text.lines().next().unwrap_or_default())
}
