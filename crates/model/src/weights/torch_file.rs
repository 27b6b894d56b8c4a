//! Reads `.pth` files as PyTorch writes them since 1.6: a zip archive with a pickle (`…/data.pkl`) and one
//! uncompressed entry per storage (`…/data/KEY`).

use std::{collections::BTreeMap, io::Cursor, ops::Range};

use candle_core::DType;
use zip::{CompressionMethod, ZipArchive};

use super::{
    file::{Element, Stored, Unreadable},
    pickle::{Pickle, Storage, View},
};

/// More than the description of any network: those of the largest take a few megabytes.
const LONGEST_PICKLE: usize = 64 << 20;

/// The tensors of a file.
pub(super) fn read(bytes: &[u8]) -> Result<Vec<Stored>, Unreadable> {
    let entries = entries(bytes)?;
    let is_pickle = |name: &&String| *name == "data.pkl" || name.ends_with("/data.pkl");
    let mut pickles = entries.keys().filter(is_pickle);
    let Some(name) = pickles.next() else {
        return Err(Unreadable::new(
            "it is a zip archive, but none that PyTorch wrote",
            "safetensors files and .pth files of PyTorch 1.6 or later are read",
        ));
    };
    if let Some(other) = pickles.next() {
        return Err(Unreadable::damaged(format!(
            "it describes its tensors twice, in {name} and in {other}"
        )));
    }
    let folder = name.trim_end_matches("data.pkl");
    if let Some(order) = entries.get(&format!("{folder}byteorder"))
        && &bytes[order.clone()] != b"little"
    {
        return Err(Unreadable::new(
            "its numbers are big-endian",
            "load it in Python on the machine that wrote it and save it as safetensors",
        ));
    }
    let description = &bytes[entries[name].clone()];
    if description.len() > LONGEST_PICKLE {
        return Err(Unreadable::damaged(
            "its description of the tensors is too long",
        ));
    }
    let pickle = Pickle::read(description)?;
    let mut stored: BTreeMap<&str, Stored> = BTreeMap::new();
    for (name, view) in pickle.tensors()? {
        let place = entries.get(&format!("{folder}data/{}", view.storage.key));
        let place = place.ok_or_else(|| {
            Unreadable::damaged(format!("the values of tensor {name} are not in it"))
        })?;
        stored.insert(name, locate(name, view, place)?);
    }
    Ok(stored.into_values().collect())
}

/// Where each entry of the archive is. PyTorch stores them uncompressed; others are refused.
fn entries(bytes: &[u8]) -> Result<BTreeMap<String, Range<usize>>, Unreadable> {
    let damaged = |error: &dyn std::fmt::Display| {
        Unreadable::damaged(format!("its zip archive is wrong: {error}"))
    };
    let mut archive = ZipArchive::new(Cursor::new(bytes)).map_err(|error| damaged(&error))?;
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

/// Checks that a tensor lies inside its storage.
fn locate(name: &str, view: &View<'_>, place: &Range<usize>) -> Result<Stored, Unreadable> {
    let View {
        storage,
        offset,
        shape,
        strides,
    } = view;
    let outside = || Unreadable::damaged(format!("tensor {name} reaches beyond its values"));
    let (element, width) = element(storage);
    if shape.len() != strides.len()
        || storage
            .count
            .checked_mul(width)
            .is_none_or(|size| size > place.len())
    {
        return Err(outside());
    }
    // Overlapping views could blow a small file up, and no weight is one: every element is at most stored once.
    let count = shape
        .iter()
        .try_fold(1usize, |count, &size| count.checked_mul(size));
    let count = count
        .filter(|&count| count <= storage.count)
        .ok_or_else(outside)?;
    let last = shape
        .iter()
        .zip(strides)
        .try_fold(*offset, |last, (&size, &stride)| {
            last.checked_add(size.saturating_sub(1).checked_mul(stride)?)
        });
    if count > 0 && last.is_none_or(|last| last >= storage.count) || *offset > storage.count {
        return Err(outside());
    }
    let start = place.start + offset * width;
    let contiguous = is_contiguous(shape, strides);
    let end = if contiguous {
        start + count * width
    } else {
        place.start + storage.count * width
    };
    Ok(Stored {
        name: name.to_owned(),
        element,
        shape: shape.clone(),
        strides: (!contiguous).then(|| strides.clone()),
        start,
        end,
    })
}

/// Whether elements follow one another in row-major order.
fn is_contiguous(shape: &[usize], strides: &[usize]) -> bool {
    let mut expected = 1;
    shape.iter().zip(strides).rev().all(|(&size, &stride)| {
        let fits = size == 1 || stride == expected;
        expected *= size.max(1);
        fits
    })
}

/// The type of a storage's elements and their width in bytes.
fn element(storage: &Storage<'_>) -> (Element, usize) {
    match storage.class {
        "FloatStorage" => (Element::Float(DType::F32), 4),
        "DoubleStorage" => (Element::Float(DType::F64), 8),
        "HalfStorage" => (Element::Float(DType::F16), 2),
        "BFloat16Storage" => (Element::Float(DType::BF16), 2),
        "LongStorage" => (Element::Other("I64".to_owned()), 8),
        "IntStorage" => (Element::Other("I32".to_owned()), 4),
        "ShortStorage" => (Element::Other("I16".to_owned()), 2),
        other => (Element::Other(other.to_owned()), 1),
    }
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
}
