//! Writes the splits: into a folder beside the one that is asked for, which is renamed when all is there.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::{Class, Drawn, shown};
use crate::failure::Failure;

/// Copies or links the pictures into `to`, which does not exist or is empty.
pub(super) fn write(
    to: &Path,
    link: bool,
    classes: &[Class],
    splits: &[Drawn],
) -> Result<(), Failure> {
    let to = std::path::absolute(to).map_err(Failure::bad_input)?;
    let (Some(parent), Some(name)) = (to.parent(), to.file_name()) else {
        let message = format!("{} can't be made", shown(&to));
        return Err(Failure::bad_input(message).hint("name a folder that does not exist"));
    };
    fs::create_dir_all(parent).map_err(|error| failed("make", parent, &error))?;
    let prefix = format!(".{}.splitting-", name.to_string_lossy());
    remove_stale(parent, &prefix);
    let folder = parent.join(format!("{prefix}{}", std::process::id()));
    let _ = fs::remove_dir_all(&folder);
    let done = fill(&folder, link, classes, splits).and_then(|()| {
        // An empty folder can be replaced everywhere only when it is gone.
        let _ = fs::remove_dir(&to);
        fs::rename(&folder, &to).map_err(|error| failed("make", &to, &error))
    });
    if done.is_err() {
        let _ = fs::remove_dir_all(&folder);
    }
    done
}

/// Writes everything into a new folder.
fn fill(folder: &Path, link: bool, classes: &[Class], splits: &[Drawn]) -> Result<(), Failure> {
    for drawn in splits {
        for (class, pictures) in classes.iter().zip(&drawn.classes) {
            let place = folder.join(drawn.split.name()).join(&class.name);
            for &picture in pictures {
                let (from, name) = &class.pictures[picture];
                let to = place.join(name);
                let above = to.parent().unwrap_or(&place);
                fs::create_dir_all(above).map_err(|error| failed("make", above, &error))?;
                put(from, &to, link)?;
            }
        }
    }
    Ok(())
}

/// Copies or links one picture.
fn put(from: &Path, to: &Path, link: bool) -> Result<(), Failure> {
    if !link {
        return fs::copy(from, to)
            .map(drop)
            .map_err(|error| failed("copy", from, &error));
    }
    // A link to a picture is followed, so that it is the picture that is there twice.
    let linked = fs::canonicalize(from).and_then(|from| fs::hard_link(from, to));
    linked.map_err(|error| {
        failed("link", from, &error)
            .hint("hard links need one file system for both folders: leave --link out to copy")
    })
}

/// Deletes what runs left that were killed. What can't be deleted only takes space.
fn remove_stale(parent: &Path, prefix: &str) {
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let process = name.to_str().and_then(|name| name.strip_prefix(prefix));
        let process = process.and_then(|process| process.parse::<u32>().ok());
        let is_gone = |process: u32| {
            // Where nobody can tell whether a process lives, nothing is deleted.
            Path::new("/proc/self").exists() && !PathBuf::from(format!("/proc/{process}")).exists()
        };
        if process.is_some_and(is_gone) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

fn failed(what: &str, path: &Path, error: &io::Error) -> Failure {
    Failure::bad_input(format!("failed to {what} {}: {error}", shown(path)))
}
