//! Event files for TensorBoard beside the trials of a sweep.

mod desk;

use std::{fs, path::PathBuf};

use desk::{Desk, TINY, file_name};
use graft_tensorboard::{Event, FILE_NAME, read_frames};

fn with_tensorboard() -> String {
    format!("{TINY}\n[report]\ntensorboard = true\n")
}

/// The event file of each trial.
fn files(desk: &Desk) -> Vec<PathBuf> {
    let runs = desk.path("results/tiny/tensorboard");
    let trials = desk.trials("tiny");
    trials
        .iter()
        .map(|trial| runs.join(file_name(trial)).join(FILE_NAME))
        .collect()
}

/// The frames of a file without the time of each event, of which the first nine bytes are.
fn timeless(path: &PathBuf) -> Vec<Vec<u8>> {
    let bytes = fs::read(path).unwrap();
    let frames: Vec<Vec<u8>> = read_frames(&bytes)
        .map(|frame| match frame {
            [0x09, rest @ ..] => rest[8..].to_vec(),
            frame => frame.to_vec(),
        })
        .collect();
    let framed: usize = read_frames(&bytes).map(|frame| frame.len() + 16).sum();
    assert_eq!(framed, bytes.len(), "{}", path.display());
    frames
}

fn histograms(path: &PathBuf) -> Vec<u64> {
    let bytes = fs::read(path).unwrap();
    read_frames(&bytes)
        .filter_map(Event::step_of_histograms)
        .collect()
}

#[test]
fn every_trial_has_its_events_and_the_results_are_the_same() {
    let plain = Desk::with_tiny();
    plain.graft("sweep tiny.toml").code(0);
    assert!(!plain.path("results/tiny/tensorboard").exists());
    let desk = Desk::new();
    desk.write("tiny.toml", with_tensorboard());
    desk.graft("sweep tiny.toml").code(0);
    let mut results = desk.results("tiny");
    results.retain(|name, _| !name.starts_with("tensorboard/") && name != "experiment.toml");
    let mut expected = plain.results("tiny");
    expected.remove("experiment.toml");
    assert_eq!(results, expected);
    assert_eq!(files(&desk).len(), 6);
    for path in files(&desk) {
        assert_eq!(histograms(&path), [1, 2, 3]);
        // The version, the recipe, 8 + 8 pictures, and two events for each epoch.
        assert_eq!(timeless(&path).len(), 1 + 1 + 16 + 2 * 3);
    }
}

#[test]
fn a_trial_that_goes_on_has_nothing_twice() {
    let long = |text: String| {
        text.replace("epochs = 3", "epochs = 150")
            .replace("repeats = 3", "repeats = 1")
    };
    let whole = Desk::new();
    whole.write("tiny.toml", long(with_tensorboard()));
    whole.graft("sweep tiny.toml").code(0);
    let desk = Desk::new();
    desk.write("tiny.toml", long(with_tensorboard()));
    for signal in ["KILL", "INT"] {
        let mut sweep = desk.start("sweep tiny.toml --jobs 2");
        let epochs = |path: &PathBuf| path.is_file() && histograms(path).len() > 5;
        sweep.wait_until("epochs", || files(&desk).iter().any(epochs));
        sweep.signal(signal);
        sweep.finish();
    }
    desk.graft("sweep tiny.toml").code(0);
    for (found, expected) in files(&desk).iter().zip(&files(&whole)) {
        assert_eq!(histograms(found), (1..=150).collect::<Vec<_>>());
        assert!(timeless(found) == timeless(expected), "{}", found.display());
    }
}

#[test]
fn trials_that_finished_before_get_their_curves() {
    let desk = Desk::with_tiny();
    desk.graft("sweep tiny.toml").code(0);
    let last = desk.graft("sweep tiny.toml --set report.tensorboard=true");
    last.code(0).stderr_has("nothing to do");
    for path in files(&desk) {
        assert!(histograms(&path).is_empty());
        assert_eq!(timeless(&path).len(), 1 + 1 + 16 + 3);
    }
}

#[test]
fn a_wrong_word_is_refused() {
    let desk = Desk::with_tiny();
    let refused = desk
        .graft("sweep tiny.toml --set report.tensorboard=yes")
        .code(2);
    refused.stderr_has("report.tensorboard=yes: expected true or false, found \"yes\"");
}
