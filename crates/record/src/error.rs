//! What can go wrong with a results folder.

use std::{
    fmt::Display,
    io,
    path::{Path, PathBuf},
};

/// A results folder that can't be written or read. The message is complete: what was wrong, where, what to do.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The operating system refused to read or write.
    #[error("failed to {action} {}: {error}{}", path.display(), hint(error))]
    Io {
        /// What was attempted: `write`, `read`, `lock`…
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        error: io::Error,
    },
    /// A line of a CSV file says something that it must not.
    #[error("{}, line {line}: {problem}", path.display())]
    Line {
        /// The CSV file.
        path: PathBuf,
        /// Line in the file, from 1; the header is line 1.
        line: u64,
        /// What is wrong with it.
        problem: String,
    },
    /// A CSV file has other columns than this program reads.
    #[error(
        "{}, line 1: the columns are `{found}`, expected `{expected}`\nhint: another version of graft wrote this \
         file; read it with that version, or move the folder away and run the trials again",
        path.display()
    )]
    Header {
        /// The CSV file.
        path: PathBuf,
        /// Its header.
        found: String,
        /// The header of this version.
        expected: String,
    },
    /// Rows that can't be written because reading them back would fail.
    #[error("failed to write {}: row {row}: {problem}", path.display())]
    Rows {
        /// The CSV file.
        path: PathBuf,
        /// Number of the row, from 1.
        row: usize,
        /// What is wrong with it.
        problem: String,
    },
    /// A JSON or TOML file that does not parse, or lacks something.
    #[error("failed to read {}: {problem}", path.display())]
    Document {
        /// The file.
        path: PathBuf,
        /// What the parser said, with line and column where it knows them.
        problem: String,
    },
    /// A JSON or TOML file of another format version.
    #[error(
        "failed to read {}: it has format {found}, and this version of graft reads format {expected}\nhint: read \
         it with the version that wrote it, or move the folder away and run the trials again",
        path.display()
    )]
    Format {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: String,
        /// The format of this version.
        expected: u32,
    },
    /// A value that the file format has no place for.
    #[error("failed to write {}: {problem}", path.display())]
    Encode {
        /// The file.
        path: PathBuf,
        /// What can't be written.
        problem: String,
    },
    /// Another process works in the folder.
    #[error(
        "{} is in use by another process{}\nhint: wait until it has ended, or stop it and run the same command \
         again",
        path.display(),
        match pid { Some(pid) => format!(" (pid {pid})"), None => String::new() }
    )]
    Locked {
        /// The results folder or the trial's folder.
        path: PathBuf,
        /// The process that holds the lock, as far as the lock file tells.
        pid: Option<u32>,
    },
    /// There is no results folder at this path.
    #[error("there are no results in {}\nhint: `graft sweep EXPERIMENT` makes them", path.display())]
    NoResults {
        /// Where they were looked for.
        path: PathBuf,
    },
}

impl RecordError {
    pub(crate) fn io(action: &'static str, path: &Path, error: io::Error) -> Self {
        Self::Io {
            action,
            path: path.to_owned(),
            error,
        }
    }

    pub(crate) fn document(path: &Path, problem: &dyn Display) -> Self {
        Self::Document {
            path: path.to_owned(),
            problem: problem.to_string(),
        }
    }

    pub(crate) fn encode(path: &Path, problem: &dyn Display) -> Self {
        Self::Encode {
            path: path.to_owned(),
            problem: problem.to_string(),
        }
    }
}

/// What a person can do about an error of the operating system.
fn hint(error: &io::Error) -> &'static str {
    use io::ErrorKind as Kind;
    match error.kind() {
        Kind::StorageFull | Kind::QuotaExceeded => {
            "\nhint: free space on that disk, then run the same command again; finished trials are kept"
        }
        Kind::PermissionDenied => {
            "\nhint: check the permissions of the folder, or choose another with --results-dir"
        }
        Kind::ReadOnlyFilesystem => {
            "\nhint: that disk can only be read; choose another folder with --results-dir"
        }
        Kind::NotADirectory | Kind::IsADirectory | Kind::AlreadyExists => {
            "\nhint: a file stands where a folder belongs, or the other way round; move it away"
        }
        Kind::FileTooLarge => "\nhint: a limit on the size of files was reached (see `ulimit -f`)",
        Kind::Unsupported => {
            "\nhint: that disk does not support this; choose a local folder with --results-dir"
        }
        _ => "",
    }
}
