//! `.pth` files that are damaged, hostile, or something else than weights.

use std::{
    io::{Cursor, Write},
    path::Path,
};

use candle_core::Device;
use graft_model::WeightFile;
use zip::{CompressionMethod, ZipWriter, write::SimpleFileOptions};

use crate::torch_files::path;

/// What is said of the file with these bytes.
fn message(bytes: &[u8]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("w.pth");
    std::fs::write(&path, bytes).unwrap();
    WeightFile::open(&path).unwrap_err().to_string()
}

fn golden(name: &str) -> Vec<u8> {
    std::fs::read(path(name)).unwrap()
}

/// `bytes` with the only `old` in it replaced.
fn patched(bytes: &[u8], old: &[u8], new: &[u8]) -> Vec<u8> {
    let places: Vec<usize> = (0..bytes.len())
        .filter(|&place| bytes[place..].starts_with(old))
        .collect();
    assert_eq!(places.len(), 1, "{}", String::from_utf8_lossy(old));
    let (before, after) = bytes.split_at(places[0]);
    [before, new, &after[old.len()..]].concat()
}

#[test]
fn nothing_is_run_and_what_was_to_run_is_named() {
    for name in ["hostile.pth", "hostile-before-1.6.pth"] {
        let message = message(&golden(name));
        assert!(
            message.contains("Python would call `posix.system` to read it"),
            "{message}"
        );
        assert!(message.contains("nothing of it was run"), "{message}");
    }
    assert!(!Path::new("graft-was-here").exists());
}

#[test]
fn what_is_no_state_dict_is_said_to_be_what_it_is() {
    for (name, found) in [
        ("module.pth", "class `torch.nn.modules.linear.Linear`"),
        ("module-before-1.6.pth", "class `__main__.Net`"),
        ("tensor.pth", "no state dict but a single tensor"),
        ("tensor-before-1.6.pth", "no state dict but a single tensor"),
        ("list.pth", "no state dict but a list"),
    ] {
        let message = message(&golden(name));
        assert!(message.contains(found), "{name}: {message}");
        assert!(
            message.contains("torch.save(model.state_dict(), FILE)"),
            "{message}"
        );
    }
    let foreign = message(b"\x80\x04\x95\x05\0\0\0\0\0\0\0}\x94.");
    assert!(
        foreign.contains("a Python pickle, but none that PyTorch wrote"),
        "{foreign}"
    );
}

/// Every truncation and many single wrong bytes: an error or other numbers, never a panic.
#[test]
fn damaged_files_do_no_harm() {
    let folder = tempfile::tempdir().unwrap();
    let damaged = folder.path().join("damaged.pth");
    for name in ["checkpoint.pth", "before-1.6.pth", "shared-before-1.6.pth"] {
        let whole = golden(name);
        for length in 0..whole.len() {
            std::fs::write(&damaged, &whole[..length]).unwrap();
            assert!(
                WeightFile::open(&damaged).is_err(),
                "{name}: {length} of {} bytes",
                whole.len()
            );
        }
        let mut refused = 0;
        for position in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[position] ^= 0x55;
            std::fs::write(&damaged, &bytes).unwrap();
            match WeightFile::open(&damaged) {
                Err(_) => refused += 1,
                Ok(file) => {
                    for (name, _) in file.shapes() {
                        let _ = file.get(name, &Device::Cpu);
                    }
                }
            }
        }
        assert!(refused > 100, "{name}: {refused}");
    }
}

#[test]
fn truncations_of_old_files_are_called_by_name() {
    let whole = golden("tensor-before-1.6.pth");
    let rest = 6 * 4;
    for (length, expected) in [
        (whole.len() - 1, "reaches beyond the end of the file"),
        (whole.len() - rest, "reaches beyond the end of the file"),
        (whole.len() - rest - 1, "is not in it"),
        (whole.len() / 2, "it ends too early"),
        (16, "it ends too early"),
    ] {
        let message = message(&whole[..length]);
        assert!(message.contains(expected), "{length}: {message}");
        assert!(message.contains("damaged or incomplete"), "{message}");
    }
}

/// Lengths that would take all memory if they were believed.
#[test]
fn lengths_are_not_believed() {
    for count in [7, u64::MAX, u64::MAX / 4 + 1, 1 << 40] {
        let mut bytes = golden("tensor-before-1.6.pth");
        let place = bytes.len() - 6 * 4 - 8;
        bytes[place..place + 8].copy_from_slice(&u64::to_le_bytes(count));
        let message = message(&bytes);
        assert!(
            message.contains("reaches beyond the end of the file"),
            "{message}"
        );
    }
}

/// A file of the old format with this object, this list of keys and these bytes after them.
fn old(object: &[u8], keys: &[u8], storages: &[u8]) -> Vec<u8> {
    [
        b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\x80\x02M\xe9\x03.\x80\x02}.",
        object,
        keys,
        storages,
    ]
    .concat()
}

/// The pickle of `{"a": tensor}` with a tensor of the given class and numbers (as opcodes) in the storage `0`.
fn object(class: &str, count: &[u8], offset: &[u8], shape: &[u8], strides: &[u8]) -> Vec<u8> {
    [
        b"\x80\x02}U\x01actorch._utils\n_rebuild_tensor_v2\n((U\x07storagectorch\n",
        class.as_bytes(),
        b"\nU\x010U\x03cpu",
        count,
        b"NtQ",
        offset,
        b"(",
        shape,
        b"t(",
        strides,
        b"t\x89}tRs.",
    ]
    .concat()
}

const KEYS: &[u8] = b"\x80\x02](U\x010e.";

#[test]
fn old_files_that_contradict_themselves_are_refused() {
    let four = [&4u64.to_le_bytes()[..], &[0; 16]].concat();
    let good = object(
        "FloatStorage",
        b"K\x04",
        b"K\0",
        b"K\x02K\x02",
        b"K\x02K\x01",
    );
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("w.pth");
    std::fs::write(&path, old(&good, KEYS, &four)).unwrap();
    let shapes = WeightFile::open(&path).unwrap();
    assert_eq!(shapes.shapes().next().unwrap(), ("a", &[2usize, 2][..]));
    let f32s = |count: &[u8], offset: &[u8], shape: &[u8], strides: &[u8]| {
        old(
            &object("FloatStorage", count, offset, shape, strides),
            KEYS,
            &four,
        )
    };
    // 2^31 - 1 and 2^62 as opcodes.
    let large = b"J\xff\xff\xff\x7f";
    let huge = b"\x8a\x08\0\0\0\0\0\0\0\x40";
    for (bytes, expected) in [
        (
            f32s(b"K\x04", b"K\x01", b"K\x04", b"K\x01"),
            "reaches beyond its values",
        ),
        (
            f32s(b"K\x04", b"K\0", b"K\x02", b"K\x04"),
            "reaches beyond its values",
        ),
        (
            f32s(b"K\x05", b"K\0", b"K\x02", b"K\x01"),
            "reaches beyond its values",
        ),
        (
            f32s(large, b"K\0", large, b"K\x01"),
            "reaches beyond its values",
        ),
        (
            f32s(huge, b"K\0", huge, b"K\x01"),
            "reaches beyond its values",
        ),
        (
            f32s(b"K\x04", huge, b"K\x01", b"K\x01"),
            "reaches beyond its values",
        ),
        (
            f32s(b"K\x04", b"K\0", b"K\x02K\x02", huge),
            "reaches beyond its values",
        ),
        // A small storage seen as a large tensor.
        (
            f32s(b"K\x04", b"K\0", large, b"K\0"),
            "reaches beyond its values",
        ),
        (
            f32s(b"J\xff\xff\xff\xff", b"K\0", b"K\x01", b"K\x01"),
            "negative size",
        ),
        (
            f32s(b"K\x04", b"J\xff\xff\xff\xff", b"K\x01", b"K\x01"),
            "negative offset",
        ),
        (
            f32s(b"K\x04", b"K\0", b"J\xff\xff\xff\xff", b"K\x01"),
            "not of whole numbers",
        ),
        (
            old(&good, b"\x80\x02].", &four),
            "the values of tensor a are not in it",
        ),
        (
            old(
                &good,
                b"\x80\x02](U\x010U\x010e.",
                &[&four[..], &four].concat(),
            ),
            "is in it twice",
        ),
        (
            old(&good, b"\x80\x02](U\x011e.", &four),
            "storage 1 belongs to nothing",
        ),
        (old(&good, b"\x80\x02}.", &four), "no list of its storages"),
        (
            old(
                &object("OddStorage", b"K\x04", b"K\0", b"K\x02", b"K\x01"),
                KEYS,
                &four,
            ),
            "storage 0 is of the unknown class OddStorage",
        ),
        (
            patched(&old(&good, KEYS, &four), b"M\xe9\x03", b"M\xea\x03"),
            "the version 1002",
        ),
    ] {
        let message = message(&bytes);
        assert!(message.contains(expected), "{expected}: {message}");
    }
}

/// A pickle of a few bytes that asks for the same copy again and again, and one that never ends.
#[test]
fn descriptions_that_would_take_all_memory_are_refused() {
    let pairs = b"K\x01K\x01\x86".repeat(200_000);
    let copies = b"ccollections\nOrderedDict\nh\0\x85R0".repeat(100);
    for object in [
        [b"\x80\x02]q\0(", &pairs[..], b"e", &copies, b"."].concat(),
        [b"\x80\x02", &b"N0".repeat(3 << 20)[..], b"."].concat(),
    ] {
        let message = message(&old(&object, KEYS, b""));
        assert!(message.contains("it is too long"), "{message}");
    }
}

/// An archive as PyTorch writes it, of these entries.
fn zip(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content) in entries {
        let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
        zip.start_file(*name, options).unwrap();
        zip.write_all(content).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

#[test]
fn archives_that_contradict_themselves_are_refused() {
    let object = object("FloatStorage", b"K\x04", b"K\0", b"K\x04", b"K\x01");
    for (bytes, expected) in [
        (zip(&[("w/other", b"")]), "none that PyTorch wrote"),
        (
            zip(&[("w/data.pkl", &object)]),
            "the values of tensor a are not in it",
        ),
        (
            zip(&[("w/data.pkl", &object), ("w/data/0", &[0; 15])]),
            "tensor a reaches beyond its values",
        ),
        (
            zip(&[
                ("w/data.pkl", &object),
                ("w/data/0", &[0; 16]),
                ("w/byteorder", b"middle"),
            ]),
            "unknown order of bytes",
        ),
    ] {
        let message = message(&bytes);
        assert!(message.contains(expected), "{expected}: {message}");
    }
}
