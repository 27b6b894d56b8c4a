//! `samples/`: the pictures that the figures show, small enough to keep.

use std::{fs::File, io, io::BufReader, path::Path};

use image::{ExtendedColorType, ImageEncoder, ImageFormat, codecs::png::PngEncoder};

use crate::{Fields, RecordError, Row, atomic_write};

/// Why a picture was kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SampleKind {
    /// A validation picture as the network sees it, without normalisation: `val-0007.png`.
    Val,
    /// A picture of the first augmented training batch: `batch-000.png`.
    Batch,
}

/// A line of `samples/samples.csv`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// Why it was kept.
    pub kind: SampleKind,
    /// Number of the picture: in the validation split, or in the batch.
    pub index: usize,
    /// Its class.
    pub label: u32,
    /// The picture's name as its source gives it.
    pub name: String,
}

/// A small picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Thumbnail {
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// (height, width, 3), interleaved.
    pub rgb: Vec<u8>,
}

impl SampleKind {
    /// The word in `samples.csv`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Val => "val",
            Self::Batch => "batch",
        }
    }
}

impl Sample {
    /// The name of the picture's file in `samples/`.
    pub fn file_name(&self) -> String {
        match self.kind {
            SampleKind::Val => format!("val-{:04}.png", self.index),
            SampleKind::Batch => format!("batch-{:03}.png", self.index),
        }
    }
}

impl Row for Sample {
    const HEADER: &'static [&'static str] = &["file", "kind", "index", "label", "name"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.file_name(),
            self.kind.word().to_owned(),
            self.index.to_string(),
            self.label.to_string(),
            self.name.clone(),
        ]
    }

    fn parse(fields: &Fields<'_>) -> Result<Self, String> {
        let kind = match fields.text("kind")? {
            "val" => SampleKind::Val,
            "batch" => SampleKind::Batch,
            other => {
                return Err(format!(
                    "column `kind` is `{other}`, expected `val` or `batch`"
                ));
            }
        };
        let sample = Self {
            kind,
            index: fields.whole("index")?,
            label: fields.whole("label")?,
            name: fields.text("name")?.to_owned(),
        };
        let (found, expected) = (fields.text("file")?, sample.file_name());
        if found == expected {
            Ok(sample)
        } else {
            Err(format!("column `file` is `{found}`, expected `{expected}`"))
        }
    }

    fn follows(&self, previous: Option<&Self>) -> Result<(), String> {
        match previous {
            Some(row) if (row.kind, row.index) >= (self.kind, self.index) => {
                Err(format!("{} follows {}", self.file_name(), row.file_name()))
            }
            _ => Ok(()),
        }
    }
}

impl Thumbnail {
    /// Reads a PNG file.
    pub(crate) fn read(path: &Path) -> Result<Self, RecordError> {
        let file = File::open(path).map_err(|error| RecordError::io("read", path, error))?;
        let picture = image::ImageReader::with_format(BufReader::new(file), ImageFormat::Png)
            .decode()
            .map_err(|error| RecordError::document(path, &error))?
            .into_rgb8();
        Ok(Self {
            width: picture.width(),
            height: picture.height(),
            rgb: picture.into_raw(),
        })
    }

    /// Writes a PNG file.
    pub(crate) fn write(&self, path: &Path) -> Result<(), RecordError> {
        let expected = self.width as usize * self.height as usize * 3;
        if self.rgb.len() != expected || expected == 0 {
            return Err(RecordError::encode(
                path,
                &format!(
                    "{} bytes for a picture of {} x {} pixels, expected {expected} and more than 0",
                    self.rgb.len(),
                    self.width,
                    self.height
                ),
            ));
        }
        atomic_write(path, |writer| {
            PngEncoder::new(writer)
                .write_image(&self.rgb, self.width, self.height, ExtendedColorType::Rgb8)
                .map_err(|error| match error {
                    image::ImageError::IoError(error) => error,
                    other => io::Error::other(other),
                })
        })
    }
}
