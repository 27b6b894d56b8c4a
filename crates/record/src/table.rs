//! CSV files of one kind of row: written atomically, read with validation.

use std::{fs::File, io, path::Path};

use crate::{RecordError, atomic_write, parse_float};

/// One kind of row of a CSV file. The header stands for the version of the format.
pub trait Row: Sized {
    /// The names of the columns.
    const HEADER: &'static [&'static str];

    /// The cells in the order of the header.
    fn cells(&self) -> Vec<String>;

    /// The row with these cells.
    ///
    /// # Errors
    /// A text that says which cell is wrong and what was expected.
    fn parse(fields: &Fields<'_>) -> Result<Self, String>;

    /// Whether `self` may follow `previous` (the first row follows none).
    ///
    /// # Errors
    /// A text that says why not.
    fn follows(&self, previous: Option<&Self>) -> Result<(), String>;
}

/// The cells of one line, by column.
#[derive(Debug)]
pub struct Fields<'a> {
    header: &'static [&'static str],
    record: &'a csv::StringRecord,
}

impl Fields<'_> {
    /// The text in the column.
    ///
    /// # Errors
    /// When the column is not in the header or not in the line.
    pub fn text(&self, column: &str) -> Result<&str, String> {
        self.header
            .iter()
            .position(|name| *name == column)
            .and_then(|i| self.record.get(i))
            .ok_or_else(|| format!("there is no column `{column}`"))
    }

    /// The number in the column; an empty cell is NaN.
    ///
    /// # Errors
    /// When the cell is no number.
    pub fn float(&self, column: &str) -> Result<f64, String> {
        let text = self.text(column)?;
        parse_float(text)
            .ok_or_else(|| format!("column `{column}` is `{text}`, expected a number or nothing"))
    }

    /// The whole number in the column.
    ///
    /// # Errors
    /// When the cell is no whole number of this type.
    pub fn whole<T: std::str::FromStr>(&self, column: &str) -> Result<T, String> {
        let text = self.text(column)?;
        text.parse()
            .map_err(|_| format!("column `{column}` is `{text}`, expected a whole number"))
    }
}

/// Writes a CSV file atomically, lines ending in a line feed.
///
/// # Errors
/// [`RecordError::Rows`] for rows in a wrong order, [`RecordError::Io`] otherwise. The old file stays.
pub fn write_table<R: Row>(path: &Path, rows: &[R]) -> Result<(), RecordError> {
    for (i, row) in rows.iter().enumerate() {
        let previous = i.checked_sub(1).map(|i| &rows[i]);
        row.follows(previous).map_err(|problem| RecordError::Rows {
            path: path.to_owned(),
            row: i + 1,
            problem,
        })?;
    }
    atomic_write(path, |file| {
        let mut writer = csv::WriterBuilder::new().from_writer(file);
        writer.write_record(R::HEADER).map_err(io::Error::from)?;
        for row in rows {
            writer.write_record(row.cells()).map_err(io::Error::from)?;
        }
        writer.flush()
    })
}

/// Reads a CSV file whole; no rows if there is no such file.
///
/// # Errors
/// [`RecordError::Header`] and [`RecordError::Line`] for what can't be read, with file and line.
pub fn read_table<R: Row>(path: &Path) -> Result<Vec<R>, RecordError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(RecordError::io("read", path, error)),
    };
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .from_reader(file);
    let mut record = csv::StringRecord::new();
    let mut rows = Vec::new();
    read_header::<R>(path, &mut reader, &mut record)?;
    while read_record(path, &mut reader, &mut record)? {
        let line = record.position().map_or(0, csv::Position::line);
        let row = parse_row(&record, rows.last()).map_err(|problem| RecordError::Line {
            path: path.to_owned(),
            line,
            problem,
        })?;
        rows.push(row);
    }
    Ok(rows)
}

fn read_header<R: Row>(
    path: &Path,
    reader: &mut csv::Reader<File>,
    record: &mut csv::StringRecord,
) -> Result<(), RecordError> {
    read_record(path, reader, record)?;
    if record.iter().eq(R::HEADER.iter().copied()) {
        return Ok(());
    }
    Err(RecordError::Header {
        path: path.to_owned(),
        found: record.iter().collect::<Vec<_>>().join(","),
        expected: R::HEADER.join(","),
    })
}

fn parse_row<R: Row>(record: &csv::StringRecord, previous: Option<&R>) -> Result<R, String> {
    if record.len() != R::HEADER.len() {
        return Err(format!(
            "{} cells, expected {}",
            record.len(),
            R::HEADER.len()
        ));
    }
    let row = R::parse(&Fields {
        header: R::HEADER,
        record,
    })?;
    row.follows(previous)?;
    Ok(row)
}

fn read_record(
    path: &Path,
    reader: &mut csv::Reader<File>,
    record: &mut csv::StringRecord,
) -> Result<bool, RecordError> {
    reader.read_record(record).map_err(|error| {
        let line = error.position().map_or(0, csv::Position::line);
        match error.into_kind() {
            csv::ErrorKind::Io(error) => RecordError::io("read", path, error),
            csv::ErrorKind::Utf8 { .. } => RecordError::Line {
                path: path.to_owned(),
                line,
                problem: "not UTF-8 text".to_owned(),
            },
            other => RecordError::Line {
                path: path.to_owned(),
                line,
                problem: format!("{other:?}"),
            },
        }
    })
}
