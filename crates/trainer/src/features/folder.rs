//! The folder in which features are kept between trials, workers and sweeps.
//!
//! ```text
//! .cache/features/<key>/  .lock  4711-0.features  4712-0.features
//! ```
//!
//! Every process appends to files of its own, so that nobody waits for anybody, and reads those of all. Whoever uses a
//! key holds a shared lock on it; keys that nobody uses are removed, those used longest ago first, when room is needed.

use std::{
    ffi::OsStr,
    fs::{self, File, FileTimes, OpenOptions, TryLockError},
    io,
    path::{Path, PathBuf},
    process,
    time::SystemTime,
};

use super::{Key, log::LogWriter};
use crate::FeatureCache;

const LOCK_FILE: &str = ".lock";
const EXTENSION: &str = "features";

/// The folder of one key, in use as long as this lives.
pub(super) struct KeyFolder {
    path: PathBuf,
    _lock: File,
}

impl KeyFolder {
    /// Takes the folder of `key` into use, and makes it if need be.
    pub(super) fn open(cache: &FeatureCache, key: &Key) -> io::Result<Self> {
        let path = cache.folder.join(key.folder_name());
        // Another process may remove it just before it is locked.
        for _ in 0..8 {
            fs::create_dir_all(&path)?;
            let lock = OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(false)
                .open(path.join(LOCK_FILE));
            let Ok(lock) = lock else { continue };
            // Where there are no locks, nothing is ever removed.
            let is_removed = matches!(lock.try_lock_shared(), Err(TryLockError::WouldBlock));
            if is_removed || !path.join(LOCK_FILE).exists() {
                continue;
            }
            // How long ago it was used only decides what is removed first.
            let _ = lock.set_times(FileTimes::new().set_modified(SystemTime::now()));
            return Ok(Self { path, _lock: lock });
        }
        Err(io::Error::other("another process keeps removing it"))
    }

    /// The files in it, by name.
    pub(super) fn logs(&self) -> io::Result<Vec<PathBuf>> {
        let mut logs = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            let path = entry?.path();
            if path.extension() == Some(OsStr::new(EXTENSION)) {
                logs.push(path);
            }
        }
        logs.sort();
        Ok(logs)
    }

    /// A new file of this process.
    pub(super) fn create_log(&self, key: &Key, dims: &[usize]) -> io::Result<(PathBuf, LogWriter)> {
        for number in 0.. {
            let path = self
                .path
                .join(format!("{}-{number}.{EXTENSION}", process::id()));
            match LogWriter::create(&path, key, dims) {
                Ok(writer) => return Ok((path, writer)),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => {
                    let _ = fs::remove_file(&path);
                    return Err(error);
                }
            }
        }
        unreachable!("there is always another number")
    }
}

/// Bytes of all files of the cache.
pub(super) fn used(cache: &FeatureCache) -> io::Result<u64> {
    Ok(keys(cache)?.iter().map(|key| key.bytes).sum())
}

/// Removes keys that nobody uses, the one used longest ago first, until there is room for `bytes` more.
pub(super) fn make_room(cache: &FeatureCache, bytes: u64) -> io::Result<()> {
    let mut keys = keys(cache)?;
    keys.sort_by(|a, b| (a.used, &a.path).cmp(&(b.used, &b.path)));
    let mut total: u64 = keys.iter().map(|key| key.bytes).sum();
    for key in keys {
        if total.saturating_add(bytes) <= cache.limit {
            break;
        }
        if remove_unused(&key.path) {
            total -= key.bytes;
        }
    }
    Ok(())
}

/// Removes all keys that nobody uses; returns whether there were any.
pub(super) fn clear(cache: &FeatureCache) -> bool {
    let keys = keys(cache).unwrap_or_default();
    keys.iter()
        .filter(|key| remove_unused(&key.path))
        .map(|key| key.bytes)
        .sum::<u64>()
        > 0
}

/// Removes the folder of a key unless somebody uses it.
fn remove_unused(path: &Path) -> bool {
    // A folder without a lock file was left by a removal that was killed.
    let lock = match File::open(path.join(LOCK_FILE)) {
        Ok(lock) => Some(lock),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(_) => return false,
    };
    if lock.as_ref().is_some_and(|lock| lock.try_lock().is_err()) {
        return false;
    }
    fs::remove_dir_all(path).is_ok()
}

/// A key's folder as others see it.
struct Known {
    path: PathBuf,
    bytes: u64,
    used: SystemTime,
}

fn keys(cache: &FeatureCache) -> io::Result<Vec<Known>> {
    let entries = match fs::read_dir(&cache.folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut keys = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let is_key = path
            .file_name()
            .and_then(OsStr::to_str)
            .is_some_and(|name| {
                name.len() == 32 && name.bytes().all(|byte| byte.is_ascii_hexdigit())
            });
        // Anything else was put there by somebody else.
        if !is_key {
            continue;
        }
        // What vanishes meanwhile takes no room.
        let files = fs::read_dir(&path).into_iter().flatten().flatten();
        let bytes = files
            .filter_map(|file| file.metadata().ok())
            .map(|m| m.len());
        let used = fs::metadata(path.join(LOCK_FILE)).and_then(|lock| lock.modified());
        keys.push(Known {
            bytes: bytes.sum(),
            used: used.unwrap_or(SystemTime::UNIX_EPOCH),
            path,
        });
    }
    Ok(keys)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// A cache with three keys of 1000 bytes and a bit, `a` used longest ago.
    fn three(folder: &Path) -> (FeatureCache, [Key; 3]) {
        let cache = FeatureCache {
            folder: folder.join("features"),
            limit: 4000,
        };
        let keys = [b"a", b"b", b"c"].map(|name| Key::of(name));
        for (age, key) in (1..4u64).rev().zip(&keys) {
            let folder = KeyFolder::open(&cache, key).unwrap();
            let (_, mut log) = folder.create_log(key, &[1]).unwrap();
            let records = (0..45).map(|item| (item, &[1.0][..]));
            log.append(records).unwrap();
            let ago = SystemTime::now() - Duration::from_secs(1000 * age);
            let times = FileTimes::new().set_modified(ago);
            let lock = File::options()
                .write(true)
                .open(folder.path.join(LOCK_FILE));
            lock.unwrap().set_times(times).unwrap();
        }
        (cache, keys)
    }

    fn there(cache: &FeatureCache, keys: &[Key; 3]) -> [bool; 3] {
        keys.map(|key| cache.folder.join(key.folder_name()).exists())
    }

    #[test]
    fn what_was_used_longest_ago_makes_room() {
        let folder = tempfile::tempdir().unwrap();
        let (cache, keys) = three(folder.path());
        assert_eq!(used(&cache).unwrap(), 3 * 992);
        make_room(&cache, 1000).unwrap();
        assert_eq!(there(&cache, &keys), [true; 3]);
        make_room(&cache, 1100).unwrap();
        assert_eq!(there(&cache, &keys), [false, true, true]);
        make_room(&cache, 3500).unwrap();
        assert_eq!(there(&cache, &keys), [false; 3]);
    }

    #[test]
    fn what_is_in_use_stays() {
        let folder = tempfile::tempdir().unwrap();
        let (cache, keys) = three(folder.path());
        let mine = KeyFolder::open(&cache, &keys[1]).unwrap();
        std::fs::write(cache.folder.join("somebody's notes"), "x").unwrap();
        make_room(&cache, 4000).unwrap();
        assert_eq!(there(&cache, &keys), [false, true, false]);
        assert_eq!(mine.logs().unwrap().len(), 1);
        assert!(!clear(&cache));
        drop(mine);
        assert!(clear(&cache));
        assert!(cache.folder.join("somebody's notes").exists());
    }

    #[test]
    fn each_file_is_new() {
        let folder = tempfile::tempdir().unwrap();
        let (cache, keys) = three(folder.path());
        let mine = KeyFolder::open(&cache, &keys[0]).unwrap();
        let (second, _) = mine.create_log(&keys[0], &[1]).unwrap();
        assert_eq!(mine.logs().unwrap().len(), 2);
        assert!(second.ends_with(format!("{}-1.features", process::id())));
    }
}
