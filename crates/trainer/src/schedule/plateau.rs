//! A learning rate that falls when a figure stops improving.

use serde::{Deserialize, Serialize};

use super::{Like, Plateau};

/// What a plateau remembers; a checkpoint keeps it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PlateauState {
    /// The best figure so far.
    best: Option<f64>,
    /// Epochs since then.
    bad: u32,
    /// Epochs for which nothing is counted yet.
    cooldown: u32,
    /// The rate as it has been lowered, once it has.
    lowered: Option<f64>,
}

impl PlateauState {
    /// The rate for one that the schedule gives.
    pub(crate) fn rate(&self, lr: f64) -> f64 {
        self.lowered.map_or(lr, |lowered| lowered.min(lr))
    }

    /// Takes note of an epoch's figure, at whose end the rate is `lr`.
    pub(crate) fn note(&mut self, plateau: &Plateau, figure: f64, lr: f64) {
        // What is no number is no improvement.
        let is_better = |best| is_better(plateau, figure, best);
        let better = !figure.is_nan() && self.best.is_none_or(is_better);
        if better {
            self.best = Some(figure);
        }
        let due = match plateau.like {
            Like::Pytorch => {
                self.bad = if better { 0 } else { self.bad + 1 };
                if self.cooldown > 0 {
                    self.cooldown -= 1;
                    self.bad = 0;
                }
                self.bad > plateau.patience
            }
            Like::Keras => {
                if self.cooldown > 0 {
                    self.cooldown -= 1;
                    self.bad = 0;
                }
                if better {
                    self.bad = 0;
                } else if self.cooldown == 0 {
                    self.bad += 1;
                }
                !better && self.cooldown == 0 && self.bad >= plateau.patience
            }
        };
        if !due {
            return;
        }
        let lower = (lr * plateau.factor).max(plateau.min_lr);
        let worth_it = match plateau.like {
            // PyTorch leaves differences below its `eps` alone, and counts on.
            Like::Pytorch => lr - lower > 1e-8,
            Like::Keras => lr > plateau.min_lr,
        };
        if worth_it {
            self.lowered = Some(lower);
        }
        if worth_it || plateau.like == Like::Pytorch {
            self.cooldown = plateau.cooldown;
            self.bad = 0;
        }
    }
}

/// Whether a figure is an improvement.
fn is_better(plateau: &Plateau, figure: f64, best: f64) -> bool {
    let delta = match plateau.like {
        Like::Pytorch => plateau.min_delta * best,
        Like::Keras => plateau.min_delta,
    };
    if plateau.monitor.rises() {
        figure > best + delta
    } else {
        figure < best - delta
    }
}
