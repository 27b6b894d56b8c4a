//! One request and what its answer means.

use std::{fmt, io, time::Duration};

use ureq::{
    Body, Timeout,
    http::{Response, Uri, header::HeaderMap},
};

use crate::{FetchError, Options};

/// Why a try failed and whether another may succeed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// An HTTP status other than success; with the seconds of a `Retry-After`, and what the server says beside it.
    Status {
        status: u16,
        retry_after: Option<u64>,
        said: Option<String>,
    },
    /// No connection. `passing` when the server was there a moment ago or may be soon.
    Connection { reason: String, passing: bool },
    /// Silence for so long.
    Timeout { waited: Duration },
    /// The transfer ended early.
    Cut { reason: String },
    /// Nothing that a new try could change.
    Final(FetchError),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status { status, .. } => write!(f, "the server answered {status}"),
            Self::Connection { reason, .. } => {
                write!(f, "no connection to the server ({reason})")
            }
            Self::Timeout { waited } => write!(f, "the server was silent for {waited:?}"),
            Self::Cut { reason } => write!(f, "the connection was cut ({reason})"),
            Self::Final(error) => error.fmt(f),
        }
    }
}

impl Failure {
    /// The error for the user after the last of `tries`, when bytes had arrived, of so many in all if that is known.
    pub(crate) fn into_error(
        self,
        url: &str,
        tries: u32,
        (received, total): (u64, Option<u64>),
    ) -> FetchError {
        let url = url.to_owned();
        match self {
            Self::Final(error) => error,
            Self::Status { status, said, .. } => FetchError::Status {
                url,
                status,
                said,
                tries,
            },
            Self::Connection { reason, .. } => FetchError::Connection { url, reason, tries },
            Self::Timeout { waited } => FetchError::Timeout { url, waited, tries },
            Self::Cut { reason } => FetchError::Cut {
                url,
                received,
                total,
                reason,
                tries,
            },
        }
    }
}

/// `url`, if it can be asked for.
pub(crate) fn address(url: &str) -> Result<Uri, FetchError> {
    let error = |reason: String| FetchError::Address {
        url: url.to_owned(),
        reason,
    };
    let uri: Uri = url
        .parse()
        .map_err(|parse_error| error(format!("{parse_error}")))?;
    match uri.scheme_str() {
        Some("http" | "https") => {}
        Some(other) => return Err(error(format!("the scheme `{other}` is not known"))),
        None => return Err(error("it has no scheme".to_owned())),
    }
    if uri.host().is_none_or(str::is_empty) {
        return Err(error("it has no host".to_owned()));
    }
    Ok(uri)
}

/// What is wanted of a file.
pub(crate) enum Wanted<'a> {
    /// What the server says of it. Redirects are not followed.
    Description,
    /// Its bytes from this one on, if the server still has the file that the validator names.
    Bytes(u64, Option<&'a str>),
}

/// Asks for a file. Loopback addresses are asked directly, the others through the proxy of the environment.
pub(crate) fn ask(
    url: &str,
    wanted: &Wanted<'_>,
    options: &Options,
) -> Result<Response<Body>, Failure> {
    let uri = address(url).map_err(Failure::Final)?;
    let mut config = options
        .client
        .get(url)
        .config()
        .http_status_as_error(false)
        .timeout_connect(Some(options.connect_timeout))
        .timeout_recv_response(Some(options.stall_timeout))
        .timeout_per_read(Some(options.stall_timeout));
    if matches!(uri.host(), Some("localhost" | "127.0.0.1" | "[::1]")) {
        config = config.proxy(None);
    }
    if matches!(wanted, Wanted::Description) {
        config = config.max_redirects(0);
    }
    // Bytes are counted and hashed as stored, so no compression on the way.
    let mut request = config.build().header("accept-encoding", "identity");
    match wanted {
        Wanted::Description => request = request.header("range", "bytes=0-0"),
        Wanted::Bytes(0, _) => {}
        Wanted::Bytes(from, validator) => {
            request = request.header("range", format!("bytes={from}-"));
            if let Some(validator) = validator {
                request = request.header("if-range", *validator);
            }
        }
    }
    let response = request
        .call()
        .map_err(|error| failure(url, error, options))?;
    let status = response.status().as_u16();
    match (status, wanted) {
        (200 | 206 | 416, _) | (301 | 302 | 303 | 307 | 308, Wanted::Description) => Ok(response),
        _ => Err(Failure::Status {
            status,
            retry_after: header(response.headers(), "retry-after")
                .and_then(|text| text.trim().parse().ok()),
            said: said(response.headers()),
        }),
    }
}

/// What the server says about its refusal, in the header that Hugging Face and its mirrors use; on one line.
fn said(headers: &HeaderMap) -> Option<String> {
    let text = header(headers, "x-error-message")?.trim();
    let text: String = text.chars().filter(|c| !c.is_control()).take(300).collect();
    (!text.is_empty()).then_some(text)
}

/// What a failed request or read means.
pub(crate) fn failure(url: &str, error: ureq::Error, options: &Options) -> Failure {
    let silence = Failure::Timeout {
        waited: options.stall_timeout,
    };
    match error {
        ureq::Error::Timeout(Timeout::Connect | Timeout::Resolve) => Failure::Timeout {
            waited: options.connect_timeout,
        },
        ureq::Error::Timeout(_) => silence,
        ureq::Error::Io(error) => match error.kind() {
            io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => silence,
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
pub(crate) fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}
