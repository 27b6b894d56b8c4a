//! The Hugging Face hub: its cache on this machine, and the network.
//!
//! The names, addresses, headers and the cache's layout are those of the crate `hf-hub`, and so are the requests. Their
//! deadlines, repetitions and what becomes of their answers are `graft-fetch`'s: on its own, `hf-hub` waits for a
//! silent server forever, takes a transfer that was cut for a complete file when the server does not say its length,
//! can't go on with a part that is complete, and sends the token along to the other servers that the hub redirects to.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use graft_fetch::{Client, Description, HashPrefix, Options, Progress, describe, download};
use hf_hub::{
    Cache, CacheRepo, Repo, RepoType,
    api::sync::{Api, ApiBuilder, ApiRepo},
};
use ureq::{RequestBuilder, typestate::WithoutBody};

use super::{
    check::{self, Entry},
    hub_failure::HubFailure,
};

/// How the hub is reached.
#[derive(Clone)]
pub struct Hub {
    /// The cache that all programs for the hub share.
    pub cache: PathBuf,
    /// Its address.
    pub endpoint: String,
    /// A token for private and gated repositories.
    pub token: Option<String>,
}

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let token = self.token.as_ref().map(|_| "(hidden)");
        let mut text = f.debug_struct("Hub");
        text.field("cache", &self.cache)
            .field("endpoint", &self.endpoint)
            .field("token", &token)
            .finish()
    }
}

/// One file on the hub.
pub(super) struct HubFile<'a> {
    pub(super) repo: &'a str,
    pub(super) revision: &'a str,
    pub(super) file: &'a str,
}

/// A file in the hub's cache.
pub(super) struct Cached {
    /// Its name in the repository at `commit`: a link to the bytes.
    pub(super) path: PathBuf,
    commit: String,
}

impl Hub {
    /// As the environment says, in the variables of Python's `huggingface_hub`: `HF_HUB_CACHE`, or the folder `hub`
    /// in `HF_HOME`, or in `~/.cache/huggingface`; `HF_ENDPOINT`; `HF_TOKEN`, or the token that `hf auth login` left.
    pub fn from_env() -> Self {
        let variable = |name| {
            std::env::var(name)
                .ok()
                .filter(|value: &String| !value.is_empty())
        };
        let home = || match variable("HF_HOME") {
            Some(home) => PathBuf::from(home),
            None => dirs::home_dir()
                .unwrap_or_default()
                .join(".cache/huggingface"),
        };
        let cache = variable("HF_HUB_CACHE").map_or_else(|| home().join("hub"), PathBuf::from);
        let endpoint =
            variable("HF_ENDPOINT").unwrap_or_else(|| "https://huggingface.co".to_owned());
        let token = variable("HF_TOKEN")
            .map(|token| token.trim().to_owned())
            .or_else(|| Cache::new(home().join("hub")).token());
        Self {
            cache,
            endpoint: endpoint.trim_end_matches('/').to_owned(),
            token,
        }
    }

    /// Whether `HF_HUB_OFFLINE` forbids the network.
    pub(super) fn offline_from_env() -> bool {
        let value = std::env::var("HF_HUB_OFFLINE").unwrap_or_default();
        ["1", "on", "yes", "true"].contains(&value.to_lowercase().as_str())
    }

    /// The address of a file.
    pub(super) fn url(&self, file: &HubFile<'_>) -> String {
        let HubFile {
            repo,
            revision,
            file,
        } = file;
        format!(
            "{}/{repo}/resolve/{}/{file}",
            self.endpoint,
            revision.replace('/', "%2F")
        )
    }

    /// The file in the cache, where it is by the name of a branch or tag, or by commit.
    pub(super) fn cached(&self, file: &HubFile<'_>) -> Option<Cached> {
        let cache = self.folder(file);
        let at = |commit: &str| {
            let path = cache.pointer_path(commit).join(file.file);
            let commit = commit.to_owned();
            path.is_file().then_some(Cached { path, commit })
        };
        // `get` knows the branch's commit, and keeps it for itself: it is the folder's name.
        let by_name = cache.get(file.file).and_then(|path| {
            let below = path.strip_prefix(cache.pointer_path("")).ok()?;
            at(below.components().next()?.as_os_str().to_str()?)
        });
        by_name.or_else(|| at(file.revision))
    }

    /// Fetches the file into the cache. What the hub knows by its SHA-256, as all large files, is checked; of others
    /// the size is.
    pub(super) fn fetch(
        &self,
        file: &HubFile<'_>,
        options: &Options,
        progress: &mut dyn Progress,
    ) -> Result<PathBuf, HubFailure> {
        let (api, options) = self.client(file, options)?;
        let url = api.repo(file.repository()).url(file.file);
        let said = describe(&url, &options, progress)
            .map_err(|error| HubFailure::new(&error, self.token.is_some()))?;
        let Version { commit, etag, size } = Version::read(&said)?;
        let cache = self.folder(file);
        let blob = cache.blob_path(&etag);
        let options = Options {
            sha256: sha256_in(&etag),
            size,
            ..options
        };
        if !is_there(&blob, &options)? {
            let pinned = file.repository_at(&commit);
            self.fetch_blob(&api.repo(pinned).url(file.file), &blob, &options, progress)?;
        }
        let path = cache.pointer_path(&commit).join(file.file);
        let linked = link(&blob, &path).and_then(|()| {
            let is_name = file.revision != commit;
            if is_name {
                cache.create_ref(&commit)
            } else {
                Ok(())
            }
        });
        linked.map_err(|error| HubFailure::cache(&path, &error))?;
        Ok(path)
    }

    /// Fetches the bytes of a damaged file again, of the same commit.
    pub(super) fn repair(
        &self,
        file: &HubFile<'_>,
        cached: &Cached,
        options: &Options,
        progress: &mut dyn Progress,
    ) -> Result<(), HubFailure> {
        let (api, options) = self.client(file, options)?;
        let url = api.repo(file.repository_at(&cached.commit)).url(file.file);
        let blob = cached
            .path
            .canonicalize()
            .map_err(|error| HubFailure::cache(&cached.path, &error))?;
        let options = Options {
            sha256: cached.sha256(),
            ..options
        };
        self.fetch_blob(&url, &blob, &options, progress)
    }

    /// Fetches bytes to their place, alone among the programs that use `hf-hub` on the same cache.
    fn fetch_blob(
        &self,
        url: &str,
        blob: &Path,
        options: &Options,
        progress: &mut dyn Progress,
    ) -> Result<(), HubFailure> {
        let folder = blob.parent().unwrap_or(blob);
        let lock = fs::create_dir_all(folder)
            .and_then(|()| fs::File::create(blob.with_extension("lock")))
            .and_then(|file| file.lock().map(|()| file))
            .map_err(|error| HubFailure::cache(blob, &error))?;
        // Another process may have fetched it while this one waited. A damaged file is none.
        if options.sha256.is_none() || !is_there(blob, options)? {
            download(url, blob, options, progress)
                .map_err(|error| HubFailure::new(&error, self.token.is_some()))?;
        }
        drop(lock);
        Ok(())
    }

    /// The hub's client, and `options` with it in them.
    fn client(&self, file: &HubFile<'_>, options: &Options) -> Result<(Api, Options), HubFailure> {
        let api = ApiBuilder::from_cache(Cache::new(self.cache.clone()))
            .with_endpoint(self.endpoint.clone())
            .with_token(self.token.clone())
            .with_user_agent("graft", env!("CARGO_PKG_VERSION"))
            .build()
            .map_err(|error| HubFailure::client(&error))?;
        let options = Options {
            name: Some(file.file.to_owned()),
            client: Arc::new(HubClient(api.repo(file.repository()))),
            ..options.clone()
        };
        Ok((api, options))
    }

    /// The repository's folder in the cache.
    fn folder(&self, file: &HubFile<'_>) -> CacheRepo {
        Cache::new(self.cache.clone()).repo(file.repository())
    }
}

impl HubFile<'_> {
    fn repository(&self) -> Repo {
        self.repository_at(self.revision)
    }

    fn repository_at(&self, revision: &str) -> Repo {
        Repo::with_revision(self.repo.to_owned(), RepoType::Model, revision.to_owned())
    }
}

impl Cached {
    /// The SHA-256 that the file should have, where the cache knows it.
    pub(super) fn sha256(&self) -> Option<HashPrefix> {
        let blob = self.path.canonicalize().ok()?;
        sha256_in(blob.file_name()?.to_str()?)
    }
}

/// Requests as the hub's own client makes them, with its token and its name.
struct HubClient(ApiRepo);

impl fmt::Debug for HubClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HubClient").finish_non_exhaustive()
    }
}

impl Client for HubClient {
    fn get(&self, url: &str) -> RequestBuilder<WithoutBody> {
        self.0.info_request().uri(url)
    }
}

/// What the hub says of a file at a revision.
struct Version {
    commit: String,
    /// The name of its bytes in the cache: the SHA-256 of a large file, Git's hash of a small one.
    etag: String,
    size: Option<u64>,
}

impl Version {
    fn read(said: &Description) -> Result<Self, HubFailure> {
        let header = |name| said.header(name).ok_or_else(|| HubFailure::no_hub(name));
        let commit = header("x-repo-commit")?.to_owned();
        let etag = said
            .header("x-linked-etag")
            .map_or_else(|| header("etag"), Ok)?
            .trim_start_matches("W/")
            .replace('"', "");
        // Both become names of files.
        for (name, value) in [("x-repo-commit", &commit), ("etag", &etag)] {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
            if value.is_empty() || !value.bytes().all(plain) {
                return Err(HubFailure::no_hub(name));
            }
        }
        let linked = said.header("x-linked-size");
        let size = linked.and_then(|text| text.trim().parse().ok());
        Ok(Self {
            commit,
            etag,
            size: size.or_else(|| said.size()),
        })
    }
}

/// The SHA-256 that a name in the cache is, if it is one.
fn sha256_in(name: &str) -> Option<HashPrefix> {
    (name.len() == 64).then(|| name.parse().ok()).flatten()
}

/// Whether the bytes of a file are there, as far as its hash and size are known.
fn is_there(blob: &Path, options: &Options) -> Result<bool, HubFailure> {
    let unreadable = |error: io::Error| HubFailure::cache(blob, &error);
    let entry = check::entry(blob, options.sha256.as_ref()).map_err(unreadable)?;
    let length = fs::metadata(blob).map(|metadata| metadata.len()).ok();
    Ok(entry == Entry::Whole && (options.size.is_none() || options.size == length))
}

/// How many links this process has made.
static LINKS: AtomicU64 = AtomicU64::new(0);

/// Makes `path` a link to `blob`, relative so that the cache can be moved. Where there are no links it is a copy.
fn link(blob: &Path, path: &Path) -> io::Result<()> {
    let folder = path.parent().unwrap_or(path);
    fs::create_dir_all(folder)?;
    let mut name = path.as_os_str().to_owned();
    // No other process and no other thread uses this name.
    let number = LINKS.fetch_add(1, Ordering::Relaxed);
    name.push(format!(".{}-{number}", std::process::id()));
    let new = PathBuf::from(name);
    #[cfg(unix)]
    {
        // The blob is in `blobs`, beside `snapshots`, in which the link's folder is.
        let root = blob.parent().and_then(Path::parent).unwrap_or(blob);
        let depth = folder
            .strip_prefix(root)
            .map_or(0, |below| below.components().count());
        let up: PathBuf = std::iter::repeat_n("..", depth).collect();
        let target = up.join(blob.strip_prefix(root).unwrap_or(blob));
        // A leftover of a process that died.
        let _ = fs::remove_file(&new);
        std::os::unix::fs::symlink(target, &new)?;
    }
    #[cfg(not(unix))]
    fs::copy(blob, &new)?;
    fs::rename(&new, path)
}
