//! Draws which pictures fall into which part: the splits of a source that has none of its own.

use std::fmt;

use graft_stream::{Purpose, Stream};
use serde::{Deserialize, Serialize};

/// How many pictures a part takes, over all classes: a number of them, or a share of all there are.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Amount {
    /// So many.
    Count(usize),
    /// Above 0, at most 1.
    Fraction(f64),
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count(count) => write!(f, "{count}"),
            Self::Fraction(fraction) => write!(f, "{fraction}"),
        }
    }
}

impl Amount {
    /// The number of pictures of each part out of `all`; shares are rounded. `None` if there are not so many.
    pub fn resolve(parts: &[Self], all: usize) -> Option<Vec<usize>> {
        let mut left = all;
        let mut counts = Vec::with_capacity(parts.len());
        let shares = parts.iter().map(|part| match part {
            Self::Fraction(fraction) => *fraction,
            Self::Count(_) => 0.0,
        });
        // Numbers such as 0.7, 0.2 and 0.1 need not add up to one exactly.
        if shares.sum::<f64>() > 1.0 + 1e-9 {
            return None;
        }
        for part in parts {
            let count = match part {
                Self::Count(count) => *count,
                // What rounding would take too many goes off the last part.
                Self::Fraction(fraction) => {
                    let count = (fraction * all as f64).round() as usize;
                    if parts.iter().all(|part| matches!(part, Self::Fraction(_))) {
                        count.min(left)
                    } else {
                        count
                    }
                }
            };
            left = left.checked_sub(count)?;
            counts.push(count);
        }
        Some(counts)
    }
}

/// Draws disjoint parts of `counts` pictures, with the classes in each as near to their share as whole numbers allow.
///
/// `classes` has the pictures of each class; a part's are returned in ascending order, and last those that are left. Class
/// *c* is drawn from (seed, Split, *c*).
///
/// # Panics
/// When the parts have more pictures than there are.
pub fn draw_parts(classes: &[Vec<usize>], counts: &[usize], seed: u64) -> Vec<Vec<usize>> {
    let mut left: Vec<Vec<usize>> = classes
        .iter()
        .zip(0..)
        .map(|(class, number)| {
            let order = Stream::new(seed, Purpose::Split, &[number]).permutation(class.len());
            order.into_iter().map(|place| class[place]).collect()
        })
        .collect();
    let mut parts = Vec::with_capacity(counts.len() + 1);
    for &count in counts {
        let sizes: Vec<usize> = left.iter().map(Vec::len).collect();
        let mut part = Vec::with_capacity(count);
        for (class, take) in left.iter_mut().zip(shares(&sizes, count)) {
            part.extend(class.drain(..take));
        }
        parts.push(part);
    }
    parts.push(left.concat());
    for part in &mut parts {
        part.sort_unstable();
    }
    parts
}

/// `count` shared out in proportion to `sizes`: rounded down, and what is left to the largest remainders, the first
/// among equals. No share is larger than its size.
fn shares(sizes: &[usize], count: usize) -> Vec<usize> {
    let all: usize = sizes.iter().sum();
    assert!(count <= all, "{count} of {all} pictures can't be drawn");
    if all == 0 {
        return vec![0; sizes.len()];
    }
    let (count, all) = (count as u128, all as u128);
    let mut shares: Vec<usize> = sizes
        .iter()
        .map(|&size| (size as u128 * count / all) as usize)
        .collect();
    let mut order: Vec<usize> = (0..sizes.len()).collect();
    order.sort_by_key(|&place| std::cmp::Reverse(sizes[place] as u128 * count % all));
    let given: usize = shares.iter().sum();
    for &place in order.iter().take(count as usize - given) {
        shares[place] += 1;
    }
    shares
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_as_near_as_whole_numbers_allow() {
        assert_eq!(shares(&[50, 30, 20], 10), [5, 3, 2]);
        assert_eq!(shares(&[1, 1, 1], 2), [1, 1, 0]);
        assert_eq!(shares(&[7, 0, 2], 9), [7, 0, 2]);
        assert_eq!(shares(&[100, 1], 3), [3, 0]);
        assert_eq!(shares(&[], 0), [0; 0]);
    }

    #[test]
    fn parts_are_disjoint_and_stratified() {
        let classes: Vec<Vec<usize>> = vec![(0..60).collect(), (60..100).collect()];
        let parts = draw_parts(&classes, &[50, 20], 3);
        let sizes: Vec<usize> = parts.iter().map(Vec::len).collect();
        assert_eq!(sizes, [50, 20, 30]);
        let firsts: Vec<usize> = parts
            .iter()
            .map(|part| part.iter().filter(|&&picture| picture < 60).count())
            .collect();
        assert_eq!(firsts, [30, 12, 18]);
        let mut all = parts.concat();
        all.sort_unstable();
        assert_eq!(all, (0..100).collect::<Vec<_>>());
        assert_eq!(parts, draw_parts(&classes, &[50, 20], 3));
        assert_ne!(parts, draw_parts(&classes, &[50, 20], 4));
        assert!(parts.iter().all(|part| part.is_sorted()));
    }

    #[test]
    fn shares_of_all_never_ask_for_more_than_there_are() {
        use Amount::{Count, Fraction};
        let of = |parts: &[Amount], all| Amount::resolve(parts, all);
        assert_eq!(of(&[Fraction(0.5), Fraction(0.5)], 3), Some(vec![2, 1]));
        let tenths = [Fraction(0.7), Fraction(0.2), Fraction(0.1)];
        assert_eq!(of(&tenths, 25), Some(vec![18, 5, 2]));
        assert_eq!(of(&[Count(2), Fraction(0.5)], 4), Some(vec![2, 2]));
        assert_eq!(of(&[Count(3), Fraction(0.5)], 4), None);
        assert_eq!(of(&[Fraction(0.8), Fraction(0.3)], 100), None);
        assert_eq!(of(&[Count(5)], 4), None);
    }
}
