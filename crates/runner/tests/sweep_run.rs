//! `graft sweep` from an experiment file to its results.

mod desk;

use desk::{Desk, TINY, file_name};

#[test]
fn a_sweep_leaves_the_promised_files_and_nothing_else() {
    let desk = Desk::with_tiny();
    let done = desk.graft("sweep tiny.toml --jobs 2").code(0);
    done.stdout_has("tiny: 6 of 6 trials finished")
        .stdout_has("results are in results/tiny\n")
        .stderr_has("6 trials, 0 finished already, 6 to run on 2 workers")
        .stderr_has("[6/6] ")
        .stderr_lacks("warning");

    let files = desk.results("tiny");
    let top: Vec<&str> = files
        .keys()
        .map(String::as_str)
        .filter(|name| !name.contains('/'))
        .collect();
    for expected in [
        "batch.png",
        "comparisons.csv",
        "curves.png",
        "epochs.csv",
        "errors-narrow.png",
        "errors-wide.png",
        "experiment.toml",
        "metrics-summary.csv",
        "metrics.csv",
        "plan.json",
        "predictions-narrow.png",
        "summary.csv",
    ] {
        assert!(top.contains(&expected), "{expected} is missing in {top:?}");
    }
    assert_eq!(desk.trials("tiny").len(), 6);
    for trial in desk.trials("tiny") {
        let mut names: Vec<String> = std::fs::read_dir(&trial)
            .unwrap()
            .map(|entry| file_name(&entry.unwrap().path()).to_owned())
            .collect();
        names.sort();
        // The log is only there if there was something to say.
        names.retain(|name| name != "log.txt");
        assert_eq!(
            names,
            [
                ".lock",
                "best.safetensors",
                "epochs.csv",
                "last.safetensors",
                "metrics.csv",
                "predictions.csv",
                "status.json",
                "timing.csv",
                "trial.toml"
            ]
        );
    }
    let rows = desk.read("results/tiny/epochs.csv");
    assert_eq!(
        rows.lines().count(),
        1 + 2 * 3 * 3,
        "a line for each epoch of each trial:\n{rows}"
    );
}

#[test]
fn a_second_sweep_has_nothing_to_do_and_changes_nothing() {
    let desk = Desk::with_tiny();
    let first = desk.graft("sweep tiny.toml").code(0);
    let results = desk.results("tiny");
    let status = |trial: &std::path::PathBuf| {
        std::fs::metadata(trial.join("status.json"))
            .unwrap()
            .modified()
            .unwrap()
    };
    let written: Vec<_> = desk.trials("tiny").iter().map(status).collect();
    let second = desk.graft("sweep tiny.toml").code(0);
    assert_eq!(second.stderr, "nothing to do: all 6 trials are finished\n");
    assert_eq!(second.stdout, first.stdout);
    assert_eq!(desk.results("tiny"), results);
    let still: Vec<_> = desk.trials("tiny").iter().map(status).collect();
    assert_eq!(still, written, "a finished trial is never written again");
}

#[test]
fn the_number_of_workers_changes_no_byte() {
    let (one, two) = (Desk::with_tiny(), Desk::with_tiny());
    one.graft("sweep tiny.toml --jobs 1").code(0);
    two.graft("sweep tiny.toml --jobs 3").code(0);
    let (one, two) = (one.results("tiny"), two.results("tiny"));
    assert_eq!(
        one.keys().collect::<Vec<_>>(),
        two.keys().collect::<Vec<_>>()
    );
    for (name, content) in &one {
        assert!(content == &two[name], "{name} differs");
    }
}

#[test]
fn more_repeats_add_trials_to_those_that_are_there() {
    let desk = Desk::with_tiny();
    desk.graft("sweep tiny.toml --set repeats=1")
        .code(0)
        .stderr_has("2 trials, 0 finished already");
    desk.graft("sweep tiny.toml --set repeats=2")
        .code(0)
        .stderr_has("4 trials, 2 finished already, 2 to run");
    assert_eq!(desk.trials("tiny").len(), 4);
}

#[test]
fn a_dry_run_counts_the_work_and_writes_nothing() {
    let desk = Desk::with_tiny();
    let dry = desk.graft("sweep tiny.toml --dry-run --jobs 2").code(0);
    let words = |line: &str| {
        line.split_whitespace()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let line = |name: &str| words(dry.stdout.lines().find(|line| line.contains(name)).unwrap());
    // 3 repeats of 3 epochs of 4 steps, each with 32 + 16 pictures.
    assert_eq!(
        line("narrow"),
        ["tiny", "narrow", "base", "3", "0", "9", "36", "432"]
    );
    assert_eq!(line("total"), ["total", "6", "0", "18", "72", "864"]);
    assert_eq!(line("workers:"), ["workers:", "2"]);
    assert!(dry.stdout.contains("time: unknown"), "{}", dry.stdout);
    assert_eq!(dry.stderr, "");
    assert!(!desk.path("results").exists());

    desk.graft("sweep tiny.toml --set repeats=1").code(0);
    let before = desk.results("tiny");
    let dry = desk.graft("sweep tiny.toml --dry-run").code(0);
    dry.stdout_has("time: about ");
    assert_eq!(desk.results("tiny"), before);
    desk.graft("sweep tiny.toml --dry-run --set repeats=1")
        .code(0)
        .stdout_has("time: nothing to do");
}

#[test]
fn weights_of_another_experiment_are_trained_first() {
    let desk = Desk::with_tiny();
    desk.write("child.toml", child());
    let done = desk.graft("sweep child.toml --jobs 2").code(0);
    done.stdout_has("child: 3 of 3 trials finished")
        .stderr_has("6 trials, 0 finished already, 6 to run");
    assert_eq!(
        desk.trials("tiny").len(),
        3,
        "only the variant that is needed"
    );
    assert_eq!(desk.trials("child").len(), 3);
    // The source's own sweep goes on from there.
    desk.graft("sweep tiny.toml")
        .code(0)
        .stderr_has("6 trials, 3 finished already, 3 to run");
    desk.graft("sweep child.toml")
        .code(0)
        .stderr_has("nothing to do: all 6 trials are finished");
    assert_eq!(
        desk.graft("report tiny").code(0).stdout.lines().next(),
        Some("tiny: 6 of 6 trials finished")
    );
}

#[test]
fn a_finished_source_is_only_read() {
    let desk = Desk::with_tiny();
    desk.graft("sweep tiny.toml").code(0);
    desk.write("child.toml", child());
    let lock = std::fs::File::options()
        .write(true)
        .open(desk.path("results/tiny/.lock"))
        .unwrap();
    lock.lock().unwrap();
    let before = desk.results("tiny");
    desk.graft("sweep child.toml")
        .code(0)
        .stderr_has("6 trials, 3 finished already, 3 to run")
        .stdout_has("child: 3 of 3 trials finished");
    assert_eq!(desk.results("tiny"), before);
}

#[test]
fn a_source_whose_report_is_not_what_its_records_say_gets_one() {
    let desk = Desk::with_tiny();
    desk.write("child.toml", child());
    desk.graft("sweep child.toml").code(0);
    let expected = desk.results("tiny");
    let check = |what: &str| {
        desk.graft("sweep child.toml")
            .code(0)
            .stderr_has("nothing to do");
        assert!(desk.results("tiny") == expected, "{what}");
    };
    // As a sweep leaves it that is killed when the source's trials are finished.
    let reported: Vec<&String> = expected
        .keys()
        .filter(|name| {
            !name.contains('/') && !["plan.json", "experiment.toml"].contains(&name.as_str())
        })
        .collect();
    assert!(reported.len() > 4, "{reported:?}");
    for name in &reported {
        std::fs::remove_file(desk.path(&format!("results/tiny/{name}"))).unwrap();
    }
    check("without a report");
    let path = desk.path("results/tiny/epochs.csv");
    let text = std::fs::read_to_string(&path).unwrap();
    let first: Vec<&str> = text.lines().take(4).collect();
    std::fs::write(&path, first.join("\n") + "\n").unwrap();
    check("with a report of the first epochs");
    std::fs::remove_file(desk.path("results/tiny/plan.json")).unwrap();
    check("without a plan");
}

/// An experiment that starts from the wide variant of `tiny.toml`.
fn child() -> String {
    let start = TINY.find("[[variant]]").unwrap();
    let head = TINY[..start].replace("name = \"tiny\"", "name = \"child\"");
    format!(
        r#"{head}
[[variant]]
name = "frozen"
model = {{ kind = "convnet", depth = [4, 4], hidden = 8, dropout = 0.25, weights = "trial:tiny/wide" }}
transfer = "frozen"
"#
    )
}

#[test]
fn a_finished_trial_whose_record_is_damaged_is_made_again() {
    let desk = Desk::with_tiny();
    desk.graft("sweep tiny.toml").code(0);
    let before = desk.results("tiny");
    let wide = desk.trial("tiny", "wide", 2);
    std::fs::write(wide.join("epochs.csv"), "epoch,step").unwrap();
    std::fs::remove_file(desk.trial("tiny", "narrow", 1).join("best.safetensors")).unwrap();
    std::fs::remove_file(desk.trial("tiny", "narrow", 3).join("predictions.csv")).unwrap();
    desk.graft("sweep tiny.toml")
        .code(0)
        .stderr_has("6 trials, 3 finished already, 3 to run");
    let after = desk.results("tiny");
    for name in ["epochs.csv", "summary.csv", "curves.png"] {
        assert!(before[name] == after[name], "{name} differs");
    }
}
