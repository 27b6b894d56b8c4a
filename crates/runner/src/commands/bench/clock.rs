//! Times of repeated work.

use std::time::{Duration, Instant};

/// Calls that are measured at least.
const LEAST_REPEATS: usize = 5;
/// Calls before the measured ones at least: the first one finds cold caches and memory that was never touched.
const LEAST_WARM_UP: usize = 2;
/// The warm-up takes at least one part in so many of the measured time.
const WARM_UP_SHARE: f64 = 5.0;

/// The middle of several times.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Median {
    pub(super) milliseconds: f64,
    pub(super) repeats: usize,
}

impl Median {
    /// The median divided by `parts`, for work that was done so many times at each call.
    pub(super) fn per(self, parts: usize) -> Self {
        Self {
            milliseconds: self.milliseconds / parts as f64,
            ..self
        }
    }
}

/// The median time of `work` over at least `seconds` and five calls, after a warm-up.
pub(super) fn median<E>(
    seconds: f64,
    mut work: impl FnMut() -> Result<(), E>,
) -> Result<Median, E> {
    repeat(LEAST_WARM_UP, seconds / WARM_UP_SHARE, &mut work)?;
    let mut times = repeat(LEAST_REPEATS, seconds, &mut work)?;
    times.sort_unstable();
    let middle = times.len() / 2;
    let median = if times.len() % 2 == 1 {
        times[middle]
    } else {
        (times[middle - 1] + times[middle]) / 2
    };
    Ok(Median {
        milliseconds: median.as_secs_f64() * 1e3,
        repeats: times.len(),
    })
}

fn repeat<E>(
    least: usize,
    seconds: f64,
    mut work: impl FnMut() -> Result<(), E>,
) -> Result<Vec<Duration>, E> {
    let begin = Instant::now();
    let mut times = Vec::new();
    while times.len() < least || begin.elapsed().as_secs_f64() < seconds {
        let start = Instant::now();
        work()?;
        times.push(start.elapsed());
    }
    Ok(times)
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    #[test]
    fn work_is_repeated_after_a_warm_up_and_an_error_ends_it() {
        let mut calls = 0;
        let Ok(result) = median(0.0, || {
            calls += 1;
            Ok::<(), Infallible>(())
        });
        assert_eq!((calls, result.repeats), (7, 5));
        let mut calls = 0;
        let failed = median(0.0, || {
            calls += 1;
            if calls == 3 { Err("third") } else { Ok(()) }
        });
        assert_eq!((failed, calls), (Err("third"), 3));
    }

    #[test]
    fn a_share_of_the_time_is_a_share_of_the_median() {
        let whole = Median {
            milliseconds: 12.0,
            repeats: 5,
        };
        assert_eq!(whole.per(8).milliseconds, 1.5);
    }
}
