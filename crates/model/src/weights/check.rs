//! Whether a file in a cache is still what was fetched.

use std::{
    collections::HashMap,
    fs::{self, Metadata},
    io,
    path::{Path, PathBuf},
    sync::{LazyLock, Mutex, PoisonError},
    time::SystemTime,
};

use graft_fetch::{HashPrefix, file_sha256};

/// A file in a cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    /// It is not there.
    Absent,
    /// It is there and as it should be, as far as that is known.
    Whole,
    /// Its SHA-256 is another one.
    Damaged { expected: String, found: String },
}

/// A file as it was when it was read: its size and time of change.
type Seen = (u64, Option<SystemTime>);

/// The SHA-256 of files that this process has read.
static KNOWN: LazyLock<Mutex<HashMap<PathBuf, (Seen, String)>>> = LazyLock::new(Mutex::default);

/// Compares the file `path` with the SHA-256 that it should have, if one is known.
pub(super) fn entry(path: &Path, expected: Option<&HashPrefix>) -> io::Result<Entry> {
    if !path.is_file() {
        return Ok(Entry::Absent);
    }
    let Some(expected) = expected else {
        return Ok(Entry::Whole);
    };
    let found = sha256(path)?;
    Ok(if expected.matches(&found) {
        Entry::Whole
    } else {
        Entry::Damaged {
            expected: expected.to_string(),
            found,
        }
    })
}

/// The SHA-256 of a file. That takes up to half a second for 100 MB, so each file is read once in a process and again
/// only when its size or time of change is another one.
pub(super) fn sha256(path: &Path) -> io::Result<String> {
    let path = path.canonicalize()?;
    let seen = seen(&fs::metadata(&path)?);
    let known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((before, hash)) = known.get(&path)
        && *before == seen
        && seen.1.is_some()
    {
        return Ok(hash.clone());
    }
    drop(known);
    let hash = file_sha256(&path)?;
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    known.insert(path, (seen, hash.clone()));
    Ok(hash)
}

fn seen(metadata: &Metadata) -> Seen {
    (metadata.len(), metadata.modified().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_file_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        let expected = "ba7816bf".parse().unwrap();
        let look = || entry(&path, Some(&expected)).unwrap();
        assert_eq!(look(), Entry::Absent);
        fs::write(&path, "abc").unwrap();
        assert_eq!((look(), look()), (Entry::Whole, Entry::Whole));
        // Same size, another time: as an editor or a failing disk controller leaves it.
        let later = SystemTime::now() + std::time::Duration::from_secs(5);
        fs::write(&path, "abd").unwrap();
        fs::File::open(&path).unwrap().set_modified(later).unwrap();
        assert!(matches!(look(), Entry::Damaged { .. }));
        assert_eq!(entry(&path, None).unwrap(), Entry::Whole);
    }
}
