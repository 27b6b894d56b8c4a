use std::io::Write;

use graft_fetch::NoProgress;
use zip::write::SimpleFileOptions;

use super::*;

/// A zip with these files, and links where the content begins with `->`.
fn zip_file(folder: &Path, entries: &[(&str, &str)]) -> PathBuf {
    let path = folder.join("data.zip");
    let mut zip = zip::ZipWriter::new(File::create(&path).unwrap());
    let options = SimpleFileOptions::default().compression_method(zip::CompressionMethod::Deflated);
    for (name, content) in entries {
        if let Some(to) = content.strip_prefix("->") {
            zip.add_symlink(*name, to, options).unwrap();
        } else {
            zip.start_file(*name, options).unwrap();
            zip.write_all(content.as_bytes()).unwrap();
        }
    }
    zip.finish().unwrap();
    path
}

/// A tar.gz with these files; names are written as they are, whatever they say.
fn tar_file(folder: &Path, entries: &[(&str, tar::EntryType)]) -> PathBuf {
    let path = folder.join("data.tgz");
    let gz =
        flate2::write::GzEncoder::new(File::create(&path).unwrap(), flate2::Compression::fast());
    let mut tar = tar::Builder::new(gz);
    for (name, kind) in entries {
        let mut header = tar::Header::new_gnu();
        header.as_gnu_mut().unwrap().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_entry_type(*kind);
        header.set_mode(0o644);
        if kind.is_symlink() {
            header.set_link_name("/etc").unwrap();
            header.set_size(0);
        } else {
            header.set_size(3);
        }
        header.set_cksum();
        let content: &[u8] = if kind.is_symlink() { b"" } else { b"abc" };
        tar.append(&header, content).unwrap();
    }
    tar.into_inner().unwrap().finish().unwrap();
    path
}

fn unpack_into(folder: &Path, archive: &Path, limits: Limits) -> Result<(), DataError> {
    let target = folder.join("out").join("bees");
    unpack(
        archive,
        &target,
        &[&["train", "val"]],
        limits,
        &mut NoProgress,
    )
}

fn names(folder: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn the_data_is_found_wherever_it_is_in_the_archive() {
    for prefix in ["", "bees/", "other_name/"] {
        let folder = tempfile::tempdir().unwrap();
        let entries = [
            (format!("{prefix}train/a/1.txt"), "x"),
            (format!("{prefix}val/a/1.txt"), "y"),
            ("__MACOSX/._train".to_owned(), ""),
        ];
        let entries: Vec<_> = entries
            .iter()
            .map(|(name, c)| (name.as_str(), *c))
            .collect();
        let archive = zip_file(folder.path(), &entries);
        unpack_into(folder.path(), &archive, Limits::default()).unwrap();
        let bees = folder.path().join("out/bees");
        assert_eq!(fs::read(bees.join("train/a/1.txt")).unwrap(), b"x");
        assert_eq!(fs::read(bees.join("val/a/1.txt")).unwrap(), b"y");
        assert_eq!(names(&folder.path().join("out")), ["bees"]);
    }
}

#[test]
fn tar_archives_are_unpacked() {
    let folder = tempfile::tempdir().unwrap();
    let regular = tar::EntryType::Regular;
    let archive = tar_file(
        folder.path(),
        &[("bees/train/a/1", regular), ("bees/val/a/1", regular)],
    );
    unpack_into(folder.path(), &archive, Limits::default()).unwrap();
    let file = folder.path().join("out/bees/train/a/1");
    assert_eq!(fs::read(file).unwrap(), b"abc");
}

#[test]
fn nothing_leaves_the_folder() {
    let regular = tar::EntryType::Regular;
    for name in ["../evil", "/evil", "a/../../evil", "a\\..\\evil"] {
        let folder = tempfile::tempdir().unwrap();
        let archive = tar_file(folder.path(), &[("bees/train/1", regular), (name, regular)]);
        let error = unpack_into(folder.path(), &archive, Limits::default()).unwrap_err();
        assert!(error.to_string().contains(name), "{error}");
        assert_eq!(names(&folder.path().join("out")), [""; 0], "{name}");
        assert_eq!(names(folder.path()), ["data.tgz", "out"]);
    }
    let folder = tempfile::tempdir().unwrap();
    let archive = zip_file(folder.path(), &[("train/1", "x"), ("val", "->/etc")]);
    let error = unpack_into(folder.path(), &archive, Limits::default()).unwrap_err();
    assert!(error.to_string().contains("`val` is a link"), "{error}");
    let archive = tar_file(folder.path(), &[("bees/train", tar::EntryType::Symlink)]);
    let error = unpack_into(folder.path(), &archive, Limits::default()).unwrap_err();
    assert!(
        error.to_string().contains("is a link or a device"),
        "{error}"
    );
    assert_eq!(names(&folder.path().join("out")), [""; 0]);
}

#[test]
fn bombs_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let zeros = "0".repeat(3_000_000);
    let archive = zip_file(folder.path(), &[("train/1", &zeros), ("val/1", "")]);
    let small = Limits {
        small: 1 << 20,
        ..Limits::default()
    };
    let error = unpack_into(folder.path(), &archive, small).unwrap_err();
    assert!(error.to_string().contains("suspicious"), "{error}");
    let few = Limits {
        entries: 1,
        ..Limits::default()
    };
    let error = unpack_into(folder.path(), &archive, few).unwrap_err();
    assert!(error.to_string().contains("more than 1 files"), "{error}");
    unpack_into(folder.path(), &archive, Limits::default()).unwrap();
}

#[test]
fn other_and_damaged_files_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let page = folder.path().join("page.zip");
    fs::write(&page, "<html>not found</html>").unwrap();
    let error = unpack_into(folder.path(), &page, Limits::default()).unwrap_err();
    assert!(
        error.to_string().contains("no zip, tar or tar.gz"),
        "{error}"
    );
    let archive = zip_file(
        folder.path(),
        &[("train/1", "some text that is stored"), ("val/1", "")],
    );
    let whole = fs::read(&archive).unwrap();
    fs::write(&archive, &whole[..whole.len() / 2]).unwrap();
    let error = unpack_into(folder.path(), &archive, Limits::default()).unwrap_err();
    assert!(error.to_string().contains("damaged"), "{error}");
    // One byte of the compressed text changed: the checksum finds it.
    let mut bent = whole;
    bent[45] ^= 4;
    fs::write(&archive, &bent).unwrap();
    let error = unpack_into(folder.path(), &archive, Limits::default()).unwrap_err();
    assert!(error.to_string().contains("damaged"), "{error}");
}

#[test]
fn an_archive_without_the_splits_says_what_it_has() {
    let folder = tempfile::tempdir().unwrap();
    let archive = zip_file(folder.path(), &[("a/train/1", ""), ("b/1", "")]);
    let error = unpack_into(folder.path(), &archive, Limits::default()).unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("no folder in it has train and val; at its top it has a, b"),
        "{text}"
    );
}

#[test]
fn file_names_come_from_addresses() {
    for (url, name) in [
        (
            "https://h.org/tutorial/hymenoptera_data.zip",
            "hymenoptera_data.zip",
        ),
        ("https://h.org/x.tgz?download=1#top", "x.tgz"),
        ("https://h.org/a%20b.zip", "a_20b.zip"),
        ("https://h.org/", "archive"),
        ("https://h.org/..", "archive"),
    ] {
        assert_eq!(file_name(url), name);
    }
}

#[test]
fn what_killed_runs_left_is_deleted() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    for name in [
        ".bees.unpacking-1",
        ".bees.unpacking-mine",
        ".ants.unpacking-1",
    ] {
        fs::create_dir_all(out.join(name).join("train")).unwrap();
    }
    let archive = zip_file(
        folder.path(),
        &[("train/a/1.txt", "x"), ("val/a/1.txt", "y")],
    );
    unpack_into(folder.path(), &archive, Limits::default()).unwrap();
    assert_eq!(
        names(&out),
        [".ants.unpacking-1", ".bees.unpacking-mine", "bees"]
    );
    // Another run was faster: nothing is touched.
    fs::write(out.join("bees/note"), "").unwrap();
    unpack_into(folder.path(), &archive, Limits::default()).unwrap();
    fs::remove_file(&archive).unwrap();
    unpack_into(folder.path(), &archive, Limits::default()).unwrap();
    assert_eq!(names(&out.join("bees")), ["note", "train", "val"]);
}
