//! `graft sweep --dry-run`: what would be run, and how long it might take. Writes nothing.

use std::fmt::Write;

use graft_data::DataFolders;
use graft_model::WeightsFolders;

use super::{
    Answer, Standing, materials::Materials, outlook::outlook, repeats::Repeats, standings,
    trial_folder,
};
use crate::{
    cli::SweepArgs,
    experiment::{Experiment, Until},
    failure::Failure,
    plan::{Estimate, Plan, Sharing, sharing},
    progress::rough,
};

/// Prints the plan of a sweep.
pub(super) fn dry_run(
    args: &SweepArgs,
    experiment: &Experiment,
    data: &DataFolders,
    weights: &WeightsFolders,
    workers: usize,
) -> Result<Answer, Failure> {
    let mut materials = Materials::look(experiment, data, weights);
    if data.offline && !materials.missing.is_empty() {
        return Materials::gather(experiment, data, weights).map(|_| Answer::default());
    }
    materials.check()?;
    let plan = Plan::new(experiment, &mut materials)?;
    let folder = |trial: &_| trial_folder(&args.places.results_dir, trial);
    let standings = standings(&plan, folder, args.retry_failed)?;
    let repeats = Repeats::new(experiment, &plan, &standings, folder);
    let (plan, standings, held) = wanted(&plan, standings, &repeats);
    let mut places = 0..;
    let finished = |_: &_| {
        places
            .next()
            .is_some_and(|place: usize| standings[place] == Standing::Finished)
    };
    let estimate = Estimate::new(&plan, |data| materials.pictures(data), finished);
    let mut text = estimate.to_string();
    if let Some(Until { min, interval }) = experiment.until {
        let _ = writeln!(
            text,
            "repeats: {min} to {}, until the 95 % interval of the last validation accuracy is narrower than {interval}; \
             up to {held} more trials",
            experiment.repeats
        );
    }
    let planned = plan.trials.iter().zip(&standings);
    let trials = planned.filter(|(_, standing)| matches!(standing, Standing::ToRun { .. }));
    let trials = trials.map(|(trial, _)| trial);
    for shared in sharing(trials, |trial| materials.pictures(&trial.spec.data)) {
        let Sharing {
            trials,
            views,
            passes,
        } = shared;
        let _ = writeln!(
            text,
            "shared: {views} {} of every picture for {trials} frozen {}, at most {passes} pictures through the backbone",
            if views == 1 { "view" } else { "views" },
            if trials == 1 { "trial" } else { "trials" },
        );
    }
    let left_alone = standings
        .iter()
        .filter(|s| matches!(s, Standing::Failed(_) | Standing::Blocked(_)))
        .count();
    let to_run = standings
        .iter()
        .filter(|s| matches!(s, Standing::ToRun { .. }))
        .count();
    if left_alone > 0 {
        let _ = writeln!(
            text,
            "{left_alone} failed earlier and are left alone; --retry-failed runs them again"
        );
    }
    let time = match outlook(&plan, &standings, folder).remaining(workers.min(to_run.max(1))) {
        _ if to_run == 0 => "nothing to do".to_owned(),
        Some(time) => format!("about {}, by the timing of earlier trials", rough(time)),
        None => "unknown: no trial of this experiment has been timed yet".to_owned(),
    };
    let _ = writeln!(text, "workers: {}", workers.min(to_run.max(1)));
    let _ = writeln!(text, "time: {time}");
    for missing in &materials.missing {
        let first = missing.lines().next().unwrap_or_default();
        let _ = writeln!(text, "not here yet: {first}");
    }
    Ok(Answer::from(text))
}

/// The trials that will be run for certain, or were, with their standings; and the number of the others.
fn wanted(
    plan: &Plan,
    standings: Vec<Standing>,
    repeats: &Repeats<'_>,
) -> (Plan, Vec<Standing>, usize) {
    let all = plan.trials.len();
    let planned = plan.trials.iter().cloned().zip(standings).enumerate();
    let wanted = planned.filter(|(place, _)| repeats.is_wanted(*place));
    let (trials, standings): (Vec<_>, Vec<_>) = wanted.map(|(_, planned)| planned).unzip();
    let held = all - trials.len();
    (Plan { trials }, standings, held)
}
