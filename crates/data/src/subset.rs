//! Parts of the training pictures, for learning curves.

use graft_stream::{Purpose, Stream};
use serde::{Deserialize, Serialize};

use crate::{DataError, Source, Split, Target, error::list};

/// The training pictures that a trial learns from. Validation and test are always whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub enum Subset {
    /// All of them.
    #[default]
    #[serde(rename = "whole")]
    Whole,
    /// This share of each class, above 0 and below 1, rounded, and at least one picture.
    #[serde(rename = "train_fraction")]
    Fraction(f64),
    /// So many of each class, at least 1.
    #[serde(rename = "per_class")]
    PerClass(usize),
}

impl Subset {
    /// Whether it is everything.
    pub fn is_whole(&self) -> bool {
        *self == Self::Whole
    }

    /// The places in the training split of the pictures of a repeat, in ascending order; `None` for all of them.
    ///
    /// Each class is put into an order drawn by (seed, Subset, [repeat, class]), whose beginning is taken: of two subsets
    /// of one repeat the smaller is a part of the larger, and all variants see the same ones. Pictures with numbers are
    /// one class.
    ///
    /// # Errors
    /// When a class has too few pictures.
    pub fn pick(
        &self,
        source: &dyn Source,
        seed: u64,
        repeat: u64,
    ) -> Result<Option<Vec<usize>>, DataError> {
        if self.is_whole() {
            return Ok(None);
        }
        let classes = by_class(source);
        let sizes = self.sizes(source, &classes)?;
        let mut picked = Vec::new();
        for ((class, size), number) in classes.iter().zip(sizes).zip(0..) {
            let mut stream = Stream::new(seed, Purpose::Subset, &[repeat, number]);
            let order = stream.permutation(class.len());
            picked.extend(order.into_iter().take(size).map(|place| class[place]));
        }
        picked.sort_unstable();
        Ok(Some(picked))
    }

    /// The number of its pictures, the same in every repeat.
    ///
    /// # Errors
    /// When a class has too few pictures.
    pub fn count(&self, source: &dyn Source) -> Result<usize, DataError> {
        if self.is_whole() {
            return Ok(source.len(Split::Train));
        }
        Ok(self.sizes(source, &by_class(source))?.iter().sum())
    }

    /// How many pictures of each class it has.
    fn sizes(&self, source: &dyn Source, classes: &[Vec<usize>]) -> Result<Vec<usize>, DataError> {
        let wanted = match *self {
            Self::Whole => return Ok(classes.iter().map(Vec::len).collect()),
            Self::Fraction(share) => {
                let size = |class: &Vec<usize>| {
                    let size = (share * class.len() as f64).round() as usize;
                    size.max(1).min(class.len())
                };
                return Ok(classes.iter().map(size).collect());
            }
            Self::PerClass(wanted) => wanted,
        };
        if source.target() == Target::Number {
            return Err(DataError::Spec(format!(
                "`per_class = {wanted}` needs classes, and these pictures have numbers\n\
                 hint: `train_fraction` takes a share of them"
            )));
        }
        let short: Vec<String> = source
            .classes()
            .iter()
            .zip(classes)
            .filter(|(_, class)| class.len() < wanted)
            .map(|(name, class)| format!("`{name}` has {}", class.len()))
            .collect();
        if short.is_empty() {
            return Ok(vec![wanted; classes.len()]);
        }
        Err(DataError::Spec(format!(
            "`per_class = {wanted}` is more than there are training pictures: {}\n\
             hint: take at most as many as the smallest class has",
            list(&short)
        )))
    }
}

/// The places of the training pictures of each class.
fn by_class(source: &dyn Source) -> Vec<Vec<usize>> {
    let mut classes = vec![Vec::new(); source.classes().len().max(1)];
    for place in 0..source.len(Split::Train) {
        let label = source.label(Split::Train, place).unwrap_or(0);
        classes[label as usize].push(place);
    }
    classes
}
