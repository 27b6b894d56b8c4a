//! Reports of synthetic sweeps: tables, words, and what partial or damaged records do.

mod synthetic;

use std::{collections::BTreeMap, fs, path::Path};

use graft_record::{ResultsFolder, State};
use graft_report::{Report, ReportError};
use synthetic::Sweep;

fn report(sweep: &Sweep) -> (tempfile::TempDir, Report) {
    let folder = tempfile::tempdir().unwrap();
    let report = graft_report::write(&sweep.write(folder.path())).unwrap();
    (folder, report)
}

fn read(folder: &tempfile::TempDir, name: &str) -> String {
    fs::read_to_string(folder.path().join(name)).unwrap()
}

/// Compares with `snapshots/NAME.txt`; writes that file instead when `GRAFT_UPDATE_SNAPSHOTS` is set.
fn assert_snapshot(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/snapshots/{name}.txt"));
    let text = format!("{}\n", text.trim_end());
    if std::env::var_os("GRAFT_UPDATE_SNAPSHOTS").is_some() {
        fs::write(&path, &text).unwrap();
    }
    assert_eq!(
        text,
        fs::read_to_string(&path).unwrap(),
        "{}",
        path.display()
    );
}

/// Everything that a report writes, by name.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "csv" || e == "png"))
        .map(|path| {
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            (name, fs::read(path).unwrap())
        })
        .collect()
}

#[test]
fn tables_of_a_small_sweep() {
    let (folder, _) = report(&Sweep::new(&["scratch", "pretrained"], 2, 2));
    assert_snapshot("epochs", &read(&folder, "epochs.csv"));
    assert_snapshot("timing", &read(&folder, "timing.csv"));
    assert_snapshot("summary", &read(&folder, "summary.csv"));
    assert_snapshot("comparisons", &read(&folder, "comparisons.csv"));
}

#[test]
fn verdict_of_a_clear_difference() {
    let (_folder, report) = report(&Sweep::new(&["scratch", "pretrained", "frozen"], 10, 12));
    assert_snapshot("verdict_clear", report.verdict());
    assert!(!report.is_partial());
    assert_eq!((report.finished, report.planned), (30, 30));
}

#[test]
fn verdict_of_too_few_repeats() {
    let (_folder, report) = report(&Sweep::new(&["scratch", "pretrained"], 2, 3));
    assert_snapshot("verdict_two_repeats", report.verdict());
    let (_folder, report) = self::report(&Sweep::new(&["scratch", "pretrained"], 1, 3));
    assert_snapshot("verdict_one_repeat", report.verdict());
}

#[test]
fn verdict_of_a_sweep_that_is_half_done_with_a_grid() {
    let mut sweep = Sweep::new(&["scratch", "pretrained"], 8, 3);
    sweep.cells = vec!["lr=0.0001".to_owned(), "lr=0.001".to_owned()];
    sweep.state = |variant, cell, repeat| match (variant, cell, repeat) {
        (1, 1, _) => None,
        (1, 0, 8) => Some(State::Running),
        (1, 0, 7) => Some(State::Diverged),
        (1, 0, 6) => Some(State::Failed),
        _ => Some(State::Finished),
    };
    let (_folder, report) = report(&sweep);
    assert_snapshot("verdict_partial", report.verdict());
    assert!(report.is_partial());
}

#[test]
fn only_finished_trials_count_in_the_summary() {
    let mut sweep = Sweep::new(&["scratch", "pretrained"], 4, 4);
    sweep.state = |_, _, repeat| match repeat {
        3 => Some(State::Diverged),
        4 => Some(State::Interrupted),
        _ => Some(State::Finished),
    };
    let (folder, report) = report(&sweep);
    let summary = read(&folder, "summary.csv");
    let row: Vec<&str> = summary.lines().nth(1).unwrap().split(',').collect();
    assert_eq!(&row[..6], ["scratch", "base", "2", "0", "1", "1"]);
    let comparisons = read(&folder, "comparisons.csv");
    assert!(
        comparisons.contains("pretrained,scratch,base,last,2,"),
        "{comparisons}"
    );
    // Rows that exist are in epochs.csv, so that curves of a running sweep can be seen.
    let epochs = read(&folder, "epochs.csv");
    assert_eq!(epochs.lines().count(), 1 + 2 * (4 + 4 + 2 + 2));
    assert!(report.is_partial());
}

#[test]
fn the_order_of_folders_and_other_folders_do_not_matter() {
    let mut sweep = Sweep::new(&["scratch", "pretrained"], 3, 4);
    sweep.samples = true;
    let (first, _) = report(&sweep);
    let second = tempfile::tempdir().unwrap();
    let results = sweep.write(second.path());
    // The same trials, put into the folder in another order, beside things that are no trials of this plan.
    let trials = second.path().join("trials");
    let mut names: Vec<_> = fs::read_dir(&trials)
        .unwrap()
        .map(|e| e.unwrap().path())
        .collect();
    names.sort();
    for path in names.iter().rev() {
        let aside = second.path().join("aside");
        fs::rename(path, &aside).unwrap();
        fs::rename(&aside, path).unwrap();
    }
    fs::create_dir(trials.join("scratch-base-r99-ffffffff")).unwrap();
    fs::create_dir(trials.join(".ipynb_checkpoints")).unwrap();
    fs::write(trials.join("notes.txt"), "mine").unwrap();
    graft_report::write(&results).unwrap();
    let (a, b) = (files(first.path()), files(second.path()));
    assert_eq!(a.keys().collect::<Vec<_>>(), b.keys().collect::<Vec<_>>());
    assert!(a == b, "a file differs");
    assert_eq!(
        a.keys().map(String::as_str).collect::<Vec<_>>(),
        [
            "batch.png",
            "comparisons.csv",
            "confusion-pretrained.png",
            "confusion-scratch.png",
            "curves.png",
            "epochs.csv",
            "errors-pretrained.png",
            "errors-scratch.png",
            "predictions-pretrained.png",
            "predictions-scratch.png",
            "summary.csv",
            "timing.csv",
        ]
    );
}

#[test]
fn a_damaged_record_is_named_and_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let results = Sweep::new(&["scratch", "pretrained"], 3, 2).write(folder.path());
    let plan = results.plan().unwrap().unwrap();
    let path = |i: usize| results.trial(&plan.trials[i]).path().to_owned();
    fs::write(path(0).join("status.json"), "{\"format\": 1, \"sta").unwrap();
    fs::write(path(1).join("epochs.csv"), "epoch,loss\n1,2\n").unwrap();
    fs::remove_file(path(2).join("epochs.csv")).unwrap();
    let report = graft_report::write(&results).unwrap();
    assert_eq!(report.finished, 3);
    assert!(report.is_partial());
    assert_eq!(report.problems.len(), 3, "{:#?}", report.problems);
    for (problem, file) in report
        .problems
        .iter()
        .zip(["epochs.csv", "epochs.csv", "status.json"])
    {
        assert!(
            problem.contains(file) && report.verdict().contains(problem),
            "{problem}"
        );
    }
}

#[test]
fn a_folder_without_a_plan_or_without_trials() {
    let folder = tempfile::tempdir().unwrap();
    let results = ResultsFolder::create(folder.path()).unwrap();
    let error = graft_report::write(&results).unwrap_err();
    assert!(matches!(error, ReportError::NoPlan { .. }));
    assert!(error.to_string().contains("hint:"));
    let mut sweep = Sweep::new(&["scratch", "pretrained"], 3, 2);
    sweep.state = |_, _, _| None;
    let (folder, report) = report(&sweep);
    assert_snapshot("verdict_nothing_yet", report.verdict());
    assert!(!folder.path().join("curves.png").exists());
}

#[test]
fn a_report_is_current_until_the_records_say_something_else() {
    let (folder, _) = report(&Sweep::new(&["scratch", "pretrained"], 2, 2));
    let results = ResultsFolder::open(folder.path()).unwrap();
    assert!(graft_report::is_current(&results));
    let path = folder.path().join("epochs.csv");
    let whole = fs::read(&path).unwrap();
    fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    assert!(!graft_report::is_current(&results));
    fs::write(&path, &whole).unwrap();
    assert!(graft_report::is_current(&results));
    // A trial that has got another epoch since then.
    let trial = results.trial(&results.plan().unwrap().unwrap().trials[0]);
    let mut rows = trial.epochs().unwrap();
    rows.pop();
    trial.write_epochs(&rows).unwrap();
    assert!(!graft_report::is_current(&results));
    graft_report::write(&results).unwrap();
    assert!(graft_report::is_current(&results));
    for name in ["curves.png", "summary.csv"] {
        fs::remove_file(folder.path().join(name)).unwrap();
        assert!(!graft_report::is_current(&results), "{name}");
        graft_report::write(&results).unwrap();
    }
    fs::remove_file(folder.path().join("plan.json")).unwrap();
    assert!(!graft_report::is_current(&results));
}

#[test]
fn a_confusion_matrix_of_too_many_classes_is_not_drawn() {
    let mut sweep = Sweep::new(&["scratch"], 1, 2);
    sweep.samples = true;
    for (classes, drawn) in [(200, true), (201, false)] {
        sweep.classes = (0..classes).map(|class| format!("class {class}")).collect();
        let (folder, report) = report(&sweep);
        let names = files(folder.path());
        assert_eq!(
            names.contains_key("confusion-scratch.png"),
            drawn,
            "{classes}"
        );
        let noted = report
            .problems
            .iter()
            .any(|problem| problem.contains("room for 200 classes, and there are 201"));
        assert_eq!(noted, !drawn, "{:?}", report.problems);
    }
}

#[test]
fn figures_of_an_earlier_report_do_not_stay() {
    let folder = tempfile::tempdir().unwrap();
    for old in [
        "errors-renamed.png",
        "confusion-renamed.png",
        "mine.png",
        "errors-notes.txt",
    ] {
        fs::write(folder.path().join(old), "old").unwrap();
    }
    graft_report::write(&Sweep::new(&["scratch", "pretrained"], 2, 2).write(folder.path()))
        .unwrap();
    let there = |name: &str| folder.path().join(name).exists();
    assert!(!there("errors-renamed.png") && !there("confusion-renamed.png"));
    assert!(there("mine.png") && there("errors-notes.txt") && there("errors-scratch.png"));
}
