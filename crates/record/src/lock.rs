//! Locks of the operating system on folders; they end with the process that holds them, however it ends.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{Read, Seek, Write},
    path::Path,
    process, thread,
    time::{Duration, Instant},
};

use crate::RecordError;

/// The name of the lock file in a results folder and in a trial's folder.
pub(crate) const LOCK_FILE: &str = ".lock";

/// How often a lock that another process holds is tried again.
const RETRY: Duration = Duration::from_millis(20);

/// The right to run a sweep in a results folder; given back when dropped.
#[derive(Debug)]
pub struct SweepLock {
    _file: File,
}

/// The right to run a trial in its folder; given back when dropped.
#[derive(Debug)]
pub struct TrialLock {
    _file: File,
}

impl SweepLock {
    pub(crate) fn take(folder: &Path) -> Result<Self, RecordError> {
        lock(folder, Duration::ZERO).map(|file| Self { _file: file })
    }
}

impl TrialLock {
    pub(crate) fn take(folder: &Path, wait: Duration) -> Result<Self, RecordError> {
        lock(folder, wait).map(|file| Self { _file: file })
    }
}

/// Locks `folder` and writes this process's id into the lock file, for the message of a second process.
fn lock(folder: &Path, wait: Duration) -> Result<File, RecordError> {
    let path = folder.join(LOCK_FILE);
    let failed = |error| RecordError::io("lock", &path, error);
    // Never truncated before it is ours, and not removed while anybody may wait for it: a removed lock file could be locked twice.
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .map_err(failed)?;
    let started = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => break,
            Err(TryLockError::WouldBlock) if started.elapsed() < wait => thread::sleep(RETRY),
            Err(TryLockError::WouldBlock) => {
                return Err(RecordError::Locked {
                    path: folder.to_owned(),
                    pid: holder(&mut file),
                });
            }
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
    }
    // The id only serves a message. A full disk is told by the first file that matters.
    let _ = file
        .set_len(0)
        .and_then(|()| file.rewind())
        .and_then(|()| writeln!(file, "{}", process::id()));
    Ok(file)
}

fn holder(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.take(32).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}
