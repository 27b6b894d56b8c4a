//! `graft split`: divides a folder of pictures into splits with class folders.

mod pictures;
mod write;

use std::{
    fs,
    path::{Path, PathBuf},
};

use graft_data::{Amount, Split, draw_parts};

use self::pictures::{Class, Found};
use super::Answer;
use crate::{
    cli::SplitArgs,
    failure::{Failure, printable},
};

/// Files that are no pictures to name at most.
const NAMED: usize = 10;

/// Divides the pictures of a folder into splits.
pub fn split(args: &SplitArgs) -> Result<Answer, Failure> {
    let from = fs::canonicalize(&args.from).map_err(|error| {
        Failure::bad_input(format!("failed to read {}: {error}", args.from.display()))
    })?;
    check_place(args, &from)?;
    let Found { classes, others } = pictures::find(&from)?;
    let splits = draw(args, &classes)?;
    write::write(&args.to, args.link, &classes, &splits)?;
    if !others.is_empty() {
        let named: Vec<String> = others
            .iter()
            .take(NAMED)
            .map(|path| printable(&path.strip_prefix(&from).unwrap_or(path).to_string_lossy()))
            .collect();
        let more = match others.len().saturating_sub(NAMED) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        eprintln!(
            "note: left out what is no picture: {}{more}",
            named.join(", ")
        );
    }
    Ok(Answer::from(table(&classes, &splits)))
}

/// Whether the pictures can be written where they are to be.
fn check_place(args: &SplitArgs, from: &Path) -> Result<(), Failure> {
    let to = args.to.display();
    if !from.is_dir() {
        let message = format!("{} is no folder", args.from.display());
        return Err(Failure::bad_input(message));
    }
    match fs::read_dir(&args.to).map(|mut entries| entries.next().is_some()) {
        Ok(true) => {
            return Err(Failure::bad_input(format!("{to} is not empty"))
                .hint("nothing is overwritten: name a folder that does not exist"));
        }
        Err(_) if args.to.symlink_metadata().is_ok() => {
            return Err(Failure::bad_input(format!("{to} is no folder"))
                .hint("nothing is overwritten: name a folder that does not exist"));
        }
        Ok(false) | Err(_) => {}
    }
    // The nearest folder above that is there already.
    let whole = std::path::absolute(&args.to).map_err(Failure::bad_input)?;
    let there = whole
        .ancestors()
        .find_map(|above| fs::canonicalize(above).ok());
    if there.is_some_and(|there| there.starts_with(from)) {
        return Err(
            Failure::bad_input(format!("{to} is inside of {}", args.from.display()))
                .hint("name a folder beside it"),
        );
    }
    Ok(())
}

/// The pictures of a split, as places in each class.
struct Drawn {
    split: Split,
    classes: Vec<Vec<usize>>,
}

/// Draws the splits.
fn draw(args: &SplitArgs, classes: &[Class]) -> Result<Vec<Drawn>, Failure> {
    let amounts = [
        (Split::Train, Some(args.train)),
        (Split::Val, Some(args.val)),
        (Split::Test, args.test),
    ];
    let amounts: Vec<(Split, Amount)> = amounts
        .into_iter()
        .filter_map(|(split, amount)| Some((split, amount?)))
        .collect();
    let all: usize = classes.iter().map(|class| class.pictures.len()).sum();
    let wanted: Vec<Amount> = amounts.iter().map(|(_, amount)| *amount).collect();
    let counts = Amount::resolve(&wanted, all).ok_or_else(|| {
        let wanted: Vec<String> = amounts.iter().map(|(s, a)| format!("{a} {s}")).collect();
        let there: Vec<String> = classes
            .iter()
            .map(|class| format!("{} {}", class.pictures.len(), printable(&class.name)))
            .collect();
        Failure::bad_input(format!(
            "{} are more pictures than there are: {all} ({})",
            wanted.join(" + "),
            there.join(", ")
        ))
        .hint("amounts are over all classes; ask for fewer")
    })?;
    let mut starts = Vec::with_capacity(classes.len());
    let mut groups = Vec::with_capacity(classes.len());
    let mut start = 0;
    for class in classes {
        starts.push(start);
        groups.push((start..start + class.pictures.len()).collect());
        start += class.pictures.len();
    }
    let parts = draw_parts(&groups, &counts, args.seed);
    let mut splits = Vec::new();
    for ((split, _), part) in amounts.iter().zip(parts) {
        let mut drawn = vec![Vec::new(); classes.len()];
        for picture in part {
            let class = starts.partition_point(|start| *start <= picture) - 1;
            drawn[class].push(picture - starts[class]);
        }
        if let Some(empty) = drawn.iter().position(Vec::is_empty) {
            let class = printable(&classes[empty].name);
            return Err(Failure::bad_input(format!(
                "the class {class} would have no pictures in the {split} split"
            ))
            .hint(format!(
                "ask for more {split} pictures, or leave the class out"
            )));
        }
        splits.push(Drawn {
            split: *split,
            classes: drawn,
        });
    }
    Ok(splits)
}

/// The number of pictures of each class in each split.
fn table(classes: &[Class], splits: &[Drawn]) -> String {
    let mut rows: Vec<Vec<String>> = Vec::new();
    let mut heads = vec!["class".to_owned()];
    heads.extend(splits.iter().map(|drawn| drawn.split.name().to_owned()));
    heads.push("left out".to_owned());
    rows.push(heads);
    let mut totals = vec![0; splits.len() + 1];
    for (place, class) in classes.iter().enumerate() {
        let mut counts: Vec<usize> = splits.iter().map(|s| s.classes[place].len()).collect();
        let taken: usize = counts.iter().sum();
        counts.push(class.pictures.len() - taken);
        for (total, count) in totals.iter_mut().zip(&counts) {
            *total += count;
        }
        let counts = counts.iter().map(usize::to_string);
        rows.push([printable(&class.name)].into_iter().chain(counts).collect());
    }
    let totals = totals.iter().map(usize::to_string);
    rows.push(["total".to_owned()].into_iter().chain(totals).collect());
    let width = |column: usize| {
        let lengths = rows.iter().map(|row| row[column].chars().count());
        lengths.max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..rows[0].len()).map(width).collect();
    let mut text = String::new();
    for row in &rows {
        for (column, (cell, &width)) in row.iter().zip(&widths).enumerate() {
            let cell = match column {
                0 => format!("{cell:<width$}"),
                _ => format!("  {cell:>width$}"),
            };
            text.push_str(&cell);
        }
        text.push('\n');
    }
    text
}

/// A path as a person reads it.
fn shown(path: &Path) -> String {
    printable(&PathBuf::from(path).to_string_lossy())
}
