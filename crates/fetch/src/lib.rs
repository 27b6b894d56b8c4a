//! Downloads that are resumed, checked and renamed into place.
//!
//! A download is written to `<name>.part` beside its target. When the connection is cut, the next try (in the same
//! call or in a later run) asks for the rest; only a complete file whose length and hash agree gets the final name.

mod client;
mod describe;
mod download;
mod error;
mod hash;
mod options;
mod part;
mod progress;
mod request;
mod tries;

pub use client::{Client, PlainClient};
pub use describe::{Description, describe};
pub use download::download;
pub use error::FetchError;
pub use hash::{HashPrefix, HashPrefixError, file_sha256};
pub use options::{Options, Pause, RealPause};
pub use progress::{NoProgress, Progress};
