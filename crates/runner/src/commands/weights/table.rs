//! The table of `graft weights`, made for 80 columns.

use std::{fmt::Write, path::Path};

use indicatif::HumanBytes;

use super::{Found, Row, State};
use crate::failure::printable;

/// Columns of a terminal.
const WIDTH: usize = 80;
/// Where the last column begins.
const LAST: usize = 37;

/// The table, with a line for the file under each line. `several` things are listed, so each says what it is for.
pub(super) fn table(rows: &[Row], several: bool) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let mut text = format!(
        "{:<9} {:>11}  {:<12}  weights\n",
        "state", "size", "fingerprint"
    );
    for row in rows {
        let (state, found) = match &row.state {
            State::There(found) => ("there", Some(found)),
            State::Fetched(found) => ("fetched", Some(found)),
            State::Missing(_) => ("missing", None),
            State::Damaged(..) => ("damaged", None),
            State::NotNeeded => ("not here", None),
        };
        let size = found.map_or("-".to_owned(), |Found { bytes, .. }| {
            HumanBytes(*bytes).to_string()
        });
        let fingerprint = found.map_or("-", |found| found.fingerprint.as_str());
        let spec = wrapped(&printable(&row.spec.to_string()));
        let _ = writeln!(text, "{state:<9} {size:>11}  {fingerprint:<12}  {spec}");
        if let Some(path) = row.state.path() {
            let _ = writeln!(text, "  {}", printable(&short(path)));
        }
        if several {
            let _ = writeln!(text, "  for {}", printable(&row.wanted_by.join(", ")));
        }
        if let Some(note) = &row.note {
            let _ = writeln!(text, "  note: {note}");
        }
    }
    text
}

/// A path with `~` for the home folder. It stays on one line, so that it can be copied.
fn short(path: &Path) -> String {
    let home = std::env::var_os("HOME").filter(|home| home.len() > 1);
    match home.and_then(|home| path.strip_prefix(home).ok().map(Path::to_owned)) {
        Some(below) => format!("~/{}", below.display()),
        None => path.display().to_string(),
    }
}

/// Text for the last column, broken after slashes where it does not fit.
fn wrapped(text: &str) -> String {
    let width = WIDTH - LAST;
    let mut lines = vec![String::new()];
    for part in text.split_inclusive('/') {
        let line = lines.last_mut().expect("there is at least one line");
        if !line.is_empty() && line.chars().count() + part.chars().count() > width {
            lines.push(part.to_owned());
        } else {
            line.push_str(part);
        }
    }
    lines.join(&format!("\n{:LAST$}", ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_addresses_are_broken_after_slashes() {
        let address = "https://download.pytorch.org/models/squeezenet1_1-b8a52dc0.pth";
        let text = wrapped(address);
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        assert_eq!(
            lines,
            [
                "https://download.pytorch.org/models/",
                "squeezenet1_1-b8a52dc0.pth"
            ]
        );
        assert!(
            text.lines()
                .skip(1)
                .all(|line| line.chars().count() <= WIDTH)
        );
        assert_eq!(
            wrapped("hf:timm/resnet18.tv_in1k"),
            "hf:timm/resnet18.tv_in1k"
        );
        assert_eq!(wrapped(""), "");
    }
}
