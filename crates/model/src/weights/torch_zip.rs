//! Reads `.pth` files as PyTorch writes them since 1.6: a zip archive with a pickle (`…/data.pkl`) and one
//! uncompressed entry per storage (`…/data/KEY`).

use std::{collections::BTreeMap, io::Cursor, ops::Range};

use zip::{
    CompressionMethod, ZipArchive,
    read::{ArchiveOffset, Config},
};

use super::{
    file::{Stored, Unreadable},
    pickle::Pickle,
    torch_storage::{LONGEST_PICKLE, Place, stored},
};

/// The tensors of a file.
pub(super) fn read(bytes: &[u8]) -> Result<Vec<Stored>, Unreadable> {
    let entries = entries(bytes)?;
    let is_pickle = |name: &&String| *name == "data.pkl" || name.ends_with("/data.pkl");
    let mut pickles = entries.keys().filter(is_pickle);
    let Some(name) = pickles.next() else {
        return Err(Unreadable::new(
            "it is a zip archive, but none that PyTorch wrote",
            "safetensors files and .pth files that torch.save wrote are read",
        ));
    };
    if let Some(other) = pickles.next() {
        return Err(Unreadable::damaged(format!(
            "it describes its tensors twice, in {name} and in {other}"
        )));
    }
    let folder = name.trim_end_matches("data.pkl");
    let order = entries.get(&format!("{folder}byteorder"));
    let big_endian = match order.map(|order| &bytes[order.clone()]) {
        None | Some(b"little") => false,
        Some(b"big") => true,
        Some(_) => return Err(Unreadable::damaged("it has an unknown order of bytes")),
    };
    let description = &bytes[entries[name].clone()];
    if description.len() > LONGEST_PICKLE {
        return Err(Unreadable::damaged(
            "its description of the tensors is too long",
        ));
    }
    let pickle = Pickle::read(description)?;
    let mut tensors: BTreeMap<&str, Stored> = BTreeMap::new();
    for (name, view) in pickle.tensors()? {
        let bytes = entries.get(&format!("{folder}data/{}", view.storage.key));
        let bytes = bytes.ok_or_else(|| {
            Unreadable::damaged(format!("the values of tensor {name} are not in it"))
        })?;
        let place = Place {
            bytes: bytes.clone(),
            big_endian,
        };
        tensors.insert(name, stored(name, view, &place)?);
    }
    Ok(tensors.into_values().collect())
}

/// Where each entry of the archive is. PyTorch stores them uncompressed; others are refused.
fn entries(bytes: &[u8]) -> Result<BTreeMap<String, Range<usize>>, Unreadable> {
    let damaged = |error: &dyn std::fmt::Display| {
        Unreadable::damaged(format!("its zip archive is wrong: {error}"))
    };
    // PyTorch's archives begin where the file does. `zip` looks for their directory right before the end record, where
    // PyTorch has more records, and takes its second entry for the first where that is as long as these.
    let config = Config {
        archive_offset: ArchiveOffset::Known(0),
    };
    let archive = ZipArchive::with_config(config, Cursor::new(bytes));
    let mut archive = archive.map_err(|error| damaged(&error))?;
    let mut entries = BTreeMap::new();
    for index in 0..archive.len() {
        let entry = archive
            .by_index_raw(index)
            .map_err(|error| damaged(&error))?;
        let name = entry.name().map_err(|error| damaged(&error))?.into_owned();
        if entry.compression() != CompressionMethod::Stored || entry.encrypted() {
            let problem = format!("its entry {name} is compressed or encrypted");
            return Err(Unreadable::new(problem, "save it again with torch.save"));
        }
        let start = entry.data_start().unwrap_or(u64::MAX);
        let end = start.saturating_add(entry.size());
        if end > bytes.len() as u64 {
            return Err(damaged(&format!("entry {name} reaches beyond the end")));
        }
        if entries
            .insert(name.clone(), start as usize..end as usize)
            .is_some()
        {
            return Err(damaged(&format!("there are two entries {name}")));
        }
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use zip::{ZipWriter, write::SimpleFileOptions};

    use super::*;

    #[test]
    fn two_descriptions_are_refused() {
        let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
        for name in ["b/data.pkl", "a/data.pkl"] {
            let options =
                SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
            zip.start_file(name, options).unwrap();
            zip.write_all(b"\x80\x02}.").unwrap();
        }
        let bytes = zip.finish().unwrap().into_inner();
        let expected = "it describes its tensors twice, in a/data.pkl and in b/data.pkl";
        assert_eq!(read(&bytes).unwrap_err(), Unreadable::damaged(expected));
    }

    #[test]
    fn records_behind_the_directory_that_are_as_long_as_its_first_entry_are_no_part_of_it() {
        let name = format!("{}/data.pkl", "n".repeat(21));
        let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
        for name in [name.as_str(), "version"] {
            let options =
                SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
            zip.start_file(name, options).unwrap();
            zip.write_all(b"\x80\x02}.").unwrap();
        }
        let mut bytes = zip.finish().unwrap().into_inner();
        let end = bytes.len() - 22;
        // The end record of zip64 and where it is, which PyTorch writes into files of any size.
        let mut records = vec![0; 76];
        records[..4].copy_from_slice(b"PK\x06\x06");
        records[56..60].copy_from_slice(b"PK\x06\x07");
        bytes.splice(end..end, records);
        let entries = entries(&bytes).unwrap();
        assert_eq!(entries.keys().collect::<Vec<_>>(), [&name, "version"]);
        assert_eq!(&bytes[entries[&name].clone()], b"\x80\x02}.");
    }
}
