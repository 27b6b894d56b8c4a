//! Which of the algorithms that cuDNN offers computes a pass.

use candle_core::cuda::cudarc::cudnn::sys;
use candle_core::{Error, Result};

/// An algorithm that cuDNN offers.
#[derive(Clone, Copy)]
pub(super) struct Offer<A> {
    pub(super) algorithm: A,
    /// Whether it computes convolutions of these sizes at all.
    pub(super) works: bool,
    /// Bytes that it takes beside its operands.
    pub(super) workspace: usize,
    pub(super) deterministic: bool,
    pub(super) math: sys::cudnnMathType_t,
}

/// What came of an attempt to compute by an offered algorithm.
pub(super) enum Attempt {
    Computed,
    /// It can't compute this, whatever it said before.
    Refused,
    /// The device's memory did not suffice.
    NoMemory(Error),
    /// Nothing else would compute either.
    Failed(Error),
}

/// The algorithms that may compute a pass, the fastest first.
pub(super) struct Offers<A> {
    left: Vec<Offer<A>>,
    /// Whether the first of them has computed.
    proven: bool,
}

impl<A: Copy> Offers<A> {
    pub(super) fn new(left: Vec<Offer<A>>) -> Self {
        Self {
            left,
            proven: false,
        }
    }

    /// Computes by the first offer that can, at first by trying them in their order, later by the one that could; false if
    /// none can.
    ///
    /// If `deterministic`, too little memory is an error, so that what is left of it decides nothing. Otherwise offers that
    /// need less are tried, and it is an error if none of those computes.
    pub(super) fn compute(
        &mut self,
        deterministic: bool,
        mut attempt: impl FnMut(&Offer<A>) -> Attempt,
    ) -> Result<bool> {
        let mut no_memory = None;
        // Bytes that were too many.
        let mut limit = usize::MAX;
        let mut at = 0;
        while let Some(offer) = self.left.get(at) {
            if offer.workspace >= limit {
                at += 1;
                continue;
            }
            match attempt(offer) {
                Attempt::Computed => {
                    self.left.drain(..at);
                    self.proven = true;
                    return Ok(true);
                }
                Attempt::Refused => {
                    self.left.remove(at);
                }
                Attempt::NoMemory(error) if deterministic || self.proven => return Err(error),
                Attempt::NoMemory(error) => {
                    limit = offer.workspace;
                    no_memory.get_or_insert(error);
                    at += 1;
                }
                Attempt::Failed(error) => return Err(error),
            }
        }
        no_memory.map_or(Ok(false), Err)
    }

    /// Whether the algorithm in use has computed before, so that a failure is none of its abilities.
    pub(super) fn proven(&self) -> bool {
        self.proven
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Offers by number, of so many bytes.
    fn offers(bytes: &[usize]) -> Offers<usize> {
        let offer = |(algorithm, workspace): (usize, &usize)| Offer {
            algorithm,
            works: true,
            workspace: *workspace,
            deterministic: true,
            math: sys::cudnnMathType_t::CUDNN_DEFAULT_MATH,
        };
        Offers::new(bytes.iter().enumerate().map(offer).collect())
    }

    /// What each offer answers: `c`omputed, `r`efused, too little `m`emory, `f`ailed. The numbers of those that were tried.
    fn tried(
        offers: &mut Offers<usize>,
        deterministic: bool,
        answers: &str,
    ) -> (Vec<usize>, Result<bool>) {
        let mut order = Vec::new();
        let found = offers.compute(deterministic, |offer| {
            order.push(offer.algorithm);
            match answers.as_bytes()[offer.algorithm] {
                b'c' => Attempt::Computed,
                b'r' => Attempt::Refused,
                b'm' => Attempt::NoMemory(Error::Msg(format!("memory {}", offer.algorithm))),
                _ => Attempt::Failed(Error::Msg("failed".into())),
            }
        });
        (order, found)
    }

    #[test]
    fn the_first_that_computes_is_kept() {
        let mut three = offers(&[3, 2, 1]);
        let (order, found) = tried(&mut three, true, "rcc");
        assert_eq!((order, found.unwrap()), (vec![0, 1], true));
        assert!(three.proven());
        let (order, found) = tried(&mut three, true, "ccc");
        assert_eq!((order, found.unwrap()), (vec![1], true));
    }

    #[test]
    fn none_that_computes_is_no_error() {
        let mut two = offers(&[0, 0]);
        let (order, found) = tried(&mut two, true, "rr");
        assert_eq!((order, found.unwrap()), (vec![0, 1], false));
        let (order, found) = tried(&mut two, false, "cc");
        assert_eq!((order, found.unwrap()), (vec![], false));
        let (_, found) = tried(&mut offers(&[0, 0]), false, "fc");
        assert_eq!(found.unwrap_err().to_string(), "failed");
    }

    #[test]
    fn memory_decides_nothing_where_results_must_repeat() {
        let mut three = offers(&[5, 3, 1]);
        let (order, found) = tried(&mut three, true, "rmc");
        assert_eq!(order, [0, 1]);
        assert_eq!(found.unwrap_err().to_string(), "memory 1");
        // With more of it the same one computes as would have at once.
        let (order, found) = tried(&mut three, true, "ccc");
        assert_eq!((order, found.unwrap()), (vec![1], true));
    }

    #[test]
    fn less_memory_is_tried_where_they_need_not() {
        let mut five = offers(&[5, 9, 5, 3, 1]);
        let (order, found) = tried(&mut five, false, "mccrc");
        assert_eq!((order, found.unwrap()), (vec![0, 3, 4], true));
        // What has computed once is kept to: then too little memory is an error.
        let (order, found) = tried(&mut five, false, "ccccm");
        assert_eq!(order, [4]);
        assert_eq!(found.unwrap_err().to_string(), "memory 4");
        let mut two = offers(&[5, 3]);
        let (order, found) = tried(&mut two, false, "mm");
        assert_eq!(order, [0, 1]);
        assert_eq!(found.unwrap_err().to_string(), "memory 0");
        let (order, found) = tried(&mut two, false, "cc");
        assert_eq!((order, found.unwrap()), (vec![0], true));
    }
}
