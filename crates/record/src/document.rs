//! JSON and TOML files with a format number.

use std::{fs, io, io::Write, path::Path};

use serde::{Serialize, de::DeserializeOwned};

use crate::{RecordError, atomic_write};

/// The text of a file, or none if there is no such file.
pub(crate) fn read_text(path: &Path) -> Result<Option<String>, RecordError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(RecordError::io("read", path, error)),
    }
}

pub(crate) fn write_json<T: Serialize>(path: &Path, value: &T) -> Result<(), RecordError> {
    let text = serde_json::to_string_pretty(value).map_err(|e| RecordError::encode(path, &e))?;
    write_text(path, &(text + "\n"))
}

pub(crate) fn write_toml<T: Serialize>(path: &Path, value: &T) -> Result<(), RecordError> {
    let text = toml::to_string_pretty(value).map_err(|e| RecordError::encode(path, &e))?;
    write_text(path, &text)
}

pub(crate) fn write_text(path: &Path, text: &str) -> Result<(), RecordError> {
    atomic_write(path, |writer| writer.write_all(text.as_bytes()))
}

/// Reads a JSON file of format `expected`; none if there is no such file.
pub(crate) fn read_json<T: DeserializeOwned>(
    path: &Path,
    expected: u32,
) -> Result<Option<T>, RecordError> {
    let Some(text) = read_text(path)? else {
        return Ok(None);
    };
    let value: serde_json::Value =
        serde_json::from_str(&text).map_err(|e| RecordError::document(path, &e))?;
    let format = value.get("format").map(ToString::to_string);
    check_format(path, format, expected)?;
    // From the text and not from the value, so that a message has line and column.
    serde_json::from_str(&text)
        .map(Some)
        .map_err(|e| RecordError::document(path, &e))
}

/// Reads a TOML file of format `expected`; none if there is no such file.
pub(crate) fn read_toml<T: DeserializeOwned>(
    path: &Path,
    expected: u32,
) -> Result<Option<T>, RecordError> {
    let Some(text) = read_text(path)? else {
        return Ok(None);
    };
    let table: toml::Table = toml::from_str(&text).map_err(|e| RecordError::document(path, &e))?;
    let format = table.get("format").map(ToString::to_string);
    check_format(path, format, expected)?;
    toml::from_str(&text)
        .map(Some)
        .map_err(|e| RecordError::document(path, &e))
}

/// Before anything else is looked at: a file of another format lacks other things as well.
fn check_format(path: &Path, found: Option<String>, expected: u32) -> Result<(), RecordError> {
    match found {
        Some(found) if found == expected.to_string() => Ok(()),
        Some(found) => Err(RecordError::Format {
            path: path.to_owned(),
            found,
            expected,
        }),
        None => Err(RecordError::document(path, &"it has no `format` number")),
    }
}
