//! The pictures that arguments name: files as they are, folders with all below them, patterns with what they match.

use std::path::{Path, PathBuf};

use graft_data::picture_files;

use super::pattern;

/// What to do about a name that leads nowhere.
pub(super) const MISSING_HINT: &str =
    "check the path; a pattern is best put in quotes, as in 'photos/*.jpg'";
/// What to do about a folder without pictures.
pub(super) const EMPTY_HINT: &str =
    "pictures are files that end in .jpg, .jpeg, .png, .webp or .bmp, in the folder or below it";

/// Something that was named, in the order of the arguments.
#[derive(Debug)]
pub(super) enum Item {
    /// A file to predict.
    Picture(PathBuf),
    /// An argument that leads to no picture.
    Nothing {
        path: PathBuf,
        reason: String,
        hint: &'static str,
    },
}

impl Item {
    pub(super) fn path(&self) -> &Path {
        match self {
            Self::Picture(path) | Self::Nothing { path, .. } => path,
        }
    }

    fn nothing(path: &Path, reason: impl Into<String>, hint: &'static str) -> Self {
        Self::Nothing {
            path: path.to_owned(),
            reason: reason.into(),
            hint,
        }
    }
}

/// Everything that the arguments name. Folders are sorted; an argument that leads nowhere keeps its place.
pub(super) fn list(arguments: &[PathBuf]) -> Vec<Item> {
    let mut items = Vec::new();
    for path in arguments {
        // A file may be called `a[1].jpg`.
        if path.exists() || !pattern::is_pattern(path) {
            add(path, &mut items);
            continue;
        }
        let mut matching = Vec::new();
        for path in pattern::expand(path) {
            add(&path, &mut matching);
        }
        if matching.is_empty() {
            let reason = "nothing matches this pattern";
            matching.push(Item::nothing(path, reason, MISSING_HINT));
        }
        // `photos/**` names files in folders that it names, too.
        let mut seen = std::collections::BTreeSet::new();
        matching.retain(|item| seen.insert(item.path().to_owned()));
        items.extend(matching);
    }
    items
}

/// Adds a file, or the pictures in a folder.
fn add(path: &Path, items: &mut Vec<Item>) {
    if path.is_dir() {
        match picture_files(path) {
            Ok(files) if files.is_empty() => {
                items.push(Item::nothing(
                    path,
                    "the folder has no pictures",
                    EMPTY_HINT,
                ));
            }
            Ok(files) => items.extend(files.into_iter().map(Item::Picture)),
            Err(error) => {
                let hint = "check who may read the folder";
                items.push(Item::nothing(path, error.to_string(), hint));
            }
        }
    } else if std::fs::symlink_metadata(path).is_ok() {
        items.push(Item::Picture(path.to_owned()));
    } else {
        let reason = "there is no such file or folder";
        items.push(Item::nothing(path, reason, MISSING_HINT));
    }
}
