//! The records of a sweep, read and put into the order of the plan.

use graft_record::{
    EpochRow, EvaluationRow, MetricRow, Plan, PredictionRow, RecordError, ResultsFolder, State,
    TimingRow, TrialFolder, TrialKey, best_epoch,
};

use crate::ReportError;

/// The plan and what is known about each of its trials.
pub(crate) struct Sweep {
    pub(crate) plan: Plan,
    /// In the plan's order: variant as declared, cell, repeat.
    pub(crate) trials: Vec<TrialResult>,
    /// Records that could not be read.
    pub(crate) problems: Vec<String>,
    pub(crate) folder: ResultsFolder,
}

/// What is known about a trial.
pub(crate) struct TrialResult {
    pub(crate) key: TrialKey,
    /// None if the trial never began or its record can't be read.
    pub(crate) state: Option<State>,
    pub(crate) epochs: Vec<EpochRow>,
    pub(crate) timing: Vec<TimingRow>,
    /// What its best checkpoint is worth; empty unless it is finished.
    pub(crate) metrics: Vec<MetricRow>,
    /// What was found within epochs and of the training pictures, if the recipe wants that.
    pub(crate) evaluations: Vec<EvaluationRow>,
    /// Validation accuracy of the best checkpoint.
    best_accuracy: Option<f64>,
    /// The epoch that its checkpoint is of.
    best_epoch: Option<u32>,
    folder: TrialFolder,
}

/// Which epoch of a trial stands for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum At {
    /// The last epoch: chosen before the results were seen.
    Last,
    /// The epoch whose checkpoint was kept, as a rule that with the best validation accuracy: chosen by the pictures that
    /// judge it, so a little too good.
    Best,
}

impl At {
    pub(crate) const ALL: [Self; 2] = [Self::Last, Self::Best];

    /// The word in the tables.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Last => "last",
            Self::Best => "best",
        }
    }
}

impl TrialResult {
    fn load(results: &ResultsFolder, key: &TrialKey, problems: &mut Vec<String>) -> Self {
        let folder = results.trial(key);
        let mut trial = Self {
            key: key.clone(),
            state: None,
            epochs: Vec::new(),
            timing: Vec::new(),
            metrics: Vec::new(),
            evaluations: Vec::new(),
            best_accuracy: None,
            best_epoch: None,
            folder,
        };
        if let Err(error) = trial.read() {
            problems.push(format!("{key} is left out: {error}"));
            trial.state = None;
            trial.epochs.clear();
        } else if trial.is_finished() && trial.epochs.is_empty() {
            let path = trial.folder.path().join("epochs.csv");
            problems.push(format!(
                "{key} is left out: it is finished, but {} has no rows",
                path.display()
            ));
            trial.state = None;
        }
        // A report without these is still a report.
        match trial.folder.evaluations() {
            Ok(evaluations) => trial.evaluations = evaluations,
            Err(error) => problems.push(error.to_string()),
        }
        if trial.is_finished() {
            match trial.folder.metrics() {
                Ok(metrics) => trial.metrics = metrics,
                Err(error) => problems.push(error.to_string()),
            }
        }
        match trial.folder.timing() {
            Ok(timing) => trial.timing = timing,
            Err(error) => problems.push(error.to_string()),
        }
        trial
    }

    fn read(&mut self) -> Result<(), RecordError> {
        if let Some(status) = self.folder.status()? {
            self.state = Some(status.state);
            self.best_epoch = status.best_epoch;
            self.best_accuracy = status.best_val_accuracy;
        }
        self.epochs = self.folder.epochs()?;
        Ok(())
    }

    pub(crate) fn is_finished(&self) -> bool {
        self.state == Some(State::Finished)
    }

    /// The row of the epoch that stands for the trial.
    pub(crate) fn row(&self, at: At) -> Option<&EpochRow> {
        match at {
            At::Last => self.epochs.last(),
            At::Best => self
                .epochs
                .iter()
                .find(|row| Some(row.epoch) == self.best_epoch)
                .or_else(|| best_epoch(&self.epochs)),
        }
    }

    /// The rows of its epochs up to `last`. A finished trial that stopped earlier stays where it ended.
    pub(crate) fn epochs_up_to(&self, last: u32) -> impl Iterator<Item = EpochRow> {
        let end = self.epochs.last().filter(|_| self.is_finished());
        let rest =
            end.map(|&end| (end.epoch + 1..=last).map(move |epoch| EpochRow { epoch, ..end }));
        let rows = self
            .epochs
            .iter()
            .copied()
            .filter(move |row| row.epoch <= last);
        rows.chain(rest.into_iter().flatten())
    }

    /// Validation accuracy at that epoch, from 0 to 1; NaN if there is none.
    pub(crate) fn accuracy(&self, at: At) -> f64 {
        match (at, self.best_accuracy) {
            // The best checkpoint may be of a validation within its epoch.
            (At::Best, Some(accuracy)) => accuracy,
            _ => self.row(at).map_or(f64::NAN, |row| row.val_accuracy),
        }
    }

    pub(crate) fn predictions(&self) -> Result<Vec<PredictionRow>, RecordError> {
        self.folder.predictions()
    }
}

impl Sweep {
    pub(crate) fn load(results: &ResultsFolder) -> Result<Self, ReportError> {
        let plan = results.plan()?.ok_or_else(|| ReportError::NoPlan {
            root: results.root().to_owned(),
        })?;
        let mut problems = Vec::new();
        let trials = plan
            .ordered()
            .into_iter()
            .map(|key| TrialResult::load(results, key, &mut problems))
            .collect();
        Ok(Self {
            plan,
            trials,
            problems,
            folder: results.clone(),
        })
    }

    /// The trials of a variant in a cell, by repeat.
    pub(crate) fn of<'a>(
        &'a self,
        variant: &'a str,
        cell: &'a str,
    ) -> impl Iterator<Item = &'a TrialResult> {
        self.trials
            .iter()
            .filter(move |trial| trial.key.variant == variant && trial.key.cell == cell)
    }

    /// Those of them that are finished.
    pub(crate) fn finished<'a>(
        &'a self,
        variant: &'a str,
        cell: &'a str,
    ) -> impl Iterator<Item = &'a TrialResult> {
        self.of(variant, cell).filter(|trial| trial.is_finished())
    }

    /// How many trials are in this state.
    pub(crate) fn count(&self, state: State) -> usize {
        self.trials
            .iter()
            .filter(|trial| trial.state == Some(state))
            .count()
    }

    /// Every variant with every cell that it is trained in, in the plan's order.
    pub(crate) fn groups(&self) -> impl Iterator<Item = (&str, &str)> {
        self.plan.variants.iter().flat_map(|variant| {
            self.plan
                .cells
                .iter()
                .filter(|cell| self.is_trained_in(variant, cell))
                .map(move |cell| (variant.as_str(), cell.as_str()))
        })
    }

    /// Whether a variant is trained in a cell; a grid may leave cells out.
    pub(crate) fn is_trained_in(&self, variant: &str, cell: &str) -> bool {
        !self.has_grid() || self.of(variant, cell).next().is_some()
    }

    /// Whether there is more than one cell, so that names need it.
    pub(crate) fn has_grid(&self) -> bool {
        self.plan.cells.len() > 1
    }
}
