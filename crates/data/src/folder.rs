//! Folders of pictures, one per class, ordered as torchvision's `ImageFolder` orders them.

use std::{
    path::{Path, PathBuf},
    sync::Mutex,
};

use graft_fetch::Progress;

use crate::{
    Answer, DataError, DataFolders, ImageFolderSpec, OnBadImage, Picture, Source, Split,
    decode::{DecodeError, decode},
    error::list,
    file,
    fingerprint::Fingerprint,
    place, unreadable,
    walk::{ClassFolder, class_folders},
};

/// Changes whenever the same files would be hashed differently.
const FINGERPRINT_VERSION: &str = "graft image-folder 2";

/// Pictures in folders.
#[derive(Debug)]
pub struct ImageFolder {
    root: PathBuf,
    classes: Vec<String>,
    splits: [Vec<Sample>; 3],
    /// How many bytes of the names in each split are its folder.
    split_lens: [usize; 3],
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
        let root = place::find_folder(&spec.path, folders)
            .ok_or_else(|| place::missing(&spec.path, spec.url.is_some(), folders))?;
        let mut splits: [Vec<ClassFolder>; 3] = Default::default();
        for split in Split::ALL {
            if let Some(folder) = spec.splits.of(split) {
                splits[split as usize] = class_folders(&root, split.name(), folder)?;
            }
        }
        let classes = same_classes(&root, &splits)?;
        let mut folder = Self {
            split_lens: [0, 1, 2]
                .map(|split: usize| splits[split].first().map_or(0, |class| class.split_len)),
            notes: no_picture_notes(&splits),
            splits: splits.map(|classes| samples(&classes)),
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
            if self.is_empty(split) {
                continue;
            }
            let reasons = unreadable::reasons(self, split);
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
        self.notes.extend(unreadable::note(&skipped));
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

    fn answer(&self, split: Split, index: usize) -> Answer {
        Answer::Class(self.splits[split as usize][index].label)
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
        let mut hash = Fingerprint::new(FINGERPRINT_VERSION);
        hash.part(&[u8::from(self.exif_orientation)]);
        for class in &self.classes {
            hash.part(class.as_bytes());
        }
        for split in Split::ALL {
            // The hash of two splits is what it was before there were three.
            if split == Split::Test && !self.has_test() {
                continue;
            }
            hash.part(split.name().as_bytes());
            for index in 0..self.len(split) {
                let sample = &self.splits[split as usize][index];
                // What the split's folder is called decides nothing.
                hash.part(&sample.name.as_bytes()[self.split_lens[split as usize]..]);
                hash.part(&sample.label.to_le_bytes());
                hash.part(&read_file(&self.path(split, index))?);
            }
        }
        let hash = hash.finish();
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
    let splits = Split::ALL.map(|split| spec.splits.of(split));
    let splits: Vec<&str> = splits.into_iter().flatten().collect();
    place::ensure_folder(
        &spec.path,
        spec.url.as_deref(),
        &[&splits],
        folders,
        progress,
    )
}

/// The classes, if all splits that are there have the same.
fn same_classes(root: &Path, splits: &[Vec<ClassFolder>; 3]) -> Result<Vec<String>, DataError> {
    let missing = |from: &[ClassFolder], other: &[ClassFolder]| -> Vec<String> {
        from.iter()
            .filter(|class| other.iter().all(|other| other.name != class.name))
            .map(|class| class.name.clone())
            .collect()
    };
    let train = &splits[Split::Train as usize];
    for split in [Split::Val, Split::Test] {
        let other = &splits[split as usize];
        if split == Split::Test && other.is_empty() {
            continue;
        }
        let (only_train, only_other) = (missing(train, other), missing(other, train));
        if !only_train.is_empty() || !only_other.is_empty() {
            return Err(DataError::DifferentClasses {
                folder: root.to_owned(),
                split: split.name(),
                only_train,
                only_other,
            });
        }
    }
    Ok(train.iter().map(|class| class.name.clone()).collect())
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
fn no_picture_notes(splits: &[Vec<ClassFolder>; 3]) -> Vec<String> {
    let others: Vec<String> = splits
        .iter()
        .flatten()
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

/// The bytes of a picture's file.
pub(crate) fn read_file(path: &Path) -> Result<Vec<u8>, DataError> {
    let bytes = file::read(path)?;
    if bytes.is_empty() {
        return Err(DataError::BadPicture {
            path: path.to_owned(),
            reason: DecodeError::Empty,
        });
    }
    Ok(bytes)
}
