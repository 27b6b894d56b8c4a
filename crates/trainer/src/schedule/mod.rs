//! The course of the learning rate: a function of the time, and of a plateau's memory.

mod plateau;
mod spec;
#[cfg(test)]
mod tests;

use std::f64::consts::PI;

pub use plateau::PlateauState;
pub use spec::{Course, Like, Monitor, Per, Plateau, ScheduleSpec, WarmUp, WarmUpLength};

/// Where a trial is, counted from 0, and how long it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Time {
    /// Epochs that are done.
    pub epoch: u32,
    /// Steps that are done.
    pub step: u64,
    /// All epochs.
    pub epochs: u32,
    /// Steps of an epoch.
    pub steps_per_epoch: u64,
}

impl Time {
    fn steps(self) -> u64 {
        u64::from(self.epochs) * self.steps_per_epoch
    }

    /// The same moment counted from the end of a warm-up; `None` while it lasts, with the share of it that is over.
    fn after(self, warm_up: WarmUpLength) -> Result<Self, f64> {
        match warm_up {
            WarmUpLength::Epochs(epochs) if self.epoch < epochs => {
                Err(f64::from(self.epoch) / f64::from(epochs))
            }
            WarmUpLength::Epochs(epochs) => Ok(Self {
                epoch: self.epoch - epochs,
                step: self.step - u64::from(epochs) * self.steps_per_epoch,
                epochs: self.epochs.saturating_sub(epochs),
                ..self
            }),
            WarmUpLength::Steps(steps) if self.step < steps => Err(self.step as f64 / steps as f64),
            // Schedules by epochs go on by the epochs of the trial.
            WarmUpLength::Steps(_) => Ok(self),
        }
    }

    /// How far it is, and how far it goes.
    fn in_units(self, per: Per, skipped: u64) -> (f64, f64) {
        match per {
            Per::Epoch => (f64::from(self.epoch), f64::from(self.epochs)),
            Per::Step => {
                let all = self.steps().saturating_sub(skipped);
                (self.step.saturating_sub(skipped) as f64, all as f64)
            }
        }
    }
}

impl ScheduleSpec {
    /// The learning rate of the next step for the optimizer's rate `lr`. What a plateau has made of it is not in it:
    /// see [`PlateauState`].
    pub fn rate(&self, lr: f64, time: Time) -> f64 {
        let Some(warm_up) = self.warm_up else {
            return self.course.rate(lr, time, 0);
        };
        match time.after(warm_up.length) {
            Err(share) => lr * (warm_up.start + (1.0 - warm_up.start) * share),
            Ok(time) => {
                let skipped = match warm_up.length {
                    WarmUpLength::Steps(steps) => steps,
                    WarmUpLength::Epochs(_) => 0,
                };
                self.course.rate(lr, time, skipped)
            }
        }
    }

    /// The plateau that changes the rate, if one does.
    pub(crate) fn plateau(&self) -> Option<&Plateau> {
        match &self.course {
            Course::Plateau(plateau) => Some(plateau),
            _ => None,
        }
    }
}

impl Course {
    /// The rate at a time whose first `skipped` steps belong to a warm-up.
    fn rate(&self, lr: f64, time: Time, skipped: u64) -> f64 {
        let epoch = time.epoch;
        match self {
            Self::Constant | Self::Plateau(_) => lr,
            Self::Step { every, factor } => lr * factor.powf(f64::from(epoch / every)),
            Self::MultiStep { at, factor } => {
                let passed = at.iter().filter(|&&at| at <= epoch).count();
                lr * factor.powf(passed as f64)
            }
            Self::Exponential { factor } => lr * factor.powf(f64::from(epoch)),
            Self::Cosine { min_lr, per } => {
                let (now, end) = time.in_units(*per, skipped);
                min_lr + (lr - min_lr) * (1.0 + (PI * (now / end).min(1.0)).cos()) / 2.0
            }
            Self::Polynomial { power, per } => {
                let (now, end) = time.in_units(*per, skipped);
                lr * (1.0 - (now / end).min(1.0)).powf(*power)
            }
            Self::OneCycle {
                rise,
                div_factor,
                final_div_factor,
            } => {
                let (now, steps) = time.in_units(Per::Step, skipped);
                let (first, last) = (lr / div_factor, lr / div_factor / final_div_factor);
                let (top, end) = (rise * steps - 1.0, steps - 1.0);
                if now <= top && top > 0.0 {
                    along_cosine(first, lr, now / top)
                } else {
                    along_cosine(lr, last, ((now - top) / (end - top).max(1.0)).min(1.0))
                }
            }
        }
    }
}

/// From `start` to `end` along half a cosine.
fn along_cosine(start: f64, end: f64, share: f64) -> f64 {
    end + (start - end) / 2.0 * (1.0 + (PI * share).cos())
}
