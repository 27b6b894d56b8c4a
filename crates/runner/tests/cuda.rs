//! A build for NVIDIA's GPUs, where there is none: it starts, computes on the CPU, and says what is missing.
#![cfg(feature = "cuda")]

mod desk;

use desk::{Desk, Finished};

/// `graft` with a file as NVIDIA's driver that is none, so that also a machine with a driver has none.
fn without_driver(desk: &Desk, arguments: &str) -> Finished {
    desk.write("libraries/libcuda.so.1", "no library");
    let mut command = desk.command(arguments);
    command.env("GRAFT_CUDA_LIBRARIES", desk.path("libraries"));
    command.output().unwrap().into()
}

#[test]
fn nothing_of_nvidia_is_needed_to_start() {
    let desk = Desk::new();
    // The system's loader lists what a program needs, instead of starting it.
    let mut command = desk.command("--version");
    let output = command
        .env("LD_TRACE_LOADED_OBJECTS", "1")
        .output()
        .unwrap();
    let needed = String::from_utf8(output.stdout).unwrap();
    assert!(needed.contains("libc.so"), "{needed}");
    for library in ["libcu", "libnv", "libstdc++"] {
        assert!(!needed.contains(library), "{needed}");
    }
}

#[test]
fn the_cpu_is_taken_without_a_driver() {
    let desk = Desk::with_tiny();
    let small = "--set repeats=1 --set train.epochs=1";
    without_driver(&desk, &format!("sweep tiny.toml {small}")).code(0);
    let auto = desk.results("tiny");
    std::fs::remove_dir_all(desk.path("results")).unwrap();
    without_driver(&desk, &format!("sweep tiny.toml --device cpu {small}")).code(0);
    assert_eq!(auto, desk.results("tiny"));
}

#[test]
fn a_driver_that_is_none_is_told() {
    let desk = Desk::with_tiny();
    for device in ["cuda", "cuda:1"] {
        without_driver(&desk, &format!("sweep tiny.toml --device {device}"))
            .code(2)
            .stderr_has(&format!("error: device `{device}`: GRAFT_CUDA_LIBRARIES: "))
            .stderr_has("libraries/libcuda.so.1")
            .stderr_has("hint: ");
    }
    assert!(!desk.path("results").exists());
}

#[test]
fn a_driver_that_is_missing_is_told() {
    let desk = Desk::with_tiny();
    if graft_trainer::device::check("cuda").is_ok() {
        return;
    }
    desk.graft("sweep tiny.toml --device cuda")
        .code(2)
        .stderr_has("error: device `cuda`: ")
        .stderr_has("`--device cpu`");
    assert!(!desk.path("results").exists());
}
