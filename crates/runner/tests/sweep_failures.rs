//! Trials that fail, and experiments that can't be run.

mod desk;

use desk::{Desk, TINY, bmp};

/// Pictures in two folders, of which one split has a file that is no picture.
fn with_broken_picture(broken: &str) -> Desk {
    let desk = Desk::new();
    for split in ["train", "val"] {
        for (class, red) in [("blue", 0), ("red", 255)] {
            for number in 0..4_u8 {
                let picture = bmp(red, 10 * number, 255 - red);
                desk.write(
                    &format!("data/colours/{split}/{class}/{number}.bmp"),
                    picture,
                );
            }
        }
    }
    desk.write(&format!("data/colours/{broken}"), b"BM this is no picture");
    let start = TINY.find("[train]").unwrap();
    let experiment = format!(
        r#"
name = "colours"
repeats = 2

[data]
source = "image-folder"
path = "colours"

[data.transform]
size = 8
train = ["resize 8", "center-crop", "horizontal-flip"]
eval = ["resize 8", "center-crop"]

{}"#,
        &TINY[start..]
    );
    desk.write("colours.toml", experiment);
    desk
}

#[test]
fn a_broken_picture_fails_its_trials_with_the_files_name() {
    let desk = with_broken_picture("train/red/2.bmp");
    let done = desk.graft("sweep colours.toml --jobs 2").code(1);
    done.stderr_has("train/red/2.bmp")
        .stderr_has("error: 4 of 4 trials failed\n")
        .stderr_has("hint: run the same command with --retry-failed to try them again")
        .stdout_has("colours: 0 of 4 trials finished, 4 failed");

    let again = desk.graft("sweep colours.toml").code(1);
    again
        .stderr_has("error: 4 of 4 trials failed in an earlier sweep and are left alone\n")
        .stderr_has("--retry-failed");

    desk.write("data/colours/train/red/2.bmp", bmp(255, 20, 0));
    desk.graft("sweep colours.toml --retry-failed")
        .code(0)
        .stdout_has("4 of 4 trials finished");
}

#[test]
fn fail_fast_stops_at_the_first_failure() {
    let desk = with_broken_picture("val/blue/0.bmp");
    desk.graft("sweep colours.toml --jobs 1 --fail-fast")
        .code(1)
        .stderr_has("stopping at the first failure")
        .stderr_has("error: 1 of 4 trials failed\n")
        .stderr_has("hint: --fail-fast left 3 trials to be run");
    assert_eq!(desk.trials("colours").len(), 1);
}

#[test]
fn a_diverged_trial_is_recorded_and_the_others_finish() {
    let desk = Desk::with_tiny();
    let args = "sweep tiny.toml --set repeats=1 --set variant.wide.train.optimizer.lr=1e30";
    desk.graft(args)
        .code(1)
        .stdout_has("tiny: 1 of 2 trials finished, 1 diverged")
        .stderr_has("wide, repeat 1: diverged: the loss was not finite at epoch ");
    desk.graft(args)
        .code(1)
        .stderr_has("1 of 2 trials failed in an earlier sweep and are left alone");
}

#[test]
fn children_of_a_failed_trial_are_not_run() {
    let desk = Desk::with_tiny();
    let start = TINY.find("[[variant]]").unwrap();
    let head = TINY[..start]
        .replace("name = \"tiny\"", "name = \"child\"")
        .replace("repeats = 3", "repeats = 1");
    let frozen = r#"
[[variant]]
name = "frozen"
model = { kind = "convnet", depth = [4, 4], hidden = 8, dropout = 0.25, weights = "trial:tiny/wide" }
transfer = "frozen"
"#;
    desk.write("child.toml", format!("{head}{frozen}"));
    desk.write(
        "tiny.toml",
        TINY.replace("lr = 0.05", "lr = 1e30")
            .replace("repeats = 3", "repeats = 1"),
    );
    desk.graft("sweep child.toml")
        .code(1)
        .stderr_has("error: 2 of 2 trials failed\n")
        .stderr_has(
            "child/frozen, repeat 1: not run: the trial that it starts from (tiny/wide-base-r01-",
        )
        .stderr_has("tiny/wide, repeat 1: diverged: ");
    let again = desk.graft("sweep child.toml").code(1);
    again.stderr_has("2 of 2 trials failed in an earlier sweep and are left alone");
}

#[test]
fn every_problem_of_an_experiment_is_told_before_anything_runs() {
    let desk = Desk::new();
    desk.write(
        "tiny.toml",
        TINY.replace("epochs = 3", "epoch = 3")
            .replace("batch_size = 8", "batch_size = 0"),
    );
    let failed = desk.graft("sweep tiny.toml").code(2);
    assert_eq!(failed.stdout, "");
    failed
        .stderr_has("epoch")
        .stderr_has("batch_size")
        .stderr_has("error: ");
    assert!(!desk.path("results").exists());
}

#[test]
fn what_is_missing_is_told_before_the_first_epoch() {
    let desk = Desk::with_tiny();
    desk.graft("sweep nowhere.toml")
        .code(2)
        .stderr_has("nowhere.toml");
    let failed = desk
        .graft("sweep tiny.toml --set variant.wide.model.weights=file:gone.safetensors")
        .code(2);
    failed
        .stderr_has("error: ")
        .stderr_has("gone.safetensors")
        .stderr_has("hint: ");
    assert!(
        !desk.path("results/tiny").exists(),
        "nothing is left behind"
    );
    let failed = desk
        .graft(
            "sweep tiny.toml --set variant.wide.model.weights=hf:timm/resnet18.tv_in1k --offline",
        )
        .code(2);
    failed.stderr_has("hf:timm/resnet18.tv_in1k");

    let desk = with_broken_picture("train/red/2.bmp");
    std::fs::remove_dir_all(desk.path("data/colours")).unwrap();
    desk.graft("sweep colours.toml")
        .code(2)
        .stderr_has("colours")
        .stderr_has("hint: ");
}

#[test]
fn a_device_that_is_not_there_is_refused() {
    let desk = Desk::with_tiny();
    for device in ["cuda:x", "tpu"] {
        desk.graft(&format!("sweep tiny.toml --device {device}"))
            .code(2)
            .stderr_has("no such device");
    }
    // With the feature, `cuda.rs` has these.
    if cfg!(not(feature = "cuda")) {
        for device in ["cuda", "cuda:1"] {
            desk.graft(&format!("sweep tiny.toml --device {device}"))
                .code(2)
                .stderr_has("this build of graft has no CUDA")
                .stderr_has("build with `cargo build --release --features cuda`")
                .stderr_has("hint: use `--device cpu`");
        }
    }
    assert!(!desk.path("results").exists());
}

#[test]
fn a_results_folder_that_can_not_be_written_is_told_at_once() {
    let desk = Desk::with_tiny();
    desk.write("results", "a file where the folder belongs");
    let failed = desk.graft("sweep tiny.toml").code(2);
    failed
        .stderr_has("error: failed to create folder results/tiny")
        .stderr_has("hint: ");
}

#[test]
fn a_trial_of_a_newer_version_is_not_run_over() {
    let desk = Desk::with_tiny();
    desk.graft("sweep tiny.toml --set repeats=1").code(0);
    let status = desk.trial("tiny", "wide", 1).join("status.json");
    let newer = std::fs::read_to_string(&status)
        .unwrap()
        .replace("\"format\": 1", "\"format\": 2");
    std::fs::write(&status, &newer).unwrap();
    for dry in ["", " --dry-run"] {
        desk.graft(&format!("sweep tiny.toml --set repeats=1{dry}"))
            .code(2)
            .stderr_has("status.json: it has format 2, and this version of graft reads format 1\n");
    }
    assert_eq!(std::fs::read_to_string(&status).unwrap(), newer);
    // A damaged one is.
    std::fs::write(&status, "{").unwrap();
    desk.graft("sweep tiny.toml --set repeats=1")
        .code(0)
        .stderr_has("2 trials, 1 finished already, 1 to run");
}

#[test]
fn a_file_that_is_too_large_for_an_experiment_is_refused() {
    let desk = Desk::new();
    desk.write("large.toml", vec![b'#'; (1 << 20) + 1]);
    desk.graft("sweep large.toml")
        .code(2)
        .stderr_has("large.toml")
        .stderr_has("the file is larger than 1 MiB");
}

#[test]
fn what_does_not_fit_the_pictures_is_told_with_its_line_also_by_a_dry_run() {
    let desk = Desk::with_tiny();
    let text = TINY
        .replace("batch_size = 8", "batch_size = 8\nclass_weights = [1, 2]")
        .replace(
            "hidden = 4 }",
            "hidden = 4 }\ndata = { per_class = 99 }\ntrain = { class_weights = [1, 2, 3, 4] }",
        );
    desk.write("two.toml", &text);
    let line = |part: &str| 1 + text.lines().position(|line| line.contains(part)).unwrap();
    for command in ["sweep two.toml", "sweep two.toml --dry-run"] {
        let told = desk.graft(command).code(2);
        assert_eq!(told.stdout, "");
        told.stderr_has(&format!(
            "error: two.toml:{}: `per_class = 99` is more than there are training pictures: ",
            line("per_class")
        ))
        .stderr_has(&format!(
            "error: two.toml:{}: `class_weights` has 2 numbers for 3 classes\nhint: the classes are ",
            line("[1, 2]")
        ))
        .stderr_has(&format!(
            "error: two.toml:{}: `class_weights` has 4 numbers for 3 classes",
            line("[1, 2, 3, 4]")
        ));
    }
    assert!(!desk.path("results").exists() || desk.trials("tiny").is_empty());
    // What is for classes, of pictures with numbers.
    desk.graft(
        "sweep tiny.toml --dry-run --set data.task=poverty --set train.class_weights=[1,2] --set train.label_smoothing=0.1",
    )
    .code(2)
    .stderr_has("error: --set train.class_weights=[1,2]: `class_weights` is for classes")
    .stderr_has("error: --set train.label_smoothing=0.1: `label_smoothing` is for classes");
    // What is not there may still come.
    let folder = TINY.replace(
        "source = \"generated\"\ntask = \"target\"\nside = 16\ntrain = 32\nval = 16",
        "source = \"image-folder\"\npath = \"nowhere\"",
    );
    desk.write("folder.toml", &folder);
    let mut online = desk.command("sweep folder.toml --dry-run");
    let found: desk::Finished = online.env_remove("HF_HUB_OFFLINE").output().unwrap().into();
    found
        .code(0)
        .stdout_has("not here yet: there is no folder `nowhere`");
    desk.write("list.csv", "image,class\n0.png,a\n");
    let list = folder
        .replace("image-folder", "csv")
        .replace("\"nowhere\"", "\"list.csv\"\nlabel = \"class\"");
    desk.write("list.toml", list);
    desk.graft("sweep list.toml --dry-run --data-dir .")
        .code(2)
        .stderr_has("list.csv:2: there is no file ");
}
