//! Ticks at round numbers.

/// A range of values and the round numbers in it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Axis {
    pub(crate) low: f64,
    pub(crate) high: f64,
    pub(crate) ticks: Vec<f64>,
    step: f64,
}

impl Axis {
    /// Percent, from a round number below the values to one above them; from 0 if they come near it.
    pub(crate) fn percent(low: f64, high: f64) -> Self {
        let (low, high) = if low <= high {
            (low, high)
        } else {
            (0.0, 100.0)
        };
        let low = if low < 0.5 * high { 0.0 } else { low };
        let step = round_step((high - low).max(1.0) / 5.0);
        let from = (low / step).floor().max(0.0);
        let to = ((high / step).ceil()).max(from + 1.0);
        Self::of_steps(from, to, step)
    }

    /// Numbers of any size, from a round one below them to one above.
    pub(crate) fn numbers(low: f64, high: f64) -> Self {
        let least = (high - low).max(1e-3 * high.abs()).max(1e-9);
        let step = round_step(least / 5.0);
        let from = (low / step).floor();
        let to = (high / step).ceil().max(from + 1.0);
        Self::of_steps(from, to, step)
    }

    /// Powers of ten; `low` and `high` are logarithms.
    pub(crate) fn decades(low: f64, high: f64) -> Self {
        let step = round_step(((high - low) / 12.0).max(1.0)).max(1.0);
        let (from, to) = (low.floor(), high.ceil().max(low.floor() + 1.0));
        let ticks = (from as i32..=to as i32).map(f64::from);
        Self {
            // The range is not widened to whole decades: the curve needs the room.
            low,
            high: high.max(low + 1e-9),
            ticks: ticks
                .filter(|tick| (low - 1e-9..=high + 1e-9).contains(tick) && tick % step == 0.0)
                .collect(),
            step,
        }
    }

    /// Epochs, with ticks at whole numbers and some room at the ends.
    pub(crate) fn epochs(first: u32, last: u32) -> Self {
        let (low, high) = (f64::from(first), f64::from(last));
        let step = round_step(((high - low) / 8.0).max(1.0)).max(1.0);
        let mut ticks = Vec::new();
        let mut tick = (low / step).ceil() * step;
        while tick <= high {
            ticks.push(tick);
            tick += step;
        }
        // The first epoch has no round number, but every curve begins there.
        if ticks.first().is_none_or(|&tick| tick - low >= 0.6 * step) {
            ticks.insert(0, low);
        }
        let room = if last > first { 0.0 } else { 1.0 };
        Self {
            low: low - room,
            high: high + room,
            ticks,
            step,
        }
    }

    fn of_steps(from: f64, to: f64, step: f64) -> Self {
        let ticks = (0..=(to - from).round() as usize)
            .map(|i| (from + i as f64) * step)
            .collect();
        Self {
            low: from * step,
            high: to * step,
            ticks,
            step,
        }
    }

    /// Where a value is: 0 at the low end, 1 at the high end, never outside.
    pub(crate) fn place(&self, value: f64) -> f64 {
        ((value - self.low) / (self.high - self.low)).clamp(0.0, 1.0)
    }

    /// The text of a tick, with as many digits as the step needs.
    pub(crate) fn label(&self, tick: f64) -> String {
        let digits = (-self.step.log10().floor()).max(0.0) as usize;
        format!("{tick:.digits$}")
    }
}

/// The smallest of 1, 2 and 5 times a power of ten that is at least `least`.
fn round_step(least: f64) -> f64 {
    let power = 10f64.powf(least.log10().floor());
    [1.0, 2.0, 5.0, 10.0]
        .into_iter()
        .map(|factor| factor * power)
        .find(|&step| step >= least * (1.0 - 1e-9))
        .unwrap_or(10.0 * power)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percent_ticks_are_round_and_enclose_the_values() {
        let axis = Axis::percent(3.2, 47.0);
        assert_eq!(axis.ticks, [0.0, 10.0, 20.0, 30.0, 40.0, 50.0]);
        let axis = Axis::percent(40.3, 47.0);
        assert_eq!((axis.low, axis.high), (40.0, 48.0));
        let axis = Axis::percent(0.0, 0.0);
        assert!(axis.high > axis.low);
        let axis = Axis::percent(f64::INFINITY, f64::NEG_INFINITY);
        assert_eq!((axis.low, axis.high), (0.0, 100.0));
        let axis = Axis::percent(50.0, 50.0);
        assert!(axis.low <= 50.0 && axis.high >= 50.0 && axis.high > axis.low);
        assert_eq!(Axis::percent(50.0, 51.0).label(50.5), "50.5");
    }

    #[test]
    fn numbers_and_powers_of_ten_have_ticks_in_their_range() {
        let axis = Axis::numbers(0.83, 1.12);
        assert_eq!(
            (axis.label(axis.low), axis.label(axis.high)),
            ("0.8".to_owned(), "1.2".to_owned())
        );
        assert!(axis.ticks.len() >= 4 && axis.place(1.0) > 0.4);
        let axis = Axis::numbers(0.021, 0.034);
        assert_eq!(axis.label(axis.low), "0.020");
        let axis = Axis::numbers(7.0, 7.0);
        assert!(axis.low <= 7.0 && axis.high > axis.low);
        let axis = Axis::decades(-7.0, 1.0);
        assert_eq!(
            axis.ticks,
            [-7.0, -6.0, -5.0, -4.0, -3.0, -2.0, -1.0, 0.0, 1.0]
        );
        assert_eq!(axis.label(-3.0), "-3");
        let axis = Axis::decades(-2.7, -2.6);
        assert!(axis.ticks.is_empty() && axis.high > axis.low);
    }

    #[test]
    fn epoch_ticks_are_whole_numbers() {
        assert_eq!(Axis::epochs(1, 4).ticks, [1.0, 2.0, 3.0, 4.0]);
        assert_eq!(Axis::epochs(1, 20).ticks, [1.0, 5.0, 10.0, 15.0, 20.0]);
        let one = Axis::epochs(1, 1);
        assert_eq!(one.ticks, [1.0]);
        assert_eq!(one.place(1.0), 0.5);
        for last in 1..2000 {
            let axis = Axis::epochs(1, last);
            assert!(
                (1..=11).contains(&axis.ticks.len()),
                "{last}: {:?}",
                axis.ticks
            );
            assert!(axis.ticks.iter().all(|tick| tick.fract() == 0.0), "{last}");
            assert!(
                axis.ticks.windows(2).all(|pair| pair[0] < pair[1]),
                "{last}"
            );
        }
    }
}
