//! What `graft preview` says.

use std::fmt;

use graft_data::{Source, Split, Target};

use super::survey::{Place, Seen, Survey};
use crate::failure::printable;

/// Names of pictures that are listed of each kind; the rest is counted.
const LISTED: usize = 20;
/// Classes that are listed for each split; the rest is counted.
const CLASSES: usize = 50;

/// All that there is to say about the pictures of an experiment.
pub(super) struct Words<'a> {
    pub(super) experiment: &'a str,
    pub(super) source: &'a dyn Source,
    pub(super) survey: &'a Survey,
}

impl fmt::Display for Words<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.source.target() {
            Target::Classes => {
                let classes = self.source.classes().len();
                writeln!(f, "{}: {classes} classes\n", self.experiment)?;
            }
            Target::Number => writeln!(f, "{}: a number for each picture\n", self.experiment)?,
        }
        self.table(f)?;
        self.bad(f)?;
        let (across, within): (Vec<_>, Vec<_>) = self
            .survey
            .identical()
            .into_iter()
            .partition(|group| group.iter().any(|place| place.split != group[0].split));
        if !across.is_empty() {
            writeln!(
                f,
                "\nLEAK: {} in more than one split. What a network is judged by, it has been shown:",
                count(across.len(), "picture is", "pictures are")
            )?;
            self.groups(f, &across)?;
        }
        if !within.is_empty() {
            writeln!(
                f,
                "\n{} more than once in a split:",
                count(within.len(), "picture is", "pictures are")
            )?;
            self.groups(f, &within)?;
        }
        if across.is_empty() && within.is_empty() {
            writeln!(f, "\nNo picture is there twice.")?;
        }
        Ok(())
    }
}

impl Words<'_> {
    /// Counts and sizes of each split and class.
    fn table(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.source.classes().iter().map(|name| printable(name));
        let names: Vec<String> = names.collect();
        let widest = names.iter().map(|name| name.chars().count() + 2).max();
        let width = widest.unwrap_or(0).clamp(8, 40);
        writeln!(
            f,
            "{:<width$} {:>9}  {:>16}  {:>16}",
            "", "pictures", "width", "height"
        )?;
        for split in Split::ALL {
            let pictures = self.survey.split(split);
            if pictures.is_empty() {
                continue;
            }
            line(f, split.name(), width, pictures.iter())?;
            for (label, name) in names.iter().enumerate().take(CLASSES) {
                let of_class = pictures.iter().enumerate();
                let of_class = of_class
                    .filter(|(index, _)| self.source.label(split, *index) == Some(label as u32));
                let name = format!("  {name}");
                line(f, &name, width, of_class.map(|(_, picture)| picture))?;
            }
            if names.len() > CLASSES {
                writeln!(f, "  and {} more classes", names.len() - CLASSES)?;
            }
        }
        Ok(())
    }

    /// Pictures that can't be read.
    fn bad(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bad: Vec<(Place, &str)> = self.survey.bad().collect();
        if bad.is_empty() {
            return Ok(());
        }
        writeln!(
            f,
            "\n{} can't be read:",
            count(bad.len(), "picture", "pictures")
        )?;
        for (_, reason) in bad.iter().take(LISTED) {
            // It begins with the path, and a hint comes below.
            let reason = reason.lines().next().unwrap_or_default();
            writeln!(f, "  {}", printable(reason))?;
        }
        more(f, bad.len())
    }

    /// Groups of identical pictures, a line for each.
    fn groups(&self, f: &mut fmt::Formatter<'_>, groups: &[Vec<Place>]) -> fmt::Result {
        for group in groups.iter().take(LISTED) {
            let names: Vec<String> = group
                .iter()
                .map(|place| printable(&self.source.name(place.split, place.index)))
                .collect();
            let label = |place: &Place| self.source.label(place.split, place.index);
            let differ = group.iter().any(|place| label(place) != label(&group[0]));
            let note = if differ { "  (different classes)" } else { "" };
            writeln!(f, "  {}{note}", names.join(" = "))?;
        }
        more(f, groups.len())
    }
}

/// A line of the table: how many pictures, and the smallest, median and largest sides.
fn line<'s>(
    f: &mut fmt::Formatter<'_>,
    name: &str,
    width: usize,
    pictures: impl Iterator<Item = &'s Result<Seen, String>>,
) -> fmt::Result {
    let mut count = 0;
    let (mut widths, mut heights) = (Vec::new(), Vec::new());
    for picture in pictures {
        count += 1;
        if let Ok(seen) = picture {
            widths.push(seen.width);
            heights.push(seen.height);
        }
    }
    writeln!(
        f,
        "{name:<width$} {count:>9}  {:>16}  {:>16}",
        range(widths),
        range(heights)
    )
}

/// `200–500–768`: smallest, median and largest; one number if they are the same.
fn range(mut sides: Vec<u32>) -> String {
    sides.sort_unstable();
    match (sides.first(), sides.last()) {
        (Some(least), Some(most)) if least == most => least.to_string(),
        (Some(least), Some(most)) => format!("{least}–{}–{most}", sides[(sides.len() - 1) / 2]),
        _ => "-".to_owned(),
    }
}

/// `1 picture is`, `3 pictures are`.
fn count(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

/// How many were not listed.
fn more(f: &mut fmt::Formatter<'_>, total: usize) -> fmt::Result {
    match total.saturating_sub(LISTED) {
        0 => Ok(()),
        left => writeln!(f, "  and {left} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sides_are_told_in_a_few_words() {
        assert_eq!(range(vec![7]), "7");
        assert_eq!(range(vec![30, 10, 20]), "10–20–30");
        assert_eq!(range(vec![4, 1, 3, 2]), "1–2–4");
        assert_eq!(range(vec![]), "-");
    }
}
