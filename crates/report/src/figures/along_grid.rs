//! `grid.png`: the validation error of every variant along the one axis of a grid, such as the number of labelled pictures.

use super::{
    Figure, Output,
    averaged::{Averaged, are_banded, interval, legend},
    lines::{Measure, partial_note},
};
use crate::{
    ReportError,
    drawing::{Along, Chart, Panel},
    statistics::estimate,
    sweep::{At, Sweep, TrialResult},
};

pub(super) struct AlongGrid;

impl Figure for AlongGrid {
    fn draw(&self, sweep: &Sweep, output: &mut Output<'_>) -> Result<(), ReportError> {
        let finished = sweep.trials.iter().any(TrialResult::is_finished);
        let Some((name, values)) = axis(&sweep.plan.cells).filter(|_| finished) else {
            return Ok(());
        };
        output.save("grid.png", chart(sweep, name, values).draw())
    }
}

/// The name of the only axis and its values, if there is one and it has several.
fn axis(cells: &[String]) -> Option<(String, Vec<String>)> {
    let (name, _) = cells.first()?.split_once('=')?;
    let values: Option<Vec<String>> = cells
        .iter()
        .map(|cell| {
            let (other, value) = cell.split_once('=')?;
            let is_alone = other == name && !value.contains('=');
            is_alone.then(|| value.to_owned())
        })
        .collect();
    let values = values.filter(|values| values.len() > 1)?;
    Some((name.to_owned(), values))
}

fn chart(sweep: &Sweep, name: String, values: Vec<String>) -> Chart {
    let panels = At::ALL.map(|at| panel(sweep, at));
    let bands = if are_banded(&panels) {
        "; bands: 95 % interval of the mean"
    } else {
        ""
    };
    Chart {
        title: sweep.plan.experiment.clone() + &partial_note(sweep),
        caption: format!("Lines: mean over the finished repeats of each value of {name}{bands}"),
        legend: legend(sweep),
        along: Along::Values(name, values),
        rows: vec![panels.into()],
    }
}

fn panel(sweep: &Sweep, at: At) -> Panel {
    let variants = &sweep.plan.variants;
    let series = variants.iter().enumerate().map(|(place, variant)| {
        let cells = sweep.plan.cells.iter().enumerate();
        let found = cells.map(|(number, cell)| {
            let trials = sweep.finished(variant, cell);
            let errors = trials.map(|trial| 100.0 * (1.0 - trial.accuracy(at)));
            (number as f64, estimate(&errors.collect::<Vec<_>>()))
        });
        let line = Averaged {
            points: found.filter(|(_, error)| error.n > 0).collect(),
            edges: interval,
            most: f64::INFINITY,
            labelled: at == At::ALL[At::ALL.len() - 1],
            broken_off: false,
        };
        line.series(variants, place)
    });
    let which = match at {
        At::Last => "at the last epoch",
        At::Best => "at the best epoch",
    };
    Panel {
        series: series.collect(),
        title: format!("{} {which}", Measure::Validation.title(sweep)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_axis_of_several_values_is_drawn() {
        let axis = |cells: &[&str]| {
            let cells: Vec<String> = cells.iter().map(|&cell| cell.to_owned()).collect();
            axis(&cells)
        };
        let (name, values) = axis(&["per_class=5", "per_class=10"]).unwrap();
        assert_eq!(
            (name.as_str(), values),
            ("per_class", vec!["5".to_owned(), "10".to_owned()])
        );
        for cells in [
            &["base"][..],
            &["lr=1"],
            &["lr=1,size=2", "lr=2,size=2"],
            &["a=1", "b=1"],
        ] {
            assert_eq!(axis(cells), None, "{cells:?}");
        }
    }
}
