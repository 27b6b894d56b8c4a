//! The pictures of a folder and their classes.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use super::shown;
use crate::failure::Failure;

/// What a folder holds.
pub(super) struct Found {
    /// The classes in the order of their names.
    pub(super) classes: Vec<Class>,
    /// Files that are no pictures.
    pub(super) others: Vec<PathBuf>,
}

/// A class and its pictures.
pub(super) struct Class {
    pub(super) name: String,
    /// Where each picture is, and what it is to be called in the folder of its class.
    pub(super) pictures: Vec<(PathBuf, PathBuf)>,
}

/// Finds the pictures, of which there are at least two classes.
pub(super) fn find(from: &Path) -> Result<Found, Failure> {
    let (mut pictures, mut others) = graft_data::files(from).map_err(Failure::bad_input)?;
    pictures.retain(|path| !is_hidden(path, from));
    others.retain(|path| !is_hidden(path, from));
    for picture in &pictures {
        check_file(picture)?;
    }
    let (mut in_folders, mut flat) = (Vec::new(), Vec::new());
    for picture in pictures {
        let below = picture.strip_prefix(from).unwrap_or(&picture).to_owned();
        if below.components().count() > 1 {
            in_folders.push((picture, below));
        } else {
            flat.push((picture, below));
        }
    }
    let mut classes: BTreeMap<String, Vec<(PathBuf, PathBuf)>> = BTreeMap::new();
    match (in_folders.first(), flat.first()) {
        (None, None) => {
            return Err(
                Failure::bad_input(format!("there are no pictures in {}", shown(from)))
                    .hint("expected files ending in .jpg, .jpeg, .png, .webp or .bmp"),
            );
        }
        (Some((_, one)), Some((_, other))) => {
            return Err(Failure::bad_input(format!(
                "{} has pictures in folders, such as {}, and pictures beside them, such as {}",
                shown(from),
                shown(one),
                shown(other)
            ))
            .hint("expected a folder for each class, or pictures alone"));
        }
        (Some(_), None) => {
            for (picture, below) in in_folders {
                let mut parts = below.components();
                let class = parts.next().map(|part| part.as_os_str().to_owned());
                let class = text(&picture, class.and_then(|class| class.into_string().ok()))?;
                let name = parts.as_path().to_owned();
                classes.entry(class).or_default().push((picture, name));
            }
        }
        (None, Some(_)) => {
            for (picture, name) in flat {
                let whole = text(&picture, name.to_str().map(str::to_owned))?;
                let class = class_of(&whole).ok_or_else(|| {
                    Failure::bad_input(format!(
                        "the name of {} does not say its class",
                        shown(&picture)
                    ))
                    .hint("expected names such as cat.0.jpg, or a folder for each class")
                })?;
                let class = class.to_owned();
                classes.entry(class).or_default().push((picture, name));
            }
        }
    }
    check_names(from, &classes)?;
    if let (1, Some(class)) = (classes.len(), classes.keys().next()) {
        return Err(Failure::bad_input(format!(
            "all pictures in {} are of one class, `{class}`",
            shown(from)
        ))
        .hint("a classifier needs at least two classes"));
    }
    Ok(Found {
        classes: classes
            .into_iter()
            .map(|(name, pictures)| Class { name, pictures })
            .collect(),
        others,
    })
}

/// Whether a file is in a folder that is not meant to be seen, such as `.git`.
fn is_hidden(path: &Path, from: &Path) -> bool {
    let folder = path
        .parent()
        .and_then(|folder| folder.strip_prefix(from).ok());
    let mut parts = folder.into_iter().flat_map(Path::components);
    parts.any(|part| part.as_os_str().as_encoded_bytes().starts_with(b"."))
}

/// Whether a picture can be copied or linked: reading a pipe would wait for a writer.
fn check_file(path: &Path) -> Result<(), Failure> {
    match fs::metadata(path) {
        Ok(found) if found.is_file() => Ok(()),
        Ok(_) => Err(
            Failure::bad_input(format!("{} is no regular file", shown(path)))
                .hint("delete it, or move it elsewhere"),
        ),
        Err(error) => Err(match fs::read_link(path) {
            Ok(target) => Failure::bad_input(format!(
                "{} is a broken link: there is no {}",
                shown(path),
                shown(&target)
            ))
            .hint("delete the link, or put a picture where it leads"),
            Err(_) => Failure::bad_input(format!("failed to read {}: {error}", shown(path))),
        }),
    }
}

/// Refuses a folder that is split already: what is in it would be taken for classes.
fn check_names<T>(from: &Path, classes: &BTreeMap<String, T>) -> Result<(), Failure> {
    let find = |names: &[&str]| {
        let mut classes = classes.keys();
        classes.find(|class| names.contains(&class.to_lowercase().as_str()))
    };
    let train = find(&["train", "training"]);
    let other = find(&["val", "valid", "validation", "test", "testing"]);
    let (Some(train), Some(other)) = (train, other) else {
        return Ok(());
    };
    Err(Failure::bad_input(format!(
        "{} has the folders {train} and {other}: it is split already, and they are no classes",
        shown(from)
    ))
    .hint(format!(
        "divide one of them, such as {}, or use the folder as it is with `source = \"image-folder\"`",
        shown(&from.join(train))
    )))
}

/// The class in a name such as `cat.0.jpg`: what comes before the first of two or more dots.
fn class_of(name: &str) -> Option<&str> {
    let (class, rest) = name.split_once('.')?;
    (!class.is_empty() && rest.contains('.')).then_some(class)
}

fn text(picture: &Path, text: Option<String>) -> Result<String, Failure> {
    text.ok_or_else(|| {
        let message = format!("the name of {} is not UTF-8", shown(picture));
        Failure::bad_input(message).hint("rename it")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_their_class_before_the_first_dot() {
        for (name, class) in [
            ("cat.0.jpg", Some("cat")),
            ("polar bear.12.3.png", Some("polar bear")),
            ("cat.jpg", None),
            (".cat.0.jpg", None),
            ("cat", None),
        ] {
            assert_eq!(class_of(name), class, "{name}");
        }
    }
}
