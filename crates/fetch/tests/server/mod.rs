//! A small server on the loopback interface, and a download from it.
#![allow(dead_code, reason = "every test file uses a part of it")]

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use graft_fetch::{FetchError, Options, Pause, Progress, download};

/// What the server does with one request.
#[derive(Clone)]
pub(crate) enum Reply {
    /// Sends the whole body, or the range that was asked for.
    Body,
    /// Promises the body (or range) and hangs up after so many bytes.
    Cut(usize),
    /// Sends the whole body whatever range was asked for.
    IgnoreRange,
    /// Answers with this status and these headers.
    Status(u16, &'static str),
    /// Promises the body and says nothing.
    Silence,
    /// Sends the body without saying how long it is.
    NoLength,
    /// Hangs up after so many bytes without having said how many there are.
    Less(usize),
}

/// A server that follows a script, one reply per request, and keeps the requests' headers in lower case.
pub(crate) struct Server {
    address: String,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Server {
    pub(crate) fn new(body: Vec<u8>, etag: Option<&'static str>, script: Vec<Reply>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&requests);
        thread::spawn(move || {
            for reply in script {
                let Ok((stream, _)) = listener.accept() else {
                    return;
                };
                let head = read_head(&stream);
                kept.lock().unwrap().push(head.clone());
                answer(stream, &head, &body, etag, &reply);
            }
        });
        Self { address, requests }
    }

    pub(crate) fn url(&self) -> String {
        format!("{}/file.bin", self.address)
    }

    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

fn read_head(stream: &TcpStream) -> String {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 || line == "\r\n" {
            return head.to_lowercase();
        }
        head.push_str(&line);
    }
}

fn answer(mut stream: TcpStream, head: &str, body: &[u8], etag: Option<&str>, reply: &Reply) {
    let range = head
        .lines()
        .find_map(|line| line.strip_prefix("range: bytes="))
        .and_then(|range| range.trim().split('-').next()?.parse::<usize>().ok());
    let if_range = head
        .lines()
        .find_map(|line| line.strip_prefix("if-range: "))
        .map(str::trim);
    let same = if_range.is_none_or(|tag| Some(tag) == etag);
    let etag_line = etag.map_or(String::new(), |tag| format!("ETag: {tag}\r\n"));
    let from = match reply {
        Reply::IgnoreRange => 0,
        _ if same => range.unwrap_or(0),
        _ => 0,
    };
    if let Reply::Status(status, headers) = reply {
        let _ = write!(
            stream,
            "HTTP/1.1 {status} X\r\n{headers}Content-Length: 0\r\nConnection: close\r\n\r\n"
        );
        return;
    }
    if from >= body.len() && from > 0 {
        let _ = write!(
            stream,
            "HTTP/1.1 416 X\r\nContent-Range: bytes */{}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            body.len()
        );
        return;
    }
    let rest = &body[from..];
    let status = if from > 0 {
        format!(
            "206 Partial Content\r\nContent-Range: bytes {from}-{}/{}",
            body.len() - 1,
            body.len()
        )
    } else {
        "200 OK".to_owned()
    };
    let length = match reply {
        Reply::NoLength | Reply::Less(_) => String::new(),
        _ => format!("Content-Length: {}\r\n", rest.len()),
    };
    let _ = write!(
        stream,
        "HTTP/1.1 {status}\r\n{etag_line}{length}Connection: close\r\n\r\n"
    );
    match reply {
        Reply::Cut(bytes) | Reply::Less(bytes) => drop(stream.write_all(&rest[..*bytes])),
        Reply::Silence => {
            let _ = stream.flush();
            // Held until the client gives up and closes.
            let _ = BufReader::new(stream).read_line(&mut String::new());
        }
        _ => drop(stream.write_all(rest)),
    }
}

/// Counts the waits instead of sleeping.
#[derive(Debug, Default)]
pub(crate) struct Waits(Mutex<Vec<u64>>);

impl Pause for Waits {
    fn pause(&self, wait: Duration) {
        self.0.lock().unwrap().push(wait.as_secs());
    }
}

/// Follows a download.
#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) starts: Vec<Option<u64>>,
    pub(crate) bytes: u64,
    pub(crate) finished: u32,
    pub(crate) notes: Vec<String>,
}

impl Progress for Seen {
    fn start(&mut self, name: &str, total: Option<u64>) {
        assert_eq!(name, "file.bin");
        self.starts.push(total);
        self.bytes = 0;
    }
    fn advance(&mut self, bytes: u64) {
        self.bytes += bytes;
    }
    fn finish(&mut self) {
        self.finished += 1;
    }
    fn note(&mut self, text: &str) {
        self.notes.push(text.to_owned());
    }
}

pub(crate) struct Case {
    _folder: tempfile::TempDir,
    pub(crate) to: PathBuf,
    waits: Arc<Waits>,
    pub(crate) options: Options,
    pub(crate) seen: Seen,
}

impl Case {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let waits = Arc::new(Waits::default());
        let options = Options {
            pause: Arc::clone(&waits) as Arc<dyn Pause>,
            ..Options::default()
        };
        Self {
            to: folder.path().join("sub").join("file.bin"),
            _folder: folder,
            waits,
            options,
            seen: Seen::default(),
        }
    }

    pub(crate) fn get(&mut self, url: &str) -> Result<(), FetchError> {
        download(url, &self.to, &self.options, &mut self.seen)
    }

    pub(crate) fn part(&self) -> PathBuf {
        self.to.with_file_name("file.bin.part")
    }

    pub(crate) fn waits(&self) -> Vec<u64> {
        self.waits.0.lock().unwrap().clone()
    }
}

pub(crate) fn body() -> Vec<u8> {
    (0..300_000u32)
        .map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect()
}

pub(crate) fn files(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}
