//! What every picture of a source is: its size, whether it can be read, and which others it equals.

use std::collections::BTreeMap;

use graft_data::{Source, Split};
use indicatif::{ProgressBar, ProgressStyle};
use rayon::prelude::*;

/// A picture of a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) split: Split,
    pub(super) index: usize,
}

/// What was found out about a picture.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) width: u32,
    pub(super) height: u32,
    /// Of its size and all pixels.
    hash: [u8; 32],
}

/// What was found out about all pictures.
pub(super) struct Survey {
    /// The pictures of each split in order, or why one can't be read.
    pictures: BTreeMap<Split, Vec<Result<Seen, String>>>,
}

impl Survey {
    /// Reads every picture, on the threads of the current pool.
    pub(super) fn of(source: &dyn Source) -> Self {
        let total: usize = Split::ALL.iter().map(|&split| source.len(split)).sum();
        let style = ProgressStyle::with_template("{bar:30} {pos}/{len} pictures, {eta} left")
            .expect("the template is valid");
        let bar = ProgressBar::new(total as u64).with_style(style.progress_chars("█▌░"));
        let look = |split: Split, index: usize| {
            let picture = source.load(split, index).map_err(|error| error.to_string());
            bar.inc(1);
            picture.map(|picture| {
                let mut hasher = blake3::Hasher::new();
                hasher.update(&picture.width.to_le_bytes());
                hasher.update(&picture.rgb);
                Seen {
                    width: picture.width,
                    height: picture.height,
                    hash: *hasher.finalize().as_bytes(),
                }
            })
        };
        let pictures = Split::ALL.map(|split| {
            let pictures = (0..source.len(split)).into_par_iter();
            (split, pictures.map(|index| look(split, index)).collect())
        });
        bar.finish_and_clear();
        Self {
            pictures: pictures.into(),
        }
    }

    /// The pictures of a split in order, or why one can't be read.
    pub(super) fn split(&self, split: Split) -> &[Result<Seen, String>] {
        self.pictures.get(&split).map_or(&[], Vec::as_slice)
    }

    /// Every picture that can't be read, with the reason.
    pub(super) fn bad(&self) -> impl Iterator<Item = (Place, &str)> {
        self.all().filter_map(|(place, seen)| {
            let reason = seen.as_ref().err()?;
            Some((place, reason.as_str()))
        })
    }

    /// How many pictures can't be read.
    pub(super) fn unreadable(&self) -> usize {
        self.bad().count()
    }

    /// Pictures with the same pixels, each group in order; the groups in the order of their first pictures.
    pub(super) fn identical(&self) -> Vec<Vec<Place>> {
        let mut by_hash: BTreeMap<[u8; 32], Vec<Place>> = BTreeMap::new();
        for (place, seen) in self.all() {
            if let Ok(seen) = seen {
                by_hash.entry(seen.hash).or_default().push(place);
            }
        }
        let mut groups: Vec<Vec<Place>> = by_hash.into_values().collect();
        groups.retain(|group| group.len() > 1);
        groups.sort();
        groups
    }

    fn all(&self) -> impl Iterator<Item = (Place, &Result<Seen, String>)> {
        self.pictures.iter().flat_map(|(&split, pictures)| {
            let pictures = pictures.iter().enumerate();
            pictures.map(move |(index, seen)| (Place { split, index }, seen))
        })
    }
}
