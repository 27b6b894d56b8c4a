//! The range test of learning rates: steps at growing rates, until the loss blows up.

use graft_record::ResultsFolder;

use crate::{
    Observer, Resources, TrainError, Trial,
    inputs::Inputs,
    session::Session,
    step::{Draws, Trained, step},
};

/// How much of the smoothed loss is kept at each step, as in fastai.
const KEPT: f64 = 0.98;
/// The test ends when the smoothed loss is above its lowest so far times this, as in fastai.
const BLOWN_UP: f64 = 4.0;
/// A fall of the loss by a smaller share is rounding.
const LEAST_FALL: f64 = 1e-9;
/// A loss that is larger by this share is as low as the lowest.
const AS_LOW: f64 = 0.01;
/// Points at the end that tell nothing of the slope, as in fastai; at the start it is a tenth of the steps.
const LAST: usize = 5;

/// Which rates are tried: they grow by the same factor from step to step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RangeTest {
    /// The rate of the first step.
    pub min_lr: f64,
    /// The rate of the last step.
    pub max_lr: f64,
    /// Number of steps, at least 2.
    pub steps: usize,
}

impl RangeTest {
    /// The rate of a step, counted from 0.
    pub fn rate(&self, step: usize) -> f64 {
        let share = step as f64 / self.steps.saturating_sub(1).max(1) as f64;
        self.min_lr * (self.max_lr / self.min_lr).powf(share)
    }
}

/// A step of a range test.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RatePoint {
    /// Number of the step, from 1.
    pub step: usize,
    /// The learning rate of the step.
    pub lr: f64,
    /// The batch's mean loss before the step changed the network.
    pub loss: f64,
    /// The mean of the losses so far, in which each step back counts 0.98 of the one after it.
    pub smoothed: f64,
}

/// What a range test found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RateCurve {
    /// The steps with a finite loss.
    pub points: Vec<RatePoint>,
    /// Whether the loss blew up before the last step.
    pub blew_up: bool,
}

impl RateCurve {
    /// The rate at which the smoothed loss fell fastest; `None` if it never fell.
    pub fn steepest(&self) -> Option<f64> {
        let slopes = self.told().windows(2).map(|pair| {
            let fall = pair[0].smoothed - pair[1].smoothed;
            (pair[0], fall / (pair[1].lr / pair[0].lr).ln())
        });
        let steepest = slopes.max_by(|a, b| a.1.total_cmp(&b.1));
        let steepest = steepest.filter(|(at, slope)| *slope > LEAST_FALL * at.smoothed.abs());
        steepest.map(|(point, _)| point.lr)
    }

    /// A tenth of the rate at which the smoothed loss was lowest, and the largest such rate where it was as low within a
    /// hundredth: at rates that are too small to do anything, some batch is always the lowest. `None` if the loss was never
    /// lower than at the start.
    pub fn tenth_of_minimum(&self) -> Option<f64> {
        let told = self.told();
        let lowest = told.iter().map(|point| point.smoothed).reduce(f64::min)?;
        let start = told.first()?.smoothed;
        let fell = lowest < start - LEAST_FALL * start.abs();
        let as_low = |point: &&RatePoint| point.smoothed <= lowest + AS_LOW * lowest.abs();
        let last = told.iter().rev().find(as_low).filter(|_| fell);
        last.map(|point| point.lr / 10.0)
    }

    /// The points that tell something: smoothing has begun, and the loss has not blown up yet.
    fn told(&self) -> &[RatePoint] {
        let (first, count) = (self.points.len() / 10, self.points.len());
        if count < 4 * LAST {
            return &self.points;
        }
        &self.points[first..count - LAST]
    }

    /// Adds a step. Returns whether the test goes on.
    fn add(&mut self, lr: f64, loss: f64, running: &mut Smoothing) -> bool {
        if !loss.is_finite() {
            self.blew_up = true;
            return false;
        }
        let smoothed = running.add(loss);
        self.points.push(RatePoint {
            step: self.points.len() + 1,
            lr,
            loss,
            smoothed,
        });
        self.blew_up = smoothed > BLOWN_UP * running.lowest;
        !self.blew_up
    }
}

/// The smoothed loss so far.
#[derive(Clone, Copy, Debug)]
struct Smoothing {
    mean: f64,
    /// The weight that the mean still lacks.
    missing: f64,
    lowest: f64,
}

impl Smoothing {
    fn start() -> Self {
        Self {
            mean: 0.0,
            missing: 1.0,
            lowest: f64::INFINITY,
        }
    }

    /// Takes a loss in and returns the smoothed one.
    fn add(&mut self, loss: f64) -> f64 {
        self.mean = KEPT * self.mean + (1.0 - KEPT) * loss;
        self.missing *= KEPT;
        let smoothed = self.mean / (1.0 - self.missing);
        self.lowest = self.lowest.min(smoothed);
        smoothed
    }
}

/// Takes the steps of a range test, from where the trial would start: with its initial or transferred weights, its
/// pictures in its order, its optimizer. When an epoch is over, the next one follows. Nothing is recorded.
///
/// # Errors
/// As [`run_trial`](crate::run_trial).
pub fn find_rate(
    trial: &Trial,
    test: &RangeTest,
    resources: &mut Resources,
    observer: &mut dyn Observer,
) -> Result<RateCurve, TrainError> {
    let folder = ResultsFolder::open(&trial.results)?.trial(&trial.key);
    let mut session = Session::prepare(trial, folder, resources, observer)?;
    let spec = &trial.spec;
    let mut curve = RateCurve::default();
    let mut running = Smoothing::start();
    for epoch in 1.. {
        let mut inputs = Inputs::new(&session, epoch, 0);
        while let Some(example) = inputs.next(&session.built.network, &session.feed)? {
            let taken = curve.points.len();
            let draws = Draws {
                seed: spec.seed,
                repeat: u64::from(spec.repeat),
                epoch,
                step: taken as u64 + 1,
            };
            let lr = test.rate(taken);
            let trained = Trained {
                network: &session.built.network,
                optimizer: session.optimizer.as_mut(),
                recorder: &mut session.recorder,
            };
            let found = step(trained, &spec.recipe, &example, draws, lr)?;
            let goes_on = curve.add(lr, found.read()?.loss, &mut running);
            if !goes_on || curve.points.len() >= test.steps {
                return Ok(curve);
            }
        }
    }
    Ok(curve)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEST: RangeTest = RangeTest {
        min_lr: 1e-7,
        max_lr: 10.0,
        steps: 9,
    };

    /// The curve of a loss for each rate.
    fn curve(test: &RangeTest, loss: impl Fn(f64) -> f64) -> RateCurve {
        let mut curve = RateCurve::default();
        let mut running = Smoothing::start();
        for taken in 0..test.steps {
            let lr = test.rate(taken);
            if !curve.add(lr, loss(lr), &mut running) {
                break;
            }
        }
        curve
    }

    #[test]
    fn rates_grow_by_the_same_factor_from_end_to_end() {
        for step in 0..9 {
            let wanted = 10f64.powi(step - 7);
            assert!((TEST.rate(step as usize) / wanted - 1.0).abs() < 1e-12);
        }
    }

    #[test]
    fn losses_are_smoothed_like_fastai() {
        // fastcore's lerp and fastai's AvgSmoothLoss on 1, 2, 4, computed in Python.
        let mut running = Smoothing::start();
        let smoothed = [1.0, 2.0, 4.0].map(|loss| running.add(loss));
        for (found, expected) in smoothed.iter().zip([1.0, 1.505_050_505, 2.353_557_339]) {
            assert!((found - expected).abs() < 1e-8, "{found} {expected}");
        }
        assert_eq!(running.lowest, 1.0);
    }

    #[test]
    fn a_test_ends_when_the_loss_is_four_times_its_lowest_or_no_number() {
        let steps = RangeTest { steps: 100, ..TEST };
        let steep = curve(&steps, |lr| if lr < 0.1 { 1.0 } else { 1e6 });
        assert!(steep.blew_up);
        let last = steep.points.last().unwrap();
        assert!(last.lr >= 0.1 && last.smoothed > 4.0);
        assert_eq!(steep.points[steep.points.len() - 2].loss, 1.0);
        let broken = curve(&steps, |lr| if lr < 0.1 { 1.0 } else { f64::NAN });
        assert!(broken.blew_up && broken.points.iter().all(|point| point.lr < 0.1));
        let calm = curve(&steps, |_| 1.0);
        assert!(!calm.blew_up && calm.points.len() == 100);
        assert_eq!((calm.steepest(), calm.tenth_of_minimum()), (None, None));
        assert_eq!(RateCurve::default().steepest(), None);
        assert_eq!(RateCurve::default().tenth_of_minimum(), None);
    }

    #[test]
    fn suggestions_come_from_the_fall_and_from_the_bottom() {
        // Falls over 1e-4 to 1e-2 fastest at 1e-3, and rises again from 1e-1 on.
        let steps = RangeTest { steps: 801, ..TEST };
        let found = curve(&steps, |lr| {
            let x = lr.log10();
            2.0 - ((x + 3.0) * 2.0).tanh()
                + if x > -1.0 {
                    (x + 1.0).powi(2) * 8.0
                } else {
                    0.0
                }
        });
        let steepest = found.steepest().unwrap();
        assert!((1e-3..5e-3).contains(&steepest), "{steepest}");
        let minimum = 10.0 * found.tenth_of_minimum().unwrap();
        assert!((0.1..1.0).contains(&minimum), "{minimum}");
    }
}
