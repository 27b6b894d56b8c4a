//! Where weights are looked for, and what is said when they are nowhere.

use std::{
    fs::File,
    io::{Read, Write},
    net::TcpListener,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use graft_fetch::{NoProgress, Options};
use graft_model::{Hub, ModelError, WeightsFolders, locate};
use tempfile::TempDir;

/// Two search folders, an empty cache, and no network.
pub(crate) struct Places {
    pub(crate) root: TempDir,
    pub(crate) folders: WeightsFolders,
}

impl Places {
    pub(crate) fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let at = |name: &str| root.path().join(name);
        let hub = Hub {
            cache: at("hub"),
            endpoint: "http://127.0.0.1:9".into(),
            token: None,
        };
        let folders = WeightsFolders {
            search: vec![at("first"), at("second")],
            offline: true,
            cache: at("cache"),
            hub,
            fetch: Options::default(),
        };
        Self { root, folders }
    }

    /// Makes a file and gives its path.
    pub(crate) fn file(&self, path: &str) -> PathBuf {
        let path = self.root.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, path.display().to_string()).unwrap();
        path
    }

    pub(crate) fn locate(&self, spec: &str) -> Result<PathBuf, ModelError> {
        locate(&spec.parse().unwrap(), &self.folders, &mut NoProgress)
    }

    fn missing(&self, spec: &str) -> String {
        self.locate(spec)
            .unwrap_err()
            .to_string()
            .replace(&self.root.path().display().to_string(), "ROOT")
    }
}

#[test]
fn files_are_looked_up_in_the_folders_in_order() {
    let places = Places::new();
    let second = places.file("second/w.safetensors");
    assert_eq!(places.locate("file:w.safetensors").unwrap(), second);
    let first = places.file("first/w.safetensors");
    assert_eq!(places.locate("file:w.safetensors").unwrap(), first);
    assert_eq!(
        places
            .locate(&format!("file:{}", second.display()))
            .unwrap(),
        second
    );
    let nested = places.file("second/a/b.pth");
    assert_eq!(places.locate("file:a/b.pth").unwrap(), nested);
    // From the working folder, which for tests is that of the crate.
    assert_eq!(
        places.locate("file:src/lib.rs").unwrap(),
        Path::new("src/lib.rs")
    );
}

#[test]
fn a_missing_file_says_where_it_was_looked_for() {
    let places = Places::new();
    assert_eq!(
        places.missing("file:w.pth"),
        "the weights file:w.pth are missing: looked for ROOT/first/w.pth, ROOT/second/w.pth, w.pth\nhint: put the file \
         at ROOT/first/w.pth, or name the folder that has it with --weights-dir"
    );
    assert_eq!(
        places.missing("file:/no/such/w.pth"),
        "the weights file:/no/such/w.pth are missing: looked for /no/such/w.pth\nhint: check the path"
    );
}

#[test]
fn files_of_the_hub_are_found_by_telling_names_first() {
    let places = Places::new();
    let spec = "hf:timm/resnet18.tv_in1k";
    for name in [
        "model.safetensors",
        "resnet18.tv_in1k.safetensors",
        "resnet18.tv_in1k/model.safetensors",
        "timm--resnet18.tv_in1k/model.safetensors",
        "timm/resnet18.tv_in1k/model.safetensors",
    ] {
        let path = places.file(&format!("second/{name}"));
        assert_eq!(places.locate(spec).unwrap(), path, "{name}");
        assert_eq!(
            places.locate(&format!("{spec}@v1")).unwrap(),
            path,
            "{name}"
        );
    }
    let other = places.file("first/weights.pth");
    assert_eq!(
        places.locate(&format!("{spec}/pth/weights.pth")).unwrap(),
        other
    );
}

#[test]
fn the_cache_of_the_hub_is_found_by_branch_and_by_commit() {
    let places = Places::new();
    let repo = "hub/models--timm--resnet18.tv_in1k";
    let path = places.file(&format!("{repo}/snapshots/0123abc/model.safetensors"));
    std::fs::create_dir_all(places.root.path().join(repo).join("refs")).unwrap();
    std::fs::write(places.root.path().join(repo).join("refs/main"), "0123abc").unwrap();
    assert_eq!(places.locate("hf:timm/resnet18.tv_in1k").unwrap(), path);
    assert_eq!(
        places.locate("hf:timm/resnet18.tv_in1k@0123abc").unwrap(),
        path
    );
    assert!(places.locate("hf:timm/resnet18.tv_in1k@other").is_err());
    assert!(
        places
            .locate("hf:timm/resnet18.tv_in1k/other.safetensors")
            .is_err()
    );
}

#[test]
fn missing_weights_of_the_hub_come_with_the_command_that_gets_them() {
    let message = Places::new().missing("hf:timm/resnet18.tv_in1k@v1");
    assert!(
        message.starts_with(
            "the weights hf:timm/resnet18.tv_in1k@v1 are missing: looked for ROOT/first/"
        ),
        "{message}"
    );
    assert!(
        message.contains(
            "`curl -fL --create-dirs -o 'ROOT/first/timm--resnet18.tv_in1k/model.safetensors' \
             'http://127.0.0.1:9/timm/resnet18.tv_in1k/resolve/v1/model.safetensors'`"
        ),
        "{message}"
    );
}

#[test]
fn names_that_leave_their_folder_are_refused() {
    let places = Places::new();
    for spec in [
        "hf:a/../b",
        "hf:a/b/../../c",
        "hf:a/b@../x",
        "https://host/..",
        "https://host/",
        "https://host",
    ] {
        let error = places.locate(spec).unwrap_err();
        assert!(matches!(error, ModelError::Place { .. }), "{spec}: {error}");
    }
    assert!(matches!(
        places.locate("trial:a/b").unwrap_err(),
        ModelError::Trial { .. }
    ));
}

#[test]
fn addresses_are_looked_up_by_file_name() {
    let places = Places::new();
    let url = "https://download.pytorch.org/models/resnet18-f37072fd.pth?x=1";
    let message = places.missing(url);
    assert!(
        message.contains(&format!(
            "`curl -fL --create-dirs -o 'ROOT/first/resnet18-f37072fd.pth' '{url}'`"
        )),
        "{message}"
    );
    let converted = places.file("second/resnet18-f37072fd.safetensors");
    assert_eq!(places.locate(url).unwrap(), converted);
    let own = places.file("second/resnet18-f37072fd.pth");
    assert_eq!(places.locate(url).unwrap(), own);
}

/// Answers every request with `text`, until the test ends.
fn serve(text: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut request = [0; 4096];
            let _ = stream.read(&mut request);
            let length = text.len();
            let _ = write!(
                stream,
                "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{text}"
            );
        }
    });
    address
}

/// `sha256sum` of the text `weights` begins with this.
const HASH: &str = "9a129038";

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
}

#[test]
fn addresses_are_fetched_into_the_cache_and_checked() {
    let mut places = Places::new();
    places.folders.offline = false;
    let host = serve("weights");
    let path = places
        .locate(&format!("{host}/models/net-{HASH}.pth"))
        .unwrap();
    assert_eq!(
        path,
        places.root.path().join(format!("cache/net-{HASH}.pth"))
    );
    assert_eq!(read(&path), "weights");
    let error = places
        .locate(&format!("{host}/models/net-01234567.pth"))
        .unwrap_err();
    assert!(matches!(error, ModelError::Fetch { .. }), "{error}");
    assert!(!places.root.path().join("cache/net-01234567.pth").exists());
}

/// With the hash in the name, and with the one that is noted beside a file without.
#[test]
fn damaged_files_from_addresses_are_fetched_again() {
    let mut places = Places::new();
    let host = serve("weights");
    for name in [format!("net-{HASH}.pth"), "model.safetensors".to_owned()] {
        let url = format!("{host}/models/{name}");
        places.folders.offline = false;
        let path = places.locate(&url).unwrap();
        for damaged in ["weighs", "weightz", ""] {
            // Another size or another time of change: this process reads the file again.
            std::fs::remove_file(&path).unwrap();
            std::fs::write(&path, damaged).unwrap();
            let later = SystemTime::now() + Duration::from_secs(3);
            File::open(&path).unwrap().set_modified(later).unwrap();
            places.folders.offline = true;
            let error = places.locate(&url).unwrap_err();
            assert!(matches!(error, ModelError::Damaged { .. }), "{error}");
            let message = error.to_string();
            for part in [HASH, "curl -fL", &url, &path.display().to_string()] {
                assert!(message.contains(part), "{part}: {message}");
            }
            places.folders.offline = false;
            assert_eq!(places.locate(&url).unwrap(), path);
            assert_eq!(read(&path), "weights");
        }
        places.folders.offline = true;
        assert_eq!(places.locate(&url).unwrap(), path);
    }
}

/// Files that are called alike at different addresses are different files.
#[test]
fn a_name_without_a_hash_is_no_name_for_the_cache() {
    let mut places = Places::new();
    places.folders.offline = false;
    let (one, two) = (serve("one"), serve("two"));
    let first = places.locate(&format!("{one}/model.safetensors")).unwrap();
    let second = places.locate(&format!("{two}/model.safetensors")).unwrap();
    assert_eq!((read(&first), read(&second)), ("one".into(), "two".into()));
    assert!(first.starts_with(&places.folders.cache) && first.ends_with("model.safetensors"));
}
