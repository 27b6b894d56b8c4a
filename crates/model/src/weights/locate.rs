//! Finds the file that weights are in: in the given folders, in the caches, on the network, in this order.

use std::{
    io,
    path::{Component, Path, PathBuf},
    time::Duration,
};

use graft_fetch::{Options, Progress};

use super::{
    check::{self, Entry},
    hub::{Hub, HubFile},
    hub_failure::HubFailure,
    url::CachedUrl,
};
use crate::{ModelError, WeightsSpec};

/// Where weights are looked for.
#[derive(Clone, Debug)]
pub struct WeightsFolders {
    /// Folders that are searched by file name, in this order.
    pub search: Vec<PathBuf>,
    /// Refuse to use the network.
    pub offline: bool,
    /// Where files from `https://…` are kept.
    pub cache: PathBuf,
    /// The Hugging Face hub.
    pub hub: Hub,
    /// How downloads behave.
    pub fetch: Options,
}

impl WeightsFolders {
    /// Searches `search`, then the folders in `$GRAFT_WEIGHTS_DIR`. Downloads are kept in the folder `weights` of
    /// `$GRAFT_CACHE_DIR`, or else of `graft` in the user's cache folder. `$HF_HUB_OFFLINE` forbids the network as
    /// `offline` does, `$HF_HUB_DOWNLOAD_TIMEOUT` says how many seconds a server may be silent.
    pub fn from_env(search: &[PathBuf], offline: bool) -> Self {
        let folders = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        let mut all = search.to_vec();
        if let Some(paths) = folders("GRAFT_WEIGHTS_DIR") {
            all.extend(std::env::split_paths(&paths).filter(|path| !search.contains(path)));
        }
        let cache = folders("GRAFT_CACHE_DIR").map(PathBuf::from);
        let cache = cache.or_else(|| dirs::cache_dir().map(|folder| folder.join("graft")));
        Self {
            search: all,
            offline: offline || Hub::offline_from_env(),
            cache: cache
                .unwrap_or_else(|| PathBuf::from(".graft-cache"))
                .join("weights"),
            hub: Hub::from_env(),
            fetch: patience_from_env(),
        }
    }

    /// How a download behaves now.
    fn options(&self) -> Options {
        Options {
            offline: self.offline,
            ..self.fetch.clone()
        }
    }

    /// The first of `names` that is a file in one of the folders; the names are tried in each folder in turn.
    fn find(&self, names: &[PathBuf]) -> Option<PathBuf> {
        let places = self
            .search
            .iter()
            .flat_map(|folder| names.iter().map(|name| folder.join(name)));
        places.into_iter().find(|path| path.is_file())
    }

    /// Where a person would best put a missing file.
    fn best_folder(&self) -> PathBuf {
        self.search
            .first()
            .cloned()
            .unwrap_or_else(|| PathBuf::from("weights"))
    }

    fn target(&self, name: &Path) -> PathBuf {
        self.best_folder().join(name)
    }
}

/// Downloads as they are by default, but for the silence that `$HF_HUB_DOWNLOAD_TIMEOUT` allows.
fn patience_from_env() -> Options {
    let mut options = Options::default();
    let seconds = std::env::var("HF_HUB_DOWNLOAD_TIMEOUT")
        .ok()
        .and_then(|text| text.trim().parse().ok())
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    if let Some(seconds) = seconds.filter(|seconds| !seconds.is_zero()) {
        options.stall_timeout = seconds;
    }
    options
}

/// The file that `spec` names, fetched if need be.
///
/// * `file:PATH`: an absolute path (or one that begins with `~/`), else looked up in the folders, then from the working folder.
/// * `hf:OWNER/REPO[@REVISION][/FILE]`: in the folders as `OWNER/REPO/FILE`, `OWNER--REPO/FILE`, `REPO/FILE`,
///   `REPO.safetensors` (the extension being that of FILE) or `FILE`, whatever the revision; then in the hub's
///   cache; then from the hub. FILE is `model.safetensors` if not given.
/// * `https://…/NAME`: in the folders as `NAME`, or as a safetensors file of that name; then in the cache; then from
///   the network.
///
/// What comes from the network is checked against the SHA-256 that is known of it: that of the hub, or that in a name
/// such as `resnet18-f37072fd.pth`. So is a file in a cache, when it is first asked for in a process: one that is
/// damaged is fetched again. A file in one of the folders is taken as it is.
///
/// # Errors
/// When the file is nowhere, or damaged, and the network does not give it, or is forbidden; with the command that gets
/// it.
pub fn locate(
    spec: &WeightsSpec,
    folders: &WeightsFolders,
    progress: &mut dyn Progress,
) -> Result<PathBuf, ModelError> {
    match spec {
        WeightsSpec::File(path) => locate_file(spec, path, folders),
        WeightsSpec::Hub {
            repo,
            revision,
            file,
        } => {
            let file = HubFile {
                repo,
                revision: revision.as_deref().unwrap_or("main"),
                file: file.as_deref().unwrap_or("model.safetensors"),
            };
            locate_on_hub(spec, &file, folders, progress)
        }
        WeightsSpec::Url(url) => locate_url(spec, url, folders, progress),
        WeightsSpec::Trial { .. } => Err(ModelError::Trial {
            spec: spec.to_string(),
        }),
    }
}

fn locate_file(
    spec: &WeightsSpec,
    path: &str,
    folders: &WeightsFolders,
) -> Result<PathBuf, ModelError> {
    let below_home = path
        .strip_prefix("~/")
        .and_then(|rest| Some(dirs::home_dir()?.join(rest)));
    let path = below_home.unwrap_or_else(|| PathBuf::from(path));
    let places: Vec<PathBuf> = if path.is_absolute() {
        vec![path.clone()]
    } else {
        folders
            .search
            .iter()
            .map(|folder| folder.join(&path))
            .chain([path.clone()])
            .collect()
    };
    if let Some(found) = places.iter().find(|place| place.exists()) {
        return Ok(found.clone());
    }
    let hint = if path.is_absolute() {
        "check the path".to_owned()
    } else {
        format!(
            "put the file at {}, or name the folder that has it with --weights-dir",
            places[0].display()
        )
    };
    Err(ModelError::Missing {
        spec: spec.to_string(),
        looked: places,
        hint,
    })
}

fn locate_on_hub(
    spec: &WeightsSpec,
    file: &HubFile<'_>,
    folders: &WeightsFolders,
    progress: &mut dyn Progress,
) -> Result<PathBuf, ModelError> {
    let unsafe_part = [file.repo, file.revision, file.file]
        .into_iter()
        .find(|part| !is_plain(Path::new(part)));
    if let Some(part) = unsafe_part {
        return Err(ModelError::Place {
            spec: spec.to_string(),
            problem: format!("`{part}` is no plain name"),
            hint: "expected hf:OWNER/REPO[@REVISION][/FILE]".to_owned(),
        });
    }
    let names = hub_names(file);
    if let Some(found) = folders.find(&names) {
        return Ok(found);
    }
    let failure = |HubFailure { reason, hint }| ModelError::Hub {
        spec: spec.to_string(),
        endpoint: folders.hub.endpoint.clone(),
        reason,
        hint,
    };
    let options = folders.options();
    if let Some(cached) = folders.hub.cached(file) {
        let sha256 = cached.sha256();
        let entry =
            check::entry(&cached.path, sha256.as_ref()).map_err(unreadable(&cached.path))?;
        if let Entry::Damaged { expected, found } = entry {
            if folders.offline {
                let how = offline_hint(&folders.hub.url(file), &folders.target(&names[1]), folders);
                return Err(damaged(spec, &cached.path, (&expected, &found), &how));
            }
            progress.note(&refetching(&cached.path));
            folders
                .hub
                .repair(file, &cached, &options, progress)
                .map_err(failure)?;
        }
        return Ok(cached.path);
    }
    if folders.offline {
        let how = offline_hint(&folders.hub.url(file), &folders.target(&names[1]), folders);
        return Err(ModelError::Missing {
            spec: spec.to_string(),
            looked: looked_for(folders, &names, &folders.hub.cache),
            hint: how,
        });
    }
    folders.hub.fetch(file, &options, progress).map_err(failure)
}

/// The names under which a file of the hub is looked up, the most telling first.
fn hub_names(file: &HubFile<'_>) -> Vec<PathBuf> {
    let HubFile { repo, file, .. } = file;
    let name = repo.rsplit('/').next().unwrap_or(repo);
    let extension = Path::new(file)
        .extension()
        .unwrap_or_default()
        .to_string_lossy();
    let base = Path::new(file).file_name().unwrap_or_default();
    let mut names = vec![
        Path::new(repo).join(file),
        Path::new(&repo.replace('/', "--")).join(file),
        Path::new(name).join(file),
        PathBuf::from(format!("{name}.{extension}")),
        PathBuf::from(file),
        PathBuf::from(base),
    ];
    names.dedup();
    names
}

fn locate_url(
    spec: &WeightsSpec,
    url: &str,
    folders: &WeightsFolders,
    progress: &mut dyn Progress,
) -> Result<PathBuf, ModelError> {
    let path = url.split(['?', '#']).next().unwrap_or(url);
    let (_, path) = path.split_once("://").unwrap_or(("", path));
    let name = path
        .split_once('/')
        .and_then(|(_, path)| path.rsplit('/').next())
        .unwrap_or("");
    if name.is_empty() || !is_plain(Path::new(name)) {
        return Err(ModelError::Place {
            spec: spec.to_string(),
            problem: "the address does not end with the name of a file".to_owned(),
            hint: "name the file itself, as in https://download.pytorch.org/models/resnet18-f37072fd.pth".to_owned(),
        });
    }
    let names = [
        PathBuf::from(name),
        Path::new(name).with_extension("safetensors"),
    ];
    if let Some(found) = folders.find(&names) {
        return Ok(found);
    }
    let cached = CachedUrl::new(&folders.cache, url, name);
    let entry = cached.entry().map_err(unreadable(&cached.path))?;
    if entry == Entry::Whole {
        return Ok(cached.path);
    }
    if folders.offline {
        let how = offline_hint(url, &folders.target(&names[0]), folders);
        return Err(match entry {
            Entry::Damaged { expected, found } => {
                damaged(spec, &cached.path, (&expected, &found), &how)
            }
            _ => ModelError::Missing {
                spec: spec.to_string(),
                looked: looked_for(folders, &names[..1], &cached.path),
                hint: how,
            },
        });
    }
    if entry != Entry::Absent {
        progress.note(&refetching(&cached.path));
    }
    cached
        .fetch(url, folders.options(), progress)
        .map_err(|error| ModelError::Fetch {
            spec: spec.to_string(),
            error,
        })?;
    Ok(cached.path)
}

fn unreadable(path: &Path) -> impl FnOnce(io::Error) -> ModelError {
    let path = path.to_owned();
    move |error| ModelError::Read { path, error }
}

fn refetching(path: &Path) -> String {
    format!("{} is damaged and is fetched again", path.display())
}

fn damaged(
    spec: &WeightsSpec,
    path: &Path,
    (expected, found): (&str, &str),
    hint: &str,
) -> ModelError {
    ModelError::Damaged {
        spec: spec.to_string(),
        path: path.to_owned(),
        problem: format!("has the SHA-256 {found}, expected {expected}"),
        hint: hint.to_owned(),
    }
}

fn looked_for(folders: &WeightsFolders, names: &[PathBuf], cache: &Path) -> Vec<PathBuf> {
    let in_folders = folders
        .search
        .iter()
        .flat_map(|folder| names.iter().map(move |name| folder.join(name)));
    in_folders.chain([cache.to_owned()]).collect()
}

fn offline_hint(url: &str, target: &Path, folders: &WeightsFolders) -> String {
    let target = target.display();
    let then = if folders.search.is_empty() {
        format!(
            " and pass --weights-dir {}",
            folders.best_folder().display()
        )
    } else {
        String::new()
    };
    format!(
        "the network is forbidden (--offline or HF_HUB_OFFLINE); run once without it, or get the file with \
         `curl -fL --create-dirs -o '{target}' '{url}'`{then}"
    )
}

/// Whether a path stays below the folder that it is joined to.
fn is_plain(path: &Path) -> bool {
    let mut parts = path.components().peekable();
    parts.peek().is_some() && parts.all(|part| matches!(part, Component::Normal(_)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_names_are_joined() {
        for plain in ["a", "a/b.safetensors", "timm/resnet18.tv_in1k"] {
            assert!(is_plain(Path::new(plain)), "{plain}");
        }
        for other in ["", "..", "../a", "a/../../b", "/etc/passwd"] {
            assert!(!is_plain(Path::new(other)), "{other}");
        }
    }
}
