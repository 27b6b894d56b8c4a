//! Where weights are looked for, and what is said when they are nowhere.

use std::{
    io::{Read, Write},
    net::TcpListener,
    path::{Path, PathBuf},
};

use graft_fetch::NoProgress;
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
    let cached = places.file("cache/resnet18-f37072fd.pth");
    assert_eq!(places.locate(url).unwrap(), cached);
    let converted = places.file("second/resnet18-f37072fd.safetensors");
    assert_eq!(places.locate(url).unwrap(), converted);
    let own = places.file("second/resnet18-f37072fd.pth");
    assert_eq!(places.locate(url).unwrap(), own);
}

/// Answers every request with the text `weights`, until the test ends.
fn serve() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut request = [0; 4096];
            let _ = stream.read(&mut request);
            let _ = stream.write_all(
                b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\nConnection: close\r\n\r\nweights",
            );
        }
    });
    address
}

/// `sha256sum` of the text `weights` begins with 9ad03c84.
#[test]
fn addresses_are_fetched_into_the_cache_and_checked() {
    let mut places = Places::new();
    places.folders.offline = false;
    let host = serve();
    let hash = places.root.path().join("hash");
    std::fs::write(&hash, "weights").unwrap();
    let hash = &graft_fetch::file_sha256(&hash).unwrap()[..8];
    let path = places
        .locate(&format!("{host}/models/net-{hash}.pth"))
        .unwrap();
    assert_eq!(
        path,
        places.root.path().join(format!("cache/net-{hash}.pth"))
    );
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "weights");
    let error = places
        .locate(&format!("{host}/models/net-01234567.pth"))
        .unwrap_err();
    assert!(matches!(error, ModelError::Fetch { .. }), "{error}");
    assert!(!places.root.path().join("cache/net-01234567.pth").exists());
}
