//! Is a variant better than the reference? Answered in pairs: repeat k of both saw the same pictures in the
//! same order, so that the luck of a repeat cancels.

use graft_stream::{Purpose, Stream};

use crate::{
    statistics::{Estimate, estimate, holm, sign_flip_p},
    sweep::{At, Sweep},
};

/// A variant against the reference, in one cell and at one epoch.
pub(crate) struct Comparison<'a> {
    pub(crate) variant: &'a str,
    pub(crate) reference: &'a str,
    pub(crate) cell: &'a str,
    pub(crate) at: At,
    /// Validation accuracy of the variant minus that of the reference, over the repeats that both finished.
    pub(crate) difference: Estimate,
    /// Two-sided p of the sign-flip test; NaN without pairs.
    pub(crate) p: f64,
    /// The same, adjusted for the number of comparisons.
    pub(crate) p_holm: f64,
}

/// Every comparison of the sweep, in the plan's order; none without a reference.
pub(crate) fn comparisons(sweep: &Sweep) -> Vec<Comparison<'_>> {
    let Some(reference) = sweep.plan.reference.as_deref() else {
        return Vec::new();
    };
    let mut all: Vec<Comparison<'_>> = sweep
        .groups()
        .filter(|(variant, _)| *variant != reference)
        .filter(|(_, cell)| sweep.is_trained_in(reference, cell))
        .flat_map(|(variant, cell)| At::ALL.map(|at| compare(sweep, variant, reference, cell, at)))
        .collect();
    let adjusted = holm(&all.iter().map(|c| c.p).collect::<Vec<_>>());
    for (comparison, p_holm) in all.iter_mut().zip(adjusted) {
        comparison.p_holm = p_holm;
    }
    all
}

fn compare<'a>(
    sweep: &Sweep,
    variant: &'a str,
    reference: &'a str,
    cell: &'a str,
    at: At,
) -> Comparison<'a> {
    let differences: Vec<f64> = sweep
        .finished(variant, cell)
        .filter_map(|trial| {
            let other = sweep
                .finished(reference, cell)
                .find(|other| other.key.repeat == trial.key.repeat)?;
            Some(trial.accuracy(at) - other.accuracy(at))
        })
        .filter(|difference| !difference.is_nan())
        .collect();
    let name = format!("{variant}/{reference}/{cell}/{}", at.word());
    let mut stream = Stream::named(sweep.plan.seed, Purpose::Statistics, &[], &name);
    Comparison {
        variant,
        reference,
        cell,
        at,
        difference: estimate(&differences),
        p: sign_flip_p(&differences, &mut stream),
        p_holm: f64::NAN,
    }
}
