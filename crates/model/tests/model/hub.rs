//! The hub's client against a server on this machine that speaks the hub's paths.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

use graft_fetch::{Options, Pause, Progress};
use graft_model::{ModelError, locate};
use hf_hub::{Cache, Repo, RepoType, api::sync::ApiBuilder};

use crate::{
    fake_hub::{COMMIT, FakeHub},
    locate::Places,
};

/// Counts the waits instead of sleeping.
#[derive(Debug, Default)]
struct Waits(Mutex<Vec<u64>>);

impl Pause for Waits {
    fn pause(&self, wait: Duration) {
        self.0.lock().unwrap().push(wait.as_secs());
    }
}

/// What the progress was told.
#[derive(Default)]
pub(crate) struct Heard {
    name: String,
    total: Option<u64>,
    pub(crate) bytes: u64,
    finished: bool,
    pub(crate) notes: Vec<String>,
}

impl Progress for Heard {
    fn start(&mut self, name: &str, total: Option<u64>) {
        name.clone_into(&mut self.name);
        self.total = total;
        self.bytes = 0;
        self.finished = false;
    }

    fn advance(&mut self, bytes: u64) {
        self.bytes += bytes;
    }

    fn finish(&mut self) {
        self.finished = true;
    }

    fn note(&mut self, text: &str) {
        self.notes.push(text.to_owned());
    }
}

/// An empty cache and a hub with a file of 1000 bytes.
pub(crate) struct Case {
    pub(crate) places: Places,
    pub(crate) hub: FakeHub,
    pub(crate) heard: Heard,
    waits: Arc<Waits>,
}

impl Case {
    pub(crate) fn new() -> Self {
        let body = body();
        let etag = sha256(&body);
        Self::with(&body, &etag)
    }

    pub(crate) fn with(body: &[u8], etag: &str) -> Self {
        let mut places = Places::new();
        let hub = FakeHub::start(body, etag);
        let waits = Arc::new(Waits::default());
        places.folders.offline = false;
        places.folders.hub.endpoint.clone_from(&hub.address);
        places.folders.fetch = Options {
            pause: Arc::clone(&waits) as Arc<dyn Pause>,
            ..Options::default()
        };
        Self {
            places,
            hub,
            heard: Heard::default(),
            waits,
        }
    }

    pub(crate) fn get(&mut self, spec: &str) -> Result<PathBuf, ModelError> {
        locate(
            &spec.parse().unwrap(),
            &self.places.folders,
            &mut self.heard,
        )
    }

    pub(crate) fn message(&mut self, spec: &str) -> String {
        self.get(spec).unwrap_err().to_string()
    }

    pub(crate) fn waits(&self) -> Vec<u64> {
        self.waits.0.lock().unwrap().clone()
    }

    /// The files in the repository's folder in the cache that could be taken for weights.
    pub(crate) fn complete_files(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut folders = vec![self.places.folders.hub.cache.clone()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
                let name = entry.file_name().into_string().unwrap();
                if entry.path().is_dir() {
                    folders.push(entry.path());
                } else if name.len() == 64 || name == "model.safetensors" {
                    found.push(entry.path());
                }
            }
        }
        found
    }
}

pub(crate) fn body() -> Vec<u8> {
    (0..1000u32).map(|i| ((i * 7919) >> 5) as u8).collect()
}

pub(crate) fn sha256(bytes: &[u8]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("hashed");
    std::fs::write(&path, bytes).unwrap();
    graft_fetch::file_sha256(&path).unwrap()
}

#[test]
fn a_file_is_fetched_once_checked_and_then_cached() {
    let mut case = Case::new();
    case.places.folders.hub.token = Some("secret".into());
    let path = case.get("hf:owner/net@v1").unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), body());
    let cache = &case.places.folders.hub.cache;
    assert!(path.starts_with(cache), "{}", path.display());
    let heard = &case.heard;
    assert_eq!(
        (
            heard.name.as_str(),
            heard.total,
            heard.bytes,
            heard.finished
        ),
        ("model.safetensors", Some(1000), 1000, true)
    );
    assert!(heard.notes.is_empty(), "{:?}", heard.notes);
    // One question by the name of the revision, one transfer by its commit.
    let requests = case.hub.requests();
    let paths: Vec<&str> = requests
        .iter()
        .map(|request| request.path.as_str())
        .collect();
    let by_commit = format!("/owner/net/resolve/{COMMIT}/model.safetensors");
    assert_eq!(
        paths,
        ["/owner/net/resolve/v1/model.safetensors", &by_commit]
    );
    for request in &requests {
        assert_eq!(request.token.as_deref(), Some("Bearer secret"));
    }
    // The second time, and offline, and by its commit, it is in the cache.
    assert_eq!(case.get("hf:owner/net@v1").unwrap(), path);
    case.places.folders.offline = true;
    assert_eq!(case.get("hf:owner/net@v1").unwrap(), path);
    assert_eq!(case.get(&format!("hf:owner/net@{COMMIT}")).unwrap(), path);
    assert!(matches!(
        case.get("hf:owner/net"),
        Err(ModelError::Missing { .. })
    ));
    assert_eq!(case.hub.requests().len(), 2);
    // Another name of the same commit needs a question, and no transfer.
    case.places.folders.offline = false;
    assert_eq!(case.get("hf:owner/net").unwrap(), path);
    assert_eq!(case.hub.transfers().len(), 1);
}

/// The cache is the one that all programs share: what `hf-hub` fetches is found, and `hf-hub` finds what is fetched here.
#[test]
fn the_cache_is_shared_with_the_hubs_own_client() {
    let mut case = Case::new();
    let folders = &case.places.folders;
    let own = |cache: PathBuf| {
        let api = ApiBuilder::from_cache(Cache::new(cache))
            .with_endpoint(case.hub.address.clone())
            .with_progress(false)
            .build()
            .unwrap();
        let repo = Repo::with_revision("owner/net".into(), RepoType::Model, "v1".into());
        api.repo(repo).get("model.safetensors").unwrap()
    };
    let theirs = own(folders.hub.cache.clone());
    let requests = case.hub.requests().len();
    assert_eq!(
        locate(
            &"hf:owner/net@v1".parse().unwrap(),
            folders,
            &mut Heard::default()
        )
        .unwrap(),
        theirs
    );
    assert_eq!(case.hub.requests().len(), requests);

    let other = case.places.root.path().join("other");
    case.places.folders.hub.cache.clone_from(&other);
    let ours = case.get("hf:owner/net@v1").unwrap();
    let requests = case.hub.requests().len();
    let api = ApiBuilder::from_cache(Cache::new(other))
        .with_endpoint("http://127.0.0.1:9".into())
        .with_progress(false)
        .build()
        .unwrap();
    let repo = Repo::with_revision("owner/net".into(), RepoType::Model, "v1".into());
    assert_eq!(api.repo(repo).get("model.safetensors").unwrap(), ours);
    assert_eq!(case.hub.requests().len(), requests);
}

#[test]
fn several_at_once_fetch_it_once() {
    let case = Case::new();
    let paths: Vec<PathBuf> = std::thread::scope(|scope| {
        let fetch = || {
            locate(
                &"hf:owner/lfs".parse().unwrap(),
                &case.places.folders,
                &mut Heard::default(),
            )
        };
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(fetch)).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap().unwrap())
            .collect()
    });
    assert!(
        paths
            .iter()
            .all(|path| std::fs::read(path).unwrap() == body())
    );
    let elsewhere = case
        .hub
        .transfers()
        .iter()
        .filter(|request| request.elsewhere)
        .count();
    assert_eq!(elsewhere, 1);
}

/// The server of the bytes gets neither the token nor a question; the hash and the size are the hub's.
#[test]
fn large_files_come_from_another_server_without_the_token() {
    let mut case = Case::new();
    case.places.folders.hub.token = Some("secret".into());
    let path = case.get("hf:owner/lfs").unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), body());
    let blob = path.canonicalize().unwrap();
    assert_eq!(
        blob.file_name().unwrap().to_str(),
        Some(sha256(&body()).as_str())
    );
    let requests = case.hub.requests();
    let seen: Vec<(bool, bool, bool)> = requests
        .iter()
        .map(|request| {
            (
                request.elsewhere,
                request.is_question(),
                request.token.is_some(),
            )
        })
        .collect();
    assert_eq!(
        seen,
        [
            (false, true, true),
            (false, false, true),
            (true, false, false)
        ]
    );
    assert_eq!(requests[2].path, "/bytes?sign=1");
}

#[test]
fn redirects_within_the_hub_are_followed_as_long_as_they_lead_somewhere() {
    let mut case = Case::new();
    let path = case.get("hf:owner/old").unwrap();
    assert_eq!(std::fs::read(path).unwrap(), body());
    let message = case.message("hf:owner/loop");
    assert!(
        message.contains("it redirects again and again"),
        "{message}"
    );
    let message = case.message("hf:owner/none");
    assert!(
        message.contains("it redirects without saying where to"),
        "{message}"
    );
}

#[test]
fn a_file_with_another_hash_is_never_seen() {
    let mut case = Case::with(&body(), &"0".repeat(64));
    for spec in ["hf:owner/net", "hf:owner/lfs"] {
        let message = case.message(spec);
        assert!(
            message.contains(&format!("has the SHA-256 {}", sha256(&body()))),
            "{message}"
        );
        assert_eq!(case.complete_files(), [""; 0].map(PathBuf::from));
    }
    case.places.folders.offline = true;
    assert!(matches!(
        case.get("hf:owner/net"),
        Err(ModelError::Missing { .. })
    ));
}
