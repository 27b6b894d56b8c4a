//! The line of a variant: means over its repeats, with a band around them, and what stands beside it.

use graft_record::State;

use crate::{
    drawing::{Dash, LegendEntry, Panel, Series, variant_color},
    statistics::Estimate,
    sweep::Sweep,
};

/// With more variants, bands would hide the lines.
const MOST_BANDS: usize = 6;

/// Longer names, or those of more variants, are in the legend only; the ends of lines then have numbers.
const LONGEST_NAME: usize = 14;
const MOST_NAMES: usize = 6;

/// With more variants, not even numbers.
const MOST_NUMBERS: usize = 16;

const LINE: f64 = 2.6;

/// What is known of a variant's trials along an axis.
pub(super) struct Averaged {
    /// Places along the axis, and the estimates of the mean there.
    pub(super) points: Vec<(f64, Estimate)>,
    /// The band's edges at an estimate from more than one trial.
    pub(super) edges: fn(&Estimate) -> (f64, f64),
    /// The largest value that makes sense.
    pub(super) most: f64,
    /// Whether the end of the line says its value.
    pub(super) labelled: bool,
    /// Whether all trials diverged.
    pub(super) broken_off: bool,
}

impl Averaged {
    /// The line of the variant at `place` among `variants`.
    pub(super) fn series(self, variants: &[String], place: usize) -> Series {
        let (color, round) = variant_color(place);
        let last = self.points.iter().rev().find(|(_, e)| !e.mean.is_nan());
        let label = last
            .filter(|_| self.labelled)
            .and_then(|(_, e)| label(variants, &variants[place], e.mean, self.broken_off));
        let repeated = self.points.iter().filter(|(_, e)| e.n > 1);
        let band = repeated.map(|(x, e)| {
            let (low, high) = (self.edges)(e);
            (*x, low.max(0.0), high.min(self.most))
        });
        Series {
            color,
            width: LINE,
            dash: Dash::of_round(round),
            band: if variants.len() <= MOST_BANDS {
                band.collect()
            } else {
                Vec::new()
            },
            points: self.points.iter().map(|(x, e)| (*x, e.mean)).collect(),
            label,
            broken_off: self.broken_off,
        }
    }
}

/// One standard deviation on both sides of the mean.
pub(super) fn deviation(estimate: &Estimate) -> (f64, f64) {
    (estimate.mean - estimate.std, estimate.mean + estimate.std)
}

/// The 95 % interval of the mean.
pub(super) fn interval(estimate: &Estimate) -> (f64, f64) {
    (estimate.low, estimate.high)
}

/// Whether any line of these panels has a band.
pub(super) fn are_banded<'a>(panels: impl IntoIterator<Item = &'a Panel>) -> bool {
    let mut series = panels.into_iter().flat_map(|panel| &panel.series);
    series.any(|series| !series.band.is_empty())
}

/// What is written at the end of a line: the error, and the name where names are few and short.
fn label(variants: &[String], variant: &str, error: f64, broken_off: bool) -> Option<String> {
    if variants.len() > MOST_NUMBERS {
        return None;
    }
    let named =
        variants.len() <= MOST_NAMES && variants.iter().all(|v| v.chars().count() <= LONGEST_NAME);
    let number = if broken_off {
        "diverged".to_owned()
    } else {
        format!("{error:.1} %")
    };
    Some(if named {
        format!("{number}  {variant}")
    } else {
        number
    })
}

pub(super) fn legend(sweep: &Sweep) -> Vec<LegendEntry> {
    sweep
        .plan
        .variants
        .iter()
        .enumerate()
        .map(|(place, variant)| {
            let (color, round) = variant_color(place);
            LegendEntry {
                label: variant.clone(),
                note: format!(" ({})", counts(sweep, variant)),
                color,
                width: LINE,
                dash: Dash::of_round(round),
            }
        })
        .collect()
}

/// `n = 10`, or how many of how many, and what became of the others.
fn counts(sweep: &Sweep, variant: &str) -> String {
    let trials = || sweep.trials.iter().filter(|t| t.key.variant == variant);
    let count = |state| trials().filter(|t| t.state == Some(state)).count();
    // With a grid, the repeats of a cell are meant: every cell that the variant is trained in has as many.
    let cells = sweep.groups().filter(|(name, _)| *name == variant).count();
    let cells = cells.max(1);
    let (planned, finished) = (trials().count(), count(State::Finished));
    if finished == planned {
        return format!("n = {}", finished / cells);
    }
    let mut text = format!("{finished} of {planned} finished");
    for (state, word) in [(State::Diverged, "diverged"), (State::Failed, "failed")] {
        match count(state) {
            0 => {}
            count => text.extend([", ", &count.to_string(), " ", word]),
        }
    }
    text
}
