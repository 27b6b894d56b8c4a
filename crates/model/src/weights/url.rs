//! Files from `https://…` in the cache.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use graft_fetch::{FetchError, HashPrefix, Options, Progress, download};

use super::check::{self, Entry};

/// Where a file from an address is kept, or would be.
pub(super) struct CachedUrl {
    pub(super) path: PathBuf,
    /// The hash in the file's name.
    named: Option<HashPrefix>,
}

impl CachedUrl {
    /// The place of the file `name` from `url`: a name with a hash in it tells one file from all others; any other, such
    /// as `model.safetensors`, gets a folder of its own for every address.
    pub(super) fn new(cache: &Path, url: &str, name: &str) -> Self {
        let named = HashPrefix::in_file_name(name);
        let path = if named.is_some() {
            cache.join(name)
        } else {
            let address = blake3::hash(url.as_bytes()).to_hex();
            cache.join(&address[..16]).join(name)
        };
        Self { path, named }
    }

    /// Compares the file with the hash in its name, or with that which was noted when it was fetched.
    pub(super) fn entry(&self) -> io::Result<Entry> {
        let expected = self.named.clone().or_else(|| self.noted());
        check::entry(&self.path, expected.as_ref())
    }

    /// Fetches the file, and notes its hash if its name has none.
    pub(super) fn fetch(
        &self,
        url: &str,
        options: Options,
        progress: &mut dyn Progress,
    ) -> Result<(), FetchError> {
        let options = Options {
            sha256: self.named.clone(),
            ..options
        };
        download(url, &self.path, &options, progress)?;
        if self.named.is_none() {
            // Without the note, damage would go unnoticed; that is no reason to fail.
            let _ = self.note();
        }
        Ok(())
    }

    /// The hash in the note beside the file.
    fn noted(&self) -> Option<HashPrefix> {
        let note = fs::read_to_string(self.note_path()).ok()?;
        note.split_whitespace().next()?.parse().ok()
    }

    /// Writes a note that `sha256sum --check` reads too.
    fn note(&self) -> io::Result<()> {
        let hash = check::sha256(&self.path)?;
        let name = self.path.file_name().unwrap_or_default().to_string_lossy();
        let new = self.note_path().with_extension("new");
        fs::write(&new, format!("{hash}  {name}\n"))?;
        fs::rename(new, self.note_path())
    }

    fn note_path(&self) -> PathBuf {
        let mut path = self.path.as_os_str().to_owned();
        path.push(".sha256");
        PathBuf::from(path)
    }
}
