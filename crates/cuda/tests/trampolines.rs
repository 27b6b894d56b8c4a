//! Calls through the trampolines reach the libraries with every argument, and say what is missing. The libraries are made by the
//! C compiler; where there is none, nothing is tested.
#![cfg(feature = "cuda")]

use std::ffi::{c_char, c_int};
use std::path::Path;
use std::process::{Command, Output};
use std::{env, fs};

use tempfile::TempDir;

/// A driver with two GPUs, one of CUDA 13, or whatever the environment says.
const DRIVER: &str = r#"
#include <stdlib.h>
#include <string.h>
static int from_env(const char *name, int otherwise) {
    const char *text = getenv(name);
    return text ? atoi(text) : otherwise;
}
int cuInit(unsigned flags) { return from_env("FAKE_INIT", 0); }
int cuDeviceGetCount(int *count) { *count = from_env("FAKE_COUNT", 2); return 0; }
int cuDriverGetVersion(int *version) { *version = from_env("FAKE_VERSION", 13000); return 0; }
int cuDeviceGet(int *device, int ordinal) { *device = ordinal + 10; return 0; }
int cuDeviceGetName(char *name, int room, int device) {
    strncpy(name, device == 10 ? "Fake A" : "Fake B", room);
    return 0;
}
int cuDeviceTotalMem_v2(size_t *bytes, int device) { *bytes = (size_t)device << 30; return 0; }
int cuDeviceGetAttribute(int *value, int which, int device) { *value = which == 75 ? 9 : 0; return 0; }
int cuGetErrorName(int code, const char **name) { *name = code == 100 ? "CUDA_ERROR_NO_DEVICE" : "CUDA_ERROR"; return 0; }
"#;

/// Functions under cuBLAS's names, with as many arguments as there are ways to pass them.
const CUBLAS: &str = r"
int cublasCreate_v2(long a, long b, long c, long d, long e, long f, long g, long h, double i, double j, double k,
                    double l, double m, double n, double o, double p, double q, float r) {
    return a == 1 && b == 2 && c == 3 && d == 4 && e == 5 && f == 6 && g == 7 && h == 8 && i == 9 && j == 10 &&
           k == 11 && l == 12 && m == 13 && n == 14 && o == 15 && p == 16 && q == 17 && r == 18;
}
";

const FILES: [(&str, &str); 6] = [
    ("libcuda.so.1", DRIVER),
    ("libcublasLt.so.13", ""),
    ("libcublas.so.13", CUBLAS),
    ("libcurand.so.10", ""),
    ("libnvrtc.so.13", ""),
    ("libcudnn.so.9", ""),
];

unsafe extern "C" {
    #[allow(clippy::too_many_arguments)]
    fn cublasCreate_v2(
        a: i64,
        b: i64,
        c: i64,
        d: i64,
        e: i64,
        f: i64,
        g: i64,
        h: i64,
        i: f64,
        j: f64,
        k: f64,
        l: f64,
        m: f64,
        n: f64,
        o: f64,
        p: f64,
        q: f64,
        r: f32,
    ) -> c_int;
    fn cudnnCreate(handle: *mut usize) -> c_int;
    fn cudnnGetErrorString(status: c_int) -> *const c_char;
    fn cuMemAlloc_v2(address: *mut u64, bytes: usize) -> c_int;
    fn cudaLaunchKernel() -> c_int;
    fn curandCreateGenerator(generator: *mut usize, kind: c_int) -> c_int;
    fn curandSetStream(generator: usize, stream: usize) -> c_int;
    fn curandSetPseudoRandomGeneratorSeed(generator: usize, seed: u64) -> c_int;
    fn curandGenerateUniform(generator: usize, to: *mut f32, count: usize) -> c_int;
    fn curandDestroyGenerator(generator: usize) -> c_int;
    fn __cudaRegisterFatBinary(binary: *const u8) -> *const u8;
}

/// The libraries, but for those that are left out. `None` where there is no C compiler.
fn libraries(without: &[&str]) -> Option<TempDir> {
    let folder = TempDir::new().unwrap();
    for (name, text) in FILES {
        if without.contains(&name) {
            continue;
        }
        let source = folder.path().join("library.c");
        fs::write(&source, text).unwrap();
        let mut compiler = Command::new("cc");
        compiler
            .args(["-w", "-shared", "-fPIC", "-o"])
            .arg(folder.path().join(name))
            .arg(&source);
        if !compiler
            .output()
            .is_ok_and(|output| output.status.success())
        {
            return None;
        }
    }
    Some(folder)
}

/// Runs an ignored test of this file in a process of its own, whose libraries are those of the folder.
fn in_process(test: &str, folder: &Path, variables: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--ignored", "--exact", test, "--nocapture"]);
    command
        .env("GRAFT_CUDA_LIBRARIES", folder)
        .env("PATH", "")
        .env_remove("VIRTUAL_ENV")
        .env_remove("CUDA_HOME")
        .env_remove("CUDA_PATH");
    command.envs(variables.iter().copied()).output().unwrap()
}

/// What `load` says in a process of its own.
fn loading(folder: &Path, variables: &[(&str, &str)]) -> String {
    let output = in_process("prints_what_load_says", folder, variables);
    String::from_utf8(output.stdout).unwrap()
}

#[test]
#[ignore = "run by others, in a process of its own"]
fn prints_what_load_says() {
    match graft_cuda::load() {
        Ok(()) => println!("loaded: {:?}", graft_cuda::devices().unwrap()),
        Err(error) => println!("{error}"),
    }
    match graft_cuda::device(2) {
        Ok(device) => println!("{device:?}"),
        Err(error) => println!("{error}"),
    }
}

#[test]
#[ignore = "run by others, in a process of its own"]
fn calls() {
    // From several threads at once: each function's first call is made by all of them.
    let call = || {
        // SAFETY: the functions of `CUBLAS`, and functions that are not there.
        unsafe {
            for _ in 0..3 {
                let all = cublasCreate_v2(
                    1, 2, 3, 4, 5, 6, 7, 8, 9.0, 10.0, 11.0, 12.0, 13.0, 14.0, 15.0, 16.0, 17.0,
                    18.0,
                );
                assert_eq!(all, 1);
                assert_eq!(cuMemAlloc_v2(&raw mut *Box::new(0), 1), 302);
                assert_eq!(cudnnCreate(&raw mut *Box::new(0)), 3000);
                assert!(!cudnnGetErrorString(3000).is_null());
                assert_eq!(cudaLaunchKernel(), 801);
                assert!(__cudaRegisterFatBinary(std::ptr::null()).is_null());
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(call);
        }
    });
}

#[test]
fn calls_bring_all_arguments_and_say_what_is_missing() {
    let Some(folder) = libraries(&[]) else {
        return;
    };
    let output = in_process("calls", folder.path(), &[]);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        output.status.success(),
        "{text}\n{}",
        String::from_utf8_lossy(&output.stdout)
    );
    assert!(
        text.contains("libcuda.so.1 has no function cuMemAlloc_v2"),
        "{text}"
    );
    assert!(
        text.contains("libcudnn.so.9 has no function cudnnCreate"),
        "{text}"
    );
}

#[test]
fn all_there_is_loaded() {
    let Some(folder) = libraries(&[]) else {
        return;
    };
    let text = loading(folder.path(), &[]);
    assert!(text.contains("loaded: ["), "{text}");
    let first = r#"DeviceInfo { name: "Fake A", memory: 10737418240, capability: (9, 0) }"#;
    assert!(text.contains(first), "{text}");
    assert!(
        text.contains("there is no GPU 2: 2 were found: cuda:0 is Fake A, cuda:1 is Fake B"),
        "{text}"
    );
}

#[test]
#[ignore = "run by others, in a process of its own"]
fn opens_a_generator() {
    let mut generator = 0;
    // SAFETY: the types in curand.h.
    unsafe {
        assert_eq!(curandCreateGenerator(&raw mut generator, 100), 0);
        assert_ne!(generator, 0);
        assert_eq!(curandSetStream(generator, 0), 0);
        assert_eq!(curandSetPseudoRandomGeneratorSeed(generator, 7), 0);
        assert_eq!(
            curandGenerateUniform(generator, std::ptr::null_mut(), 4),
            101
        );
        assert_eq!(curandDestroyGenerator(generator), 0);
    }
}

#[test]
fn random_numbers_may_be_missing() {
    let Some(folder) = libraries(&["libcurand.so.10"]) else {
        return;
    };
    // A machine that has the library takes its own.
    if known_elsewhere("libcurand.so.10") {
        return;
    }
    let text = loading(folder.path(), &[]);
    assert!(text.contains("loaded: ["), "{text}");
    let output = in_process("opens_a_generator", folder.path(), &[]);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{text}");
    assert!(!text.contains("curand"), "nothing is said of it: {text}");
    // A broken one that was named is an error.
    fs::write(folder.path().join("libcurand.so.10"), "no library").unwrap();
    let text = loading(folder.path(), &[]);
    assert!(text.contains("GRAFT_CUDA_LIBRARIES: "), "{text}");
    assert!(text.contains("libcurand.so.10"), "{text}");
}

#[test]
fn files_are_found_without_loading_them() {
    let Some(folder) = libraries(&[]) else {
        return;
    };
    let output = in_process("prints_what_find_says", folder.path(), &[]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("found\n"), "{text}");
    // Those of these files that were loaded.
    assert!(text.contains("loaded libcuda.so.1\n"), "{text}");
    assert_eq!(text.matches("loaded lib").count(), 1, "{text}");
    fs::write(folder.path().join("libcudnn.so.9"), "no library").unwrap();
    let output = in_process("prints_what_find_says", folder.path(), &[]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("GRAFT_CUDA_LIBRARIES: "), "{text}");
    assert!(text.contains("libcudnn.so.9"), "{text}");
}

#[test]
#[ignore = "run by others, in a process of its own"]
fn prints_what_find_says() {
    match graft_cuda::find() {
        Ok(()) => println!("found"),
        Err(error) => println!("{error}"),
    }
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    for (name, _) in FILES {
        if maps.contains(&format!("/{name}\n")) {
            println!("loaded {name}");
        }
    }
}

/// Whether the system's loader finds a library that is not among those of the test.
fn known_elsewhere(name: &str) -> bool {
    fs::read("/etc/ld.so.cache").is_ok_and(|cache| {
        let name = name.as_bytes();
        cache.windows(name.len()).any(|text| text == name)
    })
}

#[test]
fn a_compiler_for_kernels_may_be_missing() {
    let Some(folder) = libraries(&["libnvrtc.so.13"]) else {
        return;
    };
    let text = loading(folder.path(), &[]);
    assert!(text.contains("loaded: ["), "{text}");
}

#[test]
fn what_the_driver_says_is_told() {
    let Some(folder) = libraries(&[]) else {
        return;
    };
    for (variables, message) in [
        (
            [("FAKE_INIT", "100")],
            "cuInit says CUDA_ERROR_NO_DEVICE (100)",
        ),
        (
            [("FAKE_COUNT", "0")],
            "sees no GPU (cuDeviceGetCount says 0",
        ),
        (
            [("FAKE_VERSION", "11080")],
            "knows CUDA 11.8, and this build of graft was made with CUDA 1",
        ),
    ] {
        let text = loading(folder.path(), &variables);
        assert!(text.contains(message), "{text}");
        assert!(text.contains("`--device cpu`"), "{text}");
    }
}
