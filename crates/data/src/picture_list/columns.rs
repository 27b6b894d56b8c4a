//! The columns of a list, found by their headings.

use std::path::Path;

use csv::ByteRecord;

use super::rows::wrong;
use crate::{CsvSpec, DataError, error::list};

/// Headings under which pictures are looked for, the first that is there.
const IMAGE_COLUMNS: [&str; 4] = ["image", "filename", "file", "path"];

/// The heading under which the split is looked for.
const SPLIT_COLUMN: &str = "split";

/// The columns of a list that count.
pub(super) struct Columns {
    pub(super) image: usize,
    pub(super) answer: usize,
    pub(super) is_number: bool,
    pub(super) split: Option<(usize, String)>,
}

impl Columns {
    /// Whether what stands in a column counts.
    pub(super) fn has(&self, column: usize) -> bool {
        let split = self.split.as_ref().map(|(column, _)| *column);
        [Some(self.image), Some(self.answer), split].contains(&Some(column))
    }

    /// Finds them by their headings.
    pub(super) fn find(
        path: &Path,
        headings: &ByteRecord,
        spec: &CsvSpec,
    ) -> Result<Self, DataError> {
        let headings: Vec<String> = headings
            .iter()
            .map(|heading| String::from_utf8_lossy(heading).into_owned())
            .collect();
        for (place, heading) in headings.iter().enumerate() {
            if headings[..place].contains(heading) && !heading.is_empty() {
                let reason = format!("there are two columns `{heading}`");
                return Err(wrong(path, 1, &reason, Some("rename one of them")));
            }
        }
        let find = |name: &str| headings.iter().position(|heading| heading == name);
        let named = |name: &str| find(name).ok_or_else(|| no_column(path, name, &headings));
        let image = match &spec.image {
            Some(name) => named(name)?,
            None => IMAGE_COLUMNS
                .iter()
                .find_map(|name| find(name))
                .ok_or_else(|| {
                    let reason = format!(
                        "there is no column with the pictures, `{}`; the columns are {}",
                        IMAGE_COLUMNS.join("`, `"),
                        list(&headings)
                    );
                    wrong(path, 1, &reason, Some("name it with `image`"))
                })?,
        };
        let (answer, is_number) = match (&spec.label, &spec.number) {
            (Some(label), None) => (named(label)?, false),
            (None, Some(number)) => (named(number)?, true),
            _ => {
                return Err(DataError::Spec(
                    "expected one of `label` and `number`, the column with the classes or with the numbers".to_owned(),
                ));
            }
        };
        let split = match &spec.split {
            Some(name) => Some((named(name)?, name.clone())),
            None => find(SPLIT_COLUMN).map(|place| (place, SPLIT_COLUMN.to_owned())),
        };
        Ok(Self {
            image,
            answer,
            is_number,
            split,
        })
    }
}

fn no_column(path: &Path, name: &str, headings: &[String]) -> DataError {
    let near = headings
        .iter()
        .map(|heading| {
            let (wanted, heading_) = (name.to_lowercase(), heading.to_lowercase());
            (strsim::osa_distance(&wanted, &heading_), heading)
        })
        .filter(|(distance, _)| *distance <= (name.chars().count() / 3).max(1))
        .min();
    let near = near.map_or_else(String::new, |(_, heading)| {
        format!("did you mean `{heading}`? ")
    });
    let reason = format!(
        "there is no column `{name}`; {near}the columns are {}",
        list(headings)
    );
    let semicolons = headings.len() == 1 && headings[0].contains(';');
    let hint = semicolons.then_some("columns are separated by commas, not by semicolons");
    wrong(path, 1, &reason, hint)
}
