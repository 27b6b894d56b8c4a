//! Archives of pictures: fetched, unpacked beside their place, and renamed into it.
//!
//! An archive is not trusted: no entry leaves the folder, links and devices are refused, and size and number of the
//! files are limited.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::{self, BufReader, Read},
    path::{Component, Path, PathBuf},
};

#[cfg(test)]
mod tests;

use flate2::read::MultiGzDecoder;
use graft_fetch::Progress;

use crate::{DataError, error::io_error};

/// Limits of what an archive may hold.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Number of files and folders.
    pub(crate) entries: usize,
    /// Bytes of all files.
    pub(crate) bytes: u64,
    /// Bytes of all files over bytes of the archive; small archives may unpack to [`Limits::small`] anyway.
    pub(crate) ratio: u64,
    /// Bytes that any archive may unpack to.
    pub(crate) small: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            entries: 4_000_000,
            bytes: 512 << 30,
            ratio: 100,
            small: 1 << 30,
        }
    }
}

/// Fetches `url`, unless its file already lies beside `target`, and unpacks it so that `target` has
/// all files and folders of one of the lists in `wanted`.
pub(crate) fn fetch(
    url: &str,
    target: &Path,
    wanted: &[&[&str]],
    offline: bool,
    progress: &mut dyn Progress,
) -> Result<(), DataError> {
    let parent = target.parent().unwrap_or(Path::new(""));
    let file = parent.join(file_name(url));
    // Only complete files have this name: one is there when a run was stopped while unpacking, or was put there by hand.
    if !file.is_file() {
        let options = graft_fetch::Options {
            offline,
            ..graft_fetch::Options::default()
        };
        graft_fetch::download(url, &file, &options, progress).map_err(DataError::Fetch)?;
    }
    unpack(&file, target, wanted, Limits::default(), progress)?;
    // What it held is in place; an archive that can't be deleted only takes space.
    let _ = fs::remove_file(&file);
    Ok(())
}

/// The file name in an address, without query.
fn file_name(url: &str) -> String {
    let path = url.split(['?', '#']).next().unwrap_or(url);
    let name = path.rsplit('/').next().unwrap_or("");
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    let name: String = name
        .chars()
        .map(|c| if plain(c) { c } else { '_' })
        .collect();
    if name.trim_matches('.').is_empty() {
        "archive".to_owned()
    } else {
        name
    }
}

/// Unpacks `archive` into a temporary folder and renames the part that has what is `wanted` to `target`.
pub(crate) fn unpack(
    archive: &Path,
    target: &Path,
    wanted: &[&[&str]],
    limits: Limits,
    progress: &mut dyn Progress,
) -> Result<(), DataError> {
    let parent = target.parent().unwrap_or(Path::new(""));
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    let lock = match File::open(archive) {
        // Another run unpacked and deleted it.
        Err(_) if target.is_dir() => return Ok(()),
        file => file.map_err(io_error("open", archive))?,
    };
    let prefix = format!(".{name}.unpacking-");
    // Whoever holds the lock is the only one at work here. Not every file system has locks.
    if lock.lock().is_ok() {
        if target.is_dir() {
            return Ok(());
        }
        remove_stale(parent, &prefix);
    }
    let folder = parent.join(format!("{prefix}{}", std::process::id()));
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).map_err(io_error("create the folder", &folder))?;
    let result = extract(archive, &folder, limits, progress)
        .and_then(|()| find_data(archive, &folder, &name, wanted))
        .and_then(|found| match fs::rename(&found, target) {
            // Another run was faster.
            Err(_) if target.is_dir() => Ok(()),
            done => done.map_err(io_error("create", target)),
        });
    let _ = fs::remove_dir_all(&folder);
    result
}

/// Deletes what killed runs left. What can't be deleted only takes space.
fn remove_stale(parent: &Path, prefix: &str) {
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let process = name.to_str().and_then(|name| name.strip_prefix(prefix));
        if process.is_some_and(|process| process.parse::<u32>().is_ok()) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// The unpacked folder that has what is wanted: one named like the target, the whole archive, or its only folder.
fn find_data(
    archive: &Path,
    folder: &Path,
    name: &str,
    wanted: &[&[&str]],
) -> Result<PathBuf, DataError> {
    let mut top = BTreeSet::new();
    for entry in fs::read_dir(folder).map_err(io_error("read the folder", folder))? {
        let entry = entry.map_err(io_error("read the folder", folder))?;
        top.insert(entry.file_name().to_string_lossy().into_owned());
    }
    let named = folder.join(name);
    let mut places = vec![named, folder.to_owned()];
    places.extend(top.iter().map(|name| folder.join(name)));
    places
        .into_iter()
        .find(|place| {
            let has = |names: &&[&str]| names.iter().all(|name| place.join(name).exists());
            wanted.iter().any(has)
        })
        .ok_or_else(|| {
            let top: Vec<String> = top.into_iter().collect();
            let wanted: Vec<String> = wanted.iter().map(|names| names.join(" and ")).collect();
            failure(
                archive,
                format!(
                    "no folder in it has {}; at its top it has {}",
                    wanted.join(" or "),
                    crate::error::list(&top)
                ),
                "check the address, name the folders of the splits under `splits`, or unpack it by hand",
            )
        })
}

/// Unpacks everything, by the archive's kind.
fn extract(
    archive: &Path,
    folder: &Path,
    limits: Limits,
    progress: &mut dyn Progress,
) -> Result<(), DataError> {
    let mut file = File::open(archive).map_err(io_error("open", archive))?;
    let mut magic = [0; 4];
    let read = file.read(&mut magic).map_err(io_error("read", archive))?;
    let len = file.metadata().map_err(io_error("read", archive))?.len();
    let mut unpacking = Unpacking {
        archive,
        folder,
        limits: Limits {
            bytes: limits
                .bytes
                .min(limits.small.max(len.saturating_mul(limits.ratio))),
            ..limits
        },
        entries: 0,
        bytes: 0,
        progress,
    };
    let title = archive.file_name().unwrap_or_default().to_string_lossy();
    unpacking
        .progress
        .start(&format!("unpacking {title}"), None);
    let result = match magic {
        [b'P', b'K', 3 | 5, 4 | 6] => unpacking.zip(),
        [0x1F, 0x8B, ..] => unpacking.tar(MultiGzDecoder::new(open(archive)?)),
        _ if read == 4 && is_tar(archive) => unpacking.tar(open(archive)?),
        _ => Err(failure(
            archive,
            "it is no zip, tar or tar.gz archive".to_owned(),
            "check the address, delete the file and run again",
        )),
    };
    unpacking.progress.finish();
    result
}

/// An archive being unpacked.
struct Unpacking<'a> {
    archive: &'a Path,
    folder: &'a Path,
    limits: Limits,
    entries: usize,
    bytes: u64,
    progress: &'a mut dyn Progress,
}

impl Unpacking<'_> {
    /// A zip file. Its checksums are compared while reading.
    fn zip(&mut self) -> Result<(), DataError> {
        let archive = self.archive;
        let broken = |error: zip::result::ZipError| damaged(archive, &error.to_string());
        let mut zip = zip::ZipArchive::new(open(archive)?).map_err(broken)?;
        for index in 0..zip.len() {
            let mut entry = zip.by_index(index).map_err(broken)?;
            let name = entry.name().map_err(broken)?.into_owned();
            if entry.is_symlink() {
                return Err(self.refused(&name, "is a link"));
            }
            if entry.is_dir() {
                self.make_folder(&name)?;
            } else {
                self.write_file(&name, &mut entry)?;
            }
        }
        Ok(())
    }

    /// A tar file, unpacked already if it was compressed.
    fn tar(&mut self, reader: impl Read) -> Result<(), DataError> {
        let archive = self.archive;
        let broken = |error: io::Error| damaged(archive, &error.to_string());
        let mut tar = tar::Archive::new(reader);
        for entry in tar.entries().map_err(broken)? {
            let mut entry = entry.map_err(broken)?;
            let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
            match entry.header().entry_type() {
                tar::EntryType::Directory => self.make_folder(&name)?,
                tar::EntryType::Regular | tar::EntryType::Continuous => {
                    self.write_file(&name, &mut entry)?;
                }
                tar::EntryType::XGlobalHeader => {}
                _ => return Err(self.refused(&name, "is a link or a device")),
            }
        }
        Ok(())
    }

    /// Makes a folder inside.
    fn make_folder(&mut self, name: &str) -> Result<(), DataError> {
        let path = self.inside(name)?;
        fs::create_dir_all(&path).map_err(io_error("create the folder", &path))
    }

    /// Writes a file inside, as long as the limits allow.
    fn write_file(&mut self, name: &str, content: &mut impl Read) -> Result<(), DataError> {
        let path = self.inside(name)?;
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(io_error("create the folder", parent))?;
        }
        let mut file = File::create(&path).map_err(io_error("create", &path))?;
        let left = self.limits.bytes - self.bytes;
        let mut content = content.take(left + 1);
        let mut buffer = vec![0; 1 << 16];
        loop {
            let n = content
                .read(&mut buffer)
                .map_err(|error| damaged(self.archive, &format!("{name}: {error}")))?;
            if n == 0 {
                break;
            }
            io::Write::write_all(&mut file, &buffer[..n]).map_err(io_error("write", &path))?;
            self.bytes += n as u64;
            self.progress.advance(n as u64);
        }
        if self.bytes > self.limits.bytes {
            return Err(self.too_large(&format!("more than {} bytes", self.limits.bytes)));
        }
        Ok(())
    }

    /// The place of an entry; an error if it is outside or there are too many.
    fn inside(&mut self, name: &str) -> Result<PathBuf, DataError> {
        self.entries += 1;
        if self.entries > self.limits.entries {
            return Err(self.too_large(&format!("more than {} files", self.limits.entries)));
        }
        let mut path = self.folder.to_owned();
        // A backslash separates on other systems and is no part of a sensible name on this one.
        if name.contains(['\\', '\0']) {
            return Err(self.refused(name, "has a name that is not allowed"));
        }
        for component in Path::new(name).components() {
            match component {
                Component::Normal(part) => path.push(part),
                Component::CurDir => {}
                _ => return Err(self.refused(name, "would be written outside of the folder")),
            }
        }
        Ok(path)
    }

    /// The error of an entry that is not unpacked.
    fn refused(&self, name: &str, why: &str) -> DataError {
        failure(
            self.archive,
            format!("the entry `{name}` {why}"),
            "if you trust it, unpack it by hand",
        )
    }

    /// The error of an archive over the limits.
    fn too_large(&self, what: &str) -> DataError {
        failure(
            self.archive,
            format!("it holds {what}, which is suspicious for its size"),
            "if you trust it, unpack it by hand",
        )
    }
}

/// Opens the archive for reading.
fn open(archive: &Path) -> Result<BufReader<File>, DataError> {
    Ok(BufReader::new(
        File::open(archive).map_err(io_error("open", archive))?,
    ))
}

/// Whether a file has the mark of a tar archive (POSIX.1-1988, byte 257).
fn is_tar(path: &Path) -> bool {
    let mut head = [0; 262];
    File::open(path).is_ok_and(|mut file| file.read_exact(&mut head).is_ok())
        && &head[257..262] == b"ustar"
}

/// An archive that can't be read.
fn damaged(archive: &Path, reason: &str) -> DataError {
    failure(
        archive,
        format!("it is damaged: {reason}"),
        "delete it and run again",
    )
}

/// An archive that is not unpacked.
fn failure(archive: &Path, reason: String, hint: &'static str) -> DataError {
    DataError::Archive {
        archive: archive.to_owned(),
        reason,
        hint,
    }
}
