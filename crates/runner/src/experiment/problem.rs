//! What is wrong with an experiment, and where.

use std::{fmt, path::PathBuf, sync::Arc};

/// Where a value was written.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// In a file; line and column count from 1, and 0 stands for the file as a whole.
    File {
        /// The file as it was given.
        file: Arc<PathBuf>,
        /// The line.
        line: usize,
        /// The column in characters.
        column: usize,
    },
    /// On the command line, after `--set`.
    Set {
        /// Its number among the `--set` arguments.
        index: usize,
        /// The argument as written.
        argument: Arc<str>,
        /// Its key with dots.
        key: Arc<str>,
    },
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { file, line: 0, .. } => write!(f, "{}", file.display()),
            Self::File { file, line, .. } => write!(f, "{}:{line}", file.display()),
            Self::Set { argument, .. } => write!(f, "--set {argument}"),
        }
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// Where it was written.
    pub place: Place,
    /// The key with dots, such as `train.epochs` or `variant.frozen.transfer`; empty if it is not about one key.
    pub key: String,
    /// What is wrong, what was expected and what was found.
    pub message: String,
    /// What to do about it, if that is not plain from the message.
    pub hint: Option<String>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}: ", self.place)?;
        let named = matches!(&self.place, Place::Set { key, .. } if **key == *self.key);
        if !self.key.is_empty() && !named {
            write!(f, "{}: ", self.key)?;
        }
        write!(f, "{}", self.message)?;
        if let Some(hint) = &self.hint {
            write!(f, "\n  hint: {hint}")?;
        }
        Ok(())
    }
}

/// Everything that is wrong with an experiment; never empty. Its `Display` is the whole text for a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// `problems` in the order of the places, each once; `None` if there are none.
    pub(super) fn new(mut problems: Vec<Problem>) -> Option<Self> {
        problems.sort();
        problems.dedup();
        (!problems.is_empty()).then_some(Self(problems))
    }

    /// A single problem.
    pub(super) fn one(problem: Problem) -> Self {
        Self(vec![problem])
    }

    /// The problems of an experiment, and after them those of the experiments that it needs.
    pub(super) fn in_order(own: Vec<Problem>, others: Vec<Problem>) -> Option<Self> {
        let Some(mut all) = Self::new(own) else {
            return Self::new(others);
        };
        for other in others {
            if !all.0.contains(&other) {
                all.0.push(other);
            }
        }
        Some(all)
    }

    /// The problems in the order of files, lines and `--set` arguments.
    pub fn as_slice(&self) -> &[Problem] {
        &self.0
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for problem in &self.0 {
            writeln!(f, "{problem}")?;
        }
        match self.0.len() {
            1 => f.write_str("1 problem; nothing was run"),
            n => write!(f, "{n} problems; nothing was run"),
        }
    }
}

impl std::error::Error for Problems {}
