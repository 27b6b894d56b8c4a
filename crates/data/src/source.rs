//! Where pictures come from.

use std::{fmt, path::PathBuf, sync::Arc};

use graft_fetch::Progress;

use crate::{
    DataError, Picture, SourceSpec,
    cifar10::{self, Cifar10},
    folder::{self, ImageFolder},
    generated::Generated,
    picture_list::PictureList,
};

/// A part of the pictures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Split {
    /// The pictures that the network learns from.
    Train,
    /// The pictures that it is judged by while it learns.
    Val,
    /// The pictures that it is judged by once, in the end. Not every source has them.
    Test,
}

impl Split {
    /// All splits; the number of one is its place here.
    pub const ALL: [Self; 3] = [Self::Train, Self::Val, Self::Test];

    /// `train`, `val` or `test`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Val => "val",
            Self::Test => "test",
        }
    }
}

impl fmt::Display for Split {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a network is to tell about a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    /// The class that it belongs to.
    Classes,
    /// A number: a regression.
    Number,
}

/// What is to be told about one picture.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Answer {
    /// The index of its class.
    Class(u32),
    /// A finite number.
    Number(f32),
}

impl Answer {
    /// The index of the class, if it is one.
    pub fn class(self) -> Option<u32> {
        match self {
            Self::Class(label) => Some(label),
            Self::Number(_) => None,
        }
    }

    /// The number, if it is one.
    pub fn number(self) -> Option<f32> {
        match self {
            Self::Class(_) => None,
            Self::Number(number) => Some(number),
        }
    }
}

/// Pictures in splits, each with a class or with a number. All splits have the same classes.
pub trait Source: Send + Sync {
    /// What is to be told about the pictures: the kind of every [`Self::answer`].
    fn target(&self) -> Target {
        Target::Classes
    }
    /// The names of the classes; a label is an index into them. Empty if the target is a number.
    fn classes(&self) -> &[String];
    /// How many numbers a network gives for a picture: one for each class, or the number itself.
    fn outputs(&self) -> usize {
        match self.target() {
            Target::Classes => self.classes().len(),
            Target::Number => 1,
        }
    }
    /// The number of pictures of a split; 0 of the test split if there is none. The other splits have at least one.
    fn len(&self, split: Split) -> usize;
    /// Whether a split has no pictures.
    fn is_empty(&self, split: Split) -> bool {
        self.len(split) == 0
    }
    /// Whether there is a test split.
    fn has_test(&self) -> bool {
        !self.is_empty(Split::Test)
    }
    /// What is to be told about a picture.
    fn answer(&self, split: Split, index: usize) -> Answer;
    /// The label of a picture; `None` if the target is a number.
    fn label(&self, split: Split, index: usize) -> Option<u32> {
        self.answer(split, index).class()
    }
    /// The name of a picture: its path below the source's folder with `/`, or `source/train/00012`.
    fn name(&self, split: Split, index: usize) -> String;
    /// Decodes or draws a picture.
    fn load(&self, split: Split, index: usize) -> Result<Picture, DataError>;
    /// A hash (64 hexadecimal digits) of everything that decides the pictures, their order and their labels, and of
    /// nothing else: not of where the folder lies.
    fn fingerprint(&self) -> Result<String, DataError>;
    /// Things worth telling once, such as files that are no pictures.
    fn notes(&self) -> Vec<String>;
}

/// Where data is looked up and downloaded to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataFolders {
    /// Folders in which a relative path is looked up, in this order.
    pub search: Vec<PathBuf>,
    /// The folder into which archives are fetched and unpacked.
    pub download_into: PathBuf,
    /// Refuse to use the network.
    pub offline: bool,
}

/// Opens a source. Everything that can be found without decoding is found here; nothing is fetched.
///
/// With `on_bad_image = "skip"` every picture is decoded once, on the threads of the current rayon pool, so that what is
/// left out does not depend on who reads first.
pub fn open(spec: &SourceSpec, folders: &DataFolders) -> Result<Arc<dyn Source>, DataError> {
    Ok(match spec {
        SourceSpec::ImageFolder(spec) => Arc::new(ImageFolder::open(spec, folders)?),
        SourceSpec::Csv(spec) => Arc::new(PictureList::open(spec, folders)?),
        SourceSpec::Cifar10(spec) => Arc::new(Cifar10::open(spec, folders)?),
        SourceSpec::Generated(spec) => Arc::new(Generated::new(spec)?),
    })
}

/// Fetches and unpacks the source's archive if its folder is missing. Does nothing for sources without archive.
pub fn ensure_present(
    spec: &SourceSpec,
    folders: &DataFolders,
    progress: &mut dyn Progress,
) -> Result<(), DataError> {
    match spec {
        SourceSpec::ImageFolder(spec) => folder::ensure_present(spec, folders, progress),
        SourceSpec::Cifar10(spec) => cifar10::ensure_present(spec, folders, progress),
        SourceSpec::Csv(_) | SourceSpec::Generated(_) => Ok(()),
    }
}
