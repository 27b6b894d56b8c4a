//! What a variant reaches in a cell, over its repeats.

use graft_record::State;

use crate::{
    statistics::{Estimate, estimate},
    sweep::{At, Sweep},
};

/// A variant in a cell.
pub(crate) struct Summary<'a> {
    pub(crate) variant: &'a str,
    pub(crate) cell: &'a str,
    /// Finished trials: those that count.
    pub(crate) n: usize,
    pub(crate) failed: usize,
    pub(crate) diverged: usize,
    /// Planned trials without an end yet.
    pub(crate) missing: usize,
    /// Validation accuracy at the last epoch, from 0 to 1.
    pub(crate) last: Estimate,
    /// At the best epoch.
    pub(crate) best: Estimate,
}

/// One summary for each variant and cell, in the plan's order.
pub(crate) fn summaries(sweep: &Sweep) -> Vec<Summary<'_>> {
    sweep
        .groups()
        .map(|(variant, cell)| {
            let count = |state| {
                sweep
                    .of(variant, cell)
                    .filter(|trial| trial.state == Some(state))
                    .count()
            };
            let accuracies = |at| -> Vec<f64> {
                sweep
                    .finished(variant, cell)
                    .map(|trial| trial.accuracy(at))
                    .collect()
            };
            let (n, failed) = (count(State::Finished), count(State::Failed));
            let diverged = count(State::Diverged);
            Summary {
                variant,
                cell,
                n,
                failed,
                diverged,
                missing: sweep.of(variant, cell).count() - n - failed - diverged,
                last: estimate(&accuracies(At::Last)),
                best: estimate(&accuracies(At::Best)),
            }
        })
        .collect()
}
