//! The records of a sweep, read and put into the order of the plan.

use graft_record::{
    EpochRow, Plan, PredictionRow, RecordError, ResultsFolder, State, TimingRow, TrialFolder,
    TrialKey, best_epoch,
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
    folder: TrialFolder,
}

/// Which epoch of a trial stands for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum At {
    /// The last epoch: chosen before the results were seen.
    Last,
    /// The epoch with the best validation accuracy: chosen by the pictures that judge it, so a little too good.
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
        // A report without times is still a report.
        match trial.folder.timing() {
            Ok(timing) => trial.timing = timing,
            Err(error) => problems.push(error.to_string()),
        }
        trial
    }

    fn read(&mut self) -> Result<(), RecordError> {
        self.state = self.folder.status()?.map(|status| status.state);
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
            At::Best => best_epoch(&self.epochs),
        }
    }

    /// Validation accuracy at that epoch, from 0 to 1; NaN if there is none.
    pub(crate) fn accuracy(&self, at: At) -> f64 {
        self.row(at).map_or(f64::NAN, |row| row.val_accuracy)
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

    /// Every variant with every cell, in the plan's order.
    pub(crate) fn groups(&self) -> impl Iterator<Item = (&str, &str)> {
        self.plan.variants.iter().flat_map(|variant| {
            self.plan
                .cells
                .iter()
                .map(move |cell| (variant.as_str(), cell.as_str()))
        })
    }

    /// Whether there is more than one cell, so that names need it.
    pub(crate) fn has_grid(&self) -> bool {
        self.plan.cells.len() > 1
    }
}
