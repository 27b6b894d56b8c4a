//! Which trials share what a frozen backbone makes of the pictures.

use std::collections::BTreeMap;

use graft_model::{BatchNormMode, TransferMode};
use graft_trainer::TrialSpec;

use super::{Pictures, PlannedTrial};

/// What the features of a trial depend on, if its backbone never changes: trials with the same text share them.
pub fn shared_features(spec: &TrialSpec) -> Option<String> {
    let fixed = spec.transfer.mode == TransferMode::Frozen
        && spec.transfer.batch_norm == BatchNormMode::Running;
    fixed.then(|| {
        let weights = spec.weights_fingerprint.as_deref().unwrap_or("none");
        format!(
            "{} {weights} {:?} {:?}",
            spec.data_fingerprint, spec.model, spec.data.transform
        )
    })
}

/// As [`shared_features`], of trials that also learn from the same pictures.
pub fn shared_pictures(spec: &TrialSpec) -> Option<String> {
    let key = shared_features(spec)?;
    let subset = spec.data.subset;
    Some(if subset.is_whole() {
        key
    } else {
        format!("{key} {subset:?} of repeat {}", spec.repeat)
    })
}

/// How many trials share how many forward passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sharing {
    /// Trials that are to be run.
    pub trials: u64,
    /// Views of each training picture.
    pub views: u32,
    /// Pictures that pass through the backbone, all trials together: at most so many, and fewer if features of an earlier
    /// sweep are there.
    pub passes: u64,
}

/// What the trials of `to_run` share, a line for each backbone whose training pictures have a fixed number of views, in
/// the order of the plan.
pub fn sharing<'t>(
    to_run: impl Iterator<Item = &'t PlannedTrial>,
    mut pictures: impl FnMut(&PlannedTrial) -> Option<Pictures>,
) -> Vec<Sharing> {
    let mut places: BTreeMap<String, usize> = BTreeMap::new();
    let mut lines: Vec<(Sharing, Pictures)> = Vec::new();
    for trial in to_run {
        let (Some(key), Some(views), Some(pictures)) = (
            shared_pictures(&trial.spec),
            trial.spec.kept_views(),
            pictures(trial),
        ) else {
            continue;
        };
        let place = *places.entry(key).or_insert_with(|| {
            let sharing = Sharing {
                trials: 0,
                views,
                passes: 0,
            };
            lines.push((sharing, pictures));
            lines.len() - 1
        });
        let sharing = &mut lines[place].0;
        sharing.trials += 1;
        let shown = u64::from(trial.spec.recipe.epochs).saturating_mul(pictures.train);
        sharing.passes = sharing.passes.saturating_add(shown);
    }
    lines
        .into_iter()
        .map(|(sharing, pictures)| {
            let most = u64::from(sharing.views).saturating_mul(pictures.train);
            Sharing {
                passes: sharing.passes.min(most).saturating_add(pictures.val),
                ..sharing
            }
        })
        .collect()
}
