//! `graft report`: the tables and figures of a sweep, at any time.

use std::path::{Path, PathBuf};

use graft_record::{ResultsFolder, safe_name};

use super::{Answer, folders::list_results};
use crate::{cli::ReportArgs, experiment::RawExperiment, failure::Failure};

/// Reads the records of a sweep and writes its tables and figures.
pub fn report(args: &ReportArgs) -> Result<Answer, Failure> {
    let root = find_results(&args.experiment, &args.results_dir)?;
    let results = ResultsFolder::open(&root).map_err(Failure::bad_input)?;
    let report = graft_report::write(&results).map_err(Failure::bad_input)?;
    Ok(Answer::from(format!(
        "{}{}",
        report.verdict(),
        list_results(&root, &report.files)
    )))
}

/// The results folder that is meant: a folder as it is, a file as an experiment, anything else as a name.
fn find_results(what: &Path, results_dir: &Path) -> Result<PathBuf, Failure> {
    if what.is_dir() {
        return Ok(what.to_owned());
    }
    let is_file = what.is_file()
        || what
            .extension()
            .is_some_and(|extension| extension == "toml");
    let name = if is_file {
        // Read in full for the message of a file that is no experiment; the name is all that counts here.
        RawExperiment::read(what).map_err(Failure::bad_input)?;
        name_in(what)
    } else {
        what.to_str().map(str::to_owned)
    };
    let name = name.ok_or_else(|| {
        Failure::bad_input(format!("{} has no name of an experiment", what.display()))
    })?;
    let root = results_dir.join(safe_name(&name));
    if root.is_dir() {
        return Ok(root);
    }
    Err(Failure::bad_input(format!(
        "there are no results of `{name}` in {}",
        results_dir.display()
    ))
    .hint(known_results(results_dir)))
}

/// The `name` in an experiment file.
fn name_in(file: &Path) -> Option<String> {
    let table: toml::Table = std::fs::read_to_string(file).ok()?.parse().ok()?;
    table.get("name")?.as_str().map(str::to_owned)
}

/// What could have been meant.
fn known_results(results_dir: &Path) -> String {
    let entries = std::fs::read_dir(results_dir)
        .into_iter()
        .flatten()
        .flatten();
    let mut names: Vec<String> = entries
        .filter(|entry| entry.path().join("plan.json").is_file())
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    if names.is_empty() {
        "`graft sweep EXPERIMENT` makes them, and --results-dir says where they are".to_owned()
    } else {
        format!("there are results of {}", names.join(", "))
    }
}
