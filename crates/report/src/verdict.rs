//! The report in words: what was found, how sure it is, and what is missing.

use std::fmt::Write;

use graft_record::{State, TrialKey};

use crate::{
    comparison::{Comparison, comparisons},
    statistics::{Estimate, smallest_p},
    summary::{Summary, summaries},
    sweep::{At, Sweep},
};

/// Below this adjusted p a difference counts as shown.
const LEVEL: f64 = 0.05;

/// Progress, table, comparisons and problems, each line ending in a line feed.
pub(crate) fn text(sweep: &Sweep) -> String {
    let mut out = progress(sweep) + "\n";
    let summaries = summaries(sweep);
    if summaries.iter().any(|summary| summary.n > 0) {
        out += "\n";
        out += &table(sweep, &summaries);
        let figure = if sweep.plan.has_numbers() {
            "Mean R² (the explained share of the variance) of the validation pictures"
        } else {
            "Mean validation accuracy"
        };
        let _ = writeln!(
            out,
            "{figure} over n repeats, ± half of its 95 % interval. The best epoch is chosen by the pictures that judge it, so it \
             looks a little too good."
        );
    }
    let all = comparisons(sweep);
    let last: Vec<&Comparison<'_>> = all.iter().filter(|c| c.at == At::Last).collect();
    if !last.is_empty() {
        out += "\n";
        let family = all.iter().filter(|c| !c.p.is_nan()).count();
        for comparison in last {
            out += &(sentence(comparison, family, sweep) + "\n");
        }
        if family > 1 && all.iter().any(|c| c.difference.n > 1) {
            let _ = writeln!(
                out,
                "p counts sign patterns of the paired differences; the adjusted p (Holm) accounts for the {family} \
                 comparisons in comparisons.csv.",
            );
        }
    }
    for problem in &sweep.problems {
        let _ = writeln!(out, "warning: {problem}");
    }
    out
}

/// `beeant: 28 of 30 trials finished, 1 diverged, 1 failed`, and what that means for the rest.
fn progress(sweep: &Sweep) -> String {
    let planned = sweep.trials.len();
    let finished = sweep.count(State::Finished);
    let mut line = format!(
        "{}: {finished} of {planned} trials finished",
        sweep.plan.experiment
    );
    let states = [
        (State::Running, "running or killed"),
        (State::Interrupted, "interrupted"),
        (State::Failed, "failed"),
        (State::Diverged, "diverged"),
    ];
    for (state, word) in states {
        match sweep.count(state) {
            0 => {}
            count => {
                let _ = write!(line, ", {count} {word}");
            }
        }
    }
    let ended = finished + sweep.count(State::Failed) + sweep.count(State::Diverged);
    if ended < planned {
        line += ".\nThis report is partial: only finished trials count below, and the numbers will change.";
    } else if ended > finished {
        line += ".\nOnly finished trials count below: a variant whose weak trials fail or diverge looks better than \
                 it is.";
    }
    line
}

fn table(sweep: &Sweep, summaries: &[Summary<'_>]) -> String {
    let mut lines = vec![vec![
        "variant".to_owned(),
        "cell".to_owned(),
        "n".to_owned(),
        "last epoch".to_owned(),
        "best epoch".to_owned(),
    ]];
    for summary in summaries {
        lines.push(vec![
            summary.variant.to_owned(),
            summary.cell.to_owned(),
            summary.n.to_string(),
            percent(&summary.last),
            percent(&summary.best),
        ]);
    }
    if !sweep.has_grid() {
        for line in &mut lines {
            line.remove(1);
        }
    }
    let width = |column: usize| {
        lines
            .iter()
            .map(|line| line[column].chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..lines[0].len()).map(width).collect();
    let first_number = widths.len() - 3;
    let mut out = String::new();
    for line in &lines {
        let mut text = String::new();
        for (column, cell) in line.iter().enumerate() {
            let pad = " ".repeat(widths[column] - cell.chars().count());
            if column > 0 {
                text += "  ";
            }
            // Words to the left, numbers to the right.
            if column < first_number {
                text += cell;
                text += &pad;
            } else {
                text += &pad;
                text += cell;
            }
        }
        out += text.trim_end();
        out += "\n";
    }
    out
}

/// `92.4 % ± 1.1`.
fn percent(estimate: &Estimate) -> String {
    if estimate.mean.is_nan() {
        "-".to_owned()
    } else if estimate.n < 2 {
        format!("{:.1} %", 100.0 * estimate.mean)
    } else {
        format!(
            "{:.1} % ± {:>3.1}",
            100.0 * estimate.mean,
            100.0 * estimate.half_width()
        )
    }
}

/// One comparison in plain English.
fn sentence(c: &Comparison<'_>, family: usize, sweep: &Sweep) -> String {
    let figure = if sweep.plan.has_numbers() {
        "R²"
    } else {
        "validation accuracy"
    };
    let cell = if sweep.has_grid() && c.cell != TrialKey::BASE_CELL {
        format!("in {}, ", c.cell)
    } else {
        String::new()
    };
    let (variant, reference) = (c.variant, c.reference);
    let n = c.difference.n;
    let points = 100.0 * c.difference.mean;
    if n == 0 {
        return format!(
            "{cell}{variant} can't be compared with {reference} yet: no repeat is finished in both."
        );
    }
    if n == 1 {
        return format!(
            "{cell}no difference shown between {variant} and {reference}: {points:+.1} points in a single repeat, and \
             one repeat can't tell a difference from luck."
        );
    }
    let evidence = format!(
        "95 % interval {:.1} to {:.1}, n = {n}, {}",
        100.0 * c.difference.low,
        100.0 * c.difference.high,
        p_values(c, family)
    );
    if c.p_holm < LEVEL {
        let word = if points > 0.0 { "better" } else { "worse" };
        return format!(
            "{cell}{variant} is {word} than {reference} by {:.1} points of {figure} at the last epoch \
             ({}).",
            points.abs(),
            if points > 0.0 {
                evidence
            } else {
                mirrored(c, family)
            }
        );
    }
    let mut text = format!(
        "{cell}no difference shown between {variant} and {reference}: {points:+.1} points ({evidence})"
    );
    let smallest = smallest_p(n) * family as f64;
    if smallest >= LEVEL {
        let _ = write!(
            text,
            "; with n = {n} {} can't fall below {} however large the difference, so run at least {} repeats",
            if family > 1 { "the adjusted p" } else { "p" },
            p_text(smallest.min(1.0)),
            repeats_needed(family)
        );
    }
    text + "."
}

/// The evidence for "worse by": the interval of the difference with its sign turned round.
fn mirrored(c: &Comparison<'_>, family: usize) -> String {
    format!(
        "95 % interval {:.1} to {:.1}, n = {}, {}",
        -100.0 * c.difference.high,
        -100.0 * c.difference.low,
        c.difference.n,
        p_values(c, family)
    )
}

fn p_values(c: &Comparison<'_>, family: usize) -> String {
    if family > 1 {
        format!("p = {}, adjusted {}", p_text(c.p), p_text(c.p_holm))
    } else {
        format!("p = {}", p_text(c.p))
    }
}

/// Two significant digits, without exponents.
fn p_text(p: f64) -> String {
    if p < 0.0001 {
        "less than 0.0001".to_owned()
    } else if p < 0.001 {
        format!("{p:.5}")
    } else if p < 0.1 {
        format!("{p:.3}")
    } else {
        format!("{p:.2}")
    }
}

/// The smallest number of repeats whose smallest p, adjusted for the family, is below the level. Beyond 21 more
/// repeats don't lower it.
fn repeats_needed(family: usize) -> usize {
    (2..21)
        .find(|&n| smallest_p(n) * (family as f64) < LEVEL)
        .unwrap_or(21)
}
