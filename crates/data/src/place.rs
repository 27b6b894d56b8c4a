//! Where the files of a source lie.

use std::path::{Path, PathBuf};

use graft_fetch::Progress;

use crate::{DataError, DataFolders, archive};

/// The places where `path` may be: itself if it is absolute, or else below each folder for data.
pub(crate) fn candidates(path: &str, folders: &DataFolders) -> Vec<PathBuf> {
    if Path::new(path).is_absolute() {
        return vec![PathBuf::from(path)];
    }
    let mut places: Vec<PathBuf> = Vec::new();
    for folder in folders.search.iter().chain([&folders.download_into]) {
        let place = folder.join(path);
        if !places.contains(&place) {
            places.push(place);
        }
    }
    places
}

/// The first place that has a folder `path`.
pub(crate) fn find_folder(path: &str, folders: &DataFolders) -> Option<PathBuf> {
    candidates(path, folders)
        .into_iter()
        .find(|place| place.is_dir())
}

/// The first place that has a folder or a file `path`.
pub(crate) fn find(path: &str, folders: &DataFolders) -> Option<PathBuf> {
    candidates(path, folders)
        .into_iter()
        .find(|place| place.exists())
}

/// Fetches the archive at `url` and unpacks it as the folder `path`, if there is an address and no such folder. One of `wanted`
/// has to be in it.
pub(crate) fn ensure_folder(
    path: &str,
    url: Option<&str>,
    wanted: &[&[&str]],
    folders: &DataFolders,
    progress: &mut dyn Progress,
) -> Result<(), DataError> {
    match url {
        Some(url) if find_folder(path, folders).is_none() => {
            let target = folders.download_into.join(path);
            archive::fetch(url, &target, wanted, folders.offline, progress)
        }
        _ => Ok(()),
    }
}

/// The error of a `path` that is in none of the places.
pub(crate) fn missing(path: &str, has_url: bool, folders: &DataFolders) -> DataError {
    DataError::MissingFolder {
        path: path.to_owned(),
        looked_up: candidates(path, folders),
        has_url,
    }
}
