//! How much work a plan is, for a person to look at before it starts.

use std::fmt;

use graft_data::{DataSpec, SourceSpec, Subset};

use super::{Plan, PlannedTrial};

/// Number of pictures that a trial sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pictures {
    /// In the training split.
    pub train: u64,
    /// In the validation split.
    pub val: u64,
}

/// The work of a plan, a line per variant and cell. Its `Display` is a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Estimate {
    /// The lines in the order of the plan.
    pub lines: Vec<Line>,
    /// Their sum.
    pub total: Work,
}

/// The work of one cell of one variant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Name of the experiment.
    pub experiment: String,
    /// Name of the variant.
    pub variant: String,
    /// The cell of the grid.
    pub cell: String,
    /// The work of all its repeats.
    pub work: Work,
}

/// An amount of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Work {
    /// Trials in all.
    pub trials: u64,
    /// Trials that are finished already; the rest of the numbers leaves them out.
    pub finished: u64,
    /// Epochs to do.
    pub epochs: u64,
    /// Optimizer steps to do; unknown while the pictures are not there to be counted.
    pub steps: Option<u64>,
    /// Pictures to pass through networks, in training and validation; unknown as `steps`.
    pub pictures: Option<u64>,
}

impl Work {
    /// No work.
    pub const NONE: Self = Self {
        trials: 0,
        finished: 0,
        epochs: 0,
        steps: Some(0),
        pictures: Some(0),
    };

    /// Trials to do.
    pub fn left(&self) -> u64 {
        self.trials - self.finished
    }

    fn of(trial: &PlannedTrial, finished: bool, pictures: Option<Pictures>) -> Self {
        if finished {
            return Self {
                trials: 1,
                finished: 1,
                ..Self::NONE
            };
        }
        let epochs = u64::from(trial.spec.recipe.epochs);
        let batch = trial.spec.recipe.batch_size as u64;
        Self {
            trials: 1,
            finished: 0,
            epochs,
            steps: pictures.map(|p| epochs.saturating_mul(p.train.div_ceil(batch.max(1)))),
            pictures: pictures.map(|p| epochs.saturating_mul(p.train.saturating_add(p.val))),
        }
    }

    fn add(&mut self, other: &Self) {
        let sum = |a: Option<u64>, b: Option<u64>| Some(a?.saturating_add(b?));
        self.trials += other.trials;
        self.finished += other.finished;
        self.epochs = self.epochs.saturating_add(other.epochs);
        self.steps = sum(self.steps, other.steps);
        self.pictures = sum(self.pictures, other.pictures);
    }

    /// The cells of a table's row.
    fn columns(&self) -> [String; 5] {
        let known = |n: Option<u64>| n.map_or_else(|| "?".to_owned(), |n| n.to_string());
        [
            self.trials.to_string(),
            self.finished.to_string(),
            self.epochs.to_string(),
            known(self.steps),
            known(self.pictures),
        ]
    }
}

impl Estimate {
    /// Adds up the work of `plan`. `pictures` counts the pictures of a trial if they are there; `finished` says which
    /// trials need not run.
    pub fn new(
        plan: &Plan,
        mut pictures: impl FnMut(&DataSpec) -> Option<Pictures>,
        mut finished: impl FnMut(&PlannedTrial) -> bool,
    ) -> Self {
        let mut counted: Vec<((&SourceSpec, Subset), Option<Pictures>)> = Vec::new();
        let mut lines: Vec<Line> = Vec::new();
        let mut total = Work::NONE;
        for trial in &plan.trials {
            let data = &trial.spec.data;
            let these = (&data.source, data.subset);
            let known = counted.iter().find(|(known, _)| *known == these);
            let count = if let Some((_, count)) = known {
                *count
            } else {
                let count = pictures(data);
                counted.push((these, count));
                count
            };
            let work = Work::of(trial, finished(trial), count);
            total.add(&work);
            let same = |line: &&mut Line| {
                line.experiment == trial.experiment
                    && line.variant == trial.key.variant
                    && line.cell == trial.key.cell
            };
            match lines.iter_mut().find(same) {
                Some(line) => line.work.add(&work),
                None => lines.push(Line {
                    experiment: trial.experiment.clone(),
                    variant: trial.key.variant.clone(),
                    cell: trial.key.cell.clone(),
                    work,
                }),
            }
        }
        Self { lines, total }
    }
}

impl fmt::Display for Estimate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let heads = [
            "experiment",
            "variant",
            "cell",
            "trials",
            "finished",
            "epochs",
            "steps",
            "pictures",
        ];
        let mut rows = vec![heads.map(str::to_owned)];
        for line in &self.lines {
            let [trials, finished, epochs, steps, pictures] = line.work.columns();
            let [experiment, variant, cell] = [&line.experiment, &line.variant, &line.cell];
            rows.push([
                experiment.clone(),
                variant.clone(),
                cell.clone(),
                trials,
                finished,
                epochs,
                steps,
                pictures,
            ]);
        }
        let [trials, finished, epochs, steps, pictures] = self.total.columns();
        let [total, none] = ["total".to_owned(), String::new()];
        rows.push([
            total,
            none.clone(),
            none,
            trials,
            finished,
            epochs,
            steps,
            pictures,
        ]);
        let width = |column: usize| {
            let lengths = rows.iter().map(|row| row[column].chars().count());
            lengths.max().unwrap_or(0)
        };
        let widths: [usize; 8] = std::array::from_fn(width);
        for row in &rows {
            for (column, (text, width)) in row.iter().zip(widths).enumerate() {
                match column {
                    0 => write!(f, "{text:<width$}")?,
                    1 | 2 => write!(f, "  {text:<width$}")?,
                    _ => write!(f, "  {text:>width$}")?,
                }
            }
            writeln!(f)?;
        }
        if self.total.steps.is_none() {
            writeln!(f, "? is not known before the pictures are there")?;
        }
        Ok(())
    }
}
