//! The binary layout: records of a label and 3072 bytes; `batches.meta.txt` names the classes, one on each line.

use std::path::Path;

use super::{BYTES, Batch, batch_names, checked_classes, checked_labels, damaged};
use crate::{DataError, file};

/// Bytes of a record.
const RECORD: usize = 1 + BYTES;

/// Classes and batches of a folder.
pub(super) fn read(folder: &Path) -> Result<(Vec<String>, Vec<Batch>), DataError> {
    let meta = folder.join("batches.meta.txt");
    let text = String::from_utf8(file::read(&meta)?)
        .map_err(|_| damaged(&meta, "it is no text".to_owned()))?;
    let names = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let classes = checked_classes(&meta, names.map(str::to_owned).collect())?;
    let batches = batch_names().map(|name| batch(folder, name));
    Ok((classes, batches.collect::<Result<_, _>>()?))
}

fn batch(folder: &Path, name: String) -> Result<Batch, DataError> {
    let path = folder.join(format!("{name}.bin"));
    let bytes = file::read(&path)?;
    if bytes.is_empty() || !bytes.len().is_multiple_of(RECORD) {
        let reason = format!(
            "it has {} bytes, expected a multiple of {RECORD} (a published batch has {})",
            bytes.len(),
            10_000 * RECORD
        );
        return Err(damaged(&path, reason));
    }
    let labels = bytes.chunks_exact(RECORD).map(|record| record[0].into());
    Ok(Batch {
        name,
        labels: checked_labels(&path, labels)?,
        bytes,
        start: 1,
        picture: RECORD,
        byte: 1,
    })
}
