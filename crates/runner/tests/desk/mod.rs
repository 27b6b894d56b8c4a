//! A person's working folder, in which the tests run `graft` as that person would.
#![allow(dead_code, reason = "every test file uses a part of it")]

use std::{
    collections::BTreeMap,
    fs,
    io::{BufReader, Read},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

/// Longest wait for something that has to happen.
const PATIENCE: Duration = Duration::from_secs(120);

/// Six trials of about a tenth of a second.
pub(crate) const TINY: &str = r#"
name = "tiny"
repeats = 3
seed = 7

[data]
source = "generated"
task = "target"
side = 16
train = 32
val = 16

[data.transform]
size = 16
train = ["random-resized-crop", "horizontal-flip"]
eval = ["resize 16", "center-crop"]

[train]
epochs = 3
batch_size = 8
optimizer = { kind = "sgd", lr = 0.05, momentum = 0.9 }

[[variant]]
name = "narrow"
model = { kind = "convnet", depth = [2, 2], hidden = 4 }

[[variant]]
name = "wide"
model = { kind = "convnet", depth = [4, 4], hidden = 8, dropout = 0.25 }
"#;

/// A working folder that vanishes with its test.
pub(crate) struct Desk {
    folder: tempfile::TempDir,
}

/// What a command left.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Desk {
    /// An empty folder.
    pub(crate) fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    /// A folder with `tiny.toml`.
    pub(crate) fn with_tiny() -> Self {
        let desk = Self::new();
        desk.write("tiny.toml", TINY);
        desk
    }

    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    pub(crate) fn write(&self, path: &str, text: impl AsRef<[u8]>) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    pub(crate) fn read(&self, path: &str) -> String {
        fs::read_to_string(self.path(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    /// `graft` with these arguments, separated by spaces.
    pub(crate) fn command(&self, arguments: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_graft"));
        command
            .args(arguments.split_whitespace())
            .current_dir(self.folder.path())
            .env_remove("GRAFT_DATA_DIR")
            .env_remove("GRAFT_WEIGHTS_DIR")
            .env("HF_HUB_OFFLINE", "1")
            .env("HF_HOME", self.path("no-cache"))
            .env("GRAFT_CACHE_DIR", self.path("no-cache"))
            .stdin(Stdio::null());
        command
    }

    /// Runs `graft` to its end.
    pub(crate) fn graft(&self, arguments: &str) -> Finished {
        self.command(arguments).output().unwrap().into()
    }

    /// Starts `graft` in the background.
    pub(crate) fn start(&self, arguments: &str) -> Started {
        let mut command = self.command(arguments);
        Started {
            child: command
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap(),
        }
    }

    /// The folders of the trials of an experiment, by name.
    pub(crate) fn trials(&self, experiment: &str) -> Vec<PathBuf> {
        let Ok(entries) = fs::read_dir(self.path(&format!("results/{experiment}/trials"))) else {
            return Vec::new();
        };
        let mut folders: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
        folders.sort();
        folders
    }

    /// The folder of the trial of a variant and repeat.
    pub(crate) fn trial(&self, experiment: &str, variant: &str, repeat: u32) -> PathBuf {
        let start = format!("{variant}-base-r{repeat:02}-");
        let found = self
            .trials(experiment)
            .into_iter()
            .find(|path| file_name(path).starts_with(&start));
        found.unwrap_or_else(|| panic!("no trial {start}*"))
    }

    /// The content of the files of a results folder that have to be the same, whatever happened on the way there.
    pub(crate) fn results(&self, experiment: &str) -> BTreeMap<String, Vec<u8>> {
        let root = self.path(&format!("results/{experiment}"));
        let mut files = BTreeMap::new();
        collect(&root, &root, &mut files);
        // These tell how it went, not what came out.
        files.retain(|name, _| {
            let name = name.rsplit('/').next().unwrap();
            !matches!(
                name,
                "timing.csv" | "log.txt" | "status.json" | ".lock" | "last.safetensors"
            )
        });
        files
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for trial in self.trials("tiny") {
                eprintln!(
                    "{}: {:?}",
                    trial.display(),
                    fs::read_to_string(trial.join("log.txt"))
                );
            }
        }
    }
}

fn collect(root: &Path, folder: &Path, files: &mut BTreeMap<String, Vec<u8>>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(root, &path, files);
        } else {
            let name = path
                .strip_prefix(root)
                .unwrap()
                .to_str()
                .unwrap()
                .to_owned();
            files.insert(name, fs::read(&path).unwrap());
        }
    }
}

pub(crate) fn file_name(path: &Path) -> &str {
    path.file_name().unwrap().to_str().unwrap()
}

impl From<Output> for Finished {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

impl Finished {
    /// Checks the exit code and gives back the rest.
    #[track_caller]
    pub(crate) fn code(self, code: i32) -> Self {
        assert_eq!(
            self.code,
            Some(code),
            "stdout:\n{}\nstderr:\n{}",
            self.stdout,
            self.stderr
        );
        self
    }

    #[track_caller]
    pub(crate) fn stderr_has(self, part: &str) -> Self {
        assert!(
            self.stderr.contains(part),
            "no {part:?} in stderr:\n{}",
            self.stderr
        );
        self
    }

    #[track_caller]
    pub(crate) fn stderr_lacks(self, part: &str) -> Self {
        assert!(
            !self.stderr.contains(part),
            "{part:?} in stderr:\n{}",
            self.stderr
        );
        self
    }

    #[track_caller]
    pub(crate) fn stdout_has(self, part: &str) -> Self {
        assert!(
            self.stdout.contains(part),
            "no {part:?} in stdout:\n{}",
            self.stdout
        );
        self
    }
}

/// A command in the background. It is killed if its test fails.
pub(crate) struct Started {
    child: Child,
}

impl Started {
    /// Waits until `happened`, while the command still runs.
    #[track_caller]
    pub(crate) fn wait_until(&mut self, what: &str, mut happened: impl FnMut() -> bool) {
        let start = Instant::now();
        while !happened() {
            assert!(start.elapsed() < PATIENCE, "{what} did not happen");
            if self.child.try_wait().unwrap().is_some() {
                assert!(happened(), "the command ended before: {what}");
            }
            std::thread::yield_now();
        }
    }

    /// Reads stderr up to a line that has `part`.
    #[track_caller]
    pub(crate) fn read_until(&mut self, part: &str) {
        let stderr = self.child.stderr.as_mut().unwrap();
        // One byte at a time, so that nothing after the line is taken away.
        let mut line = Vec::new();
        for byte in BufReader::with_capacity(1, stderr).bytes() {
            let byte = byte.unwrap();
            if byte != b'\n' {
                line.push(byte);
            } else if String::from_utf8_lossy(&line).contains(part) {
                return;
            } else {
                line.clear();
            }
        }
        panic!("stderr ended without {part:?}");
    }

    /// Sends a signal: `INT`, `TERM`, `KILL`.
    pub(crate) fn signal(&self, name: &str) {
        send_signal(self.child.id(), name);
    }

    /// The processes that it has started.
    pub(crate) fn workers(&self) -> Vec<u32> {
        let id = self.child.id();
        let children =
            fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap_or_default();
        children
            .split_whitespace()
            .map(|id| id.parse().unwrap())
            .collect()
    }

    /// Waits for its end.
    pub(crate) fn finish(self) -> Finished {
        let mut this = std::mem::ManuallyDrop::new(self);
        let (mut stdout, mut stderr) = (String::new(), String::new());
        let mut out = this.child.stdout.take().unwrap();
        let reader = std::thread::spawn(move || {
            out.read_to_string(&mut stdout).unwrap();
            stdout
        });
        this.child
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut stderr)
            .unwrap();
        Finished {
            code: this.child.wait().unwrap().code(),
            stdout: reader.join().unwrap(),
            stderr,
        }
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Sends a signal to a process.
pub(crate) fn send_signal(id: u32, name: &str) {
    let status = Command::new("kill")
        .args([format!("-{name}"), id.to_string()])
        .status()
        .unwrap();
    assert!(status.success(), "kill -{name} {id}");
}

/// A picture of one colour as a BMP file, which needs no library to write: 24 bits, 8 x 8.
pub(crate) fn bmp(red: u8, green: u8, blue: u8) -> Vec<u8> {
    const SIDE: u32 = 8;
    let pixels = SIDE * SIDE * 3;
    let mut file = Vec::new();
    file.extend(b"BM");
    file.extend((54 + pixels).to_le_bytes());
    file.extend([0; 4]);
    file.extend(54_u32.to_le_bytes());
    file.extend(40_u32.to_le_bytes());
    file.extend(SIDE.to_le_bytes());
    file.extend(SIDE.to_le_bytes());
    file.extend(1_u16.to_le_bytes());
    file.extend(24_u16.to_le_bytes());
    file.extend([0; 24]);
    for _ in 0..SIDE * SIDE {
        file.extend([blue, green, red]);
    }
    file
}
