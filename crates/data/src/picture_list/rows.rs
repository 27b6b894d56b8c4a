//! The rows of a list, each checked.

use std::{
    collections::{HashMap, hash_map::Entry},
    path::{Component, Path},
};

use csv::ByteRecord;

use super::{
    columns::Columns,
    quotes::{LongField, is_line_break, long_fields},
};
use crate::{CsvSpec, DataError, LineProblem, Split, file};

/// A list that was read.
pub(super) struct Rows {
    pub(super) rows: Vec<Row>,
    /// The column that says the split, if there is one.
    pub(super) split_column: Option<String>,
}

/// One picture.
pub(super) struct Row {
    /// Its path below the pictures' folder, with `/`.
    pub(super) name: String,
    pub(super) cell: Cell,
    pub(super) split: Option<Split>,
}

/// What is to be told about a picture.
pub(super) enum Cell {
    Label(String),
    Number(f32),
}

/// Reads a list. Its pictures must be below `root`.
///
/// # Errors
/// With all of its lines that are wrong.
pub(super) fn read(path: &Path, root: &Path, spec: &CsvSpec) -> Result<Rows, DataError> {
    let bytes = file::read(path)?;
    let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
    if text.starts_with(b"\xff\xfe") || text.starts_with(b"\xfe\xff") {
        let reason = "it is UTF-16, expected UTF-8";
        return Err(whole(path, reason, "save it as \"CSV UTF-8\""));
    }
    if text.iter().all(u8::is_ascii_whitespace) {
        let hint = "expected a line of headings, and a line for each picture";
        return Err(whole(path, "it is empty", hint));
    }
    let long = long_fields(text);
    let is_misplaced = |field: &LongField| field.end.is_none() || !field.ends_there;
    check_quotes(path, long.iter().filter(|field| is_misplaced(field)))?;
    let mut reader = csv::ReaderBuilder::new()
        .trim(csv::Trim::All)
        .flexible(true)
        .from_reader(text);
    let headings = reader
        .byte_headers()
        .map_err(|error| wrong(path, 1, &error.to_string(), None))?
        .clone();
    let table = Table {
        path,
        root,
        headings: headings.len(),
        columns: Columns::find(path, &headings, spec)?,
    };
    let counts = |field: &&LongField| table.columns.has(field.column);
    check_quotes(path, long.iter().filter(counts))?;
    let rows = table.rows(&mut reader, text)?;
    if rows.is_empty() {
        let hint = "expected a line for each picture below the headings";
        return Err(whole(path, "it lists no pictures", hint));
    }
    Ok(Rows {
        rows,
        split_column: table.columns.split.map(|(_, name)| name),
    })
}

/// Refuses these fields.
fn check_quotes<'f>(
    path: &Path,
    fields: impl Iterator<Item = &'f LongField>,
) -> Result<(), DataError> {
    let wrong = fields.map(|field| {
        let reason = match field.end {
            None => "the quote is never closed".to_owned(),
            Some(end) => format!("the quote is not closed before line {end}"),
        };
        let hint = "no name, class or number has a line break; a quote that belongs to a text stands there twice, \
                    in a text in quotes";
        LineProblem::new(field.line, &reason, Some(hint))
    });
    DataError::of_lines(path, wrong.collect()).map_or(Ok(()), Err)
}

/// What a row is read with.
struct Table<'a> {
    path: &'a Path,
    root: &'a Path,
    /// Number of headings.
    headings: usize,
    columns: Columns,
}

impl Table<'_> {
    /// All rows below the headings.
    fn rows(&self, reader: &mut csv::Reader<&[u8]>, text: &[u8]) -> Result<Vec<Row>, DataError> {
        let mut lines = Lines {
            text,
            at: 0,
            line: 1,
        };
        let (mut rows, mut problems) = (Vec::new(), Vec::new());
        let mut seen: HashMap<String, u64> = HashMap::new();
        let mut record = ByteRecord::new();
        loop {
            match reader.read_byte_record(&mut record) {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => return Err(wrong(self.path, lines.line, &error.to_string(), None)),
            }
            let start = record.position().map_or(0, csv::Position::byte) as usize;
            let end = reader.position().byte() as usize;
            let line = lines.of(start);
            let has_quotes = text
                .get(start..end)
                .is_some_and(|written| written.contains(&b'"'));
            let row = self.row(&record, line, has_quotes).and_then(|row| {
                match seen.entry(row.name.clone()) {
                    Entry::Vacant(place) => {
                        place.insert(line);
                        Ok(row)
                    }
                    Entry::Occupied(first) => {
                        let reason = format!("`{}` is in line {} already", row.name, first.get());
                        let hint = "leave one of the two out";
                        Err(LineProblem::new(line, &reason, Some(hint)))
                    }
                }
            });
            match row {
                Ok(row) => rows.push(row),
                Err(problem) => problems.push(problem),
            }
        }
        DataError::of_lines(self.path, problems).map_or(Ok(rows), Err)
    }

    fn row(&self, record: &ByteRecord, line: u64, has_quotes: bool) -> Result<Row, LineProblem> {
        if record.len() != self.headings {
            let reason = format!(
                "it has {} columns, the headings are {}",
                record.len(),
                self.headings
            );
            let hint = if has_quotes {
                "a quote that begins a text joins it with what follows, up to the next quote; one that belongs to a \
                 text stands there twice, in a text in quotes"
            } else {
                "a text with a comma stands in double quotes"
            };
            return Err(LineProblem::new(line, &reason, Some(hint)));
        }
        let Columns {
            image,
            answer,
            is_number,
            ref split,
        } = self.columns;
        let name = self.name(text_of(record, image, line)?, line)?;
        let cell = text_of(record, answer, line)?;
        let cell = if is_number {
            Cell::Number(number(cell, line)?)
        } else if cell.is_empty() {
            return Err(LineProblem::new(line, "the class is empty", None));
        } else {
            Cell::Label(cell.to_owned())
        };
        let split = match split {
            None => None,
            Some((column, _)) => {
                let word = text_of(record, *column, line)?;
                let split = Split::ALL.into_iter().find(|split| split.name() == word);
                Some(split.ok_or_else(|| {
                    let reason = format!("`{word}` is no split, expected `train`, `val` or `test`");
                    LineProblem::new(line, &reason, None)
                })?)
            }
        };
        Ok(Row { name, cell, split })
    }

    /// The path of a picture below the root, if that is where it is.
    fn name(&self, written: &str, line: u64) -> Result<String, LineProblem> {
        if written.is_empty() {
            let reason = "the name of the picture is empty";
            return Err(LineProblem::new(line, reason, None));
        }
        let mut parts = Vec::new();
        for component in Path::new(written).components() {
            match component {
                Component::Normal(part) => parts.push(part.to_string_lossy()),
                Component::CurDir => {}
                _ => {
                    let reason = format!("`{written}` is outside of {}", self.root.display());
                    let hint = "pictures are named by their path below the folder of the list; \
                                `root` names another folder";
                    return Err(LineProblem::new(line, &reason, Some(hint)));
                }
            }
        }
        let name = parts.join("/");
        let file = self.root.join(&name);
        if file.is_file() {
            return Ok(name);
        }
        let hint = if name.contains('\\') {
            "write `/` between folders"
        } else {
            "pictures are named by their path below the folder of the list; `root` names another folder"
        };
        let reason = format!("there is no file {}", file.display());
        Err(LineProblem::new(line, &reason, Some(hint)))
    }
}

/// Counts lines by the byte that a row begins at.
struct Lines<'t> {
    text: &'t [u8],
    at: usize,
    line: u64,
}

impl Lines<'_> {
    /// The line of a row, whose position may be before the end of the line above it or before blank lines.
    fn of(&mut self, start: usize) -> u64 {
        let rest = self.text.get(start..).unwrap_or_default();
        let blank = rest.iter().take_while(|byte| matches!(byte, b'\r' | b'\n'));
        let start = (start + blank.count()).min(self.text.len());
        while self.at < start {
            self.line += u64::from(is_line_break(self.text, self.at));
            self.at += 1;
        }
        self.line
    }
}

/// The text of a cell.
fn text_of(record: &ByteRecord, column: usize, line: u64) -> Result<&str, LineProblem> {
    std::str::from_utf8(record.get(column).unwrap_or_default())
        .map_err(|_| LineProblem::new(line, "it is not UTF-8", Some("save the list as UTF-8")))
}

/// The number in a cell.
fn number(written: &str, line: u64) -> Result<f32, LineProblem> {
    let number = written
        .parse::<f32>()
        .ok()
        .filter(|number| number.is_finite());
    number.ok_or_else(|| {
        let hint = (written.contains(',') && written.replace(',', ".").parse::<f32>().is_ok())
            .then_some("write a point in the place of the comma");
        let reason = if written.is_empty() {
            "the number is empty".to_owned()
        } else {
            format!("`{written}` is not a finite number")
        };
        LineProblem::new(line, &reason, hint)
    })
}

/// A wrong line.
pub(super) fn wrong(path: &Path, line: u64, reason: &str, hint: Option<&str>) -> DataError {
    let LineProblem { line, reason, hint } = LineProblem::new(line, reason, hint);
    DataError::Line {
        path: path.to_owned(),
        line,
        reason,
        hint,
    }
}

fn whole(path: &Path, reason: &str, hint: &str) -> DataError {
    DataError::Format {
        path: path.to_owned(),
        reason: reason.to_owned(),
        hint: hint.to_owned(),
    }
}
