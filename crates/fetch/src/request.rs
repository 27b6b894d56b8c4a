//! One request and what its answer means.

use std::io;

use ureq::{
    Agent, Body,
    http::{Response, Uri, header::HeaderMap},
};

use crate::{FetchError, Options};

/// Why a try failed and whether another may succeed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// An HTTP status other than success; with the seconds of a `Retry-After`.
    Status {
        status: u16,
        retry_after: Option<u64>,
    },
    /// No connection. `passing` when the server was there a moment ago or may be soon.
    Connection { reason: String, passing: bool },
    /// Silence.
    Timeout,
    /// The transfer ended early.
    Cut { reason: String },
    /// Nothing that a new try could change.
    Final(FetchError),
}

/// The agent that asks: loopback addresses are asked directly, the others through the proxy of the environment.
pub(crate) fn agent(url: &str, options: &Options) -> Result<Agent, FetchError> {
    let address_error = |reason: String| FetchError::Address {
        url: url.to_owned(),
        reason,
    };
    let uri: Uri = url
        .parse()
        .map_err(|error| address_error(format!("{error}")))?;
    match uri.scheme_str() {
        Some("http" | "https") => {}
        Some(other) => return Err(address_error(format!("the scheme `{other}` is not known"))),
        None => return Err(address_error("it has no scheme".to_owned())),
    }
    let host = uri
        .host()
        .filter(|host| !host.is_empty())
        .ok_or_else(|| address_error("it has no host".to_owned()))?;
    let mut config = Agent::config_builder()
        .http_status_as_error(false)
        .timeout_connect(Some(options.connect_timeout))
        .timeout_recv_response(Some(options.stall_timeout))
        .timeout_per_read(Some(options.stall_timeout))
        .user_agent(concat!("graft/", env!("CARGO_PKG_VERSION")));
    if matches!(host, "localhost" | "127.0.0.1" | "[::1]") {
        config = config.proxy(None);
    }
    Ok(config.build().new_agent())
}

/// Asks for `url`, from byte `from` on if the server still has the file that `validator` names.
pub(crate) fn ask(
    agent: &Agent,
    url: &str,
    from: u64,
    validator: Option<&str>,
) -> Result<Response<Body>, Failure> {
    // Bytes are counted and hashed as stored, so no compression on the way.
    let mut request = agent.get(url).header("accept-encoding", "identity");
    if from > 0 {
        request = request.header("range", format!("bytes={from}-"));
        if let Some(validator) = validator {
            request = request.header("if-range", validator);
        }
    }
    let response = request.call().map_err(|error| failure(url, error))?;
    let status = response.status().as_u16();
    match status {
        200 | 206 | 416 => Ok(response),
        _ => Err(Failure::Status {
            status,
            retry_after: header(response.headers(), "retry-after")
                .and_then(|text| text.trim().parse().ok()),
        }),
    }
}

/// What a failed request or read means.
pub(crate) fn failure(url: &str, error: ureq::Error) -> Failure {
    match error {
        ureq::Error::Timeout(_) => Failure::Timeout,
        ureq::Error::Io(error) => match error.kind() {
            io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => Failure::Timeout,
            io::ErrorKind::UnexpectedEof
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe => Failure::Cut {
                reason: error.to_string(),
            },
            kind => Failure::Connection {
                reason: error.to_string(),
                passing: kind != io::ErrorKind::ConnectionRefused,
            },
        },
        ureq::Error::BadUri(reason) => Failure::Final(FetchError::Address {
            url: url.to_owned(),
            reason,
        }),
        ureq::Error::Protocol(error) => Failure::Cut {
            reason: error.to_string(),
        },
        error @ ureq::Error::ConnectionFailed => Failure::Connection {
            reason: error.to_string(),
            passing: true,
        },
        other => Failure::Connection {
            reason: other.to_string(),
            passing: false,
        },
    }
}

/// What must still be the same on the server for a download to be resumed: a strong `ETag`, or `Last-Modified`.
pub(crate) fn validator(headers: &HeaderMap) -> Option<String> {
    header(headers, "etag")
        .filter(|etag| !etag.starts_with("W/"))
        .or_else(|| header(headers, "last-modified"))
        .filter(|text| !text.contains('\n'))
        .map(str::to_owned)
}

/// The length of the answer's body.
pub(crate) fn content_length(headers: &HeaderMap) -> Option<u64> {
    header(headers, "content-length")?.trim().parse().ok()
}

/// Start and total of `bytes 100-199/200`; the start is `None` in `bytes */200`.
pub(crate) fn content_range(headers: &HeaderMap) -> Option<(Option<u64>, Option<u64>)> {
    let text = header(headers, "content-range")?.strip_prefix("bytes ")?;
    let (range, total) = text.split_once('/')?;
    let start = range
        .split_once('-')
        .and_then(|(start, _)| start.trim().parse().ok());
    Some((start, total.trim().parse().ok()))
}

/// A header as text.
fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}
