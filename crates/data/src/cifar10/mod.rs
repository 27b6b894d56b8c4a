//! CIFAR-10 as its authors publish it: 32 × 32 pictures in five training batches and a test batch.
//!
//! The pictures are held as the files have them, 180 MB in all. A part of the training pictures is held out for
//! validation.

mod binary;
mod python;

use std::{
    path::{Path, PathBuf},
    sync::OnceLock,
};

use graft_fetch::Progress;

use crate::{
    Amount, Answer, Cifar10Spec, DataError, DataFolders, Picture, Source, Split, draw_parts, place,
};

/// Changes whenever the same pictures would be hashed differently.
const FINGERPRINT_VERSION: &str = "graft cifar10 1";

/// Side of the pictures in pixels.
const SIDE: usize = 32;
/// Bytes of one channel of a picture.
const CHANNEL: usize = SIDE * SIDE;
/// Bytes of a picture: red, green, blue.
const BYTES: usize = 3 * CHANNEL;
/// Number of classes.
const CLASSES: usize = 10;
/// Training batches.
const BATCHES: usize = 5;

/// The folders in the published archives.
const SUBFOLDERS: [&str; 2] = ["cifar-10-batches-bin", "cifar-10-batches-py"];

/// The pictures of one file.
#[derive(Debug, PartialEq, Eq)]
struct Batch {
    /// `data_batch_1`.
    name: String,
    labels: Vec<u8>,
    bytes: Vec<u8>,
    /// Byte k of picture i is at `start + i * picture + k * byte`.
    start: usize,
    picture: usize,
    byte: usize,
}

impl Batch {
    /// The bytes of a picture: red, green, blue, each row by row.
    fn planes(&self, index: usize) -> Vec<u8> {
        let start = self.start + index * self.picture;
        if self.byte == 1 {
            return self.bytes[start..start + BYTES].to_vec();
        }
        let bytes = self.bytes[start..].iter().step_by(self.byte);
        bytes.take(BYTES).copied().collect()
    }
}

/// CIFAR-10.
#[derive(Debug)]
pub struct Cifar10 {
    classes: Vec<String>,
    /// The training batches, and last the test batch.
    batches: Vec<Batch>,
    /// Batch and place in it of each picture of each split.
    splits: [Vec<(u8, u32)>; 3],
    fingerprint: OnceLock<String>,
}

impl Cifar10 {
    /// Finds the files, in either layout, and reads them.
    pub fn open(spec: &Cifar10Spec, folders: &DataFolders) -> Result<Self, DataError> {
        let root = place::find_folder(&spec.path, folders)
            .ok_or_else(|| place::missing(&spec.path, spec.url.is_some(), folders))?;
        let (classes, batches) = read(&root)?;
        let size = batches[0].labels.len();
        if let Some(batch) = batches.iter().find(|batch| batch.labels.len() != size) {
            return Err(damaged(
                &root,
                format!(
                    "its batches are not of one size: {} has {size} pictures, {} has {}",
                    batches[0].name,
                    batch.name,
                    batch.labels.len()
                ),
            ));
        }
        let place = |picture: usize| ((picture / size) as u8, (picture % size) as u32);
        let mut of_class = vec![Vec::new(); CLASSES];
        for picture in 0..BATCHES * size {
            let (batch, index) = place(picture);
            let label = batches[usize::from(batch)].labels[index as usize];
            of_class[usize::from(label)].push(picture);
        }
        let all = BATCHES * size;
        let count = Amount::resolve(&[spec.val], all)
            .map(|counts| counts[0])
            .filter(|count| (1..all).contains(count))
            .ok_or_else(|| {
                DataError::Spec(format!(
                    "`val = {}` leaves no training pictures or no validation pictures of {all}\n\
                     hint: CIFAR-10 has 50000 training pictures, of which 5000 are usually held out",
                    spec.val
                ))
            })?;
        let drawn = draw_parts(&of_class, &[count], spec.split_seed);
        let places = |pictures: &[usize]| pictures.iter().map(|&picture| place(picture)).collect();
        let test: Vec<usize> = (all..all + size).collect();
        Ok(Self {
            splits: [places(&drawn[1]), places(&drawn[0]), places(&test)],
            classes,
            batches,
            fingerprint: OnceLock::new(),
        })
    }

    /// The batch of a picture and its place there.
    fn find(&self, split: Split, index: usize) -> (&Batch, usize) {
        let (batch, place) = self.splits[split as usize][index];
        (&self.batches[usize::from(batch)], place as usize)
    }
}

impl Source for Cifar10 {
    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn len(&self, split: Split) -> usize {
        self.splits[split as usize].len()
    }

    fn answer(&self, split: Split, index: usize) -> Answer {
        let (batch, place) = self.find(split, index);
        Answer::Class(batch.labels[place].into())
    }

    fn name(&self, split: Split, index: usize) -> String {
        let (batch, place) = self.find(split, index);
        format!("{}/{place:05}", batch.name)
    }

    fn load(&self, split: Split, index: usize) -> Result<Picture, DataError> {
        let (batch, place) = self.find(split, index);
        let planes = batch.planes(place);
        let mut rgb = Vec::with_capacity(BYTES);
        for pixel in 0..CHANNEL {
            rgb.extend([0, 1, 2].map(|channel| planes[channel * CHANNEL + pixel]));
        }
        Ok(Picture {
            width: SIDE as u32,
            height: SIDE as u32,
            rgb,
        })
    }

    fn fingerprint(&self) -> Result<String, DataError> {
        let compute = || {
            let mut hasher = blake3::Hasher::new();
            hasher.update(format!("{FINGERPRINT_VERSION}\n{:?}\n", self.classes).as_bytes());
            for split in Split::ALL {
                hasher.update(format!("{split} {}\n", self.len(split)).as_bytes());
                for index in 0..self.len(split) {
                    let (batch, place) = self.find(split, index);
                    hasher.update(&[batch.labels[place]]);
                    hasher.update(&batch.planes(place));
                }
            }
            hasher.finalize().to_hex().to_string()
        };
        Ok(self.fingerprint.get_or_init(compute).clone())
    }

    fn notes(&self) -> Vec<String> {
        Vec::new()
    }
}

/// Fetches and unpacks the archive if the folder is missing.
pub(crate) fn ensure_present(
    spec: &Cifar10Spec,
    folders: &DataFolders,
    progress: &mut dyn Progress,
) -> Result<(), DataError> {
    let wanted: [&[&str]; 2] = [
        &["data_batch_1.bin", "test_batch.bin"],
        &["data_batch_1", "test_batch"],
    ];
    place::ensure_folder(&spec.path, spec.url.as_deref(), &wanted, folders, progress)
}

/// The names of the batches: the training batches, and last the test batch.
fn batch_names() -> impl Iterator<Item = String> {
    let training = (1..=BATCHES).map(|number| format!("data_batch_{number}"));
    training.chain(["test_batch".to_owned()])
}

/// Classes and batches in the layout that is there, in the folder itself or in that of the archive.
fn read(root: &Path) -> Result<(Vec<String>, Vec<Batch>), DataError> {
    let below = SUBFOLDERS.map(|name| root.join(name));
    for folder in [root].into_iter().chain(below.iter().map(PathBuf::as_path)) {
        let has = |name: &str| folder.join(name).exists();
        if has("data_batch_1.bin") || has("batches.meta.txt") {
            let names = batch_names().map(|name| format!("{name}.bin"));
            check_files(folder, names, "batches.meta.txt")?;
            return binary::read(folder);
        }
        if has("data_batch_1") || has("batches.meta") {
            check_files(folder, batch_names(), "batches.meta")?;
            return python::read(folder);
        }
    }
    Err(DataError::Format {
        path: root.to_owned(),
        reason: "neither CIFAR-10's binary files (data_batch_1.bin, batches.meta.txt and so on) nor its Python \
                 files (data_batch_1, batches.meta and so on) are in it"
            .to_owned(),
        hint: "fetch it with `url = \"https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz\"` and a `path` that \
               does not exist yet, or unpack it there"
            .to_owned(),
    })
}

/// Refuses a folder that lacks several of its files, with all of their names. What is wrong with a single one is told when it
/// is read.
fn check_files(
    folder: &Path,
    batches: impl Iterator<Item = String>,
    meta: &str,
) -> Result<(), DataError> {
    let names = batches.chain([meta.to_owned()]);
    let missing: Vec<String> = names.filter(|name| !folder.join(name).exists()).collect();
    if missing.len() < 2 {
        return Ok(());
    }
    let reason = format!("files are missing in it: {}", missing.join(", "));
    Err(damaged(folder, reason))
}

/// The labels, if all of them are those of classes.
fn checked_labels(path: &Path, labels: impl Iterator<Item = i64>) -> Result<Vec<u8>, DataError> {
    labels
        .enumerate()
        .map(|(index, label)| match u8::try_from(label) {
            Ok(class) if usize::from(class) < CLASSES => Ok(class),
            _ => Err(damaged(
                path,
                format!("picture {index} has the label {label}, expected 0 to 9"),
            )),
        })
        .collect()
}

/// The names of the classes, if there are ten different ones.
fn checked_classes(path: &Path, names: Vec<String>) -> Result<Vec<String>, DataError> {
    let mut sorted = names.clone();
    sorted.sort();
    sorted.dedup();
    if names.len() == CLASSES && sorted.len() == CLASSES {
        return Ok(names);
    }
    Err(damaged(
        path,
        format!(
            "it names {} classes, expected 10 different ones",
            sorted.len()
        ),
    ))
}

/// A file that is not as it was published.
fn damaged(path: &Path, reason: String) -> DataError {
    DataError::Format {
        path: path.to_owned(),
        reason,
        hint: "the data is damaged, incomplete or not CIFAR-10: delete the folder and get it again"
            .to_owned(),
    }
}
