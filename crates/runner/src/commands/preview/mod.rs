//! `graft preview`: what is in the pictures of an experiment, before anything is trained.

mod figure;
mod survey;
mod text;

use std::path::PathBuf;

use graft_data::{OnBadImage, ensure_present, open};

use self::{survey::Survey, text::Words};
use super::{
    Answer,
    folders::{self, list_results},
    sweep::results_root,
};
use crate::{
    cli::PreviewArgs,
    experiment::{Experiment, Settings},
    failure::{EXIT_BAD_INPUT, Failure, printable},
    progress::DownloadProgress,
};

/// Reads every picture of an experiment, says what was found, and draws some as a variant's network sees them.
pub fn preview(args: &PreviewArgs) -> Result<Answer, Failure> {
    let experiment =
        Experiment::load(&args.places.experiment, &args.places.set).map_err(Failure::bad_input)?;
    let (variant, settings) = chosen(&experiment, args.variant.as_deref())?;
    let data = folders::data(
        &args.places.data_dir,
        folders::is_offline(args.places.offline),
    );
    ensure_present(&experiment.source, &data, &mut DownloadProgress::default())
        .map_err(Failure::bad_input)?;
    // Pictures that trials leave out are named, too.
    let mut named = experiment.source.clone();
    let are_left_out = named
        .on_bad_image()
        .is_some_and(|what| std::mem::replace(what, OnBadImage::Error) == OnBadImage::Skip);
    let source = open(&named, &data).map_err(Failure::bad_input)?;
    for note in source.notes() {
        eprintln!("note: {}", printable(&note));
    }
    let survey = Survey::of(&*source);
    let root = match &args.out {
        Some(folder) => folder.clone(),
        None => results_root(&args.places.results_dir, &experiment.name),
    };
    let failed = |problem: &dyn std::fmt::Display| {
        Failure::some_failed(format!("{}: {problem}", root.display()))
            .hint("choose another folder with --out")
    };
    std::fs::create_dir_all(&root).map_err(|error| Failure {
        code: EXIT_BAD_INPUT,
        ..failed(&error)
    })?;
    let mut files: Vec<PathBuf> = Vec::new();
    let figures = figure::figures(&experiment, variant, settings, &*source, &survey)?;
    for (name, figure) in figures {
        let path = root.join(name);
        figure.write(&path).map_err(|error| failed(&error))?;
        files.push(path);
    }
    let words = Words {
        experiment: &experiment.name,
        source: &*source,
        survey: &survey,
    };
    let text = format!("{words}{}", list_results(&root, &files));
    let stops = !are_left_out && survey.unreadable() > 0;
    let failure = stops.then(|| {
        let many = if survey.unreadable() == 1 { "" } else { "s" };
        let problem = format!(
            "{} picture{many} can't be read, which ends every trial",
            survey.unreadable()
        );
        Failure::some_failed(problem)
            .hint("replace or delete the files, or leave them out with on_bad_image = \"skip\"")
    });
    Ok(Answer { text, failure })
}

/// The variant that is shown, in the first cell of the grid: that of the name, or the first one.
fn chosen<'e>(
    experiment: &'e Experiment,
    name: Option<&str>,
) -> Result<(&'e str, &'e Settings), Failure> {
    let variant = match name {
        None => experiment.variants.first(),
        Some(name) => experiment.variant(name),
    };
    let found = variant.and_then(|variant| Some((&*variant.name, variant.settings.first()?)));
    found.ok_or_else(|| {
        let names = experiment.variants.iter().map(|variant| &*variant.name);
        let names: Vec<&str> = names.collect();
        let name = printable(name.unwrap_or_default());
        Failure::bad_input(format!("there is no variant `{name}`"))
            .hint(format!("the experiment has {}", names.join(", ")))
    })
}
