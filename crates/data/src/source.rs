//! Where pictures come from.

use std::{fmt, path::PathBuf, sync::Arc};

use graft_fetch::Progress;

use crate::{
    DataError, Picture, SourceSpec,
    folder::{self, ImageFolder},
    generated::Generated,
};

/// A part of the pictures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Split {
    /// The pictures that the network learns from.
    Train,
    /// The pictures that it is judged by.
    Val,
}

impl Split {
    /// Both splits.
    pub const ALL: [Self; 2] = [Self::Train, Self::Val];

    /// `train` or `val`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Val => "val",
        }
    }
}

impl fmt::Display for Split {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Labelled pictures in two splits with the same classes.
pub trait Source: Send + Sync {
    /// The names of the classes; a label is an index into them.
    fn classes(&self) -> &[String];
    /// The number of pictures of a split.
    fn len(&self, split: Split) -> usize;
    /// Whether a split has no pictures.
    fn is_empty(&self, split: Split) -> bool {
        self.len(split) == 0
    }
    /// The label of a picture.
    fn label(&self, split: Split, index: usize) -> u32;
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
        SourceSpec::Generated(_) => Ok(()),
    }
}
