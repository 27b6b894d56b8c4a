//! A server on this machine that speaks the hub's paths, and misbehaves on request.
//!
//! `owner/net` has the file `model.safetensors`. `owner/lfs` has it too and sends on to another server for the bytes, as
//! the hub does for large files; `owner/old` sends on to `owner/net`; `owner/loop` to itself; `owner/none` to nowhere;
//! `owner/gated` wants a token; `owner/page` answers, but not as a hub.
#![allow(dead_code, reason = "every test file uses a part of it")]

use std::{
    collections::VecDeque,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
};

/// What every revision of the repositories is.
pub(crate) const COMMIT: &str = "00112233445566778899aabbccddeeff00112233";

/// What is done with one request.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Reply {
    /// What the hub does.
    Fine,
    /// This status with these headers.
    Status(u16, &'static str),
    /// The connection ends after so many bytes.
    Cut(usize),
    /// The same, but how many bytes there should be is not said.
    CutUnnoticed(usize),
    /// The whole file whatever part of it was asked for.
    Whole,
    /// Nothing, until the other side hangs up.
    Silence,
}

/// A request as it arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) path: String,
    /// Whether it came to the server that the hub sends on to.
    pub(crate) elsewhere: bool,
    pub(crate) token: Option<String>,
    pub(crate) range: Option<String>,
}

impl Request {
    /// Whether it only asks what there is.
    pub(crate) fn is_question(&self) -> bool {
        self.range.as_deref() == Some("bytes=0-0")
    }
}

struct Shared {
    body: Vec<u8>,
    etag: String,
    elsewhere: String,
    script: Mutex<VecDeque<Reply>>,
    requests: Mutex<Vec<Request>>,
}

/// A hub and the server that it sends on to.
pub(crate) struct FakeHub {
    pub(crate) address: String,
    shared: Arc<Shared>,
}

impl FakeHub {
    /// A hub whose file has this content, and this SHA-256 as it says.
    pub(crate) fn start(body: &[u8], etag: &str) -> Self {
        let hub = TcpListener::bind("127.0.0.1:0").unwrap();
        let elsewhere = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = elsewhere.local_addr().unwrap().port();
        let shared = Arc::new(Shared {
            body: body.to_vec(),
            etag: etag.to_owned(),
            // Another name of this machine, which makes it another host.
            elsewhere: format!("http://localhost:{port}"),
            script: Mutex::default(),
            requests: Mutex::default(),
        });
        let address = format!("http://{}", hub.local_addr().unwrap());
        for (listener, is_elsewhere) in [(hub, false), (elsewhere, true)] {
            let shared = Arc::clone(&shared);
            std::thread::spawn(move || {
                for stream in listener.incoming().flatten() {
                    let shared = Arc::clone(&shared);
                    std::thread::spawn(move || shared.answer(stream, is_elsewhere));
                }
            });
        }
        Self { address, shared }
    }

    /// What is done with the next requests; all after them are answered as the hub does.
    pub(crate) fn script(&self, replies: &[Reply]) {
        self.shared.script.lock().unwrap().extend(replies);
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.shared.requests.lock().unwrap().clone()
    }

    /// The requests for bytes.
    pub(crate) fn transfers(&self) -> Vec<Request> {
        let mut requests = self.requests();
        requests.retain(|request| !request.is_question());
        requests
    }
}

impl Shared {
    /// Answers one request. A client that hangs up is none of the server's business.
    fn answer(&self, mut stream: TcpStream, elsewhere: bool) -> Option<()> {
        let request = read_request(&stream, elsewhere)?;
        self.requests.lock().unwrap().push(request.clone());
        let reply = self.script.lock().unwrap().pop_front();
        let end = "Content-Length: 0\r\nConnection: close\r\n\r\n";
        let answer = match reply.unwrap_or(Reply::Fine) {
            Reply::Status(status, headers) => format!("HTTP/1.1 {status} X\r\n{headers}{end}"),
            Reply::Silence => {
                drop(stream.read(&mut [0]));
                return None;
            }
            reply => match self.refusal_or_redirect(&request) {
                Some(answer) => format!("HTTP/1.1 {answer}\r\n{end}"),
                None => return self.send(stream, &request, reply),
            },
        };
        stream.write_all(answer.as_bytes()).ok()
    }

    /// Status and headers of an answer without content.
    fn refusal_or_redirect(&self, request: &Request) -> Option<String> {
        let path = request.path.as_str();
        let Some((repo, rest)) = path.strip_prefix("/owner/").and_then(|p| p.split_once('/'))
        else {
            return (!request.elsewhere).then(|| "404 X".to_owned());
        };
        let known = rest.starts_with("resolve/") && path.ends_with("/model.safetensors");
        let about = format!(
            "X-Repo-Commit: {COMMIT}\r\nX-Linked-Etag: \"{}\"\r\nX-Linked-Size: {}",
            self.etag,
            self.body.len()
        );
        Some(match repo {
            "gated" if request.token.is_none() => {
                "401 X\r\nX-Error-Code: GatedRepo\r\nX-Error-Message: Access to owner/gated is restricted.".to_owned()
            }
            "gated" => "403 X\r\nX-Error-Message: You are not in the authorized list.".to_owned(),
            "net" | "page" if known => return None,
            "lfs" if known => format!("302 X\r\n{about}\r\nLocation: {}/bytes?sign=1", self.elsewhere),
            "old" if known => format!("307 X\r\nLocation: /owner/net/{rest}"),
            "loop" => format!("307 X\r\nLocation: {path}"),
            "none" => "302 X".to_owned(),
            _ => "404 X\r\nX-Error-Code: EntryNotFound\r\nX-Error-Message: Entry not found".to_owned(),
        })
    }

    /// Sends the content, or the part of it that was asked for.
    fn send(&self, mut stream: TcpStream, request: &Request, reply: Reply) -> Option<()> {
        let size = self.body.len();
        let range = request
            .range
            .as_deref()
            .filter(|_| !matches!(reply, Reply::Whole));
        let range = range.map(|range| {
            let (from, to) = range.trim_start_matches("bytes=").split_once('-').unwrap();
            (
                from.parse().unwrap(),
                to.parse().map_or(size, |to: usize| to + 1),
            )
        });
        let (from, to) = range.unwrap_or((0, size));
        let mut head = vec![match range {
            Some(_) if from >= size => format!("416 X\r\nContent-Range: bytes */{size}"),
            Some(_) => format!("206 X\r\nContent-Range: bytes {from}-{}/{size}", to - 1),
            None => "200 X".to_owned(),
        }];
        let part = self.body.get(from..to).unwrap_or_default();
        if !request.path.starts_with("/owner/page/") {
            head.push(format!("X-Repo-Commit: {COMMIT}"));
            head.push(format!("ETag: \"{}\"", self.etag));
        }
        if !matches!(reply, Reply::CutUnnoticed(_)) {
            head.push(format!("Content-Length: {}", part.len()));
        }
        let sent = match reply {
            Reply::Cut(bytes) | Reply::CutUnnoticed(bytes) => &part[..bytes],
            _ => part,
        };
        let head = head.join("\r\n");
        let head = format!("HTTP/1.1 {head}\r\nConnection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).ok()?;
        stream.write_all(sent).ok()
    }
}

fn read_request(stream: &TcpStream, elsewhere: bool) -> Option<Request> {
    let mut lines = BufReader::new(stream).lines();
    let first = lines.next()?.ok()?;
    let mut request = Request {
        path: first.split(' ').nth(1)?.to_owned(),
        elsewhere,
        token: None,
        range: None,
    };
    for line in lines {
        let line = line.ok()?;
        let Some((name, value)) = line.split_once(": ") else {
            break;
        };
        match name.to_lowercase().as_str() {
            "authorization" => request.token = Some(value.to_owned()),
            "range" => request.range = Some(value.to_owned()),
            _ => {}
        }
    }
    Some(request)
}
