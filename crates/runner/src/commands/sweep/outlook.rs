//! What a sweep will take, from the epochs of earlier ones.

use std::collections::BTreeMap;

use graft_record::{TrialFolder, TrialKey};

use super::{job_id, selection::Standing};
use crate::{
    plan::{Plan, PlannedTrial, shared_pictures},
    progress::{Outlook, TrialWork},
};

/// What is left to do, and how long epochs took in earlier sweeps.
pub(super) fn outlook(
    plan: &Plan,
    standings: &[Standing],
    folder: impl Fn(&PlannedTrial) -> TrialFolder,
) -> Outlook {
    let kind = |trial: &PlannedTrial, finds_features: bool| {
        let TrialKey { variant, cell, .. } = &trial.key;
        let shared = if finds_features { "/shared" } else { "" };
        format!("{}/{variant}/{cell}{shared}", trial.experiment)
    };
    let mut work = BTreeMap::new();
    let find_features = finds_features(plan);
    for ((trial, standing), &finds) in plan.trials.iter().zip(standings).zip(&find_features) {
        if let Standing::ToRun { epochs_done } = standing {
            let epochs = f64::from(trial.spec.recipe.epochs.saturating_sub(*epochs_done));
            work.insert(
                job_id(trial),
                TrialWork {
                    kind: kind(trial, finds),
                    epochs,
                    weight: if finds { LIGHT } else { 1.0 },
                },
            );
        }
    }
    let mut outlook = Outlook::new(work);
    for (trial, &finds) in plan.trials.iter().zip(&find_features) {
        // Timing that can't be read says nothing.
        for row in folder(trial).timing().unwrap_or_default() {
            outlook.measured(&kind(trial, finds), row.seconds);
        }
    }
    outlook
}

/// An epoch on features that are there, as part of one that computes them.
const LIGHT: f64 = 0.05;

/// Whether each trial of the plan finds its features computed by those before it.
fn finds_features(plan: &Plan) -> Vec<bool> {
    let mut epochs_before: BTreeMap<String, u64> = BTreeMap::new();
    let finds = plan.trials.iter().map(|PlannedTrial { spec, .. }| {
        let (Some(views), Some(key)) = (spec.kept_views(), shared_pictures(spec)) else {
            return false;
        };
        let before = epochs_before.entry(key).or_default();
        let finds = *before >= u64::from(views);
        *before += u64::from(spec.recipe.epochs);
        finds
    });
    finds.collect()
}
