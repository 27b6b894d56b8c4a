//! Downloads from a small server on the loopback interface.

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
enum Reply {
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
}

/// A server that follows a script, one reply per request, and keeps the requests' headers in lower case.
struct Server {
    address: String,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Server {
    fn new(body: Vec<u8>, etag: Option<&'static str>, script: Vec<Reply>) -> Self {
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

    fn url(&self) -> String {
        format!("{}/file.bin", self.address)
    }

    fn requests(&self) -> Vec<String> {
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
        .map(|range| range.trim().trim_end_matches('-').parse::<usize>().unwrap());
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
        Reply::NoLength => String::new(),
        _ => format!("Content-Length: {}\r\n", rest.len()),
    };
    let _ = write!(
        stream,
        "HTTP/1.1 {status}\r\n{etag_line}{length}Connection: close\r\n\r\n"
    );
    match reply {
        Reply::Cut(bytes) => drop(stream.write_all(&rest[..*bytes])),
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
struct Waits(Mutex<Vec<u64>>);

impl Pause for Waits {
    fn pause(&self, wait: Duration) {
        self.0.lock().unwrap().push(wait.as_secs());
    }
}

/// Follows a download.
#[derive(Default)]
struct Seen {
    starts: Vec<Option<u64>>,
    bytes: u64,
    finished: u32,
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
}

struct Case {
    _folder: tempfile::TempDir,
    to: PathBuf,
    waits: Arc<Waits>,
    options: Options,
    seen: Seen,
}

impl Case {
    fn new() -> Self {
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

    fn get(&mut self, url: &str) -> Result<(), FetchError> {
        download(url, &self.to, &self.options, &mut self.seen)
    }

    fn part(&self) -> PathBuf {
        self.to.with_file_name("file.bin.part")
    }

    fn waits(&self) -> Vec<u64> {
        self.waits.0.lock().unwrap().clone()
    }
}

fn body() -> Vec<u8> {
    (0..300_000u32)
        .map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect()
}

fn files(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn a_file_arrives_whole_and_alone() {
    let server = Server::new(body(), Some("\"v1\""), vec![Reply::Body]);
    let mut case = Case::new();
    case.get(&server.url()).unwrap();
    assert_eq!(fs::read(&case.to).unwrap(), body());
    assert_eq!(files(case.to.parent().unwrap()), ["file.bin"]);
    assert_eq!(case.seen.starts, [Some(300_000)]);
    assert_eq!((case.seen.bytes, case.seen.finished), (300_000, 1));
}

#[test]
fn a_cut_connection_is_resumed() {
    let script = vec![Reply::Cut(100_000), Reply::Cut(50_000), Reply::Body];
    let server = Server::new(body(), Some("\"v1\""), script);
    let mut case = Case::new();
    case.get(&server.url()).unwrap();
    assert_eq!(fs::read(&case.to).unwrap(), body());
    assert_eq!(case.waits(), [1, 2]);
    assert_eq!(case.seen.bytes, 300_000);
    let requests = server.requests();
    assert!(!requests[0].contains("range:"));
    assert!(
        requests[1].contains("range: bytes=100000-"),
        "{}",
        requests[1]
    );
    assert!(requests[1].contains("if-range: \"v1\""));
    assert!(requests[2].contains("range: bytes=150000-"));
}

#[test]
fn a_later_call_resumes_what_an_earlier_one_left() {
    let script = vec![Reply::Cut(100_000), Reply::Body];
    let server = Server::new(body(), Some("\"v1\""), script);
    let mut case = Case::new();
    case.options.retries = 0;
    let error = case.get(&server.url()).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("cut after 100000 bytes of 300000"), "{text}");
    assert!(text.contains("resumed"), "{text}");
    assert!(!case.to.exists() && case.part().exists());
    case.get(&server.url()).unwrap();
    assert_eq!(fs::read(&case.to).unwrap(), body());
    assert!(server.requests()[1].contains("range: bytes=100000-"));
}

#[test]
fn a_part_of_another_version_is_not_continued() {
    let old = Server::new(vec![7; 300_000], Some("\"v0\""), vec![Reply::Cut(1000)]);
    let mut case = Case::new();
    case.options.retries = 0;
    case.get(&old.url()).unwrap_err();
    // The same address now has another file.
    let note = case.to.with_file_name("file.bin.part.from");
    let server = Server::new(body(), Some("\"v1\""), vec![Reply::Body]);
    fs::write(&note, format!("{}\n\"v0\"\n", server.url())).unwrap();
    case.get(&server.url()).unwrap();
    assert!(server.requests()[0].contains("if-range: \"v0\""));
    assert_eq!(fs::read(&case.to).unwrap(), body());
}

#[test]
fn a_part_from_another_address_is_not_continued() {
    let server = Server::new(body(), Some("\"v1\""), vec![Reply::Body]);
    let mut case = Case::new();
    fs::create_dir_all(case.to.parent().unwrap()).unwrap();
    fs::write(case.part(), "something").unwrap();
    case.get(&server.url()).unwrap();
    assert!(!server.requests()[0].contains("range:"));
    assert_eq!(fs::read(&case.to).unwrap(), body());
}

#[test]
fn a_server_that_ignores_ranges_starts_over() {
    let script = vec![Reply::Cut(100_000), Reply::IgnoreRange];
    let server = Server::new(body(), Some("\"v1\""), script);
    let mut case = Case::new();
    case.get(&server.url()).unwrap();
    assert_eq!(fs::read(&case.to).unwrap(), body());
    assert_eq!(case.seen.starts.len(), 2);
    assert_eq!(case.seen.bytes, 300_000);
}

#[test]
fn a_server_without_versions_starts_over() {
    let server = Server::new(body(), None, vec![Reply::Cut(100_000), Reply::Body]);
    let mut case = Case::new();
    case.get(&server.url()).unwrap();
    assert!(!server.requests()[1].contains("range:"));
    assert_eq!(fs::read(&case.to).unwrap(), body());
}

#[test]
fn a_complete_part_needs_no_transfer() {
    let server = Server::new(body(), Some("\"v1\""), vec![Reply::Body]);
    let mut case = Case::new();
    fs::create_dir_all(case.to.parent().unwrap()).unwrap();
    fs::write(case.part(), body()).unwrap();
    let note = case.to.with_file_name("file.bin.part.from");
    fs::write(note, format!("{}\n\"v1\"\n", server.url())).unwrap();
    case.get(&server.url()).unwrap();
    assert!(server.requests()[0].contains("range: bytes=300000-"));
    assert_eq!(fs::read(&case.to).unwrap(), body());
}

#[test]
fn an_answer_without_length_is_taken_to_its_end() {
    let server = Server::new(body(), None, vec![Reply::NoLength]);
    let mut case = Case::new();
    case.get(&server.url()).unwrap();
    assert_eq!(fs::read(&case.to).unwrap(), body());
    assert_eq!(case.seen.starts, [None]);
}

#[test]
fn busy_servers_are_asked_again_and_then_named() {
    let script = vec![
        Reply::Status(503, ""),
        Reply::Status(429, "Retry-After: 7\r\n"),
        Reply::Body,
    ];
    let server = Server::new(body(), None, script);
    let mut case = Case::new();
    case.get(&server.url()).unwrap();
    assert_eq!(case.waits(), [1, 7]);

    let server = Server::new(body(), None, vec![Reply::Status(500, ""); 5]);
    let mut case = Case::new();
    let text = case.get(&server.url()).unwrap_err().to_string();
    assert!(text.contains("answered 500 (tried 5 times)"), "{text}");
    assert_eq!(case.waits(), [1, 2, 4, 8]);
    assert_eq!(files(case.to.parent().unwrap()), [""; 0]);

    let server = Server::new(
        body(),
        None,
        vec![Reply::Status(429, "Retry-After: 3600\r\n")],
    );
    let mut case = Case::new();
    let text = case.get(&server.url()).unwrap_err().to_string();
    assert!(text.contains("429") && text.contains("wait"), "{text}");
}

#[test]
fn refusals_are_final_and_say_what_to_do() {
    for (status, hint) in [(401, "login"), (403, "permission"), (404, "no such file")] {
        let server = Server::new(body(), None, vec![Reply::Status(status, "")]);
        let mut case = Case::new();
        let text = case.get(&server.url()).unwrap_err().to_string();
        assert!(text.contains(&format!("answered {status}\n")), "{text}");
        assert!(
            text.contains(hint) && text.contains(&server.url()),
            "{text}"
        );
        assert_eq!(case.waits(), [0; 0]);
    }
}

#[test]
fn silence_is_a_timeout() {
    let server = Server::new(body(), None, vec![Reply::Silence]);
    let mut case = Case::new();
    case.options.stall_timeout = Duration::from_millis(50);
    case.options.retries = 0;
    let error = case.get(&server.url()).unwrap_err();
    assert!(matches!(error, FetchError::Timeout { .. }), "{error}");
}

#[test]
fn no_server_offline_and_bad_addresses_are_told_apart() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/file.bin", free.local_addr().unwrap());
    drop(free);
    let mut case = Case::new();
    let error = case.get(&url).unwrap_err();
    assert!(
        matches!(error, FetchError::Connection { tries: 1, .. }),
        "{error}"
    );
    case.options.offline = true;
    let text = case.get(&url).unwrap_err().to_string();
    assert!(
        text.contains("curl -L -o") && text.contains("--offline"),
        "{text}"
    );
    case.options.offline = false;
    for bad in ["ftp://example.org/x", "no address", "/file.bin", "http://"] {
        let error = case.get(bad).unwrap_err();
        assert!(
            matches!(error, FetchError::Address { .. }),
            "{bad}: {error}"
        );
    }
}

#[test]
fn hashes_are_checked() {
    let right = {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("x"), body()).unwrap();
        graft_fetch::file_sha256(&folder.path().join("x")).unwrap()
    };
    let server = Server::new(body(), None, vec![Reply::Body, Reply::Body]);
    let mut case = Case::new();
    case.options.sha256 = Some(right[..8].parse().unwrap());
    case.get(&server.url()).unwrap();
    assert_eq!(fs::read(&case.to).unwrap(), body());

    let mut case = Case::new();
    case.options.sha256 = Some("0123456789".parse().unwrap());
    let text = case.get(&server.url()).unwrap_err().to_string();
    assert!(
        text.contains(&right) && text.contains("expected 0123456789"),
        "{text}"
    );
    assert_eq!(files(case.to.parent().unwrap()), [""; 0]);

    // A damaged part of the right length is found by its hash and fetched again from nothing.
    let server = Server::new(body(), Some("\"v1\""), vec![Reply::Body, Reply::Body]);
    let mut case = Case::new();
    case.options.sha256 = Some(right.parse().unwrap());
    fs::create_dir_all(case.to.parent().unwrap()).unwrap();
    fs::write(case.part(), vec![1; 1000]).unwrap();
    case.get(&server.url()).unwrap();
    assert_eq!(fs::read(&case.to).unwrap(), body());
}

#[test]
fn large_files_are_refused() {
    for reply in [Reply::Body, Reply::NoLength] {
        let server = Server::new(body(), None, vec![reply]);
        let mut case = Case::new();
        case.options.max_bytes = 200_000;
        let error = case.get(&server.url()).unwrap_err();
        assert!(matches!(error, FetchError::TooLarge { .. }), "{error}");
        assert_eq!(files(case.to.parent().unwrap()), [""; 0]);
    }
}

#[test]
fn an_existing_file_is_replaced_only_by_a_complete_one() {
    let server = Server::new(body(), None, vec![Reply::Cut(10), Reply::Body]);
    let mut case = Case::new();
    fs::create_dir_all(case.to.parent().unwrap()).unwrap();
    fs::write(&case.to, "old").unwrap();
    case.options.retries = 0;
    case.get(&server.url()).unwrap_err();
    assert_eq!(fs::read(&case.to).unwrap(), b"old");
    case.get(&server.url()).unwrap();
    assert_eq!(fs::read(&case.to).unwrap(), body());
}
