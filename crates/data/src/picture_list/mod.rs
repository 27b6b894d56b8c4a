//! Pictures that a CSV file lists, each with a class or a number.

mod columns;
mod quotes;
mod rows;
mod splits;

use std::{
    fs,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use crate::{
    Answer, CsvSpec, DataError, DataFolders, OnBadImage, Picture, Source, Split, Target,
    error::{list, printable},
    fingerprint::Fingerprint,
    folder::{read_file, read_picture},
    place, unreadable,
};
use rows::{Cell, Rows};

/// Changes whenever the same list would be hashed differently.
const FINGERPRINT_VERSION: &str = "graft csv 1";

/// Pictures of a list.
#[derive(Debug)]
pub struct PictureList {
    /// The folder that the names are below.
    root: PathBuf,
    target: Target,
    classes: Vec<String>,
    splits: [Vec<Sample>; 3],
    exif_orientation: bool,
    notes: Vec<String>,
    fingerprint: OnceLock<String>,
}

/// One picture.
#[derive(Clone, Debug)]
struct Sample {
    /// Below the root, with `/`.
    name: String,
    answer: Answer,
}

impl PictureList {
    /// Reads the list, looks whether its pictures are there, and draws the splits if the list does not say them.
    pub fn open(spec: &CsvSpec, folders: &DataFolders) -> Result<Self, DataError> {
        let file = locate(spec, folders)?;
        let base = file.parent().unwrap_or(Path::new(""));
        let root = spec
            .root
            .as_ref()
            .map_or_else(|| base.to_owned(), |root| base.join(root));
        let rows = rows::read(&file, &root, spec)?;
        let classes = class_names(&file, &rows)?;
        let samples = rows.rows.iter().map(|row| Sample {
            name: row.name.clone(),
            answer: match &row.cell {
                Cell::Number(number) => Answer::Number(*number),
                // Every label is one of the classes.
                Cell::Label(label) => Answer::Class(classes.partition_point(|c| c < label) as u32),
            },
        });
        let samples: Vec<Sample> = samples.collect();
        let splits = splits::divide(&file, spec, &rows, &samples, &classes)?;
        let mut pictures = Self {
            root,
            target: spec.target(),
            classes,
            splits,
            exif_orientation: spec.exif_orientation,
            notes: Vec::new(),
            fingerprint: OnceLock::new(),
        };
        if spec.on_bad_image == OnBadImage::Skip {
            pictures.leave_out_unreadable(&file)?;
        }
        splits::check_numbers(&file, &pictures.splits[Split::Val as usize])?;
        Ok(pictures)
    }

    /// Decodes every picture once and drops those that fail.
    fn leave_out_unreadable(&mut self, file: &Path) -> Result<(), DataError> {
        let mut skipped = Vec::new();
        for split in Split::ALL {
            let reasons = unreadable::reasons(self, split);
            let samples = std::mem::take(&mut self.splits[split as usize]);
            let was_empty = samples.is_empty();
            for (sample, reason) in samples.into_iter().zip(reasons) {
                match reason {
                    None => self.splits[split as usize].push(sample),
                    Some(reason) => skipped.push(format!("{} ({reason})", sample.name)),
                }
            }
            if self.is_empty(split) && !was_empty {
                return Err(DataError::Spec(format!(
                    "{}: every {split} picture is unreadable: {}",
                    file.display(),
                    list(&skipped)
                )));
            }
        }
        splits::check_classes(file, &self.splits[Split::Train as usize], &self.classes)?;
        self.notes.extend(unreadable::note(&skipped));
        Ok(())
    }

    fn sample(&self, split: Split, index: usize) -> &Sample {
        &self.splits[split as usize][index]
    }

    fn hash(&self) -> Result<String, DataError> {
        let mut hash = Fingerprint::new(FINGERPRINT_VERSION);
        hash.part(&[u8::from(self.exif_orientation)]);
        for class in &self.classes {
            hash.part(class.as_bytes());
        }
        for split in Split::ALL {
            hash.part(split.name().as_bytes());
            for sample in &self.splits[split as usize] {
                hash.part(sample.name.as_bytes());
                match sample.answer {
                    Answer::Class(label) => hash.part(&label.to_le_bytes()),
                    Answer::Number(number) => hash.part(&number.to_bits().to_le_bytes()),
                }
                hash.part(&read_file(&self.root.join(&sample.name))?);
            }
        }
        Ok(hash.finish())
    }
}

impl Source for PictureList {
    fn target(&self) -> Target {
        self.target
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn len(&self, split: Split) -> usize {
        self.splits[split as usize].len()
    }

    fn answer(&self, split: Split, index: usize) -> Answer {
        self.sample(split, index).answer
    }

    fn name(&self, split: Split, index: usize) -> String {
        self.sample(split, index).name.clone()
    }

    fn load(&self, split: Split, index: usize) -> Result<Picture, DataError> {
        let path = self.root.join(&self.sample(split, index).name);
        read_picture(&path, self.exif_orientation)
    }

    fn fingerprint(&self) -> Result<String, DataError> {
        if let Some(known) = self.fingerprint.get() {
            return Ok(known.clone());
        }
        let hash = self.hash()?;
        Ok(self.fingerprint.get_or_init(|| hash).clone())
    }

    fn notes(&self) -> Vec<String> {
        self.notes.clone()
    }
}

/// The list: `path` itself, or the `file` in it.
fn locate(spec: &CsvSpec, folders: &DataFolders) -> Result<PathBuf, DataError> {
    let place = place::find(&spec.path, folders).ok_or_else(|| DataError::MissingList {
        path: spec.path.clone(),
        looked_up: place::candidates(&spec.path, folders),
    })?;
    match &spec.file {
        Some(file) => Ok(place.join(file)),
        None if place.is_dir() => {
            let names = fs::read_dir(&place).into_iter().flatten().flatten();
            let names = names.filter_map(|entry| entry.file_name().into_string().ok());
            let mut names: Vec<String> = names
                .filter(|name| name.to_ascii_lowercase().ends_with(".csv"))
                .collect();
            names.sort();
            Err(DataError::Format {
                path: place,
                reason: format!(
                    "it is a folder, expected a CSV file; the CSV files in it: {}",
                    list(&names)
                ),
                hint: "name the list in the folder with `file`".to_owned(),
            })
        }
        None => Ok(place),
    }
}

/// The classes in order; none if the rows have numbers.
fn class_names(file: &Path, rows: &Rows) -> Result<Vec<String>, DataError> {
    let labels = rows.rows.iter().filter_map(|row| match &row.cell {
        Cell::Label(label) => Some(label.clone()),
        Cell::Number(_) => None,
    });
    let mut classes: Vec<String> = labels.collect();
    classes.sort();
    classes.dedup();
    if let [only] = classes.as_slice() {
        return Err(DataError::Format {
            path: file.to_owned(),
            reason: format!("every picture is of the class `{}`", printable(only)),
            hint: "a classifier needs at least two classes".to_owned(),
        });
    }
    Ok(classes)
}
