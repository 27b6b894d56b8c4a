//! Loss and accuracy over the pictures of an epoch.

use std::ops::AddAssign;

use serde::{Deserialize, Serialize};

/// What outputs are worth: sums over pictures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// Pictures whose most probable class is the true one.
    pub correct: u64,
    /// Of numbers, what explained variance is counted from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub numbers: Option<NumberSums>,
}

/// Sums over pictures that have a number each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct NumberSums {
    /// Of the squared differences between output and number.
    pub squared_error: f64,
    /// Of the numbers.
    pub numbers: f64,
    /// Of their squares.
    pub squares: f64,
}

impl NumberSums {
    /// Adds a picture.
    pub(crate) fn add(&mut self, output: f64, number: f64) {
        let difference = output - number;
        self.squared_error += difference * difference;
        self.numbers += number;
        self.squares += number * number;
    }

    /// R² of `n` pictures: the share of the variance that is explained, and not a number if there is none.
    pub(crate) fn explained(&self, n: f64) -> f64 {
        let total = self.squares - self.numbers * self.numbers / n;
        if total > 0.0 {
            1.0 - self.squared_error / total
        } else {
            f64::NAN
        }
    }
}

impl Score {
    /// Of rows of logits.
    pub(crate) fn of_classes(logits: &[Vec<f32>], labels: &[u32]) -> Self {
        let pairs = logits.iter().zip(labels);
        let right = pairs.filter(|(row, label)| argmax(row) == **label as usize);
        Self {
            correct: right.count() as u64,
            numbers: None,
        }
    }

    /// Of rows of one output.
    pub(crate) fn of_numbers(outputs: &[Vec<f32>], numbers: &[f32]) -> Self {
        let mut sums = NumberSums::default();
        for (row, &number) in outputs.iter().zip(numbers) {
            sums.add(row[0].into(), number.into());
        }
        Self {
            correct: 0,
            numbers: Some(sums),
        }
    }
}

impl AddAssign for Score {
    fn add_assign(&mut self, other: Self) {
        self.correct += other.correct;
        if let Some(other) = other.numbers {
            let sums = self.numbers.get_or_insert_default();
            sums.squared_error += other.squared_error;
            sums.numbers += other.numbers;
            sums.squares += other.squares;
        }
    }
}

/// Running sums over pictures. Sums are exact to f64 and added in the order of the batches, so that a resumed
/// epoch ends with the same figures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Tally {
    /// Sum of the losses.
    pub loss: f64,
    /// Pictures.
    pub seen: u64,
    /// What the outputs are worth.
    #[serde(flatten)]
    pub score: Score,
}

impl Tally {
    /// Adds a batch of `n` pictures with this mean loss.
    pub fn add(&mut self, mean_loss: f64, score: Score, n: usize) {
        self.loss += mean_loss * n as f64;
        self.seen += n as u64;
        self.score += score;
    }

    /// Mean loss of a picture.
    pub fn mean_loss(&self) -> f64 {
        self.loss / self.seen as f64
    }

    /// Share of the pictures that are classified right, from 0 to 1; of numbers the share of their variance that is explained,
    /// R², at most 1, and not a number if they are all the same.
    pub fn accuracy(&self) -> f64 {
        let seen = self.seen as f64;
        match self.score.numbers {
            None => self.score.correct as f64 / seen,
            Some(sums) => sums.explained(seen),
        }
    }
}

/// The first index of the largest value; a NaN is never the largest.
pub(crate) fn argmax(row: &[f32]) -> usize {
    let mut best = 0;
    for (i, &value) in row.iter().enumerate() {
        if value > row[best] || row[best].is_nan() {
            best = i;
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tally_weighs_batches_by_their_size() {
        let score = |correct| Score {
            correct,
            numbers: None,
        };
        let mut tally = Tally::default();
        tally.add(1.0, score(3), 4);
        tally.add(4.0, score(0), 2);
        assert_eq!((tally.mean_loss(), tally.accuracy()), (2.0, 0.5));
    }

    #[test]
    fn argmax_takes_the_first_of_equals_and_passes_over_nan() {
        assert_eq!(argmax(&[0.0, 2.0, 2.0]), 1);
        assert_eq!(argmax(&[f32::NAN, -1.0, f32::NAN]), 1);
        let score = Score::of_classes(&[vec![0.0, 1.0], vec![1.0, 0.0]], &[1, 1]);
        assert_eq!(score.correct, 1);
    }

    /// As `sklearn.metrics.r2_score([3, -0.5, 2, 7], [2.5, 0.0, 2, 8])` of scikit-learn's documentation: 0.948…
    #[test]
    fn numbers_are_scored_by_the_explained_variance() {
        let mut tally = Tally::default();
        let row = |value: f32| vec![value];
        tally.add(
            0.25,
            Score::of_numbers(&[row(2.5), row(0.0)], &[3.0, -0.5]),
            2,
        );
        tally.add(
            0.5,
            Score::of_numbers(&[row(2.0), row(8.0)], &[2.0, 7.0]),
            2,
        );
        assert!((tally.accuracy() - 0.948_608_137_044_967_9).abs() < 1e-12);
        let mut same = Tally::default();
        same.add(1.0, Score::of_numbers(&[row(1.0)], &[2.0]), 1);
        assert!(same.accuracy().is_nan());
        let text = serde_json::to_string(&tally).unwrap();
        assert_eq!(serde_json::from_str::<Tally>(&text).unwrap(), tally);
    }
}
