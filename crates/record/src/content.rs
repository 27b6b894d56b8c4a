//! What the files of a finished trial held, so that damage is noticed.

use std::{
    fs::{self, File},
    io,
    path::Path,
};

use serde::{Deserialize, Serialize};

use crate::RecordError;

/// What a file held when it was written for the last time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Content {
    /// Its size.
    pub bytes: u64,
    /// BLAKE3 of it, in hexadecimal digits.
    pub blake3: String,
}

impl Content {
    /// What a file holds now; none if there is no such file.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn of(path: &Path) -> Result<Option<Self>, RecordError> {
        let failed = |error| RecordError::io("read", path, error);
        let mut file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        let mut hasher = blake3::Hasher::new();
        let bytes = io::copy(&mut file, &mut hasher).map_err(failed)?;
        Ok(Some(Self {
            bytes,
            blake3: hasher.finalize().to_hex().to_string(),
        }))
    }

    /// Whether a file has this size. Nothing of it is read.
    pub(crate) fn has_size_of(&self, path: &Path) -> bool {
        fs::metadata(path).is_ok_and(|found| found.is_file() && found.len() == self.bytes)
    }

    /// Whether a file holds this.
    pub(crate) fn is_in(&self, path: &Path) -> bool {
        self.has_size_of(path) && Self::of(path).is_ok_and(|found| found.as_ref() == Some(self))
    }
}
