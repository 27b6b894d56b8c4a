//! Where NVIDIA's libraries are looked for.

use std::cell::OnceCell;
use std::env;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::files::{is_library, known_to_loader};
use crate::shared::SharedLibrary;
use crate::{Library, LoadError};

/// The variable that names folders to look in first, separated by colons.
pub(crate) const VARIABLE: &str = "GRAFT_CUDA_LIBRARIES";

/// The variable in which a process tells those that it starts which of the folders of Python's packages have libraries.
const WHEELS: &str = "GRAFT_CUDA_WHEELS";

/// Where drivers lie that the system's loader does not know: containers, WSL, NixOS.
const DRIVER_FOLDERS: [&str; 4] = [
    "/usr/local/nvidia/lib64",
    "/usr/local/nvidia/lib",
    "/usr/lib/wsl/lib",
    "/run/opengl-driver/lib",
];

/// Prints the folders that Python imports from, one a line.
const PRINT_FOLDERS: &str =
    "import sys; print('\\n'.join(folder for folder in sys.path if folder))";

/// What decides where libraries are looked for.
#[derive(Debug, Default)]
pub(crate) struct Search {
    /// The folders of `GRAFT_CUDA_LIBRARIES`.
    named: Vec<PathBuf>,
    /// The toolkit's installations, whose `lib64` and `lib` count.
    toolkits: Vec<PathBuf>,
    /// The active virtual environment of Python.
    environment: Option<PathBuf>,
    /// `PATH`, for `python3`; `None` for no Python.
    path: Option<OsString>,
    /// The folders of `LD_LIBRARY_PATH`, for those who only look.
    system: Vec<PathBuf>,
    /// The folders of PyTorch's wheels, once they have been looked for.
    wheels: OnceCell<Vec<PathBuf>>,
}

impl Search {
    /// That of this process.
    pub(crate) fn from_env() -> Self {
        let folder = |name| {
            env::var_os(name)
                .filter(|v| !v.is_empty())
                .map(PathBuf::from)
        };
        let homes = ["CUDA_HOME", "CUDA_PATH"].into_iter().filter_map(folder);
        Self {
            named: split(env::var_os(VARIABLE).as_deref()),
            toolkits: homes.chain([PathBuf::from("/usr/local/cuda")]).collect(),
            environment: folder("VIRTUAL_ENV"),
            path: env::var_os("PATH"),
            system: split(env::var_os("LD_LIBRARY_PATH").as_deref()),
            wheels: env::var_os(WHEELS)
                .map_or_else(OnceCell::new, |told| OnceCell::from(split(Some(&told)))),
        }
    }

    /// The wheels' folders, if they were looked for, as [`Search::from_env`] of another process takes them.
    pub(crate) fn found(&self) -> Option<(String, OsString)> {
        let folders = env::join_paths(self.wheels.get()?).ok()?;
        Some((WHEELS.to_owned(), folders))
    }

    /// Whether [`Search::open`] would find a whole file of a library, without loading it. False where that is not sure.
    pub(crate) fn find(&self, library: Library, newest: Option<u32>) -> bool {
        let names = library.names(newest);
        let in_folder = |folder: &PathBuf| {
            let files = names.iter().map(|name| folder.join(name));
            let mut files = files.filter(|file| file.exists());
            files.next().map(|file| is_library(&file))
        };
        let named = self.named.iter().find_map(in_folder);
        if let Some(is_whole) = named {
            return is_whole;
        }
        let is_known = |name: &String| {
            let files = self.system.iter().map(|folder| folder.join(name));
            files
                .chain(known_to_loader(name))
                .any(|file| is_library(&file))
        };
        names.iter().any(is_known) || self.usual(library).iter().find_map(in_folder) == Some(true)
    }

    /// Loads a library: from the folders of `GRAFT_CUDA_LIBRARIES`, from wherever the system finds it, and from the usual
    /// places that the system does not know (for the driver containers', for the others the toolkit and the wheels that
    /// PyTorch brings along). `newest` is the newest CUDA that the driver knows.
    ///
    /// # Errors
    /// When it is nowhere, or a file in a folder of `GRAFT_CUDA_LIBRARIES` can't be loaded.
    pub(crate) fn open(
        &self,
        library: Library,
        newest: Option<u32>,
    ) -> Result<SharedLibrary, LoadError> {
        let names = library.names(newest);
        let mut looked = Vec::new();
        let mut faults = Vec::new();
        for folder in &self.named {
            let there = if folder.is_dir() {
                ""
            } else {
                ", which is no folder"
            };
            looked.push(format!("{} ({VARIABLE}{there})", folder.display()));
            if let Some(found) = in_folder(folder, &names) {
                return found.map_err(|fault| LoadError::Named { fault });
            }
        }
        looked.push("the system's library folders and LD_LIBRARY_PATH".to_owned());
        for name in &names {
            match SharedLibrary::open(OsStr::new(name)) {
                Ok(shared) => return Ok(shared),
                Err(fault) if is_absence(&fault, name) => {}
                Err(fault) => faults.push(fault),
            }
        }
        for folder in self.usual(library) {
            match in_folder(&folder, &names) {
                Some(Ok(shared)) => return Ok(shared),
                Some(Err(fault)) => faults.push(fault),
                None => {}
            }
            looked.push(folder.display().to_string());
        }
        if library == Library::Driver {
            let name = names.join(", ");
            return Err(LoadError::NoDriver {
                name,
                looked,
                faults,
            });
        }
        if self.wheels().is_empty() {
            looked.push(
                "the packages of `python3`, among which are no libraries of NVIDIA's".to_owned(),
            );
        }
        Err(LoadError::NoLibrary {
            what: library.title(),
            names: names.join(" or "),
            looked,
            faults,
            install: Library::install(newest),
        })
    }

    /// The usual folders that the system's loader does not look in.
    fn usual(&self, library: Library) -> Vec<PathBuf> {
        if library == Library::Driver {
            return DRIVER_FOLDERS.map(PathBuf::from).into();
        }
        let toolkits = self.toolkits.iter();
        let mut folders: Vec<_> = toolkits
            .flat_map(|home| [home.join("lib64"), home.join("lib")])
            .collect();
        folders.retain(|folder| folder.is_dir());
        folders.extend_from_slice(self.wheels());
        folders
    }

    /// `nvidia/*/lib` of every folder that Python imports from.
    fn wheels(&self) -> &[PathBuf] {
        self.wheels.get_or_init(|| {
            let mut found = Vec::new();
            for site in self.sites() {
                for package in sorted_folders(&site.join("nvidia")) {
                    let folder = package.join("lib");
                    if folder.is_dir() && !found.contains(&folder) {
                        found.push(folder);
                    }
                }
            }
            found
        })
    }

    /// Where Python's packages are: in the active environment, and where `python3` looks.
    fn sites(&self) -> Vec<PathBuf> {
        let mut sites = Vec::new();
        if let Some(environment) = &self.environment {
            let pythons = sorted_folders(&environment.join("lib"));
            sites.extend(pythons.iter().map(|python| python.join("site-packages")));
        }
        if let Some(path) = &self.path {
            sites.extend(python_folders(path));
        }
        sites
    }
}

/// The first file of one of the names in a folder, loaded; `None` when there is none.
fn in_folder(folder: &Path, names: &[String]) -> Option<Result<SharedLibrary, String>> {
    let file = names
        .iter()
        .map(|name| folder.join(name))
        .find(|file| file.exists())?;
    Some(SharedLibrary::open(file.as_os_str()))
}

/// Whether the system says no more than that there is no file of this name.
fn is_absence(fault: &str, name: &str) -> bool {
    fault.starts_with(&format!("{name}: cannot open shared object file"))
        || fault.starts_with(&format!(
            "Error loading shared library {name}: No such file"
        ))
}

/// The folders of a list with colons.
fn split(list: Option<&OsStr>) -> Vec<PathBuf> {
    let all = list.map(env::split_paths).into_iter().flatten();
    all.filter(|folder| !folder.as_os_str().is_empty())
        .collect()
}

/// The folders in a folder, in the order of their names.
fn sorted_folders(folder: &Path) -> Vec<PathBuf> {
    let entries = folder.read_dir().into_iter().flatten().flatten();
    let mut folders: Vec<_> = entries
        .map(|entry| entry.path())
        .filter(|path| path.is_dir())
        .collect();
    folders.sort();
    folders
}

/// Where the first `python3` of a `PATH` imports from. None when there is no Python.
fn python_folders(path: &OsStr) -> Vec<PathBuf> {
    let Some(python) = env::split_paths(path)
        .map(|folder| folder.join("python3"))
        .find(|file| file.is_file())
    else {
        return Vec::new();
    };
    let mut command = Command::new(python);
    command
        .args(["-c", PRINT_FOLDERS])
        .stdin(Stdio::null())
        .stderr(Stdio::null());
    let output = command
        .output()
        .ok()
        .filter(|output| output.status.success());
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    text.unwrap_or_default()
        .lines()
        .map(PathBuf::from)
        .collect()
}

#[cfg(test)]
#[path = "search_tests.rs"]
mod tests;
