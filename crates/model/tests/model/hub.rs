//! The hub's client against a server on this machine that speaks the hub's paths.

use std::{
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
};

use graft_fetch::Progress;
use graft_model::{ModelError, locate};

use crate::locate::Places;

const COMMIT: &str = "00112233445566778899aabbccddeeff00112233";
const WEIGHTS: &[u8] = b"the weights of a network";

/// A hub with one repository, `owner/net`, whose file `model.safetensors` it says to have the SHA-256 `etag`.
struct FakeHub {
    address: String,
    requests: Arc<Mutex<Vec<String>>>,
}

impl FakeHub {
    fn start(etag: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&requests);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let _ = answer(stream, &etag, &log);
            }
        });
        Self { address, requests }
    }

    fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

/// Answers one request as the hub does, with ranges.
fn answer(mut stream: TcpStream, etag: &str, log: &Mutex<Vec<String>>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        if line.trim().is_empty() {
            break;
        }
        lines.push(line.trim().to_owned());
    }
    let path = lines[0].split(' ').nth(1).unwrap_or("").to_owned();
    let header = |name: &str| {
        let lines = lines.iter().filter_map(|line| line.split_once(": "));
        lines
            .into_iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.to_owned())
    };
    log.lock().unwrap().push(format!(
        "{path} {}",
        header("authorization").unwrap_or_default()
    ));
    if path.starts_with("/owner/gated/") {
        return stream.write_all(
            b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        );
    }
    if !path.starts_with("/owner/net/resolve/") || !path.ends_with("/model.safetensors") {
        return stream.write_all(
            b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        );
    }
    let range = header("range").unwrap_or_default();
    let (from, to) = range
        .trim_start_matches("bytes=")
        .split_once('-')
        .unwrap_or(("0", ""));
    let from: usize = from.parse().unwrap_or(0);
    let to = to.parse().map_or(WEIGHTS.len(), |to: usize| to + 1);
    let head = format!(
        "HTTP/1.1 206 Partial Content\r\nContent-Length: {}\r\nContent-Range: bytes {from}-{}/{}\r\nETag: \"{etag}\"\r\n\
         X-Repo-Commit: {COMMIT}\r\nConnection: close\r\n\r\n",
        to - from,
        to - 1,
        WEIGHTS.len()
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(&WEIGHTS[from..to])
}

fn sha256(places: &Places) -> String {
    let path = places.root.path().join("hashed");
    std::fs::write(&path, WEIGHTS).unwrap();
    graft_fetch::file_sha256(&path).unwrap()
}

#[derive(Default)]
struct Heard {
    name: String,
    total: Option<u64>,
    bytes: u64,
    finished: bool,
}

impl Progress for Heard {
    fn start(&mut self, name: &str, total: Option<u64>) {
        *self = Self {
            name: name.to_owned(),
            total,
            bytes: 0,
            finished: false,
        };
    }

    fn advance(&mut self, bytes: u64) {
        self.bytes += bytes;
    }

    fn finish(&mut self) {
        self.finished = true;
    }
}

#[test]
fn a_file_is_fetched_once_checked_and_then_cached() {
    let mut places = Places::new();
    let hub = FakeHub::start(sha256(&places));
    places.folders.offline = false;
    places.folders.hub.endpoint.clone_from(&hub.address);
    places.folders.hub.token = Some("secret".into());
    let spec = "hf:owner/net@v1".parse().unwrap();
    let mut heard = Heard::default();
    let path = locate(&spec, &places.folders, &mut heard).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), WEIGHTS);
    assert!(
        path.starts_with(&places.folders.hub.cache),
        "{}",
        path.display()
    );
    assert_eq!(
        (heard.name.as_str(), heard.total, heard.bytes),
        ("model.safetensors", Some(24), 24)
    );
    assert!(heard.finished);
    let requests = hub.requests();
    assert!(!requests.is_empty());
    for request in &requests {
        assert_eq!(
            request,
            "/owner/net/resolve/v1/model.safetensors Bearer secret"
        );
    }
    // The second time, and offline, and by its commit, it is in the cache.
    places.folders.offline = true;
    assert_eq!(places.locate("hf:owner/net@v1").unwrap(), path);
    assert_eq!(
        places.locate(&format!("hf:owner/net@{COMMIT}")).unwrap(),
        path
    );
    assert_eq!(hub.requests().len(), requests.len());
}

#[test]
fn a_file_with_another_hash_is_deleted() {
    let mut places = Places::new();
    let hub = FakeHub::start("0".repeat(64));
    places.folders.offline = false;
    places.folders.hub.endpoint.clone_from(&hub.address);
    let message = places.locate("hf:owner/net").unwrap_err().to_string();
    assert!(
        message.contains("what arrived has the SHA-256 "),
        "{message}"
    );
    places.folders.offline = true;
    assert!(
        places.locate("hf:owner/net").is_err(),
        "it must not be found in the cache"
    );
}

#[test]
fn refusals_come_with_advice() {
    let mut places = Places::new();
    let hub = FakeHub::start(String::new());
    places.folders.offline = false;
    places.folders.hub.endpoint.clone_from(&hub.address);
    places.folders.hub.token = Some("secret".into());
    for (spec, advice) in [
        (
            "hf:owner/none",
            "there is no such repository, revision or file",
        ),
        ("hf:owner/net/other.safetensors", "hf:OWNER/REPO/FILE"),
        ("hf:owner/gated", "set HF_TOKEN"),
    ] {
        let error = places.locate(spec).unwrap_err();
        assert!(matches!(error, ModelError::Hub { .. }), "{error}");
        let message = error.to_string();
        assert!(
            message.contains(advice) && message.contains(spec) && message.contains(&hub.address),
            "{message}"
        );
        assert!(!message.contains("secret"), "{message}");
    }
    assert!(!format!("{:?}", places.folders).contains("secret"));
}
