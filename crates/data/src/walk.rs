//! The files of a split, in the order of torchvision's `find_classes` and `make_dataset`.
//!
//! Classes are the sorted names of the sub-folders. Within a class the folders are sorted by their whole path and the files of
//! each folder by name, both by code point; links are followed.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::{DataError, error::io_error};

/// Endings of picture files, compared without case.
const ENDINGS: [&str; 5] = [".jpg", ".jpeg", ".png", ".webp", ".bmp"];

/// A class and its files, named by their path below the data's folder, with `/`.
#[derive(Debug)]
pub(crate) struct ClassFolder {
    pub(crate) name: String,
    /// How many bytes of its files' names are the split's folder.
    pub(crate) split_len: usize,
    pub(crate) pictures: Vec<String>,
    pub(crate) others: Vec<String>,
}

/// The classes of one split.
pub(crate) fn class_folders(
    root: &Path,
    split: &'static str,
    split_folder: &str,
) -> Result<Vec<ClassFolder>, DataError> {
    let folder = root.join(split_folder);
    if !folder.is_dir() {
        let mut present = Vec::new();
        for (path, is_folder) in entries(root)? {
            if is_folder {
                present.push(
                    path.file_name()
                        .unwrap_or_default()
                        .to_string_lossy()
                        .into(),
                );
            }
        }
        return Err(DataError::MissingSplit {
            folder: root.to_owned(),
            split,
            split_folder: split_folder.to_owned(),
            present,
        });
    }
    let mut classes = Vec::new();
    for (path, is_folder) in entries(&folder)? {
        if is_folder {
            classes.push(class_folder(root, &path)?);
        }
    }
    if classes.is_empty() {
        return Err(DataError::NoClasses { folder });
    }
    Ok(classes)
}

/// The files in a folder and in those below it whose names end like a picture's, sorted by their paths.
pub fn picture_files(folder: &Path) -> Result<Vec<PathBuf>, DataError> {
    Ok(files(folder)?.0)
}

/// The files in a folder and in those below it, sorted by their paths: those whose names end like a picture's, and the
/// others.
pub fn files(folder: &Path) -> Result<(Vec<PathBuf>, Vec<PathBuf>), DataError> {
    let mut folders = Vec::new();
    walk(folder, &mut Vec::new(), &mut folders)?;
    let files = folders.into_iter().flat_map(|(_, files)| files);
    let (mut pictures, mut others): (Vec<_>, Vec<_>) = files.partition(|file| is_picture(file));
    pictures.sort();
    others.sort();
    Ok((pictures, others))
}

/// One class.
fn class_folder(root: &Path, folder: &Path) -> Result<ClassFolder, DataError> {
    let name = utf8(folder.file_name().map(Path::new), folder)?;
    let below = utf8(Some(folder.strip_prefix(root).unwrap_or(folder)), folder)?;
    let split_len = below.len() - name.len();
    let mut folders = Vec::new();
    walk(folder, &mut Vec::new(), &mut folders)?;
    // os.walk's triples sorted: by the path of the folder as one text, in which `-` comes before `/`.
    folders.sort_by(|a, b| {
        a.0.as_os_str()
            .as_encoded_bytes()
            .cmp(b.0.as_os_str().as_encoded_bytes())
    });
    let (mut pictures, mut others) = (Vec::new(), Vec::new());
    for file in folders.into_iter().flat_map(|(_, files)| files) {
        let below = file.strip_prefix(root).unwrap_or(&file);
        if is_picture(&file) {
            pictures.push(utf8(Some(below), &file)?);
        } else {
            others.push(below.to_string_lossy().replace('\\', "/"));
        }
    }
    if pictures.is_empty() {
        return Err(DataError::EmptyClass {
            folder: folder.to_owned(),
            others: others.len(),
        });
    }
    Ok(ClassFolder {
        name,
        split_len,
        pictures,
        others,
    })
}

/// Collects `folder` and everything below it with the sorted files of each. A link back to a folder above is not followed.
fn walk(
    folder: &Path,
    above: &mut Vec<PathBuf>,
    found: &mut Vec<(PathBuf, Vec<PathBuf>)>,
) -> Result<(), DataError> {
    let real = fs::canonicalize(folder).map_err(io_error("read the folder", folder))?;
    if above.contains(&real) {
        return Ok(());
    }
    above.push(real);
    let mut files = Vec::new();
    for (path, is_folder) in entries(folder)? {
        if is_folder {
            walk(&path, above, found)?;
        } else {
            files.push(path);
        }
    }
    found.push((folder.to_owned(), files));
    above.pop();
    Ok(())
}

/// The entries of a folder, sorted by name, with whether each is (or links to) a folder.
fn entries(folder: &Path) -> Result<Vec<(PathBuf, bool)>, DataError> {
    let mut entries = Vec::new();
    for entry in fs::read_dir(folder).map_err(io_error("read the folder", folder))? {
        let path = entry.map_err(io_error("read the folder", folder))?.path();
        let is_folder = path.is_dir();
        entries.push((path, is_folder));
    }
    entries.sort_by(|a, b| {
        let name = |path: &Path| {
            path.file_name()
                .map(|name| name.as_encoded_bytes().to_vec())
        };
        name(&a.0).cmp(&name(&b.0))
    });
    Ok(entries)
}

/// Whether a file's name ends like a picture's.
fn is_picture(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let name = name.to_ascii_lowercase();
    ENDINGS.iter().any(|ending| name.ends_with(ending))
}

/// A relative path as text with `/`.
fn utf8(path: Option<&Path>, whole: &Path) -> Result<String, DataError> {
    let text = path
        .and_then(Path::to_str)
        .ok_or_else(|| DataError::NameNotUtf8 {
            path: whole.to_owned(),
        })?;
    Ok(if std::path::MAIN_SEPARATOR == '/' {
        text.to_owned()
    } else {
        text.replace(std::path::MAIN_SEPARATOR, "/")
    })
}
