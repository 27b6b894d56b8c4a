//! What can go wrong with pictures. Every message says what is wrong, with which file or folder, and what to do.

use std::{
    io,
    path::{Path, PathBuf},
};

use crate::{TransformError, decode::DecodeError};

/// A failure of a source, an archive or a loader.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// The folder of the data is in none of the places.
    #[error("there is no folder `{path}`; looked for\n{}\nhint: {}", lines(looked_up), missing_hint(*.has_url))]
    MissingFolder {
        /// The folder as written in the experiment.
        path: String,
        /// Where it was looked for.
        looked_up: Vec<PathBuf>,
        /// Whether the experiment names an archive to fetch it from.
        has_url: bool,
    },
    /// The list of the pictures is in none of the places.
    #[error(
        "there is no file `{path}`; looked for\n{}\nhint: say where it is with --data-dir or GRAFT_DATA_DIR",
        lines(looked_up)
    )]
    MissingList {
        /// The list as written in the experiment.
        path: String,
        /// Where it was looked for.
        looked_up: Vec<PathBuf>,
    },
    /// The folder is there, but a split's folder is not.
    #[error(
        "{} has no folder `{split_folder}` for the {split} split; it has {}\nhint: name the folder under `splits`",
        folder.display(), list(present)
    )]
    MissingSplit {
        /// The data's folder.
        folder: PathBuf,
        /// `train`, `val` or `test`.
        split: &'static str,
        /// The split's folder as written.
        split_folder: String,
        /// The folders that are there.
        present: Vec<String>,
    },
    /// A split has no class folders.
    #[error(
        "{} has no class folders\nhint: expected one folder per class with the pictures in it, such as {}",
        folder.display(), folder.join("ants").join("0001.jpg").display()
    )]
    NoClasses {
        /// The split's folder.
        folder: PathBuf,
    },
    /// A class folder has no pictures.
    #[error(
        "the class folder {} has no pictures{}\nhint: expected files ending in .jpg, .jpeg, .png, .webp or .bmp; \
         delete the folder if it is no class",
        folder.display(),
        if *.others == 0 { String::new() } else { format!(" ({others} other files)") }
    )]
    EmptyClass {
        /// The class folder.
        folder: PathBuf,
        /// Files in it that are no pictures.
        others: usize,
    },
    /// The splits have different classes.
    #[error(
        "the splits of {} have different classes: only in train: {}; only in {split}: {}\n\
         hint: every class needs a folder in both",
        folder.display(), list(only_train), list(only_other)
    )]
    DifferentClasses {
        /// The data's folder.
        folder: PathBuf,
        /// The split that is not as the training split: `val` or `test`.
        split: &'static str,
        /// Classes without pictures in that split.
        only_train: Vec<String>,
        /// Classes without training pictures.
        only_other: Vec<String>,
    },
    /// A name is not UTF-8, so that it can't be written into the results.
    #[error("the name of {} is not UTF-8\nhint: rename it", path.display())]
    NameNotUtf8 {
        /// The file or folder.
        path: PathBuf,
    },
    /// A picture can't be decoded.
    #[error(
        "{}: {reason}\nhint: replace or delete the file, or leave unreadable pictures out with on_bad_image = \"skip\"",
        path.display()
    )]
    BadPicture {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: DecodeError,
    },
    /// A file or folder can't be read or written.
    #[error("failed to {action} {}: {source}", path.display())]
    Io {
        /// What was being done.
        action: &'static str,
        /// With what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A picture can't be transformed.
    #[error("{picture}: {source}")]
    Transform {
        /// The picture's name.
        picture: String,
        /// What is wrong.
        source: TransformError,
    },
    /// The archive can't be fetched.
    #[error("failed to fetch the data: {0}")]
    Fetch(#[source] graft_fetch::FetchError),
    /// The archive can't be unpacked.
    #[error("failed to unpack {}: {reason}\nhint: {hint}", archive.display())]
    Archive {
        /// The archive.
        archive: PathBuf,
        /// What is wrong with it.
        reason: String,
        /// What to do.
        hint: &'static str,
    },
    /// A file that is not what it should be.
    #[error("{}: {reason}\nhint: {hint}", path.display())]
    Format {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
        /// What to do.
        hint: String,
    },
    /// A line of a list of pictures is wrong.
    #[error("{}:{line}: {reason}{}", path.display(), hint_line(hint.as_deref()))]
    Line {
        /// The list.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
        /// What is wrong with it.
        reason: String,
        /// What to do, if that is not plain.
        hint: Option<String>,
    },
    /// Several lines of a list of pictures are wrong.
    #[error("{}", line_problems(path, problems, *.more))]
    Lines {
        /// The list.
        path: PathBuf,
        /// The first of them.
        problems: Vec<LineProblem>,
        /// How many more there are.
        more: usize,
    },
    /// The keys of a source contradict each other or ask for nothing.
    #[error("{0}")]
    Spec(String),
    /// A background thread of the loader ended early.
    #[error("a thread that prepared pictures stopped unexpectedly in batch {batch}")]
    Thread {
        /// The number of the batch.
        batch: usize,
    },
}

/// What is wrong with a line of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineProblem {
    /// The line, from 1.
    pub line: u64,
    /// What is wrong with it.
    pub reason: String,
    /// What to do, if that is not plain.
    pub hint: Option<String>,
}

impl LineProblem {
    /// A wrong line. Control characters of the list are escaped.
    pub(crate) fn new(line: u64, reason: &str, hint: Option<&str>) -> Self {
        Self {
            line,
            reason: printable(reason),
            hint: hint.map(str::to_owned),
        }
    }
}

impl DataError {
    /// Wrong lines of the list at `path`, of which the first ones are told; none if there are none.
    pub(crate) fn of_lines(path: &Path, mut problems: Vec<LineProblem>) -> Option<Self> {
        let path = path.to_owned();
        if problems.len() < 2 {
            let LineProblem { line, reason, hint } = problems.pop()?;
            return Some(Self::Line {
                path,
                line,
                reason,
                hint,
            });
        }
        let more = problems.len().saturating_sub(MOST_LINES);
        problems.truncate(MOST_LINES);
        Some(Self::Lines {
            path,
            problems,
            more,
        })
    }
}

/// Why validation pictures with numbers can't be judged by.
pub(crate) const UNEXPLAINED: &str = "R² needs at least two different numbers in validation";

/// Wrong lines of a list that are told; more are only counted.
const MOST_LINES: usize = 10;

/// `text` on one line and without control characters, such as those in a hostile file.
pub fn printable(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() {
            line.extend(character.escape_default());
        } else {
            line.push(character);
        }
    }
    line
}

/// Wraps what the system said about `path`.
pub(crate) fn io_error(
    action: &'static str,
    path: &std::path::Path,
) -> impl FnOnce(io::Error) -> DataError {
    let path = path.to_owned();
    move |source| DataError::Io {
        action,
        path,
        source,
    }
}

/// One path per line, indented.
fn lines(paths: &[PathBuf]) -> String {
    let lines: Vec<String> = paths
        .iter()
        .map(|path| format!("  {}", path.display()))
        .collect();
    lines.join("\n")
}

/// Names with commas, or `none`; long lists are cut.
pub(crate) fn list(names: &[String]) -> String {
    const SHOWN: usize = 10;
    match names {
        [] => "none".to_owned(),
        _ if names.len() <= SHOWN => names.join(", "),
        _ => format!(
            "{} and {} more",
            names[..SHOWN].join(", "),
            names.len() - SHOWN
        ),
    }
}

/// The wrong lines of a list, and then what to do about them, each advice once.
fn line_problems(path: &Path, problems: &[LineProblem], more: usize) -> String {
    let name = path.display();
    let mut lines: Vec<String> = problems
        .iter()
        .map(|problem| format!("{name}:{}: {}", problem.line, problem.reason))
        .collect();
    if more > 0 {
        let are = if more == 1 { "line is" } else { "lines are" };
        lines.push(format!("{name}: {more} more {are} wrong"));
    }
    for hint in problems.iter().filter_map(|problem| problem.hint.as_ref()) {
        let hint = format!("hint: {hint}");
        if !lines.contains(&hint) {
            lines.push(hint);
        }
    }
    lines.join("\n")
}

/// A hint in a line of its own.
fn hint_line(hint: Option<&str>) -> String {
    hint.map_or_else(String::new, |hint| format!("\nhint: {hint}"))
}

/// What to do about a missing folder.
fn missing_hint(has_url: bool) -> &'static str {
    if has_url {
        "run without --offline to fetch it, or say where it is with --data-dir or GRAFT_DATA_DIR"
    } else {
        "say where it is with --data-dir or GRAFT_DATA_DIR, or give the address of an archive with `url`"
    }
}
