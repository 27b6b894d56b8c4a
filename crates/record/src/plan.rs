//! `plan.json`: which trials an experiment consists of, in the order of its reports.

use serde::{Deserialize, Serialize};

use crate::TrialKey;

/// What a report needs to know about a sweep, also of one that is half done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// Version of this file's format: [`Plan::FORMAT`].
    pub format: u32,
    /// Name of the experiment.
    pub experiment: String,
    /// The experiment's seed.
    pub seed: u64,
    /// Number of repeats of every cell.
    pub repeats: u32,
    /// The variant that the others are compared with.
    pub reference: Option<String>,
    /// The names of the variants as declared.
    pub variants: Vec<String>,
    /// The cells of the grid in its order; `base` alone without a grid.
    pub cells: Vec<String>,
    /// The classes in the order of their labels; empty if pictures have numbers.
    pub classes: Vec<String>,
    /// Every trial of the sweep.
    pub trials: Vec<TrialKey>,
}

impl Plan {
    /// The format that this version writes and reads.
    pub const FORMAT: u32 = 1;

    /// Whether the pictures have numbers in the place of classes: what is called accuracy is then R², the explained share of
    /// their variance.
    pub fn has_numbers(&self) -> bool {
        self.classes.is_empty()
    }

    /// The trials in the order of tables and figures: by variant as declared, cell and repeat, whatever the
    /// order in which they are run.
    pub fn ordered(&self) -> Vec<&TrialKey> {
        let place = |names: &[String], name: &str| {
            names
                .iter()
                .position(|known| known == name)
                .unwrap_or(names.len())
        };
        let mut trials: Vec<&TrialKey> = self.trials.iter().collect();
        trials.sort_by_key(|key| {
            (
                place(&self.variants, &key.variant),
                place(&self.cells, &key.cell),
                key.repeat,
            )
        });
        trials
    }
}
