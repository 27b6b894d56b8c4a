//! The input path: from the bytes of a JPEG file to a normalised input, on one thread.

use std::{
    fs,
    path::{Path, PathBuf},
};

use graft_data::{
    Mode, Normalization, Picture, Scratch, Step, Transform, TransformSpec, Views, decode,
    sample_jpeg,
};
use graft_stream::{Purpose, Stream};

use super::clock::{Median, median};
use crate::failure::Failure;

/// Pictures that are measured at most, taken evenly from all that are there.
const PICTURES: usize = 64;
/// Made-up pictures where no folder is given, each of this size: that of many photographs in collections.
const MADE_UP: (u64, u32, u32) = (8, 500, 375);

/// The pictures that are measured.
pub(super) struct Files {
    /// Where they come from, for the record.
    pub(super) source: &'static str,
    /// Name and content of each.
    files: Vec<(String, Vec<u8>)>,
}

/// Milliseconds for a picture.
pub(super) struct InputTimes {
    /// Decoded first, as in the first epoch.
    pub(super) first: Median,
    /// Kept decoded, as in later epochs.
    pub(super) later: Median,
}

/// The JPEG files in `folder` and the folders in it, or made-up ones.
pub(super) fn files(folder: Option<&Path>) -> Result<Files, Failure> {
    let Some(folder) = folder else {
        let (count, width, height) = MADE_UP;
        return Ok(Files {
            source: "made up",
            files: (0..count)
                .map(|seed| (format!("picture {seed}"), sample_jpeg(width, height, seed)))
                .collect(),
        });
    };
    let unreadable = |path: &Path, error: std::io::Error| {
        Failure::bad_input(format!("failed to read {}: {error}", path.display()))
    };
    let mut paths = Vec::new();
    collect(folder, &mut paths).map_err(|error| unreadable(folder, error))?;
    if paths.is_empty() {
        return Err(
            Failure::bad_input(format!("{} has no JPEG files", folder.display()))
                .hint("give --pictures a folder with .jpg files, or leave it out"),
        );
    }
    paths.sort();
    let count = paths.len().min(PICTURES);
    let chosen = (0..count).map(|number| &paths[number * paths.len() / count]);
    let files = chosen.map(|path| {
        let content = fs::read(path).map_err(|error| unreadable(path, error))?;
        Ok((path.display().to_string(), content))
    });
    Ok(Files {
        source: "files",
        files: files.collect::<Result<_, _>>()?,
    })
}

fn collect(folder: &Path, paths: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let path = entry.path();
        if entry.file_type()?.is_dir() {
            collect(&path, paths)?;
        } else if path.extension().is_some_and(|extension| {
            ["jpg", "jpeg"].contains(&extension.to_string_lossy().to_lowercase().as_str())
        }) {
            paths.push(path);
        }
    }
    Ok(())
}

/// Measures random crop, flip and normalisation, with and without decoding, on the calling thread. Pictures differ in
/// size, so a repeat is a round over all of them.
pub(super) fn measure(
    files: &Files,
    size: usize,
    normalization: Normalization,
    seconds: f64,
) -> Result<InputTimes, Failure> {
    let spec = TransformSpec {
        size: size as u32,
        train: vec![Step::RandomResizedCrop, Step::HorizontalFlip],
        eval: vec![Step::CenterCrop(None)],
        views: Views::Fresh,
    };
    let transform = Transform::new(&spec, normalization).map_err(Failure::bad_input)?;
    let mut scratch = Scratch::default();
    let mut input = vec![0.0; transform.input_len()];
    let mut round = 0;
    let mut prepare = |number: usize, picture: &Picture| {
        round += 1;
        let mut draws = Stream::new(0, Purpose::Augment, &[round, number as u64]);
        let mode = Mode::Training;
        transform
            .apply(picture, mode, &mut draws, &mut scratch, &mut input)
            .map_err(Failure::bad_input)
    };
    let open = |(name, content): &(String, Vec<u8>)| {
        decode(content, false).map_err(|error| Failure::bad_input(format!("{name}: {error}")))
    };
    let first = median(seconds, || {
        for (number, file) in files.files.iter().enumerate() {
            prepare(number, &open(file)?)?;
        }
        Ok(())
    })?;
    let kept = files.files.iter().map(open);
    let kept: Vec<Picture> = kept.collect::<Result<_, Failure>>()?;
    let later = median(seconds, || {
        for (number, picture) in kept.iter().enumerate() {
            prepare(number, picture)?;
        }
        Ok(())
    })?;
    Ok(InputTimes {
        first: first.per(kept.len()),
        later: later.per(kept.len()),
    })
}
