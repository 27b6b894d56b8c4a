//! Folders of pictures, one per class, ordered as torchvision's `ImageFolder` orders them.

use std::{
    fs,
    io::Read,
    path::{Path, PathBuf},
    sync::Mutex,
};

use graft_fetch::Progress;
use rayon::prelude::*;

use crate::{
    DataError, DataFolders, ImageFolderSpec, OnBadImage, Picture, Source, Split, archive,
    decode::{DecodeError, decode},
    error::{io_error, list},
    walk::{ClassFolder, class_folders},
};

/// Files that are larger than this are no pictures to train on.
const MAX_FILE_BYTES: u64 = 1 << 30;

/// Changes whenever the same files would be hashed differently.
const FINGERPRINT_VERSION: &str = "graft image-folder 2";

/// Pictures in folders.
#[derive(Debug)]
pub struct ImageFolder {
    root: PathBuf,
    classes: Vec<String>,
    splits: [Vec<Sample>; 2],
    /// How many bytes of the names in each split are its folder.
    split_lens: [usize; 2],
    exif_orientation: bool,
    notes: Vec<String>,
    fingerprint: Mutex<Option<String>>,
}

/// One picture.
#[derive(Debug)]
struct Sample {
    /// Below the root, with `/`.
    name: String,
    label: u32,
}

impl ImageFolder {
    /// Finds the folder and lists its pictures.
    pub fn open(spec: &ImageFolderSpec, folders: &DataFolders) -> Result<Self, DataError> {
        let root = locate(spec, folders).ok_or_else(|| DataError::MissingFolder {
            path: spec.path.clone(),
            looked_up: candidates(spec, folders),
            has_url: spec.url.is_some(),
        })?;
        let train = class_folders(&root, "train", &spec.splits.train)?;
        let val = class_folders(&root, "val", &spec.splits.val)?;
        let classes = same_classes(&root, &train, &val)?;
        let mut folder = Self {
            splits: [samples(&train), samples(&val)],
            split_lens: [&train, &val]
                .map(|classes| classes.first().map_or(0, |class| class.split_len)),
            notes: no_picture_notes(&train, &val),
            root,
            classes,
            exif_orientation: spec.exif_orientation,
            fingerprint: Mutex::new(None),
        };
        if spec.on_bad_image == OnBadImage::Skip {
            folder.leave_out_unreadable()?;
        }
        Ok(folder)
    }

    /// Decodes every picture once and drops those that fail.
    fn leave_out_unreadable(&mut self) -> Result<(), DataError> {
        let mut skipped = Vec::new();
        for split in Split::ALL {
            let reasons: Vec<Option<String>> = (0..self.len(split))
                .into_par_iter()
                .map(|index| match self.load(split, index) {
                    Ok(_) => None,
                    Err(DataError::BadPicture { reason, .. }) => Some(reason.to_string()),
                    Err(DataError::Io { source, .. }) => Some(source.to_string()),
                    Err(other) => Some(other.to_string()),
                })
                .collect();
            let samples = std::mem::take(&mut self.splits[split as usize]);
            for (sample, reason) in samples.into_iter().zip(reasons) {
                match reason {
                    None => self.splits[split as usize].push(sample),
                    Some(reason) => skipped.push(format!("{} ({reason})", sample.name)),
                }
            }
            for (label, class) in self.classes.iter().enumerate() {
                let of_class = |sample: &Sample| sample.label == label as u32;
                if !self.splits[split as usize].iter().any(of_class) {
                    return Err(DataError::Spec(format!(
                        "{}: every {split} picture of the class `{class}` is unreadable: {}",
                        self.root.display(),
                        list(&skipped)
                    )));
                }
            }
        }
        match skipped.len() {
            0 => {}
            1 => self
                .notes
                .push(format!("1 unreadable picture left out: {}", skipped[0])),
            n => self.notes.push(format!(
                "{n} unreadable pictures left out: {}",
                list(&skipped)
            )),
        }
        Ok(())
    }

    /// A picture's file.
    fn path(&self, split: Split, index: usize) -> PathBuf {
        self.root.join(&self.splits[split as usize][index].name)
    }
}

impl Source for ImageFolder {
    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn len(&self, split: Split) -> usize {
        self.splits[split as usize].len()
    }

    fn label(&self, split: Split, index: usize) -> u32 {
        self.splits[split as usize][index].label
    }

    fn name(&self, split: Split, index: usize) -> String {
        self.splits[split as usize][index].name.clone()
    }

    fn load(&self, split: Split, index: usize) -> Result<Picture, DataError> {
        read_picture(&self.path(split, index), self.exif_orientation)
    }

    fn fingerprint(&self) -> Result<String, DataError> {
        let mut known = self
            .fingerprint
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(known) = &*known {
            return Ok(known.clone());
        }
        let mut hasher = blake3::Hasher::new();
        // Every part is preceded by its length, so that no two lists of parts give the same bytes.
        let mut part = |bytes: &[u8]| {
            hasher.update(&(bytes.len() as u64).to_le_bytes());
            hasher.update(bytes);
        };
        part(FINGERPRINT_VERSION.as_bytes());
        part(&[u8::from(self.exif_orientation)]);
        for class in &self.classes {
            part(class.as_bytes());
        }
        for split in Split::ALL {
            part(split.name().as_bytes());
            for index in 0..self.len(split) {
                let sample = &self.splits[split as usize][index];
                // What the split's folder is called decides nothing.
                part(&sample.name.as_bytes()[self.split_lens[split as usize]..]);
                part(&sample.label.to_le_bytes());
                part(&read_file(&self.path(split, index))?);
            }
        }
        let hash = hasher.finalize().to_hex().to_string();
        *known = Some(hash.clone());
        Ok(hash)
    }

    fn notes(&self) -> Vec<String> {
        self.notes.clone()
    }
}

/// Fetches and unpacks the archive if the folder is missing.
pub(crate) fn ensure_present(
    spec: &ImageFolderSpec,
    folders: &DataFolders,
    progress: &mut dyn Progress,
) -> Result<(), DataError> {
    let Some(url) = &spec.url else {
        return Ok(());
    };
    if locate(spec, folders).is_some() {
        return Ok(());
    }
    let target = folders.download_into.join(&spec.path);
    let splits = [spec.splits.train.as_str(), spec.splits.val.as_str()];
    archive::fetch(url, &target, &splits, folders.offline, progress)
}

/// The places where the folder may be.
fn candidates(spec: &ImageFolderSpec, folders: &DataFolders) -> Vec<PathBuf> {
    if Path::new(&spec.path).is_absolute() {
        return vec![PathBuf::from(&spec.path)];
    }
    let mut places: Vec<PathBuf> = Vec::new();
    for folder in folders.search.iter().chain([&folders.download_into]) {
        let place = folder.join(&spec.path);
        if !places.contains(&place) {
            places.push(place);
        }
    }
    places
}

/// The first place that has the folder.
fn locate(spec: &ImageFolderSpec, folders: &DataFolders) -> Option<PathBuf> {
    candidates(spec, folders)
        .into_iter()
        .find(|place| place.is_dir())
}

/// The classes, if both splits have the same.
fn same_classes(
    root: &Path,
    train: &[ClassFolder],
    val: &[ClassFolder],
) -> Result<Vec<String>, DataError> {
    let missing = |from: &[ClassFolder], other: &[ClassFolder]| -> Vec<String> {
        from.iter()
            .filter(|class| other.iter().all(|other| other.name != class.name))
            .map(|class| class.name.clone())
            .collect()
    };
    let (only_train, only_val) = (missing(train, val), missing(val, train));
    if only_train.is_empty() && only_val.is_empty() {
        Ok(train.iter().map(|class| class.name.clone()).collect())
    } else {
        Err(DataError::DifferentClasses {
            folder: root.to_owned(),
            only_train,
            only_val,
        })
    }
}

/// The pictures of all classes in order.
fn samples(classes: &[ClassFolder]) -> Vec<Sample> {
    let labelled = classes.iter().zip(0u32..);
    labelled
        .flat_map(|(class, label)| {
            class.pictures.iter().map(move |name| Sample {
                name: name.clone(),
                label,
            })
        })
        .collect()
}

/// What to tell about files that are no pictures.
fn no_picture_notes(train: &[ClassFolder], val: &[ClassFolder]) -> Vec<String> {
    let others: Vec<String> = train
        .iter()
        .chain(val)
        .flat_map(|class| class.others.iter().cloned())
        .collect();
    match others.len() {
        0 => Vec::new(),
        1 => vec![format!("1 file that is no picture: {}", others[0])],
        n => vec![format!("{n} files that are no pictures: {}", list(&others))],
    }
}

/// Decodes the picture in a file; `exif_orientation` applies the orientation that a camera noted.
pub fn read_picture(path: &Path, exif_orientation: bool) -> Result<Picture, DataError> {
    let bytes = read_file(path)?;
    decode(&bytes, exif_orientation).map_err(|reason| DataError::BadPicture {
        path: path.to_owned(),
        reason,
    })
}

/// The bytes of a regular file of reasonable size.
fn read_file(path: &Path) -> Result<Vec<u8>, DataError> {
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
    if bytes.is_empty() {
        return Err(DataError::BadPicture {
            path: path.to_owned(),
            reason: DecodeError::Empty,
        });
    }
    Ok(bytes)
}
