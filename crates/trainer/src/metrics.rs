//! Loss and accuracy over the pictures of an epoch.

use serde::{Deserialize, Serialize};

/// Running sums over pictures. Sums are exact to f64 and added in the order of the batches, so that a resumed
/// epoch ends with the same figures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Tally {
    /// Sum of the losses.
    pub loss: f64,
    /// Pictures whose most probable class is the true one.
    pub correct: u64,
    /// Pictures.
    pub seen: u64,
}

impl Tally {
    /// Adds a batch of `n` pictures with this mean loss.
    pub fn add(&mut self, mean_loss: f64, correct: usize, n: usize) {
        self.loss += mean_loss * n as f64;
        self.correct += correct as u64;
        self.seen += n as u64;
    }

    /// Mean loss of a picture.
    pub fn mean_loss(&self) -> f64 {
        self.loss / self.seen as f64
    }

    /// Share of the pictures that are classified right, from 0 to 1.
    pub fn accuracy(&self) -> f64 {
        self.correct as f64 / self.seen as f64
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

/// How many rows of `logits` have their largest value at the label.
pub(crate) fn count_correct(logits: &[Vec<f32>], labels: &[u32]) -> usize {
    logits
        .iter()
        .zip(labels)
        .filter(|(row, label)| argmax(row) == **label as usize)
        .count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tally_weighs_batches_by_their_size() {
        let mut tally = Tally::default();
        tally.add(1.0, 3, 4);
        tally.add(4.0, 0, 2);
        assert_eq!((tally.mean_loss(), tally.accuracy()), (2.0, 0.5));
    }

    #[test]
    fn argmax_takes_the_first_of_equals_and_passes_over_nan() {
        assert_eq!(argmax(&[0.0, 2.0, 2.0]), 1);
        assert_eq!(argmax(&[f32::NAN, -1.0, f32::NAN]), 1);
        assert_eq!(count_correct(&[vec![0.0, 1.0], vec![1.0, 0.0]], &[1, 1]), 1);
    }
}
