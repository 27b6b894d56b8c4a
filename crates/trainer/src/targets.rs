//! What a network is to tell about the pictures of a batch: their classes, or a number for each.

use std::ops::Range;

use candle_core::Tensor;
use graft_data::{Answer, Batch};
use graft_ops::{Tape, Weighing, mean_squared_error, weighted_cross_entropy};

use crate::{TrainError, metrics::Score};

/// What is to be told about some pictures.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Targets {
    /// Labels.
    Classes(Vec<u32>),
    /// Numbers, in a regression.
    Numbers(Vec<f32>),
}

impl Targets {
    /// Those of a batch.
    pub(crate) fn of(batch: &Batch) -> Self {
        if batch.numbers.is_empty() {
            Self::Classes(batch.labels.clone())
        } else {
            Self::Numbers(batch.numbers.clone())
        }
    }

    /// How many pictures there are.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Classes(labels) => labels.len(),
            Self::Numbers(numbers) => numbers.len(),
        }
    }

    /// Those of some of the pictures.
    pub(crate) fn part(&self, range: Range<usize>) -> Self {
        match self {
            Self::Classes(labels) => Self::Classes(labels[range].to_vec()),
            Self::Numbers(numbers) => Self::Numbers(numbers[range].to_vec()),
        }
    }

    /// For each picture those of the picture before it, for the first those of the last.
    pub(crate) fn of_picture_before(&self) -> Self {
        let mut targets = self.clone();
        let by = usize::from(targets.len() > 0);
        match &mut targets {
            Self::Classes(labels) => labels.rotate_right(by),
            Self::Numbers(numbers) => numbers.rotate_right(by),
        }
        targets
    }

    /// The loss of `outputs`, (n, k): the cross entropy of labels, the mean squared error of numbers, which weigh alike.
    pub(crate) fn loss(
        &self,
        tape: &Tape,
        outputs: &Tensor,
        weighing: &Weighing<'_>,
    ) -> Result<Tensor, TrainError> {
        Ok(match self {
            Self::Classes(labels) => weighted_cross_entropy(tape, outputs, labels, weighing)?,
            Self::Numbers(numbers) => mean_squared_error(tape, outputs, numbers)?,
        })
    }

    /// What `outputs`, (n, k), are worth.
    pub(crate) fn score(&self, outputs: &Tensor) -> Result<Score, TrainError> {
        let rows: Vec<Vec<f32>> = outputs.to_vec2()?;
        Ok(match self {
            Self::Classes(labels) => Score::of_classes(&rows, labels),
            Self::Numbers(numbers) => Score::of_numbers(&rows, numbers),
        })
    }
}

impl FromIterator<Answer> for Targets {
    /// All answers of a source are of one kind.
    fn from_iter<I: IntoIterator<Item = Answer>>(answers: I) -> Self {
        let (mut labels, mut numbers) = (Vec::new(), Vec::new());
        for answer in answers {
            match answer {
                Answer::Class(label) => labels.push(label),
                Answer::Number(number) => numbers.push(number),
            }
        }
        if numbers.is_empty() {
            Self::Classes(labels)
        } else {
            Self::Numbers(numbers)
        }
    }
}
