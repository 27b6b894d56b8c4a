//! The rows of a list, each checked.

use std::{
    collections::HashMap,
    path::{Component, Path},
};

use csv::ByteRecord;

use crate::{CsvSpec, DataError, Split, error::list, file};

/// Headings under which pictures are looked for, the first that is there.
const IMAGE_COLUMNS: [&str; 4] = ["image", "filename", "file", "path"];

/// The heading under which the split is looked for.
const SPLIT_COLUMN: &str = "split";

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
    let mut reader = csv::ReaderBuilder::new()
        .trim(csv::Trim::All)
        .from_reader(text);
    let mut lines = Lines {
        text,
        at: 0,
        line: 1,
    };
    let headings = reader
        .byte_headers()
        .map_err(|error| csv_error(path, &mut lines, &error))?
        .clone();
    let table = Table {
        path,
        root,
        columns: Columns::find(path, &headings, spec)?,
    };
    let mut rows = Vec::new();
    let mut seen: HashMap<String, u64> = HashMap::new();
    let mut record = ByteRecord::new();
    loop {
        match reader.read_byte_record(&mut record) {
            Ok(true) => {}
            Ok(false) => break,
            Err(error) => return Err(csv_error(path, &mut lines, &error)),
        }
        let line = lines.of(record.position());
        let row = table.row(&record, line)?;
        if let Some(first) = seen.insert(row.name.clone(), line) {
            let reason = format!("`{}` is in line {first} already", row.name);
            return Err(table.wrong(line, reason, Some("leave one of the two out")));
        }
        rows.push(row);
    }
    if rows.is_empty() {
        let hint = "expected a line for each picture below the headings";
        return Err(whole(path, "it lists no pictures", hint));
    }
    Ok(Rows {
        rows,
        split_column: table.columns.split.map(|(_, name)| name),
    })
}

/// The columns of a list that count.
struct Columns {
    image: usize,
    answer: usize,
    is_number: bool,
    split: Option<(usize, String)>,
}

impl Columns {
    fn find(path: &Path, headings: &ByteRecord, spec: &CsvSpec) -> Result<Self, DataError> {
        let headings: Vec<String> = headings
            .iter()
            .map(|heading| String::from_utf8_lossy(heading).into_owned())
            .collect();
        for (place, heading) in headings.iter().enumerate() {
            if headings[..place].contains(heading) && !heading.is_empty() {
                let reason = format!("there are two columns `{heading}`");
                return Err(heading_error(path, reason, Some("rename one of them")));
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
                    heading_error(path, reason, Some("name it with `image`"))
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

/// What a row is read with.
struct Table<'a> {
    path: &'a Path,
    root: &'a Path,
    columns: Columns,
}

impl Table<'_> {
    fn row(&self, record: &ByteRecord, line: u64) -> Result<Row, DataError> {
        let Columns {
            image,
            answer,
            is_number,
            ref split,
        } = self.columns;
        let name = self.name(self.cell(record, image, line)?, line)?;
        let cell = self.cell(record, answer, line)?;
        let cell = if is_number {
            Cell::Number(self.number(cell, line)?)
        } else if cell.is_empty() {
            return Err(self.wrong(line, "the class is empty".to_owned(), None));
        } else {
            Cell::Label(cell.to_owned())
        };
        let split = match split {
            None => None,
            Some((column, _)) => {
                let word = self.cell(record, *column, line)?;
                let split = Split::ALL.into_iter().find(|split| split.name() == word);
                Some(split.ok_or_else(|| {
                    let reason = format!("`{word}` is no split, expected `train`, `val` or `test`");
                    self.wrong(line, reason, None)
                })?)
            }
        };
        Ok(Row { name, cell, split })
    }

    /// The text of a cell.
    fn cell<'r>(
        &self,
        record: &'r ByteRecord,
        column: usize,
        line: u64,
    ) -> Result<&'r str, DataError> {
        std::str::from_utf8(record.get(column).unwrap_or_default()).map_err(|_| {
            let reason = "it is not UTF-8".to_owned();
            self.wrong(line, reason, Some("save the list as UTF-8"))
        })
    }

    /// The path of a picture below the root, if that is where it is.
    fn name(&self, written: &str, line: u64) -> Result<String, DataError> {
        if written.is_empty() {
            return Err(self.wrong(line, "the name of the picture is empty".to_owned(), None));
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
                    return Err(self.wrong(line, reason, Some(hint)));
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
        Err(self.wrong(line, reason, Some(hint)))
    }

    fn number(&self, written: &str, line: u64) -> Result<f32, DataError> {
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
            self.wrong(line, reason, hint)
        })
    }

    fn wrong(&self, line: u64, reason: String, hint: Option<&str>) -> DataError {
        wrong(self.path, line, reason, hint)
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
    fn of(&mut self, position: Option<&csv::Position>) -> u64 {
        let start = position.map_or(self.at, |position| position.byte() as usize);
        let rest = self.text.get(start..).unwrap_or_default();
        let blank = rest.iter().take_while(|byte| matches!(byte, b'\r' | b'\n'));
        let start = (start + blank.count()).min(self.text.len());
        if let Some(passed) = self.text.get(self.at..start) {
            self.line += memchr::memchr_iter(b'\n', passed).count() as u64;
            self.at = start;
        }
        self.line
    }
}

/// What the `csv` crate finds wrong.
fn csv_error(path: &Path, lines: &mut Lines<'_>, error: &csv::Error) -> DataError {
    match error.kind() {
        csv::ErrorKind::UnequalLengths {
            pos,
            expected_len,
            len,
        } => wrong(
            path,
            lines.of(pos.as_ref()),
            format!("it has {len} columns, the headings are {expected_len}"),
            Some("a text with a comma stands in double quotes"),
        ),
        _ => wrong(path, lines.of(error.position()), error.to_string(), None),
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
    heading_error(path, reason, hint)
}

fn heading_error(path: &Path, reason: String, hint: Option<&str>) -> DataError {
    wrong(path, 1, reason, hint)
}

fn wrong(path: &Path, line: u64, reason: String, hint: Option<&str>) -> DataError {
    DataError::Line {
        path: path.to_owned(),
        line,
        reason,
        hint: hint.map(str::to_owned),
    }
}

fn whole(path: &Path, reason: &str, hint: &str) -> DataError {
    DataError::Format {
        path: path.to_owned(),
        reason: reason.to_owned(),
        hint: hint.to_owned(),
    }
}
