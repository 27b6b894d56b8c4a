//! With the feature `cuda`: lets the linker do without NVIDIA's libraries, and notes the toolkit's version.

use std::path::PathBuf;
use std::process::Command;
use std::{env, fs};

/// What cudarc and candle's kernels ask the linker for. Every symbol of these is in `src/trampolines`.
const LIBRARIES: [&str; 7] = [
    "cuda", "cublas", "cublasLt", "cudnn", "curand", "nvrtc", "cudart",
];

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    for name in ["CUDA_HOME", "CUDA_PATH", "PATH"] {
        println!("cargo:rerun-if-env-changed={name}");
    }
    if env::var_os("CARGO_FEATURE_CUDA").is_none() {
        return;
    }
    let folder = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    for library in LIBRARIES {
        // An archive of nothing, found where no library of the name is installed.
        fs::write(folder.join(format!("lib{library}.a")), "!<arch>\n")
            .expect("cargo's folder is writable");
    }
    println!("cargo:rustc-link-search=native={}", folder.display());
    println!(
        "cargo:rustc-env=GRAFT_CUDA_TOOLKIT={}",
        toolkit().unwrap_or(0)
    );
}

/// The version of the `nvcc` on PATH, which cudarc takes too: 13000 for 13.0.
fn toolkit() -> Option<u32> {
    let output = Command::new("nvcc").arg("--version").output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let version = text.split("release ").nth(1)?.split(',').next()?;
    let (major, minor) = version.trim().split_once('.')?;
    Some(1000 * major.parse::<u32>().ok()? + 10 * minor.parse::<u32>().ok()?)
}
