//! `graft list`: the networks there are.

use std::fmt::Write;

use graft_model::{Entry, registry};

use super::Answer;
use crate::{cli::ListArgs, failure::Failure};

/// Prints every kind of network, one a line, and where its weights are if that is asked for.
pub fn list(args: &ListArgs) -> Answer {
    let wanted = |entry: &&Entry| {
        args.words
            .iter()
            .all(|word| entry.name.contains(word) || entry.about.contains(word))
    };
    let entries: Vec<&Entry> = registry().iter().filter(wanted).collect();
    if entries.is_empty() {
        let failure = Failure::bad_input(format!(
            "no network has `{}` in its name or description",
            args.words.join("`, `")
        ));
        return Answer {
            text: String::new(),
            failure: Some(failure.hint("`graft list` without words lists them all")),
        };
    }
    let width = entries.iter().map(|entry| entry.name.len()).max();
    let width = width.unwrap_or(0);
    let mut text = String::new();
    for entry in entries {
        let fixed = if entry.extractor { "; frozen only" } else { "" };
        let (name, size, about) = (entry.name, entry.default_size, entry.about);
        writeln!(text, "{name:width$}  {size:>3}  {about}{fixed}").expect("a string takes all");
        for source in entry.weights.iter().filter(|_| args.weights) {
            writeln!(text, "{:width$}       {}", "", source.spec).expect("a string takes all");
        }
    }
    Answer::from(text)
}
