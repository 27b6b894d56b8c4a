//! Reads files that nobody vouches for.

use std::{fs, io::Read, path::Path};

use crate::{DataError, error::io_error};

/// Files that are larger than this are neither pictures to train on nor lists of them.
const MAX_FILE_BYTES: u64 = 1 << 30;

/// The bytes of a regular file of reasonable size.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, DataError> {
    // Asked before opening: opening a pipe would wait for a writer.
    let metadata = fs::metadata(path).map_err(io_error("read", path))?;
    let refuse = |reason: &str| {
        io_error("read", path)(std::io::Error::other(format!(
            "{reason}; delete or replace it"
        )))
    };
    if !metadata.is_file() {
        return Err(refuse("it is no regular file"));
    }
    if metadata.len() > MAX_FILE_BYTES {
        return Err(refuse("it is larger than 1 GiB"));
    }
    let mut bytes = Vec::with_capacity(metadata.len() as usize);
    fs::File::open(path)
        .and_then(|file| file.take(MAX_FILE_BYTES).read_to_end(&mut bytes))
        .map_err(io_error("read", path))?;
    Ok(bytes)
}
