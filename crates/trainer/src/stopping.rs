//! Ending a trial when a figure stops improving.

use serde::{Deserialize, Serialize};

use crate::Monitor;

/// Ends a trial whose figure has not improved for `patience` epochs, as Keras's `EarlyStopping`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EarlyStopping {
    /// The figure that should improve.
    pub monitor: Monitor,
    /// Epochs without improvement after which the trial ends.
    pub patience: u32,
    /// Less of a difference is no improvement.
    pub min_delta: f64,
}

/// What early stopping remembers; a checkpoint keeps it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StoppingState {
    /// The best figure so far.
    best: Option<f64>,
    /// Epochs since then.
    bad: u32,
    /// Whether the trial is to end.
    pub(crate) stopped: bool,
}

impl StoppingState {
    /// Takes note of an epoch's figure.
    pub(crate) fn note(&mut self, rule: &EarlyStopping, figure: f64) {
        // What is no number is no improvement.
        let is_better = |best| {
            if rule.monitor.rises() {
                figure > best + rule.min_delta
            } else {
                figure < best - rule.min_delta
            }
        };
        let better = !figure.is_nan() && self.best.is_none_or(is_better);
        if better {
            self.best = Some(figure);
            self.bad = 0;
        } else {
            self.bad += 1;
            self.stopped = self.bad >= rule.patience;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The number of the epoch that ends a trial with these figures.
    fn end(monitor: Monitor, patience: u32, min_delta: f64, figures: &[f64]) -> Option<usize> {
        let rule = EarlyStopping {
            monitor,
            patience,
            min_delta,
        };
        let mut state = StoppingState::default();
        figures
            .iter()
            .position(|&figure| {
                state.note(&rule, figure);
                state.stopped
            })
            .map(|last| last + 1)
    }

    #[test]
    fn a_trial_ends_after_so_many_epochs_without_improvement() {
        let losses = [1.0, 0.9, 0.95, 0.9, 0.89, 0.9, 0.9, 0.9];
        assert_eq!(end(Monitor::ValLoss, 3, 0.0, &losses), Some(8));
        assert_eq!(end(Monitor::ValLoss, 2, 0.0, &losses), Some(4));
        assert_eq!(end(Monitor::ValLoss, 3, 0.05, &losses), Some(5));
        assert_eq!(end(Monitor::ValLoss, 9, 0.0, &losses), None);
        let accuracies = [0.5, 0.6, 0.6, 0.55];
        assert_eq!(end(Monitor::ValAccuracy, 2, 0.0, &accuracies), Some(4));
        // What is no number is no improvement, and neither the best figure nor the last word.
        let nan = f64::NAN;
        let figures = [nan, 0.1, nan, 0.2, nan, nan];
        assert_eq!(end(Monitor::ValAccuracy, 2, 0.0, &figures), Some(6));
        assert_eq!(end(Monitor::ValAccuracy, 3, 0.0, &[nan; 5]), Some(3));
    }
}
