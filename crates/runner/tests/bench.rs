//! `graft bench`: what it prints and what it refuses.

mod desk;

use desk::Desk;
use serde_json::Value;

/// Some milliseconds.
const QUICK: &str = "bench --model convnet --option depth=[2,2] --option hidden=4 --size 16 --batch-size 3 --seconds 0";

#[test]
fn json_is_one_line_with_what_was_measured() {
    let finished = Desk::new()
        .graft(&format!("{QUICK} --threads 1 --json"))
        .code(0);
    assert_eq!(finished.stdout.lines().count(), 1, "{}", finished.stdout);
    assert_eq!(finished.stderr, "");
    let record: Value = serde_json::from_str(&finished.stdout).unwrap();
    let expected = [
        ("program", Value::from("graft")),
        ("version", Value::from(env!("CARGO_PKG_VERSION"))),
        ("model", Value::from("convnet")),
        ("transfer", Value::from("fine-tune")),
        ("batch_size", Value::from(3)),
        ("size", Value::from(16)),
        ("threads", Value::from(1)),
        ("dtype", Value::from("f32")),
        ("device", Value::from("cpu")),
        ("pictures", Value::from("made up")),
    ];
    for (key, value) in expected {
        assert_eq!(record[key], value, "{key}");
    }
    assert_eq!(record["options"]["hidden"], Value::from(4));
    let number = |key: &str| {
        record[key]
            .as_f64()
            .unwrap_or_else(|| panic!("{key} is no number in {record}"))
    };
    for key in [
        "forward_ms_per_image",
        "train_step_ms_per_image",
        "input_ms_per_image",
        "input_later_ms_per_image",
    ] {
        assert!(number(key) > 0.0, "{key}");
    }
    assert_eq!(record["repeats"]["train_step"], Value::from(5));
    if cfg!(target_os = "linux") {
        assert!(number("peak_memory_mb") >= number("memory_before_mb"));
        assert!(number("memory_before_mb") > 0.0);
    } else {
        assert!(record["peak_memory_mb"].is_null());
    }
}

#[test]
fn a_person_gets_a_small_table() {
    let finished = Desk::new()
        .graft(&format!("{QUICK} --threads 2 --transfer frozen"))
        .code(0);
    for part in [
        "convnet, frozen",
        "3 × 16 × 16 pictures in a batch, 2 threads",
        "training step",
        "forward, evaluation",
        "input, first epoch",
        "input, later epochs",
    ] {
        assert!(
            finished.stdout.contains(part),
            "{part:?} is missing:\n{}",
            finished.stdout
        );
    }
    assert!(
        finished
            .stdout
            .lines()
            .all(|line| line.chars().count() <= 120)
    );
}

#[test]
fn only_what_is_asked_for_is_measured() {
    let desk = Desk::new();
    let finished = desk
        .graft(&format!("{QUICK} --measure forward --json"))
        .code(0);
    let record: Value = serde_json::from_str(&finished.stdout).unwrap();
    assert!(record["forward_ms_per_image"].is_f64());
    for key in [
        "train_step_ms_per_image",
        "input_ms_per_image",
        "peak_memory_mb",
        "pictures",
    ] {
        assert!(record[key].is_null(), "{key} in {record}");
    }
    let finished = desk.graft(&format!("{QUICK} --measure input")).code(0);
    let finished = finished.stdout_has("input, first epoch");
    assert!(
        !finished.stdout.contains("training step"),
        "{}",
        finished.stdout
    );
}

#[test]
fn pictures_of_a_folder_are_measured() {
    let desk = Desk::new();
    desk.write("pictures/ants/one.JPG", graft_data::sample_jpeg(40, 30, 1));
    desk.write("pictures/bees/two.jpeg", graft_data::sample_jpeg(30, 40, 2));
    desk.write("pictures/notes.txt", "no picture");
    let input = format!("{QUICK} --measure input --json");
    let finished = desk.graft(&format!("{input} --pictures pictures")).code(0);
    let record: Value = serde_json::from_str(&finished.stdout).unwrap();
    assert_eq!(record["pictures"], Value::from("files"));

    desk.write("broken/one.jpg", "no picture either");
    desk.graft(&format!("{input} --pictures broken"))
        .code(2)
        .stderr_has("one.jpg");
    desk.write("none/notes.txt", "no picture");
    desk.graft(&format!("{input} --pictures none"))
        .code(2)
        .stderr_has("error: none has no JPEG files")
        .stderr_has("hint: ");
    desk.graft(&format!("{input} --pictures gone"))
        .code(2)
        .stderr_has("error: failed to read gone");
}

#[test]
fn what_can_not_be_measured_is_refused() {
    let desk = Desk::new();
    desk.graft("bench --model resnet81")
        .code(2)
        .stderr_has("error: there is no network `resnet81`\nhint: did you mean `resnet18`?");
    desk.graft("bench --model convnet --option deph=3")
        .code(2)
        .stderr_has("`depth`");
    desk.graft("bench --batch-size 0")
        .code(2)
        .stderr_has("--batch-size");
    desk.graft("bench --threads 0")
        .code(2)
        .stderr_has("--threads");
    desk.graft("bench --size 0").code(2).stderr_has("--size");
    desk.graft("bench --seconds=-1")
        .code(2)
        .stderr_has("seconds");
    desk.graft("bench --seconds NaN")
        .code(2)
        .stderr_has("seconds from 0 to 3600");
    desk.graft("bench --measure speed")
        .code(2)
        .stderr_has("train");
    desk.graft("bench --transfer frosen")
        .code(2)
        .stderr_has("frozen");
    desk.graft("bench --model squeezenet1_1 --size 3 --seconds 0")
        .code(2)
        .stderr_has("error: squeezenet1_1: `size`: ");
    if cfg!(target_os = "linux") {
        desk.graft("bench --model squeezenet1_1 --size 1024 --batch-size 4096")
            .code(2)
            .stderr_has("are free\nhint: choose a smaller --batch-size");
    }
}
