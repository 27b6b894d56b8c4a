//! What can go wrong with pictures. Every message says what is wrong, with which file or folder, and what to do.

use std::{io, path::PathBuf};

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
