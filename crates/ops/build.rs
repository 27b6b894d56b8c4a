//! Compiles the CUDA kernels to one PTX module, where the feature `cuda` is on.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

/// The oldest GPUs that the module runs on, as nvcc's `compute_…`; drivers compile it on for newer ones.
const OLDEST: &str = "80";

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=kernels");
    println!("cargo:rerun-if-env-changed=GRAFT_CUDA_COMPUTE_CAP");
    println!("cargo:rerun-if-env-changed=CUDA_HOME");
    println!("cargo:rerun-if-env-changed=NVCC");
    if env::var_os("CARGO_FEATURE_CUDA").is_some() {
        compile();
    }
}

fn compile() {
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    let kernels =
        Path::new(&env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it")).join("kernels");
    let mut files: Vec<PathBuf> = fs::read_dir(&kernels)
        .expect("the kernels are part of the crate")
        .map(|entry| entry.expect("the folder can be read").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "cu"))
        .collect();
    files.sort();
    // One file that includes all others gives one module.
    let mut all = String::new();
    for file in &files {
        writeln!(all, "#include \"{}\"", file.display()).expect("a string takes everything");
    }
    let source = out.join("graft.cu");
    fs::write(&source, all).expect("OUT_DIR can be written to");
    let capability = env::var("GRAFT_CUDA_COMPUTE_CAP").unwrap_or_else(|_| OLDEST.into());
    let ptx = out.join("graft.ptx");
    let kind = ["--ptx", "-std=c++17", "-O3"];
    run(&kind, &format!("-arch=compute_{capability}"), &source, &ptx);
    // What the driver will do when the program runs: only here is it seen that a kernel takes more than a GPU has.
    let machine = format!("-arch=sm_{capability}");
    run(&["--cubin"], &machine, &ptx, &out.join("graft.cubin"));
}

/// Lets nvcc make `to` from `from`.
fn run(kind: &[&str], architecture: &str, from: &Path, to: &Path) {
    let nvcc = nvcc();
    let mut command = Command::new(&nvcc);
    command
        .args(kind)
        .arg(architecture)
        .arg("-o")
        .arg(to)
        .arg(from);
    match command.output() {
        Ok(run) if run.status.success() => {}
        Ok(run) => panic!(
            "nvcc could not compile the kernels of graft-ops:\n{}",
            String::from_utf8_lossy(&run.stderr)
        ),
        Err(error) => panic!(
            "the feature `cuda` of graft-ops needs nvcc of the CUDA toolkit, but {} could not be started ({error}); \
             put it on PATH, or set NVCC or CUDA_HOME",
            nvcc.display()
        ),
    }
}

/// The compiler: `$NVCC`, `$CUDA_HOME/bin/nvcc`, or what PATH has.
fn nvcc() -> PathBuf {
    if let Some(path) = env::var_os("NVCC") {
        return path.into();
    }
    env::var_os("CUDA_HOME")
        .map(|home| PathBuf::from(home).join("bin").join("nvcc"))
        .filter(|path| path.exists())
        .unwrap_or_else(|| "nvcc".into())
}
