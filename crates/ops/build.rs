//! Compiles the CUDA kernels to one module, where the feature `cuda` is on: to PTX, which drivers compile on for any newer GPU,
//! and to machine code for the generations that there are, so that nobody waits for that.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

/// The oldest GPUs that the module runs on, as nvcc's `compute_…`; drivers compile it on for newer ones.
const OLDEST: u32 = 80;
/// What machine code is made for, as far as nvcc knows it: the first of each generation, whose code the others run as well.
const GENERATIONS: [u32; 4] = [80, 90, 100, 120];

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
    let oldest = env::var("GRAFT_CUDA_COMPUTE_CAP").map_or(OLDEST, |text| {
        text.parse()
            .expect("GRAFT_CUDA_COMPUTE_CAP is a number such as 80")
    });
    let ptx = out.join("graft.ptx");
    let kind = ["--ptx", "-std=c++17", "-O3"];
    run(&kind, &format!("-arch=compute_{oldest}"), &source, &ptx);
    // What a driver would do with the PTX: only here is it seen that a kernel takes more than a GPU has.
    let known = known_machines();
    let mut machines: Vec<u32> = GENERATIONS
        .into_iter()
        .filter(|machine| *machine > oldest && known.contains(machine))
        .collect();
    machines.insert(0, oldest);
    std::thread::scope(|scope| {
        for machine in &machines {
            let (ptx, cubin) = (&ptx, out.join(format!("graft-{machine}.cubin")));
            scope.spawn(move || run(&["--cubin"], &format!("-arch=sm_{machine}"), ptx, &cubin));
        }
    });
    let mut images = String::from("&[\n");
    for machine in machines {
        let file = out.join(format!("graft-{machine}.cubin"));
        let file = file.display().to_string();
        writeln!(
            images,
            "    ({machine}, include_bytes!({file:?}) as &[u8]),"
        )
        .expect("a string takes everything");
    }
    images.push_str("]\n");
    fs::write(out.join("images.rs"), images).expect("OUT_DIR can be written to");
}

/// The numbers of all `sm_…` that nvcc makes machine code for.
fn known_machines() -> Vec<u32> {
    let listed = Command::new(nvcc()).arg("--list-gpu-code").output();
    let listed = listed.map(|run| String::from_utf8_lossy(&run.stdout).into_owned());
    let listed = listed.unwrap_or_default();
    let numbers = listed.lines().filter_map(|line| line.strip_prefix("sm_"));
    numbers.filter_map(|number| number.parse().ok()).collect()
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
