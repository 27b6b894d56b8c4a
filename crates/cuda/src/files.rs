//! Files of libraries that are looked at without loading them.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Where the system's loader keeps what lies in its folders: a table, and the paths as texts that end in zeros.
const CACHE: &str = "/etc/ld.so.cache";

/// A shared library of 64 bits begins so.
const ELF: [u8; 5] = [0x7f, b'E', b'L', b'F', 2];

/// Where the number of the kind of processor is, and that of this one.
#[cfg(target_arch = "aarch64")]
const MACHINE: (usize, u16) = (18, 183);
#[cfg(not(target_arch = "aarch64"))]
const MACHINE: (usize, u16) = (18, 62);

/// Whether a file begins as a library for this kind of processor does.
pub(crate) fn is_library(file: &Path) -> bool {
    let mut begin = [0; 20];
    let read = File::open(file).and_then(|mut file| file.read_exact(&mut begin));
    let (place, machine) = MACHINE;
    read.is_ok() && begin.starts_with(&ELF) && begin[place..].starts_with(&machine.to_le_bytes())
}

/// The files of a name that the system's loader knows of without being told where to look.
pub(crate) fn known_to_loader(name: &str) -> Vec<PathBuf> {
    paths(&fs::read(CACHE).unwrap_or_default(), name)
}

fn paths(cache: &[u8], name: &str) -> Vec<PathBuf> {
    let texts = cache.split(|&byte| byte == 0);
    let paths = texts.map(|text| Path::new(OsStr::from_bytes(text)));
    let is_meant = |path: &&Path| path.is_absolute() && path.file_name() == Some(OsStr::new(name));
    paths.filter(is_meant).map(Path::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    #[test]
    fn this_program_is_one_and_a_text_is_none() {
        assert!(is_library(&std::env::current_exe().unwrap()));
        let folder = TempDir::new().unwrap();
        let file = folder.path().join("libcudnn.so.9");
        assert!(!is_library(&file));
        fs::write(&file, "no library, whatever it is called").unwrap();
        assert!(!is_library(&file));
        // Of another processor.
        let mut other = fs::read(std::env::current_exe().unwrap()).unwrap();
        other.truncate(64);
        other[MACHINE.0] ^= 0xff;
        fs::write(&file, other).unwrap();
        assert!(!is_library(&file));
    }

    #[test]
    fn paths_are_found_in_the_loaders_table() {
        let cache = b"glibc-ld.so.cache1.1\0\x07\0libcublas.so.13\0/opt/lib/libcublas.so.13\0/opt/lib/libcublas.so.12\0";
        assert_eq!(
            paths(cache, "libcublas.so.13"),
            [Path::new("/opt/lib/libcublas.so.13")]
        );
        assert!(paths(cache, "libcudnn.so.9").is_empty());
    }
}
