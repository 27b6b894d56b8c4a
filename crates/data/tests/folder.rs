//! Image folders: order, labels, notes, fingerprints, and what is said about broken ones.

use std::{
    fs,
    io::{Read, Write},
    net::TcpListener,
    path::{Path, PathBuf},
    sync::Arc,
    thread,
};

use graft_data::{
    DataError, DataFolders, ImageFolderSpec, OnBadImage, Source, SourceSpec, Split, SplitFolders,
    ensure_present, open,
};
use graft_fetch::NoProgress;

/// A data folder under construction.
struct Tree {
    folder: tempfile::TempDir,
    spec: ImageFolderSpec,
}

impl Tree {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            spec: ImageFolderSpec {
                path: "insects".to_owned(),
                url: None,
                splits: SplitFolders {
                    train: "train".to_owned(),
                    val: "val".to_owned(),
                    test: None,
                },
                exif_orientation: false,
                on_bad_image: OnBadImage::Error,
            },
        }
    }

    /// Two classes with one picture in each split.
    fn small() -> Self {
        let tree = Self::new();
        for name in [
            "train/ants/1.png",
            "train/bees/1.png",
            "val/ants/2.png",
            "val/bees/2.png",
        ] {
            tree.picture(name);
        }
        tree
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join("insects").join(name)
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    fn picture(&self, name: &str) {
        self.write(name, &png());
    }

    fn folders(&self) -> DataFolders {
        DataFolders {
            search: vec![
                self.folder.path().join("nowhere"),
                self.folder.path().to_owned(),
            ],
            download_into: self.folder.path().join("data"),
            offline: false,
        }
    }

    fn open(&self) -> Result<Arc<dyn Source>, DataError> {
        open(&SourceSpec::ImageFolder(self.spec.clone()), &self.folders())
    }

    fn error(&self) -> String {
        self.open().err().expect("an error").to_string()
    }
}

fn png() -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    image::RgbImage::from_fn(5, 4, |x, y| image::Rgb([x as u8 * 40, y as u8 * 50, 7]))
        .write_to(&mut bytes, image::ImageFormat::Png)
        .unwrap();
    bytes.into_inner()
}

/// `torchvision.datasets.ImageFolder(root).samples` (0.29.2) for the same files: `scripts/golden_data.py`.
#[test]
fn the_order_is_image_folders() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/order.txt");
    let golden = fs::read_to_string(golden).unwrap();
    let tree = Tree::new();
    let expected: Vec<(u32, &str)> = golden
        .lines()
        .map(|line| {
            let (label, name) = line.split_once(' ').unwrap();
            (label.parse().unwrap(), name)
        })
        .collect();
    // Created backwards, so that the order of creation is no help.
    for (_, name) in expected.iter().rev() {
        tree.picture(&format!("train/{name}"));
        tree.picture(&format!("val/{name}"));
    }
    tree.write("train/b/note.txt", b"");
    let source = tree.open().unwrap();
    let found: Vec<(u32, String)> = (0..source.len(Split::Train))
        .map(|i| {
            (
                source.label(Split::Train, i).unwrap(),
                source.name(Split::Train, i),
            )
        })
        .collect();
    let expected: Vec<(u32, String)> = expected
        .iter()
        .map(|(label, name)| (*label, format!("train/{name}")))
        .collect();
    assert_eq!(found, expected);
    assert_eq!(source.classes(), ["10", "9", "B", "a b", "b", "z", "é"]);
    assert_eq!(
        source.notes(),
        ["1 file that is no picture: train/b/note.txt"]
    );
}

#[test]
fn pictures_are_decoded_by_their_content() {
    let tree = Tree::small();
    tree.picture("train/ants/really-a-png.jpg");
    let source = tree.open().unwrap();
    assert_eq!(source.name(Split::Train, 1), "train/ants/really-a-png.jpg");
    let picture = source.load(Split::Train, 1).unwrap();
    assert_eq!((picture.width, picture.height), (5, 4));
    assert_eq!(picture.rgb[..6], [0, 0, 7, 40, 0, 7]);
}

#[test]
fn the_fingerprint_sees_names_labels_and_content_but_not_the_place() {
    let hash = |change: &dyn Fn(&Tree)| {
        let tree = Tree::small();
        change(&tree);
        let source = tree.open().unwrap();
        assert_eq!(source.fingerprint().unwrap(), source.fingerprint().unwrap());
        source.fingerprint().unwrap()
    };
    let base = hash(&|_| ());
    assert_eq!(base.len(), 64);
    assert_eq!(base, hash(&|_| ()));
    let renamed = |tree: &Tree| {
        fs::rename(tree.path("train/ants/1.png"), tree.path("train/ants/3.png")).unwrap();
    };
    let changed = |tree: &Tree| {
        let mut bytes = png();
        bytes.push(0);
        tree.write("val/bees/2.png", &bytes);
    };
    let added = |tree: &Tree| tree.picture("val/bees/3.png");
    let beside = |tree: &Tree| tree.write("val/bees/3.txt", b"");
    assert_ne!(base, hash(&renamed));
    assert_ne!(base, hash(&changed));
    assert_ne!(base, hash(&added));
    assert_eq!(base, hash(&beside));
    let in_train = |tree: &Tree| tree.picture("train/ants/5.png");
    let in_val = |tree: &Tree| tree.picture("val/ants/5.png");
    assert_ne!(hash(&in_train), hash(&in_val));
}

#[test]
fn the_fingerprint_does_not_see_what_the_split_folders_are_called() {
    let mut tree = Tree::small();
    let base = tree.open().unwrap().fingerprint().unwrap();
    fs::create_dir(tree.path("parts")).unwrap();
    fs::rename(tree.path("train"), tree.path("parts/learning")).unwrap();
    fs::rename(tree.path("val"), tree.path("valid")).unwrap();
    tree.spec.splits = SplitFolders {
        train: "./parts/learning/".to_owned(),
        val: "valid".to_owned(),
        test: None,
    };
    assert_eq!(tree.open().unwrap().fingerprint().unwrap(), base);
    // The same folders the other way round are other data.
    let splits = &mut tree.spec.splits;
    std::mem::swap(&mut splits.train, &mut splits.val);
    assert_ne!(tree.open().unwrap().fingerprint().unwrap(), base);
}

/// Computed before there were test splits. Trials that are finished would be run again if it changed.
#[test]
fn a_test_split_adds_to_the_fingerprint_and_nothing_else_does() {
    let mut tree = Tree::small();
    for name in [
        "train/ants/1.png",
        "train/bees/1.png",
        "val/ants/2.png",
        "val/bees/2.png",
    ] {
        tree.write(name, name.as_bytes());
    }
    let base = tree.open().unwrap().fingerprint().unwrap();
    assert_eq!(
        base,
        "bd9e84792d1a29adda7a07dee38cc0f779a6eaf45561fe279eea1ac81975ae07"
    );
    tree.picture("test/ants/3.png");
    tree.picture("test/bees/3.png");
    assert_eq!(tree.open().unwrap().fingerprint().unwrap(), base);
    tree.spec.splits.test = Some("test".to_owned());
    let source = tree.open().unwrap();
    assert_eq!((source.has_test(), source.len(Split::Test)), (true, 2));
    assert_eq!(source.name(Split::Test, 1), "test/bees/3.png");
    assert_eq!(source.label(Split::Test, 1), Some(1));
    assert_ne!(source.fingerprint().unwrap(), base);
    tree.picture("test/wasps/3.png");
    let text = tree.error();
    assert!(
        text.contains("only in train: none; only in test: wasps"),
        "{text}"
    );
    tree.spec.splits.test = Some("tests".to_owned());
    let text = tree.error();
    assert!(
        text.contains("no folder `tests` for the test split"),
        "{text}"
    );
}

#[test]
fn a_missing_folder_names_the_places() {
    let mut tree = Tree::new();
    let text = tree.error();
    for place in ["nowhere/insects", "data/insects", "--data-dir"] {
        assert!(text.contains(place), "{text}");
    }
    tree.spec.path = "/no/such/place".to_owned();
    assert!(
        tree.error().contains("looked for\n  /no/such/place\n"),
        "{}",
        tree.error()
    );
}

#[test]
fn missing_parts_are_named() {
    let tree = Tree::new();
    tree.picture("training/ants/1.png");
    tree.picture("val/ants/1.png");
    let text = tree.error();
    assert!(
        text.contains("no folder `train`") && text.contains("it has training, val"),
        "{text}"
    );

    let tree = Tree::new();
    tree.picture("train/1.png");
    assert!(
        tree.error().contains("train has no class folders"),
        "{}",
        tree.error()
    );

    let tree = Tree::small();
    tree.write("train/wasps/readme.md", b"");
    let text = tree.error();
    assert!(
        text.contains("train/wasps has no pictures (1 other files)"),
        "{text}"
    );
}

#[test]
fn splits_with_different_classes_are_refused() {
    let tree = Tree::small();
    tree.picture("train/wasps/1.png");
    tree.picture("val/flies/1.png");
    let text = tree.error();
    assert!(
        text.contains("only in train: wasps; only in val: flies"),
        "{text}"
    );
}

#[test]
fn a_bad_picture_is_an_error_that_names_it() {
    for (content, reason) in [
        (&b""[..], "the file is empty"),
        (b"text", "no JPEG, PNG, WebP or BMP"),
        (&png()[..40], "PNG file is"),
    ] {
        let tree = Tree::small();
        tree.write("train/ants/bad.jpg", content);
        let source = tree.open().unwrap();
        let text = source.load(Split::Train, 1).unwrap_err().to_string();
        assert!(
            text.contains("train/ants/bad.jpg") && text.contains(reason),
            "{text}"
        );
        assert!(text.contains("on_bad_image = \"skip\""), "{text}");
    }
}

#[test]
fn bad_pictures_can_be_left_out() {
    let mut tree = Tree::small();
    tree.write("train/ants/0.jpg", b"");
    tree.write("val/bees/3.jpg", b"text");
    tree.spec.on_bad_image = OnBadImage::Skip;
    let source = tree.open().unwrap();
    assert_eq!((source.len(Split::Train), source.len(Split::Val)), (2, 2));
    assert_eq!(source.name(Split::Train, 0), "train/ants/1.png");
    let note = &source.notes()[0];
    assert!(
        note.starts_with(
            "2 unreadable pictures left out: train/ants/0.jpg (the file is empty), val/bees/3.jpg ("
        ),
        "{note}"
    );
    // A class may not vanish.
    tree.write("val/bees/2.png", b"");
    assert!(
        tree.error()
            .contains("every val picture of the class `bees`"),
        "{}",
        tree.error()
    );
}

#[cfg(unix)]
#[test]
fn links_are_followed_but_not_in_circles_and_strange_names_are_refused() {
    use std::os::unix::{ffi::OsStrExt, fs::symlink};

    let tree = Tree::small();
    symlink(
        tree.path("train/bees/1.png"),
        tree.path("train/bees/link.png"),
    )
    .unwrap();
    symlink(tree.path("train/bees"), tree.path("train/bees/loop")).unwrap();
    let source = tree.open().unwrap();
    assert_eq!(source.len(Split::Train), 3);
    assert_eq!(source.name(Split::Train, 2), "train/bees/link.png");

    symlink(tree.path("nothing"), tree.path("train/bees/dangling.png")).unwrap();
    let source = tree.open().unwrap();
    let text = source.load(Split::Train, 2).unwrap_err().to_string();
    assert!(
        text.starts_with("failed to read") && text.contains("dangling.png"),
        "{text}"
    );

    let name = std::ffi::OsStr::from_bytes(b"\xff\xfe.png");
    fs::write(tree.path("train/bees").join(name), png()).unwrap();
    assert!(tree.error().contains("is not UTF-8"), "{}", tree.error());
}

/// One answer with `body`, then the server is gone.
fn serve_once(body: Vec<u8>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let _ = stream.read(&mut [0; 4096]);
        let _ = write!(
            stream,
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            body.len()
        );
        let _ = stream.write_all(&body);
    });
    format!("http://{address}/insects.zip")
}

/// An archive of two classes with one picture in each split.
fn insects() -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for name in [
        "train/ants/1.png",
        "train/bees/1.png",
        "val/ants/2.png",
        "val/bees/2.png",
    ] {
        let options = zip::write::SimpleFileOptions::default();
        zip.start_file(format!("insects/{name}"), options).unwrap();
        zip.write_all(&png()).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

#[test]
fn an_archive_that_was_put_there_by_hand_needs_no_network() {
    let mut tree = Tree::new();
    // Nobody listens there.
    tree.spec.url = Some("http://127.0.0.1:9/insects.zip".to_owned());
    let spec = SourceSpec::ImageFolder(tree.spec.clone());
    let mut folders = tree.folders();
    folders.offline = true;
    fs::create_dir_all(&folders.download_into).unwrap();
    let archive = folders.download_into.join("insects.zip");
    let text = ensure_present(&spec, &folders, &mut NoProgress)
        .unwrap_err()
        .to_string();
    let named = format!("-o '{}'", archive.display());
    assert!(text.contains(&named), "{text}");
    fs::write(&archive, insects()).unwrap();
    ensure_present(&spec, &folders, &mut NoProgress).unwrap();
    assert_eq!(tree.open().unwrap().len(Split::Train), 2);
}

#[test]
fn an_archive_is_fetched_once() {
    let mut tree = Tree::new();
    tree.spec.url = Some(serve_once(insects()));
    let spec = SourceSpec::ImageFolder(tree.spec.clone());
    let mut folders = tree.folders();
    folders.offline = true;
    let text = ensure_present(&spec, &folders, &mut NoProgress)
        .unwrap_err()
        .to_string();
    assert!(text.contains("the network is forbidden"), "{text}");
    folders.offline = false;
    // The second time there is no server and none is needed.
    for _ in 0..2 {
        ensure_present(&spec, &folders, &mut NoProgress).unwrap();
        assert_eq!(tree.open().unwrap().len(Split::Train), 2);
    }
    assert!(!tree.folder.path().join("data/insects.zip").exists());
}
