//! How often which values occur.

/// Most buckets of a histogram.
const BUCKETS: usize = 30;

/// Counts of values in buckets of the same width from the smallest value to the largest.
#[derive(Clone, Debug, PartialEq)]
pub struct Histogram {
    /// The smallest value.
    pub min: f64,
    /// The largest value.
    pub max: f64,
    /// Number of values.
    pub count: u64,
    /// Their sum.
    pub sum: f64,
    /// The sum of their squares.
    pub sum_of_squares: f64,
    /// The upper end of each bucket.
    pub limits: Vec<f64>,
    /// Values in each bucket.
    pub counts: Vec<f64>,
}

impl Histogram {
    /// Counts `values`; those that are no finite numbers are left out. `None` if no value is left.
    pub fn of(values: &[f32]) -> Option<Self> {
        let finite = || {
            let finite = values.iter().filter(|value| value.is_finite());
            finite.map(|value| f64::from(*value))
        };
        let min = finite().fold(f64::INFINITY, f64::min);
        let max = finite().fold(f64::NEG_INFINITY, f64::max);
        if min > max {
            return None;
        }
        let buckets = if max > min { BUCKETS } else { 1 };
        let width = (max - min) / buckets as f64;
        let mut counts = vec![0_u64; buckets];
        let (mut sum, mut sum_of_squares) = (0.0, 0.0);
        for value in finite() {
            sum += value;
            sum_of_squares += value * value;
            // Of a single bucket the place is no number, which becomes 0.
            let place = ((value - min) / width) as usize;
            counts[place.min(buckets - 1)] += 1;
        }
        let limit = |bucket: usize| {
            if bucket == buckets {
                max
            } else {
                min + width * bucket as f64
            }
        };
        Some(Self {
            min,
            max,
            count: counts.iter().sum(),
            sum,
            sum_of_squares,
            limits: (1..=buckets).map(limit).collect(),
            counts: counts.into_iter().map(|count| count as f64).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_finite_value_is_in_its_bucket() {
        let values: Vec<f32> = (0..=60).map(|i| i as f32 / 2.0).collect();
        let mut with_others = values.clone();
        with_others.extend([f32::NAN, f32::INFINITY]);
        let found = Histogram::of(&with_others).unwrap();
        assert_eq!((found.min, found.max, found.count), (0.0, 30.0, 61));
        assert_eq!((found.sum, found.sum_of_squares), (915.0, 18452.5));
        assert_eq!(found.limits[..2], [1.0, 2.0]);
        assert_eq!((found.limits.len(), found.limits[29]), (30, 30.0));
        assert_eq!(found.counts[..29], [2.0; 29]);
        assert_eq!(found.counts[29], 3.0);
    }

    #[test]
    fn one_value_has_one_bucket_and_none_has_no_histogram() {
        let found = Histogram::of(&[0.5, 0.5]).unwrap();
        assert_eq!((found.limits, found.counts), (vec![0.5], vec![2.0]));
        assert_eq!(Histogram::of(&[f32::NAN]), None);
        assert_eq!(Histogram::of(&[]), None);
    }
}
