//! What an experiment says about its pictures: where they come from and how they are transformed.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// The pictures of an experiment and how they are turned into inputs of a network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DataSpec {
    /// Where the pictures come from.
    pub source: SourceSpec,
    /// How they become inputs.
    pub transform: TransformSpec,
}

/// Where pictures come from. `kind()` is the word in the experiment file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "source", rename_all = "kebab-case")]
pub enum SourceSpec {
    /// A folder per split with a folder per class, as torchvision's `ImageFolder`.
    ImageFolder(ImageFolderSpec),
    /// Pictures drawn by code from a seed.
    Generated(GeneratedSpec),
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

/// The keys of `source = "generated"`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GeneratedSpec {
    /// Which of the two related tasks.
    pub task: GeneratedTask,
    /// Side of the square pictures in pixels.
    pub side: u32,
    /// Training pictures over all classes.
    pub train: usize,
    /// Validation pictures over all classes.
    pub val: usize,
    /// Seed of the pictures, apart from the experiment's.
    pub seed: u64,
}

/// The two tasks of the generated source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GeneratedTask {
    /// Many classes, to train a backbone on.
    Source,
    /// Few classes that share the source's features, to transfer to.
    Target,
}

/// How pictures become inputs: random steps for training, fixed steps for evaluation, then normalisation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TransformSpec {
    /// Side of the square input in pixels.
    pub size: u32,
    /// Steps of the training split.
    pub train: Vec<Step>,
    /// Steps of the other splits.
    pub eval: Vec<Step>,
}

/// One step of a transform, written as a word with an optional number: `"resize 256"`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Step {
    /// A random part of 8 to 100 % of the area and 3/4 to 4/3 of the aspect ratio, resized to the input size.
    RandomResizedCrop,
    /// Mirrored left to right with probability one half.
    HorizontalFlip,
    /// The shorter side resized to this many pixels, the aspect ratio kept.
    Resize(u32),
    /// The middle square of this many pixels; the input size if none is given.
    CenterCrop(Option<u32>),
}

/// A step that can't be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StepError {
    /// The word is not a step.
    #[error("`{0}` is not a transform")]
    Unknown(String),
    /// The number after the word is missing, superfluous or out of range.
    #[error("`{step}`: expected {expected}")]
    Argument {
        /// The step as written.
        step: String,
        /// What was expected.
        expected: &'static str,
    },
}

impl Step {
    /// The words of all steps.
    pub const NAMES: [&str; 4] = [
        "random-resized-crop",
        "horizontal-flip",
        "resize",
        "center-crop",
    ];
}

impl FromStr for Step {
    type Err = StepError;

    fn from_str(text: &str) -> Result<Self, StepError> {
        let mut words = text.split_whitespace();
        let (name, argument) = (words.next().unwrap_or(""), words.next());
        let error = |expected| StepError::Argument {
            step: text.to_owned(),
            expected,
        };
        if words.next().is_some() {
            return Err(error("a word and at most one number"));
        }
        let pixels = |text: &str| match text.parse() {
            Ok(pixels @ 1..=8192) => Ok(pixels),
            _ => Err(error("a number of pixels from 1 to 8192")),
        };
        match (name, argument) {
            ("random-resized-crop", None) => Ok(Self::RandomResizedCrop),
            ("horizontal-flip", None) => Ok(Self::HorizontalFlip),
            ("resize", Some(side)) => Ok(Self::Resize(pixels(side)?)),
            ("center-crop", side) => Ok(Self::CenterCrop(side.map(pixels).transpose()?)),
            ("random-resized-crop" | "horizontal-flip", Some(_)) => Err(error("no number")),
            ("resize", None) => Err(error("a number of pixels, such as `resize 256`")),
            _ => Err(StepError::Unknown(name.to_owned())),
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RandomResizedCrop => f.write_str("random-resized-crop"),
            Self::HorizontalFlip => f.write_str("horizontal-flip"),
            Self::Resize(side) => write!(f, "resize {side}"),
            Self::CenterCrop(Some(side)) => write!(f, "center-crop {side}"),
            Self::CenterCrop(None) => f.write_str("center-crop"),
        }
    }
}

impl Serialize for Step {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Step {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}
