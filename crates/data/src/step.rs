//! The steps of a transform, as they are written in an experiment.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// One step of a transform, written as a word with its arguments: `"resize 256"`, `"color-jitter 0.4 0.4 0.4 0.1"`.
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
    /// Mirrored top to bottom with probability one half.
    VerticalFlip,
    /// So many pixels more on each side.
    Pad(u32, Border),
    /// A square of this many pixels at a random place; the input size if none is given.
    RandomCrop(Option<u32>),
    /// Turned about the middle by up to so many degrees to either side; what comes from outside is black.
    Rotation(f64, Filter),
    /// Brightness, contrast, saturation and hue changed in a random order.
    ColorJitter(Jitter),
    /// So many operations of `RandAugment`, of such a strength.
    RandAugment {
        /// How many operations, one after the other.
        operations: u32,
        /// Their strength, from 0 to 30.
        magnitude: u32,
    },
    /// With this probability, a random rectangle of the normalised input set to 0.
    RandomErasing(f64),
}

/// What lies beyond the border of a padded picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Border {
    /// Black.
    Black,
    /// The picture mirrored about its outermost pixels.
    Reflect,
}

/// How a pixel is found between others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filter {
    /// The nearest one is taken.
    Nearest,
    /// The four around it are weighed.
    Bilinear,
}

/// The ranges that the factors of a `color-jitter` are drawn from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Jitter {
    /// Factors from 1 − this to 1 + this; not negative.
    pub brightness: f64,
    /// As `brightness`.
    pub contrast: f64,
    /// As `brightness`.
    pub saturation: f64,
    /// Turns from − this to this, of the circle of colours; at most one half.
    pub hue: f64,
}

/// A step that can't be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StepError {
    /// The word is not a step.
    #[error("`{0}` is not a transform")]
    Unknown(String),
    /// What follows the word is missing, superfluous or out of range.
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
    pub const NAMES: [&str; 11] = [
        "random-resized-crop",
        "horizontal-flip",
        "resize",
        "center-crop",
        "vertical-flip",
        "pad",
        "random-crop",
        "rotation",
        "color-jitter",
        "rand-augment",
        "random-erasing",
    ];

    /// Whether it draws random numbers.
    pub fn is_random(&self) -> bool {
        !matches!(self, Self::Resize(_) | Self::CenterCrop(_) | Self::Pad(..))
    }
}

/// What a step of this name may be followed by.
fn expected(name: &str) -> &'static str {
    match name {
        "resize" => "a number of pixels, such as `resize 256`",
        "center-crop" | "random-crop" => "at most one number, the side in pixels",
        "pad" => "a number of pixels and maybe `reflect`, such as `pad 4` or `pad 4 reflect`",
        "rotation" => {
            "degrees from 0 to 360 and maybe `bilinear`, such as `rotation 15` or `rotation 15 bilinear`"
        }
        "color-jitter" => {
            "brightness, contrast and saturation from 0 to 100 and maybe hue from 0 to 0.5, \
             such as `color-jitter 0.4 0.4 0.4 0.1`"
        }
        "rand-augment" => {
            "nothing, or a number of operations from 1 to 100 and a magnitude from 0 to 30, \
             such as `rand-augment 2 9`"
        }
        "random-erasing" => {
            "at most one number, a probability from 0 to 1, such as `random-erasing 0.5`"
        }
        _ => "no number",
    }
}

impl FromStr for Step {
    type Err = StepError;

    fn from_str(text: &str) -> Result<Self, StepError> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let (name, arguments) = words.split_first().unwrap_or((&"", &[]));
        if !Self::NAMES.contains(name) {
            return Err(StepError::Unknown((*name).to_owned()));
        }
        let error = |expected| StepError::Argument {
            step: text.to_owned(),
            expected,
        };
        let pixels = |text: &str| match text.parse() {
            Ok(pixels @ 1..=8192) => Ok(pixels),
            _ => Err(error("a number of pixels from 1 to 8192")),
        };
        let wrong = || error(expected(name));
        let number = |text: &str, most: f64| match text.parse::<f64>() {
            // Adding zero turns -0 into 0.
            Ok(number) if (0.0..=most).contains(&number) => Ok(number + 0.0),
            _ => Err(wrong()),
        };
        let whole = |text: &str, range: std::ops::RangeInclusive<u32>| {
            let number = text.parse().ok().filter(|number| range.contains(number));
            number.ok_or_else(wrong)
        };
        Ok(match (*name, arguments) {
            ("random-resized-crop", []) => Self::RandomResizedCrop,
            ("horizontal-flip", []) => Self::HorizontalFlip,
            ("vertical-flip", []) => Self::VerticalFlip,
            ("resize", [side]) => Self::Resize(pixels(side)?),
            ("center-crop", []) => Self::CenterCrop(None),
            ("center-crop", [side]) => Self::CenterCrop(Some(pixels(side)?)),
            ("random-crop", []) => Self::RandomCrop(None),
            ("random-crop", [side]) => Self::RandomCrop(Some(pixels(side)?)),
            ("pad", [width]) => Self::Pad(pixels(width)?, Border::Black),
            ("pad", [width, "reflect"]) => Self::Pad(pixels(width)?, Border::Reflect),
            ("rotation", [degrees]) => Self::Rotation(number(degrees, 360.0)?, Filter::Nearest),
            ("rotation", [degrees, "bilinear"]) => {
                Self::Rotation(number(degrees, 360.0)?, Filter::Bilinear)
            }
            ("color-jitter", [brightness, contrast, saturation, rest @ ..]) if rest.len() < 2 => {
                Self::ColorJitter(Jitter {
                    brightness: number(brightness, 100.0)?,
                    contrast: number(contrast, 100.0)?,
                    saturation: number(saturation, 100.0)?,
                    hue: rest.first().map_or(Ok(0.0), |hue| number(hue, 0.5))?,
                })
            }
            ("rand-augment", []) => Self::RandAugment {
                operations: 2,
                magnitude: 9,
            },
            ("rand-augment", [operations, magnitude]) => Self::RandAugment {
                operations: whole(operations, 1..=100)?,
                magnitude: whole(magnitude, 0..=30)?,
            },
            ("random-erasing", []) => Self::RandomErasing(0.5),
            ("random-erasing", [probability]) => Self::RandomErasing(number(probability, 1.0)?),
            _ => return Err(wrong()),
        })
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RandomResizedCrop => f.write_str("random-resized-crop"),
            Self::HorizontalFlip => f.write_str("horizontal-flip"),
            Self::VerticalFlip => f.write_str("vertical-flip"),
            Self::Resize(side) => write!(f, "resize {side}"),
            Self::CenterCrop(Some(side)) => write!(f, "center-crop {side}"),
            Self::CenterCrop(None) => f.write_str("center-crop"),
            Self::RandomCrop(Some(side)) => write!(f, "random-crop {side}"),
            Self::RandomCrop(None) => f.write_str("random-crop"),
            Self::Pad(width, Border::Black) => write!(f, "pad {width}"),
            Self::Pad(width, Border::Reflect) => write!(f, "pad {width} reflect"),
            Self::Rotation(degrees, Filter::Nearest) => write!(f, "rotation {degrees}"),
            Self::Rotation(degrees, Filter::Bilinear) => write!(f, "rotation {degrees} bilinear"),
            Self::ColorJitter(jitter) => {
                let Jitter {
                    brightness,
                    contrast,
                    saturation,
                    hue,
                } = jitter;
                write!(f, "color-jitter {brightness} {contrast} {saturation} {hue}")
            }
            Self::RandAugment {
                operations,
                magnitude,
            } => write!(f, "rand-augment {operations} {magnitude}"),
            Self::RandomErasing(probability) => write!(f, "random-erasing {probability}"),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_written_as_they_are_read() {
        for text in [
            "random-resized-crop",
            "horizontal-flip",
            "vertical-flip",
            "resize 256",
            "center-crop",
            "center-crop 224",
            "random-crop",
            "random-crop 32",
            "pad 4",
            "pad 4 reflect",
            "rotation 15",
            "rotation 7.5 bilinear",
            "color-jitter 0.4 0.3 0 0.1",
            "rand-augment 3 15",
            "random-erasing 0.25",
        ] {
            let step: Step = text.parse().unwrap();
            assert_eq!(step.to_string(), text);
            let name = text.split(' ').next().unwrap();
            assert!(Step::NAMES.contains(&name));
        }
        for (short, long) in [
            ("color-jitter 1 1 1", "color-jitter 1 1 1 0"),
            ("rand-augment", "rand-augment 2 9"),
            ("random-erasing", "random-erasing 0.5"),
            ("rotation -0", "rotation 0"),
        ] {
            assert_eq!(short.parse::<Step>().unwrap().to_string(), long);
        }
    }

    #[test]
    fn what_follows_a_step_is_checked() {
        for (text, expected) in [
            ("horizontal-flip 1", "no number"),
            ("resize", "such as `resize 256`"),
            ("resize 1 2", "such as `resize 256`"),
            ("resize 0", "from 1 to 8192"),
            ("center-crop 1 2", "at most one number"),
            ("pad", "`pad 4 reflect`"),
            ("pad 4 edge", "`pad 4 reflect`"),
            ("pad 9000", "from 1 to 8192"),
            ("random-crop x", "from 1 to 8192"),
            ("rotation", "degrees from 0 to 360"),
            ("rotation -5", "degrees from 0 to 360"),
            ("rotation nan", "degrees from 0 to 360"),
            ("rotation 5 bicubic", "maybe `bilinear`"),
            (
                "color-jitter 0.4 0.4",
                "brightness, contrast and saturation",
            ),
            ("color-jitter 0.4 0.4 0.4 0.6", "hue from 0 to 0.5"),
            ("color-jitter 1 1 1 0 0", "hue from 0 to 0.5"),
            ("color-jitter inf 1 1", "from 0 to 100"),
            ("rand-augment 2", "a magnitude from 0 to 30"),
            ("rand-augment 2 31", "a magnitude from 0 to 30"),
            ("random-erasing 1.5", "a probability from 0 to 1"),
        ] {
            let error = text.parse::<Step>().unwrap_err();
            assert!(matches!(error, StepError::Argument { .. }), "{text}");
            assert!(error.to_string().contains(expected), "{text}: {error}");
        }
        assert!(matches!(
            "jitter".parse::<Step>(),
            Err(StepError::Unknown(word)) if word == "jitter"
        ));
    }
}
