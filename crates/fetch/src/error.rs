//! What can go wrong with a download. Every message says what was asked for, what happened and what to do.

use std::{io, path::PathBuf, time::Duration};

/// A failed download.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The network is forbidden.
    #[error(
        "{url} is not here and the network is forbidden\n\
         hint: run once without --offline (and without HF_HUB_OFFLINE){}",
        to.as_ref().map_or_else(String::new, |to| format!(", or get the file by hand: curl -L -o '{}' '{url}'", to.display()))
    )]
    Offline {
        /// What was asked for.
        url: String,
        /// Where it would have gone, if it was more than a question.
        to: Option<PathBuf>,
    },
    /// The address can't be read or is neither http nor https.
    #[error(
        "`{url}` is no address that can be fetched: {reason}\nhint: expected http://… or https://…"
    )]
    Address {
        /// The address as given.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The server answered with an error.
    #[error(
        "{url}: the server answered {status}{}{}\nhint: {}",
        tries_text(*.tries),
        said.as_ref().map_or_else(String::new, |said| format!(": {said}")),
        status_hint(*.status)
    )]
    Status {
        /// What was asked for.
        url: String,
        /// The HTTP status.
        status: u16,
        /// What the server says beside it.
        said: Option<String>,
        /// How often it was asked.
        tries: u32,
    },
    /// No connection to the server: unknown name, refused, unreachable, TLS failure.
    #[error(
        "{url}: no connection to the server{}: {reason}\n\
         hint: check the network, the address and the proxy settings (HTTPS_PROXY), or get the file by hand",
        tries_text(*.tries)
    )]
    Connection {
        /// What was asked for.
        url: String,
        /// What the network said.
        reason: String,
        /// How often it was tried.
        tries: u32,
    },
    /// The server was silent for too long.
    #[error(
        "{url}: the server was silent for {waited:?}{}\nhint: run again; what has arrived is kept and resumed",
        tries_text(*.tries)
    )]
    Timeout {
        /// What was asked for.
        url: String,
        /// How long was waited.
        waited: Duration,
        /// How often it was tried.
        tries: u32,
    },
    /// The connection ended in the middle, again and again.
    #[error(
        "{url}: the connection was cut after {received} bytes{}{}: {reason}\n\
         hint: run again; what has arrived is kept and resumed",
        total.map(|total| format!(" of {total}")).unwrap_or_default(),
        tries_text(*.tries)
    )]
    Cut {
        /// What was asked for.
        url: String,
        /// Bytes that are there.
        received: u64,
        /// Bytes of the complete file, where the server says it.
        total: Option<u64>,
        /// What the network said.
        reason: String,
        /// How often it was tried.
        tries: u32,
    },
    /// The file is larger than allowed.
    #[error("{url}: {} bytes are more than the limit of {limit}\nhint: check the address", size.map_or_else(|| "its".to_owned(), |size| size.to_string()))]
    TooLarge {
        /// What was asked for.
        url: String,
        /// Its size, where the server says it.
        size: Option<u64>,
        /// The limit in bytes.
        limit: u64,
    },
    /// The server has a file of another size.
    #[error(
        "{url}: the file has {found} bytes on the server, expected {expected}\nhint: the file on the server has changed; check the address"
    )]
    Size {
        /// What was asked for.
        url: String,
        /// The size in bytes that was expected.
        expected: u64,
        /// The size in bytes that the server says.
        found: u64,
    },
    /// The answer can't be understood.
    #[error("{url}: the server's answer makes no sense: {reason}\nhint: check the address")]
    Answer {
        /// What was asked for.
        url: String,
        /// What is wrong with the answer.
        reason: String,
    },
    /// The complete file is not the expected one.
    #[error(
        "{url}: the file that arrived has the SHA-256 {found}, expected {expected}\n\
         hint: it was deleted; run again, and if this stays, the file on the server has changed"
    )]
    Hash {
        /// What was asked for.
        url: String,
        /// The hash or its beginning that was expected.
        expected: String,
        /// The hash of what arrived.
        found: String,
    },
    /// A file or folder can't be written or read.
    #[error("failed to {action} {}: {source}", path.display())]
    Io {
        /// What was being done.
        action: &'static str,
        /// With which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// `" (tried 3 times)"`, or nothing for one try.
fn tries_text(tries: u32) -> String {
    if tries > 1 {
        format!(" (tried {tries} times)")
    } else {
        String::new()
    }
}

/// What to do about an HTTP status.
fn status_hint(status: u16) -> &'static str {
    match status {
        401 | 403 => "the file needs a login or permission; get it by hand and put it in place",
        404 | 410 => "there is no such file; check the address",
        407 => "the proxy wants a login; check HTTPS_PROXY",
        429 => "the server is asked too often; wait a few minutes and run again",
        500..=599 => "the server has a problem; try again later",
        _ => "check the address",
    }
}
