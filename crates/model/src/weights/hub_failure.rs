//! Why the hub did not deliver, and what to do.

use std::{fmt, io, path::Path};

use graft_fetch::FetchError;

/// Why the hub did not deliver, and what to do.
pub(super) struct HubFailure {
    pub(super) reason: String,
    pub(super) hint: String,
}

impl HubFailure {
    /// What a failed request to the hub means; with a token it may be another thing than without one.
    pub(super) fn new(error: &FetchError, with_token: bool) -> Self {
        let text = error.to_string();
        let (reason, general) = text.split_once("\nhint: ").unwrap_or((&text, ""));
        let status = match error {
            FetchError::Status { status, .. } => Some(*status),
            _ => None,
        };
        let hint = match status {
            Some(401 | 403) if with_token => {
                "the repository is misspelled, or the token may not read it: check the name and HF_TOKEN; for a gated \
                 repository, accept its conditions on its page first"
            }
            Some(401 | 403) => {
                "the repository is private, gated or misspelled: check the name, and set HF_TOKEN to a token that may \
                 read it"
            }
            Some(404) => {
                "there is no such repository, revision or file: check the name; a file other than model.safetensors is \
                 named as hf:OWNER/REPO/FILE"
            }
            None if matches!(
                error,
                FetchError::Connection { .. } | FetchError::Timeout { .. }
            ) =>
            {
                "check the network and HF_ENDPOINT and run again, or get the file by hand and put it into a \
                 --weights-dir"
            }
            _ => general,
        };
        Self {
            reason: reason.to_owned(),
            hint: hint.to_owned(),
        }
    }

    /// The cache can't be read or written.
    pub(super) fn cache(path: &Path, error: &io::Error) -> Self {
        Self {
            reason: format!("{} in the cache can't be used: {error}", path.display()),
            hint: "check the cache folder; HF_HOME names another one".to_owned(),
        }
    }

    /// There can be no client.
    pub(super) fn client(error: &dyn fmt::Display) -> Self {
        Self {
            reason: error.to_string(),
            hint: "check HF_ENDPOINT and HF_TOKEN".to_owned(),
        }
    }

    /// A server that does not answer as the hub does.
    pub(super) fn no_hub(header: &str) -> Self {
        Self {
            reason: format!("it does not answer as a hub does: no usable `{header}`"),
            hint: "check HF_ENDPOINT".to_owned(),
        }
    }
}
