//! What an experiment says about where its pictures come from.

use serde::{Deserialize, Serialize};

use crate::{Amount, Split, Target};

/// Where pictures come from. `kind()` is the word in the experiment file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "source", rename_all = "kebab-case")]
pub enum SourceSpec {
    /// A folder per split with a folder per class, as torchvision's `ImageFolder`.
    ImageFolder(ImageFolderSpec),
    /// Pictures that a CSV file lists.
    Csv(CsvSpec),
    /// CIFAR-10 in the files of its authors.
    Cifar10(Cifar10Spec),
    /// Pictures drawn by code from a seed.
    Generated(GeneratedSpec),
}

impl SourceSpec {
    /// Whether the orientation in a picture's EXIF data is applied.
    pub fn exif_orientation(&self) -> bool {
        match self {
            Self::ImageFolder(spec) => spec.exif_orientation,
            Self::Csv(spec) => spec.exif_orientation,
            Self::Cifar10(_) | Self::Generated(_) => false,
        }
    }

    /// What an unreadable picture does, where there is a choice.
    pub fn on_bad_image(&mut self) -> Option<&mut OnBadImage> {
        match self {
            Self::ImageFolder(spec) => Some(&mut spec.on_bad_image),
            Self::Csv(spec) => Some(&mut spec.on_bad_image),
            Self::Cifar10(_) | Self::Generated(_) => None,
        }
    }

    /// What a network is to tell about the pictures.
    pub fn target(&self) -> Target {
        match self {
            Self::Csv(spec) => spec.target(),
            Self::Generated(spec) => spec.task.target(),
            Self::ImageFolder(_) | Self::Cifar10(_) => Target::Classes,
        }
    }
}

/// The keys of `source = "image-folder"`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ImageFolderSpec {
    /// The folder as written, looked up in the data folders unless absolute.
    pub path: String,
    /// An archive that is fetched and unpacked into the data folder when `path` is missing.
    pub url: Option<String>,
    /// The folder of each split below `path`.
    pub splits: SplitFolders,
    /// Whether the orientation in a picture's EXIF data is applied; torchvision does not.
    pub exif_orientation: bool,
    /// What an unreadable picture does.
    pub on_bad_image: OnBadImage,
}

/// The folders of the splits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SplitFolders {
    /// The training pictures.
    pub train: String,
    /// The validation pictures.
    pub val: String,
    /// The test pictures, if there are any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test: Option<String>,
}

impl SplitFolders {
    /// The folder of a split, if it has one.
    pub fn of(&self, split: Split) -> Option<&str> {
        match split {
            Split::Train => Some(&self.train),
            Split::Val => Some(&self.val),
            Split::Test => self.test.as_deref(),
        }
    }
}

/// What an unreadable picture does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnBadImage {
    /// Ends the trial with an error that names the file.
    Error,
    /// Leaves the picture out and counts it.
    Skip,
}

/// The keys of `source = "csv"`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CsvSpec {
    /// The list, or a folder with it, as written; looked up in the data folders unless absolute.
    pub path: String,
    /// The list in the folder `path`.
    pub file: Option<String>,
    /// The folder that the pictures' names are below, seen from the list's own.
    pub root: Option<String>,
    /// The column with the pictures.
    pub image: Option<String>,
    /// The column with the classes. Either this or `number`.
    pub label: Option<String>,
    /// The column with the numbers.
    pub number: Option<String>,
    /// The column with the splits.
    pub split: Option<String>,
    /// How many pictures are held out for validation if no column says it.
    pub val: Option<Amount>,
    /// How many are held out for the test.
    pub test: Option<Amount>,
    /// Seed of the draw of these pictures.
    pub split_seed: u64,
    /// Whether the orientation in a picture's EXIF data is applied.
    pub exif_orientation: bool,
    /// What an unreadable picture does.
    pub on_bad_image: OnBadImage,
}

impl CsvSpec {
    /// What a network is to tell about the pictures.
    pub fn target(&self) -> Target {
        if self.number.is_some() {
            Target::Number
        } else {
            Target::Classes
        }
    }
}

/// The keys of `source = "cifar10"`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cifar10Spec {
    /// The folder as written, looked up in the data folders unless absolute.
    pub path: String,
    /// An archive that is fetched and unpacked into the data folder when `path` is missing.
    pub url: Option<String>,
    /// How many training pictures are held out for validation.
    pub val: Amount,
    /// Seed of the draw of these pictures.
    pub split_seed: u64,
}

/// The keys of `source = "generated"`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GeneratedSpec {
    /// Which of the tasks.
    pub task: GeneratedTask,
    /// Side of the square pictures in pixels.
    pub side: u32,
    /// Training pictures over all classes.
    pub train: usize,
    /// Validation pictures over all classes.
    pub val: usize,
    /// Test pictures over all classes; 0 for no test split.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub test: usize,
    /// Seed of the pictures, apart from the experiment's.
    pub seed: u64,
}

/// The tasks of the generated source. Their order decides what is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GeneratedTask {
    /// Many classes, to train a backbone on.
    Source,
    /// Few classes that share the source's features, to transfer to.
    Target,
    /// Satellite tiles with their brightness at night, from 0 to 1, to train a backbone on.
    NightBrightness,
    /// Satellite tiles with their poverty, from 0 to 1, to transfer to.
    Poverty,
}

impl GeneratedTask {
    /// What a network is to tell about the pictures.
    pub fn target(self) -> Target {
        match self {
            Self::Source | Self::Target => Target::Classes,
            Self::NightBrightness | Self::Poverty => Target::Number,
        }
    }
}

/// Whether a number is left out of files.
#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde hands over references"
)]
fn is_zero(number: &usize) -> bool {
    *number == 0
}
