//! Which file is taken, on folders made for the test. Where there is a C compiler, the files are libraries.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use tempfile::TempDir;

use super::*;

/// A folder that has to be there.
fn folder(root: &TempDir, path: &str) -> PathBuf {
    let folder = root.path().join(path);
    fs::create_dir_all(&folder).unwrap();
    folder
}

/// A library whose function `which` gives `number`. False where there is no C compiler.
fn library(file: &Path, number: u32) -> bool {
    let source = file.with_extension("c");
    fs::write(&source, format!("int which(void) {{ return {number}; }}\n")).unwrap();
    let mut compiler = Command::new("cc");
    compiler
        .args(["-shared", "-fPIC", "-o"])
        .args([file, &source]);
    let made = compiler
        .output()
        .is_ok_and(|output| output.status.success());
    fs::remove_file(source).unwrap();
    made
}

/// What `which` gives.
fn number(shared: &SharedLibrary) -> i32 {
    let address = shared.symbol(Library::Cudnn, c"which").unwrap();
    // SAFETY: the function that `library` compiles.
    let which: extern "C" fn() -> i32 = unsafe { std::mem::transmute(address) };
    which()
}

/// Something that is no library.
fn broken(folder: &Path, name: &str) {
    fs::write(folder.join(name), "no library").unwrap();
}

#[test]
fn a_missing_driver_is_told_with_all_places() {
    let root = TempDir::new().unwrap();
    let search = Search {
        named: vec![folder(&root, "own"), root.path().join("gone")],
        ..Search::default()
    };
    // A machine that has a driver finds it.
    let Err(error) = search.open(Library::Driver, None) else {
        return;
    };
    let LoadError::NoDriver { name, looked, .. } = &error else {
        panic!("{error}");
    };
    assert_eq!(name, "libcuda.so.1");
    assert!(
        looked[0].ends_with("own (GRAFT_CUDA_LIBRARIES)"),
        "{looked:?}"
    );
    assert!(
        looked[1].ends_with("gone (GRAFT_CUDA_LIBRARIES, which is no folder)"),
        "{looked:?}"
    );
    assert_eq!(
        looked[2],
        "the system's library folders and LD_LIBRARY_PATH"
    );
    assert_eq!(looked[3..], DRIVER_FOLDERS);
    assert!(
        error.to_string().contains("or use `--device cpu`"),
        "{error}"
    );
}

#[test]
fn a_broken_file_where_the_user_points_is_the_error() {
    let root = TempDir::new().unwrap();
    let own = folder(&root, "own");
    broken(&own, "libcudnn.so.9");
    let search = Search {
        named: vec![folder(&root, "empty"), own],
        ..Search::default()
    };
    let error = search.open(Library::Cudnn, None).unwrap_err();
    let LoadError::Named { fault } = &error else {
        panic!("{error}");
    };
    assert!(fault.contains("own/libcudnn.so.9"), "{fault}");
}

#[test]
fn broken_files_elsewhere_are_told_and_passed_by() {
    let root = TempDir::new().unwrap();
    let home = folder(&root, "toolkit");
    broken(&folder(&root, "toolkit/lib64"), "libcublas.so.12");
    let search = Search {
        toolkits: vec![home],
        ..Search::default()
    };
    // A machine that has cuBLAS in the system's folders finds it.
    let Err(error) = search.open(Library::Cublas, Some(12)) else {
        return;
    };
    let LoadError::NoLibrary {
        names,
        faults,
        looked,
        ..
    } = &error
    else {
        panic!("{error}");
    };
    assert_eq!(names, "libcublas.so.12");
    assert!(
        faults
            .iter()
            .any(|fault| fault.contains("toolkit/lib64/libcublas.so.12")),
        "{faults:?}"
    );
    assert!(
        looked.iter().any(|place| place.ends_with("toolkit/lib64")),
        "{looked:?}"
    );
    let text = error.to_string();
    assert!(
        text.starts_with("cuBLAS was not found: libcublas.so.12 could not be loaded"),
        "{text}"
    );
    assert!(text.contains("pip install nvidia-cudnn-cu12"), "{text}");
    assert!(text.contains("GRAFT_CUDA_LIBRARIES"), "{text}");
}

#[test]
fn wheels_are_found_in_the_environment_and_by_python() {
    let root = TempDir::new().unwrap();
    let in_environment = folder(&root, "venv/lib/python3.12/site-packages/nvidia/cudnn/lib");
    folder(&root, "venv/lib/python3.12/site-packages/nvidia/empty");
    let in_path = folder(&root, "packages/nvidia/cu13/lib");
    let python = folder(&root, "bin").join("python3");
    let packages = root.path().join("packages");
    fs::write(
        &python,
        format!("#!/bin/sh\necho {}\necho /gone\n", packages.display()),
    )
    .unwrap();
    fs::set_permissions(&python, fs::Permissions::from_mode(0o755)).unwrap();
    let search = Search {
        environment: Some(root.path().join("venv")),
        path: Some(env::join_paths([root.path().join("gone"), root.path().join("bin")]).unwrap()),
        ..Search::default()
    };
    assert_eq!(search.usual(Library::Cudnn), [in_environment, in_path]);
    // The driver comes with the system, never with a wheel.
    assert_eq!(
        search.usual(Library::Driver),
        DRIVER_FOLDERS.map(PathBuf::from)
    );
}

#[test]
fn no_python_is_no_wheel() {
    assert!(Search::default().wheels().is_empty());
    let root = TempDir::new().unwrap();
    let path = Some(root.path().as_os_str().to_owned());
    let search = Search {
        path,
        ..Search::default()
    };
    assert!(search.wheels().is_empty());
}

#[test]
fn the_first_place_wins_and_the_newer_version_in_it() {
    let root = TempDir::new().unwrap();
    let (first, second) = (folder(&root, "first"), folder(&root, "second"));
    // Without a C compiler there is nothing to load.
    if !library(&first.join("libcublas.so.12"), 1) {
        return;
    }
    assert!(library(&second.join("libcublas.so.12"), 2));
    assert!(library(&second.join("libcublas.so.13"), 3));
    let search = |named: [&Path; 2]| Search {
        named: named.map(Path::to_owned).into(),
        ..Search::default()
    };
    let found = |named, newest| number(&search(named).open(Library::Cublas, newest).unwrap());
    assert_eq!(found([&first, &second], Some(13)), 1);
    assert_eq!(found([&second, &first], Some(13)), 3);
    assert_eq!(found([&second, &first], Some(12)), 2);
    let shared = search([&first, &second])
        .open(Library::Cublas, None)
        .unwrap();
    let error = shared
        .symbol(Library::Cublas, c"cublasNewThing")
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("first/libcublas.so.12 has no function cublasNewThing"),
        "{error}"
    );
}

#[test]
fn lists_of_folders() {
    assert!(split(None).is_empty());
    let folders = split(Some(OsStr::new("/a::/b c:")));
    assert_eq!(folders, [Path::new("/a"), Path::new("/b c")]);
}
