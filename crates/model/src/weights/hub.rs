//! The Hugging Face hub: its cache on this machine, and the network.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use graft_fetch::file_sha256;
use hf_hub::{
    Cache, Repo, RepoType,
    api::sync::{ApiBuilder, ApiError},
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

/// Why the hub did not deliver, and what to do.
pub(super) struct HubFailure {
    pub(super) reason: String,
    pub(super) hint: String,
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
        let token = variable("HF_TOKEN").or_else(|| Cache::new(home().join("hub")).token());
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
    pub(super) fn cached(&self, file: &HubFile<'_>) -> Option<PathBuf> {
        let repo = file.repository();
        let cache = Cache::new(self.cache.clone()).repo(repo);
        let by_commit = cache.pointer_path(file.revision).join(file.file);
        cache
            .get(file.file)
            .or_else(|| by_commit.is_file().then_some(by_commit))
    }

    /// Fetches the file into the cache. Files that the hub knows by their SHA-256 are checked.
    pub(super) fn fetch(
        &self,
        file: &HubFile<'_>,
        progress: &mut dyn graft_fetch::Progress,
    ) -> Result<PathBuf, HubFailure> {
        let api = ApiBuilder::from_cache(Cache::new(self.cache.clone()))
            .with_endpoint(self.endpoint.clone())
            .with_token(self.token.clone())
            .with_retries(3)
            .build()
            .map_err(|error| failure(&error))?;
        let fetched = api
            .repo(file.repository())
            .download_with_progress(file.file, Shown(progress));
        let path = fetched.map_err(|error| failure(&error))?;
        check_hash(&path)?;
        Ok(path)
    }
}

impl HubFile<'_> {
    fn repository(&self) -> Repo {
        Repo::with_revision(
            self.repo.to_owned(),
            RepoType::Model,
            self.revision.to_owned(),
        )
    }
}

/// In the cache, the names of large files are links to files that are named by their SHA-256.
fn check_hash(path: &Path) -> Result<(), HubFailure> {
    let unreadable = |error: std::io::Error| HubFailure {
        reason: format!("the fetched file {} can't be read: {error}", path.display()),
        hint: "check the cache folder".to_owned(),
    };
    let blob = path.canonicalize().map_err(unreadable)?;
    let name = blob.file_name().unwrap_or_default().to_string_lossy();
    if name.len() != 64 || !name.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Ok(());
    }
    let found = file_sha256(&blob).map_err(unreadable)?;
    if found == name.to_lowercase() {
        return Ok(());
    }
    let removed = std::fs::remove_file(&blob).and_then(|()| std::fs::remove_file(path));
    let kept = if removed.is_err() {
        format!("; delete {} by hand", blob.display())
    } else {
        String::new()
    };
    Err(HubFailure {
        reason: format!("what arrived has the SHA-256 {found}, expected {name}"),
        hint: format!("run again{kept}"),
    })
}

fn failure(error: &ApiError) -> HubFailure {
    let status = match error {
        ApiError::RequestError(error) => match **error {
            ureq::Error::StatusCode(status) => Some(status),
            _ => None,
        },
        _ => None,
    };
    let hint = match (error, status) {
        (_, Some(401 | 403)) => {
            "the repository is private, gated or misspelled: check the name, and set HF_TOKEN to a token that may read it"
        }
        (_, Some(404)) => {
            "there is no such repository, revision or file: check the name; a file other than model.safetensors is named \
             as hf:OWNER/REPO/FILE"
        }
        (ApiError::LockAcquisition(_), _) => {
            "another program is fetching the same file: wait for it and run again"
        }
        (ApiError::InvalidResume, _) => {
            "delete the file that ends in .part in the cache and run again"
        }
        _ => {
            "check the network and HF_ENDPOINT, or get the file by hand and put it into a --weights-dir"
        }
    };
    HubFailure {
        reason: error.to_string(),
        hint: hint.to_owned(),
    }
}

/// Tells our progress what the hub's client tells.
struct Shown<'a>(&'a mut dyn graft_fetch::Progress);

impl hf_hub::api::Progress for Shown<'_> {
    fn init(&mut self, size: usize, filename: &str) {
        self.0.start(filename, Some(size as u64));
    }

    fn update(&mut self, size: usize) {
        self.0.advance(size as u64);
    }

    fn finish(&mut self) {
        self.0.finish();
    }
}
