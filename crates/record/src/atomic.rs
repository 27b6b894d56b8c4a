//! Files that are either old or new, never half.

use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
    process,
    sync::atomic::{AtomicU64, Ordering},
};

use crate::RecordError;

/// What temporary names end with. They start with a dot, so that no pattern for results finds them.
const SUFFIX: &str = ".graft-tmp";

/// Writes a file so that a reader, or a kill at any instant, sees the old content or the new, never a part.
///
/// The content goes to a temporary name in the same folder, is flushed to the disk and renamed. When anything
/// fails before the rename, the old file stays as it was and the temporary file is removed.
///
/// # Errors
/// [`RecordError::Io`] with the path of the file, from `write` or from the operating system.
pub fn atomic_write(
    path: &Path,
    write: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>,
) -> Result<(), RecordError> {
    let failed = |error| RecordError::io("write", path, error);
    let (temporary, file) = create_temporary(path).map_err(failed)?;
    let written = fill(file, write).and_then(|file| {
        fs::rename(&temporary, path)?;
        // The lock on the temporary name is held until here: see `remove_stale`.
        drop(file);
        Ok(())
    });
    if let Err(error) = written {
        // The first error is the one to tell; a leftover is removed when the sweep is next locked.
        let _ = fs::remove_file(&temporary);
        return Err(failed(error));
    }
    sync_parent(path).map_err(failed)
}

/// Removes the temporary files that killed processes left in `folder`. Those that are being written stay.
///
/// # Errors
/// [`RecordError::Io`] when the folder can't be listed. A leftover that can't be removed is left.
pub fn remove_stale(folder: &Path) -> Result<(), RecordError> {
    let failed = |error| RecordError::io("list", folder, error);
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let ours = name.starts_with('.') && name.ends_with(SUFFIX);
        if !ours || !entry.file_type().is_ok_and(|kind| kind.is_file()) {
            continue;
        }
        // Whoever writes a temporary file holds a lock on it, which ends with the process.
        let Ok(file) = File::open(entry.path()) else {
            continue;
        };
        if file.try_lock().is_ok() {
            let _ = fs::remove_file(entry.path());
        }
    }
    Ok(())
}

/// A new, locked file beside `path`.
fn create_temporary(path: &Path) -> io::Result<(PathBuf, File)> {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let name = path
        .file_name()
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "the path has no file name"))?;
    loop {
        let number = COUNTER.fetch_add(1, Ordering::Relaxed);
        let mut temporary = OsString::from(".");
        temporary.push(name);
        temporary.push(format!(".{}-{number}{SUFFIX}", process::id()));
        let temporary = path.with_file_name(temporary);
        let file = match OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&temporary)
        {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
            Err(error) => return Err(error),
        };
        match file.try_lock() {
            // A disk without locks still gets atomic writes.
            Ok(()) | Err(TryLockError::Error(_)) if temporary.exists() => {
                return Ok((temporary, file));
            }
            // `remove_stale` of another process was faster than the lock.
            _ => {}
        }
    }
}

fn fill(
    file: File,
    write: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>,
) -> io::Result<File> {
    let mut writer = BufWriter::with_capacity(1 << 16, file);
    if let Err(error) = write(&mut writer).and_then(|()| writer.flush()) {
        // Taken apart so that dropping the writer does not flush again.
        let _ = writer.into_parts();
        return Err(error);
    }
    let file = writer
        .into_inner()
        .map_err(io::IntoInnerError::into_error)?;
    file.sync_all()?;
    Ok(file)
}

/// Makes the rename itself durable, on systems where a folder can be flushed.
fn sync_parent(path: &Path) -> io::Result<()> {
    if !cfg!(unix) {
        return Ok(());
    }
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    match File::open(parent).and_then(|folder| folder.sync_all()) {
        // The file is in place. Some disks can't flush a folder, and some folders may not be read.
        Err(error)
            if !matches!(
                error.kind(),
                io::ErrorKind::InvalidInput
                    | io::ErrorKind::Unsupported
                    | io::ErrorKind::PermissionDenied
            ) =>
        {
            Err(error)
        }
        _ => Ok(()),
    }
}
