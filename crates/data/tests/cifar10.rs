//! CIFAR-10 in both layouts, and what is said about damaged files.

use std::{fs, path::PathBuf, sync::Arc};

use graft_data::{
    Amount, Cifar10Spec, DataError, DataFolders, Source, SourceSpec, Split, ensure_present, open,
};
use graft_fetch::NoProgress;

/// Pictures in each batch.
const SIZE: usize = 20;
const NAMES: [&str; 6] = [
    "data_batch_1",
    "data_batch_2",
    "data_batch_3",
    "data_batch_4",
    "data_batch_5",
    "test_batch",
];
const CLASSES: &str = "airplane\nautomobile\nbird\ncat\ndeer\ndog\nfrog\nhorse\nship\ntruck\n\n";

/// Byte `k` of picture `index` of a batch.
fn byte(batch: usize, index: usize, k: usize) -> u8 {
    (k * 7 + index * 31 + batch * 101 + k / 256) as u8
}

fn label(batch: usize, index: usize) -> u8 {
    ((index * 3 + batch) % 10) as u8
}

fn binary(batch: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    for index in 0..SIZE {
        bytes.push(label(batch, index));
        bytes.extend((0..3072).map(|k| byte(batch, index, k)));
    }
    bytes
}

/// A batch as Python 2 pickled it.
fn pickled(batch: usize, column_major: bool) -> Vec<u8> {
    let mut out =
        b"\x80\x02}q\x01(U\x0bbatch_labelq\x02U\x05batchq\x03U\x06labelsq\x04]q\x05(".to_vec();
    for index in 0..SIZE {
        out.extend([b'K', label(batch, index)]);
    }
    out.extend(b"eU\x04dataq\x06cnumpy.core.multiarray\n_reconstruct\nq\x07cnumpy\nndarray\nq\x08K\x00\x85U\x01b\x87Rq\x09");
    out.extend(b"(K\x01K");
    out.push(SIZE as u8);
    out.extend(b"M\x00\x0c\x86cnumpy\ndtype\nq\x0aU\x02u1K\x00K\x01\x87Rq\x0b(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb");
    out.push(if column_major { 0x88 } else { 0x89 });
    out.push(b'T');
    out.extend((SIZE as u32 * 3072).to_le_bytes());
    if column_major {
        out.extend((0..3072).flat_map(|k| (0..SIZE).map(move |index| byte(batch, index, k))));
    } else {
        out.extend((0..SIZE).flat_map(|index| (0..3072).map(move |k| byte(batch, index, k))));
    }
    out.extend(b"tbU\x09filenamesq\x0c]q\x0d(U\x05a.pngU\x05b.pngeu.");
    out
}

fn pickled_meta() -> Vec<u8> {
    let mut out = b"\x80\x02}q\x01(U\x0dnum_cases_perK\x14U\x0blabel_names]q\x02(".to_vec();
    for name in CLASSES.lines().filter(|name| !name.is_empty()) {
        out.extend([b'U', name.len() as u8]);
        out.extend(name.as_bytes());
    }
    out.extend(b"eu.");
    out
}

struct Folder {
    folder: tempfile::TempDir,
    spec: Cifar10Spec,
}

impl Folder {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            spec: Cifar10Spec {
                path: "cifar".to_owned(),
                url: None,
                val: Amount::Count(10),
                split_seed: 0,
            },
        }
    }

    fn binary() -> Self {
        let folder = Self::new();
        folder.write("batches.meta.txt", CLASSES.as_bytes());
        for (batch, name) in NAMES.iter().enumerate() {
            folder.write(&format!("{name}.bin"), &binary(batch));
        }
        folder
    }

    fn python(column_major: bool) -> Self {
        let folder = Self::new();
        folder.write("batches.meta", &pickled_meta());
        for (batch, name) in NAMES.iter().enumerate() {
            folder.write(name, &pickled(batch, column_major));
        }
        folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join("cifar").join(name)
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        fs::create_dir_all(self.path("")).unwrap();
        fs::write(self.path(name), bytes).unwrap();
    }

    fn folders(&self) -> DataFolders {
        DataFolders {
            search: Vec::new(),
            download_into: self.folder.path().to_owned(),
            offline: true,
        }
    }

    fn open(&self) -> Result<Arc<dyn Source>, DataError> {
        open(&SourceSpec::Cifar10(self.spec.clone()), &self.folders())
    }

    fn error(&self) -> String {
        self.open().err().expect("an error").to_string()
    }
}

/// Every picture with its name, label and pixels.
fn all(source: &dyn Source) -> Vec<(Split, String, u32, Vec<u8>)> {
    let mut all = Vec::new();
    for split in Split::ALL {
        for index in 0..source.len(split) {
            let picture = source.load(split, index).unwrap();
            assert_eq!((picture.width, picture.height), (32, 32));
            let label = source.label(split, index).unwrap();
            all.push((split, source.name(split, index), label, picture.rgb));
        }
    }
    all
}

#[test]
fn all_layouts_give_the_same_pictures() {
    let folders = [
        Folder::binary(),
        Folder::python(false),
        Folder::python(true),
    ];
    let sources = folders.each_ref().map(|folder| folder.open().unwrap());
    let [binary, python, column_major] = sources.each_ref().map(|source| all(&**source));
    assert_eq!(binary, python);
    assert_eq!(binary, column_major);
    for source in &sources {
        assert_eq!(
            source.fingerprint().unwrap(),
            sources[0].fingerprint().unwrap()
        );
        assert_eq!(source.classes()[3], "cat");
    }
    // Pixels are interleaved, and each belongs to its name.
    for (split, name, found, rgb) in &binary {
        let (batch, index) = name.split_once('/').unwrap();
        let batch = NAMES.iter().position(|name| *name == batch).unwrap();
        let index: usize = index.parse().unwrap();
        assert_eq!(*found, u32::from(label(batch, index)));
        let pixel = [0, 1, 2].map(|channel| byte(batch, index, channel * 1024 + 33));
        assert_eq!(rgb[99..102], pixel);
        assert_eq!(*split == Split::Test, batch == 5);
    }
}

#[test]
fn a_part_of_every_class_is_held_out() {
    let mut folder = Folder::binary();
    let source = folder.open().unwrap();
    let lens = Split::ALL.map(|split| source.len(split));
    assert_eq!(lens, [90, 10, 20]);
    let mut held_out: Vec<u32> = (0..10)
        .map(|i| source.label(Split::Val, i).unwrap())
        .collect();
    held_out.sort_unstable();
    assert_eq!(held_out, (0..10).collect::<Vec<_>>());
    let base = source.fingerprint().unwrap();
    folder.spec.val = Amount::Fraction(0.1);
    assert_eq!(folder.open().unwrap().fingerprint().unwrap(), base);
    folder.spec.split_seed = 1;
    assert_ne!(folder.open().unwrap().fingerprint().unwrap(), base);
    for val in [
        Amount::Count(100),
        Amount::Count(500),
        Amount::Fraction(1e-6),
    ] {
        folder.spec.val = val;
        assert!(
            folder.error().contains("leaves no training pictures"),
            "{val}"
        );
    }
}

#[test]
fn damaged_files_are_named() {
    let check = |name: &str, bytes: &[u8], expected: &str| {
        let folder = if name.contains(".bin") || name.contains(".txt") {
            Folder::binary()
        } else {
            Folder::python(false)
        };
        folder.write(name, bytes);
        let text = folder.error();
        assert!(
            text.contains(expected) && text.contains("cifar"),
            "{expected}: {text}"
        );
    };
    let whole = binary(2);
    check(
        "data_batch_3.bin",
        &whole[..whole.len() - 1],
        "data_batch_3.bin: it has 61459 bytes, expected a multiple of 3073",
    );
    check("data_batch_3.bin", b"", "it has 0 bytes");
    check(
        "data_batch_3.bin",
        &whole[..3073],
        "data_batch_1 has 20 pictures, data_batch_3 has 1",
    );
    let mut wrong = whole.clone();
    wrong[3073 * 4] = 10;
    check(
        "data_batch_3.bin",
        &wrong,
        "picture 4 has the label 10, expected 0 to 9",
    );
    check(
        "batches.meta.txt",
        b"cat\ndog\ncat\n",
        "it names 2 classes, expected 10",
    );
    check("batches.meta.txt", b"\xff\xfe", "it is no text");
    let whole = pickled(2, false);
    for length in [0, 1, 80, 300, 40_000, whole.len() - 1] {
        check("data_batch_3", &whole[..length], "it ends too early");
    }
    check(
        "data_batch_3",
        b"\x80\x02cos\nsystem\nU\x02id\x85R.",
        "Python would call `os.system`",
    );
    check("data_batch_3", b"\x80\x02}.", "no list `labels`");
    check(
        "data_batch_3",
        b"\x80\x02}(U\x06labels](K\x01eu.",
        "no array `data`",
    );
    check("batches.meta", b"\x80\x02}.", "no list `label_names`");
    let replaced = |from: &[u8], to: &[u8]| {
        let at = whole
            .windows(from.len())
            .position(|part| part == from)
            .unwrap();
        [&whole[..at], to, &whole[at + from.len()..]].concat()
    };
    check(
        "data_batch_3",
        &replaced(b"U\x02u1", b"U\x02u2"),
        "no array `data` of bytes",
    );
    check(
        "data_batch_3",
        &replaced(b"M\x00\x0c", b"M\x01\x0c"),
        "of 20 × 3073 bytes, expected 20 × 3072",
    );
    check(
        "data_batch_3",
        &replaced(b"(K\x01K\x14M", b"(K\x01K\x15M"),
        "of 21 × 3072 bytes",
    );
    check(
        "data_batch_3",
        &replaced(b"(K\x02K", b"(K\x0bK"),
        "label 11, expected 0 to 9",
    );
    check(
        "data_batch_3",
        &replaced(b"(K\x02K", b"(G\0\0\0\0\0\0\0\0K"),
        "a label is no whole number",
    );
}

#[test]
fn missing_files_and_other_folders_are_told_apart() {
    let folder = Folder::binary();
    fs::remove_file(folder.path("test_batch.bin")).unwrap();
    let text = folder.error();
    assert!(
        text.starts_with("failed to read") && text.contains("test_batch.bin"),
        "{text}"
    );
    let folder = Folder::python(false);
    fs::remove_file(folder.path("batches.meta")).unwrap();
    let text = folder.error();
    assert!(
        text.starts_with("failed to read") && text.contains("batches.meta"),
        "{text}"
    );
    for name in ["data_batch_2", "data_batch_5", "test_batch"] {
        fs::remove_file(folder.path(name)).unwrap();
    }
    assert!(
        folder.error().contains(
            "files are missing in it: data_batch_2, data_batch_5, test_batch, batches.meta\nhint: "
        ),
        "{}",
        folder.error()
    );
    let folder = Folder::new();
    assert!(folder.error().contains("there is no folder `cifar`"));
    folder.write("readme.html", b"");
    let text = folder.error();
    assert!(
        text.contains("neither CIFAR-10's binary files") && text.contains("https://"),
        "{text}"
    );
}

#[test]
fn the_published_archive_is_unpacked() {
    let mut folder = Folder::new();
    folder.spec.url = Some("http://127.0.0.1:9/cifar-10-binary.tar.gz".to_owned());
    let gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let mut tar = tar::Builder::new(gz);
    let mut add = |name: &str, bytes: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        let path = format!("cifar-10-batches-bin/{name}");
        tar.append_data(&mut header, path, bytes).unwrap();
    };
    add("batches.meta.txt", CLASSES.as_bytes());
    for (batch, name) in NAMES.iter().enumerate() {
        add(&format!("{name}.bin"), &binary(batch));
    }
    let bytes = tar.into_inner().unwrap().finish().unwrap();
    fs::write(folder.folder.path().join("cifar-10-binary.tar.gz"), bytes).unwrap();
    let spec = SourceSpec::Cifar10(folder.spec.clone());
    ensure_present(&spec, &folder.folders(), &mut NoProgress).unwrap();
    assert_eq!(folder.open().unwrap().len(Split::Train), 90);
    assert!(folder.path("data_batch_1.bin").is_file());
    // Unpacked by hand, the folder of the archive may be left as it is.
    let below = folder.path("cifar-10-batches-bin");
    fs::rename(folder.path(""), folder.folder.path().join("moved")).unwrap();
    fs::create_dir(folder.path("")).unwrap();
    fs::rename(folder.folder.path().join("moved"), below).unwrap();
    assert_eq!(folder.open().unwrap().len(Split::Test), 20);
}
