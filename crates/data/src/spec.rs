//! What an experiment says about its pictures: where they come from and how they are transformed.

use std::fmt;

use graft_stream::{Purpose, Stream};
use serde::{Deserialize, Serialize};

use crate::{SourceSpec, Step, Subset};

/// The pictures of an experiment and how they are turned into inputs of a network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DataSpec {
    /// Where the pictures come from.
    pub source: SourceSpec,
    /// Which of the training pictures are learnt from.
    #[serde(default, skip_serializing_if = "Subset::is_whole")]
    pub subset: Subset,
    /// How they become inputs.
    pub transform: TransformSpec,
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
    /// How many different views of a training picture the random steps make.
    #[serde(default)]
    pub views: Views,
}

impl TransformSpec {
    /// The usual evaluation on `ImageNet`, the shorter side to 256 and the middle of 224 of it, at any size.
    pub fn usual_evaluation(size: u32) -> Vec<Step> {
        let side = (u64::from(size) * 256 + 112) / 224;
        vec![Step::Resize(side as u32), Step::CenterCrop(None)]
    }

    /// How many different inputs a training picture gives: 1 if no step is random, the number of views if that is
    /// fixed, `None` if every epoch draws a new one.
    pub fn fixed_views(&self) -> Option<u32> {
        if self.train.iter().any(Step::is_random) {
            self.views.fixed()
        } else {
            Some(1)
        }
    }

    /// What the random steps draw from when the training picture `picture` is seen in `epoch` (from 1) of `repeat`:
    /// (seed, Augment, [repeat, epoch, picture]), or (seed, View, [view, picture]) if the number of views is fixed.
    pub fn draws(&self, seed: u64, repeat: u64, epoch: u64, picture: u64) -> Stream {
        match self.views.fixed() {
            None => Stream::new(seed, Purpose::Augment, &[repeat, epoch, picture]),
            Some(views) => view_draws(seed, view(views, seed, repeat, epoch, picture), picture),
        }
    }
}

/// The one of `views` views that a training picture shows in `epoch` (from 1) of `repeat`.
///
/// A picture shows all its views, in an order drawn by (seed, Pick, [repeat, round, picture]), before it shows one again.
pub fn view(views: u32, seed: u64, repeat: u64, epoch: u64, picture: u64) -> u32 {
    let epochs = epoch.saturating_sub(1);
    let (round, place) = (epochs / u64::from(views), epochs % u64::from(views));
    let mut stream = Stream::new(seed, Purpose::Pick, &[repeat, round, picture]);
    // The beginning of a shuffle: no more of it than is asked for.
    let mut order: Vec<u32> = (0..views).collect();
    for from in 0..=place as usize {
        let left = order.len() - from;
        order.swap(from, from + stream.below(left));
    }
    order[place as usize]
}

/// What the random steps draw from in a fixed view of a training picture.
pub(crate) fn view_draws(seed: u64, view: u32, picture: u64) -> Stream {
    Stream::new(seed, Purpose::View, &[view.into(), picture])
}

/// How many different views of a training picture the random steps make: `"fresh"` or a number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "WrittenViews", into = "WrittenViews")]
pub enum Views {
    /// A new one every time.
    #[default]
    Fresh,
    /// So many, the same ones in every repeat. Not 0.
    Fixed(u32),
}

impl Views {
    /// The word for [`Views::Fresh`].
    pub const FRESH: &str = "fresh";
    /// The largest number of fixed views.
    pub const MOST: u32 = 10_000;

    /// The number, if it is fixed.
    pub fn fixed(self) -> Option<u32> {
        match self {
            Self::Fresh => None,
            Self::Fixed(views) => Some(views),
        }
    }
}

impl fmt::Display for Views {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fresh => f.write_str(Self::FRESH),
            Self::Fixed(views) => write!(f, "{views}"),
        }
    }
}

/// [`Views`] in a file.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum WrittenViews {
    Number(u32),
    Word(String),
}

impl From<Views> for WrittenViews {
    fn from(views: Views) -> Self {
        match views {
            Views::Fresh => Self::Word(Views::FRESH.to_owned()),
            Views::Fixed(views) => Self::Number(views),
        }
    }
}

impl TryFrom<WrittenViews> for Views {
    type Error = String;

    fn try_from(written: WrittenViews) -> Result<Self, String> {
        match written {
            WrittenViews::Number(views @ 1..=Self::MOST) => Ok(Self::Fixed(views)),
            WrittenViews::Word(word) if word == Self::FRESH => Ok(Self::Fresh),
            _ => Err(format!(
                "expected `{}` or a number of views from 1 to {}",
                Self::FRESH,
                Self::MOST
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_shows_all_its_views_before_one_again() {
        for repeat in 1..4 {
            for picture in 0..5 {
                for round in 0..3 {
                    let epochs = 1 + round * 7..1 + (round + 1) * 7;
                    let mut seen: Vec<u32> = epochs
                        .map(|epoch| view(7, 3, repeat, epoch, picture))
                        .collect();
                    seen.sort_unstable();
                    assert_eq!(seen, [0, 1, 2, 3, 4, 5, 6]);
                }
            }
        }
    }

    #[test]
    fn the_usual_evaluation_follows_the_size() {
        for (size, side) in [
            (224, 256),
            (96, 110),
            (32, 37),
            (299, 342),
            (1, 1),
            (4096, 4681),
        ] {
            let steps = TransformSpec::usual_evaluation(size);
            assert_eq!(steps, [Step::Resize(side), Step::CenterCrop(None)]);
        }
    }

    #[test]
    fn views_are_picked_evenly_and_independently() {
        let (mut counts, mut same) = ([0; 4], 0);
        for picture in 0..4000 {
            let (first, second) = (view(4, 0, 1, 3, picture), view(4, 0, 2, 3, picture));
            counts[first as usize] += 1;
            same += u32::from(first == second);
        }
        // Six standard deviations around a quarter.
        let even = |count: u32| (836..=1164).contains(&count);
        assert!(counts.iter().all(|&count| even(count)), "{counts:?}");
        assert!(even(same), "{same}");
    }

    #[test]
    fn without_random_steps_there_is_one_view() {
        let mut spec = TransformSpec {
            size: 8,
            train: vec![Step::RandomResizedCrop],
            eval: vec![],
            views: Views::Fixed(6),
        };
        assert_eq!(spec.fixed_views(), Some(6));
        spec.views = Views::Fresh;
        assert_eq!(spec.fixed_views(), None);
        spec.train = vec![Step::Resize(8), Step::CenterCrop(None)];
        assert_eq!(spec.fixed_views(), Some(1));
    }
}
