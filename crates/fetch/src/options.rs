//! How a download behaves.

use std::{fmt, sync::Arc, time::Duration};

use crate::{Client, HashPrefix, PlainClient};

/// How a download behaves. The default allows the network, checks no hash and refuses more than 64 GiB.
#[derive(Clone, Debug)]
pub struct Options {
    /// The SHA-256 of the complete file, or the beginning of it.
    pub sha256: Option<HashPrefix>,
    /// The size of the complete file in bytes.
    pub size: Option<u64>,
    /// What the progress calls the file; by its own name if there is none here.
    pub name: Option<String>,
    /// Who makes the requests.
    pub client: Arc<dyn Client>,
    /// Refuse to use the network.
    pub offline: bool,
    /// Longest wait for a connection.
    pub connect_timeout: Duration,
    /// Longest wait for the beginning of an answer, and longest silence in the middle of one.
    pub stall_timeout: Duration,
    /// Largest file in bytes.
    pub max_bytes: u64,
    /// Tries after the first that failed for a reason that may pass (429, 5xx, a cut connection). After a try that
    /// brought at least 1 MiB the count starts again. A server that never said a word is asked twice at most.
    pub retries: u32,
    /// How the waits between tries are spent.
    pub pause: Arc<dyn Pause>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            sha256: None,
            size: None,
            name: None,
            client: Arc::new(PlainClient::default()),
            offline: false,
            connect_timeout: Duration::from_secs(20),
            stall_timeout: Duration::from_secs(60),
            max_bytes: 64 << 30,
            retries: 4,
            pause: Arc::new(RealPause),
        }
    }
}

/// Spends the wait between two tries; tests replace it so that they do not sleep.
pub trait Pause: Send + Sync + fmt::Debug {
    /// Returns after `wait`.
    fn pause(&self, wait: Duration);
}

/// Sleeps.
#[derive(Clone, Copy, Debug)]
pub struct RealPause;

impl Pause for RealPause {
    fn pause(&self, wait: Duration) {
        std::thread::sleep(wait);
    }
}
