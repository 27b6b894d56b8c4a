//! The half-finished file beside the target, and where it comes from.

use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io::{self, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use crate::{FetchError, file_sha256};

/// `<target>.part`, locked against other processes, with a note of its origin in `<target>.part.from`.
#[derive(Debug)]
pub(crate) struct Part {
    target: PathBuf,
    path: PathBuf,
    file: File,
    len: u64,
}

impl Part {
    /// Opens or creates the part of `target`; waits for another process that is writing it. `None` when that process
    /// completed the target meanwhile.
    pub(crate) fn open(target: &Path) -> Result<Option<Self>, FetchError> {
        let path = beside(target, ".part");
        let existed = target.exists();
        if let Some(folder) = target.parent().filter(|folder| folder != &Path::new("")) {
            fs::create_dir_all(folder).map_err(io_error("create the folder", folder))?;
        }
        loop {
            let file = OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .open(&path)
                .map_err(io_error("open", &path))?;
            file.lock().map_err(io_error("lock", &path))?;
            // The process that held the lock may have renamed the file that was opened here, and a third one may have made
            // a new part since: writing to the old one would destroy the finished target.
            let metadata = file.metadata().map_err(io_error("read", &path))?;
            if is_at(&metadata, &path) {
                let len = metadata.len();
                return Ok(Some(Self {
                    target: target.to_owned(),
                    path,
                    file,
                    len,
                }));
            }
            if !existed && target.exists() {
                return Ok(None);
            }
        }
    }

    /// Bytes that are there.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// What says on the server that the part belongs to the same file as the rest, if it came from `url`.
    pub(crate) fn validator(&self, url: &str) -> Option<String> {
        let note = fs::read_to_string(beside(&self.target, ".part.from")).ok()?;
        let (from, validator) = note.trim_end_matches('\n').split_once('\n')?;
        (from == url && !validator.is_empty()).then(|| validator.to_owned())
    }

    /// Empties the part and notes where its new content comes from.
    pub(crate) fn start_over(
        &mut self,
        url: &str,
        validator: Option<&str>,
    ) -> Result<(), FetchError> {
        self.file
            .set_len(0)
            .map_err(io_error("write", &self.path))?;
        self.len = 0;
        let note = beside(&self.target, ".part.from");
        fs::write(&note, format!("{url}\n{}\n", validator.unwrap_or("")))
            .map_err(io_error("write", &note))
    }

    /// Adds bytes at the end.
    pub(crate) fn append(&mut self, bytes: &[u8]) -> Result<(), FetchError> {
        self.file
            .seek(SeekFrom::Start(self.len))
            .and_then(|_| self.file.write_all(bytes))
            .map_err(io_error("write", &self.path))?;
        self.len += bytes.len() as u64;
        Ok(())
    }

    /// The SHA-256 of what is there.
    pub(crate) fn sha256(&self) -> Result<String, FetchError> {
        file_sha256(&self.path).map_err(io_error("read", &self.path))
    }

    /// Deletes the part and its note.
    pub(crate) fn discard(self) -> Result<(), FetchError> {
        let _ = fs::remove_file(beside(&self.target, ".part.from"));
        fs::remove_file(&self.path).map_err(io_error("delete", &self.path))
    }

    /// Makes the part durable and gives it its final name.
    pub(crate) fn complete(self) -> Result<(), FetchError> {
        self.file
            .sync_all()
            .map_err(io_error("write", &self.path))?;
        fs::rename(&self.path, &self.target).map_err(io_error("create", &self.target))?;
        let _ = fs::remove_file(beside(&self.target, ".part.from"));
        // The new name itself is only durable once its folder is; not every file system can do that.
        if let Some(folder) = self
            .target
            .parent()
            .filter(|folder| folder != &Path::new(""))
        {
            let _ = File::open(folder).and_then(|folder| folder.sync_all());
        }
        Ok(())
    }
}

/// Whether the open file that `metadata` is of is still the one called `path`.
fn is_at(metadata: &fs::Metadata, path: &Path) -> bool {
    #[cfg(unix)]
    let same = |there: &fs::Metadata| {
        use std::os::unix::fs::MetadataExt;
        (there.dev(), there.ino()) == (metadata.dev(), metadata.ino())
    };
    // Without inodes: a file that is open can't be renamed, so it is the one.
    #[cfg(not(unix))]
    let same = |there: &fs::Metadata| there.len() == metadata.len();
    fs::metadata(path).is_ok_and(|there| same(&there))
}

/// `target` with `suffix` after its name.
fn beside(target: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(target);
    name.push(suffix);
    PathBuf::from(name)
}

/// Wraps what the system said about `path`.
fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> FetchError {
    let path = path.to_owned();
    move |source| FetchError::Io {
        action,
        path,
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_renamed_part_is_not_taken_for_the_new_one() {
        let folder = tempfile::tempdir().unwrap();
        let (target, path) = (folder.path().join("a"), folder.path().join("a.part"));
        let waiting = File::create(&path).unwrap().metadata().unwrap();
        assert!(is_at(&waiting, &path));
        fs::rename(&path, &target).unwrap();
        assert!(!is_at(&waiting, &path));
        fs::write(&path, "").unwrap();
        assert_eq!(is_at(&waiting, &path), !cfg!(unix));
        assert!(is_at(&waiting, &target));
    }
}
