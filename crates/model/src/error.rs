//! What can go wrong with a network or its weights. Every message says what was wrong, where, and what to do.

use std::{fmt, io, path::PathBuf};

use crate::LoadReport;

/// An option of a network that makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{key}`: expected {expected}, found {found}")]
pub struct OptionError {
    /// The option, such as `depth`.
    pub key: String,
    /// What would make sense.
    pub expected: String,
    /// What was written.
    pub found: String,
}

impl OptionError {
    /// An error about `key`.
    pub fn new(
        key: impl Into<String>,
        expected: impl Into<String>,
        found: impl fmt::Display,
    ) -> Self {
        Self {
            key: key.into(),
            expected: expected.into(),
            found: found.to_string(),
        }
    }
}

/// A tensor whose shape is not the network's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShapeMismatch {
    /// The tensor's name in the network.
    pub name: String,
    /// The network's shape.
    pub expected: Vec<usize>,
    /// The other one.
    pub found: Vec<usize>,
}

impl fmt::Display for ShapeMismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            name,
            expected,
            found,
        } = self;
        write!(f, "{name} (expected {expected:?}, found {found:?})")
    }
}

/// A network that can't be built, run or filled with weights.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// There is no such kind of network.
    #[error("there is no network `{kind}`\nhint: {}", suggestion.as_ref().map_or_else(
        || format!("known are {}", known.join(", ")),
        |name| format!("did you mean `{name}`?"),
    ))]
    UnknownKind {
        /// The kind as written.
        kind: String,
        /// The known kinds.
        known: Vec<&'static str>,
        /// A known kind that is spelled almost like it.
        suggestion: Option<&'static str>,
    },
    /// An option makes no sense.
    #[error("{kind}: {error}")]
    Option {
        /// The kind of network.
        kind: String,
        /// Which option, and why.
        error: OptionError,
    },
    /// A network needs at least one class.
    #[error("a network for 0 classes can't be built: the data has no class")]
    NoClasses,
    /// The input is no batch of pictures that the network takes.
    #[error("{kind} takes pictures as {expected}, found a tensor of shape {found:?}")]
    Input {
        /// The kind of network.
        kind: &'static str,
        /// The shape that was expected.
        expected: String,
        /// The shape that was found.
        found: Vec<usize>,
    },
    /// A summary runs the network, and this batch would take too much memory.
    #[error(
        "{kind}: a batch of {batch} pictures of {size}×{size} pixels takes about {gib} GiB in one layer, more than the \
         {limit_gib} GiB that a summary may take\nhint: choose a smaller batch or smaller pictures"
    )]
    LargeBatch {
        /// The kind of network.
        kind: &'static str,
        /// Pictures in the batch.
        batch: usize,
        /// Height and width of the pictures in pixels.
        size: usize,
        /// The estimate in GiB.
        gib: u64,
        /// The limit in GiB.
        limit_gib: u64,
    },
    /// A tensor operation failed.
    #[error("failed to {action}: {error}")]
    Tensor {
        /// What was being done.
        action: &'static str,
        /// What the tensor library said.
        error: candle_core::Error,
    },
    /// A file can't be read.
    #[error("failed to read {}: {error}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// A file is no weight file, or a damaged one.
    #[error("{} can't be used as a weight file: {problem}\nhint: {hint}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
        /// What to do.
        hint: String,
    },
    /// A weight file does not fit the network.
    #[error("the weights of {} do not fit {kind}: {report}\nhint: check that the file was made for {kind}", path.display())]
    Weights {
        /// The file.
        path: PathBuf,
        /// The kind of network.
        kind: &'static str,
        /// What fits and what does not.
        report: Box<LoadReport>,
    },
    /// A saved state does not fit the network.
    #[error(
        "the saved state does not fit {kind}: {}",
        list_problems(missing, unexpected, wrong_shape)
    )]
    State {
        /// The kind of network.
        kind: &'static str,
        /// Tensors of the network that the state lacks.
        missing: Vec<String>,
        /// Tensors of the state that the network lacks.
        unexpected: Vec<String>,
        /// Tensors of another shape or type.
        wrong_shape: Vec<ShapeMismatch>,
    },
    /// A weight file is nowhere.
    #[error(
        "the weights {spec} are missing: {}\nhint: {hint}",
        looked_text(looked)
    )]
    Missing {
        /// The weights as written.
        spec: String,
        /// Where they were looked for, in this order.
        looked: Vec<PathBuf>,
        /// How to get them: an exact command.
        hint: String,
    },
    /// A file in a cache is not what was fetched, and the network is forbidden.
    #[error(
        "the weights {spec} are damaged: {} {problem}\nhint: {hint}",
        path.display()
    )]
    Damaged {
        /// The weights as written.
        spec: String,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
        /// How to get it again: an exact command.
        hint: String,
    },
    /// `trial:` weights are no file yet.
    #[error(
        "{spec} names a trial: it is resolved from the results folder once that trial is finished"
    )]
    Trial {
        /// The weights as written.
        spec: String,
    },
    /// A download failed.
    #[error("failed to fetch the weights {spec}: {error}")]
    Fetch {
        /// The weights as written.
        spec: String,
        /// What happened.
        error: graft_fetch::FetchError,
    },
    /// The Hugging Face hub did not deliver.
    #[error("failed to fetch the weights {spec} from {endpoint}: {reason}\nhint: {hint}")]
    Hub {
        /// The weights as written.
        spec: String,
        /// The hub's address.
        endpoint: String,
        /// What happened.
        reason: String,
        /// What to do.
        hint: String,
    },
    /// The weights as written are no safe file name.
    #[error("{spec}: {problem}\nhint: {hint}")]
    Place {
        /// The weights as written.
        spec: String,
        /// What is wrong.
        problem: String,
        /// What to do.
        hint: String,
    },
}

impl ModelError {
    /// Turns a tensor error into one that says what was being done.
    pub(crate) fn tensor(action: &'static str) -> impl Fn(candle_core::Error) -> Self {
        move |error| Self::Tensor { action, error }
    }
}

/// At most five of `items` in one line, and how many more there are.
pub(crate) fn first_few<T: fmt::Display>(items: &[T]) -> String {
    let shown: Vec<String> = items.iter().take(5).map(T::to_string).collect();
    let more = items.len().saturating_sub(5);
    let tail = if more > 0 {
        format!(" and {more} more")
    } else {
        String::new()
    };
    format!("{}{tail}", shown.join(", "))
}

/// One clause for each kind of disagreement.
pub(crate) fn list_problems(
    missing: &[String],
    unexpected: &[String],
    wrong_shape: &[ShapeMismatch],
) -> String {
    let clauses = [
        (missing.len(), "missing", first_few(missing)),
        (unexpected.len(), "unexpected", first_few(unexpected)),
        (
            wrong_shape.len(),
            "of another shape",
            first_few(wrong_shape),
        ),
    ];
    clauses
        .into_iter()
        .filter(|(count, _, _)| *count > 0)
        .map(|(count, what, names)| format!("{count} {what}: {names}"))
        .collect::<Vec<_>>()
        .join("; ")
}

fn looked_text(looked: &[PathBuf]) -> String {
    if looked.is_empty() {
        return "no folder to look in was given".to_owned();
    }
    let places: Vec<String> = looked
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    format!("looked for {}", places.join(", "))
}
