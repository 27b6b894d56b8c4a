//! The results folder as its users see it: writing, reading back, locks, and what damaged files do.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Write},
    path::Path,
    process::Command,
    time::Duration,
};

use graft_record::{
    EpochRow, Manifest, ParameterCounts, Plan, PredictionRow, Predictions, RecordError,
    ResultsFolder, Sample, SampleKind, State, Status, Thumbnail, TimingRow, TrialFolder, TrialKey,
    atomic_write, best_epoch, remove_stale,
};

fn key(variant: &str, repeat: u32) -> TrialKey {
    TrialKey {
        variant: variant.into(),
        cell: TrialKey::BASE_CELL.into(),
        repeat,
        id: "0123abcd".into(),
    }
}

fn epoch(epoch: u32) -> EpochRow {
    EpochRow {
        epoch,
        step: u64::from(epoch) * 61,
        train_loss: 0.1 + 0.2,
        train_accuracy: 1.0 / 3.0,
        val_loss: f64::NAN,
        val_accuracy: 0.5,
        lr: 1e-4,
    }
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn a_trial_reads_back_as_written() {
    let folder = tempfile::tempdir().unwrap();
    let results = ResultsFolder::create(folder.path().join("beeant")).unwrap();
    let trial = results.trial(&key("scratch", 3));
    assert_eq!(trial.status().unwrap(), None);
    assert_eq!(trial.epochs().unwrap(), []);
    trial.create().unwrap();

    let mut status = Status::new(State::Finished);
    status.best_val_accuracy = Some(0.9);
    status.error = Some("a \"quoted\"\nmessage".into());
    trial.write_status(&status).unwrap();
    assert_eq!(trial.status().unwrap(), Some(status));
    // Its epochs, predictions and best checkpoint are not there.
    assert!(!trial.is_finished());

    let manifest = Manifest {
        format: Manifest::FORMAT,
        classes: vec!["ants".into(), "bees".into()],
        notes: vec!["1 file that is no picture: train/ants/imageNotFound.gif".into()],
        key: key("scratch", 3),
        pictures: BTreeMap::from([("train".into(), 244), ("val".into(), 153)]),
        parameters: ParameterCounts {
            total: 11_177_538,
            trainable: 1026,
        },
        spec: toml::from_str("seed = 7\nrecipe = { epochs = 20, optimizer = { lr = 1e-4 } }")
            .unwrap(),
    };
    trial.write_manifest(&manifest).unwrap();
    assert_eq!(trial.manifest().unwrap(), Some(manifest));

    let timing = [TimingRow {
        epoch: 1,
        seconds: 2.5,
        images_per_second: 97.6,
    }];
    trial.write_timing(&timing).unwrap();
    assert_eq!(trial.timing().unwrap(), timing);

    let predictions = [PredictionRow {
        index: 4,
        file: "val/ants/a, \"b\".jpg".into(),
        label: 0,
        predicted: 1,
        probability: 0.75,
    }];
    trial
        .write_predictions(&Predictions::Classes(predictions.to_vec()))
        .unwrap();
    assert_eq!(trial.predictions().unwrap(), predictions);

    trial.append_log("epoch 1").unwrap();
    trial.append_log("epoch 2\n").unwrap();
    let log = fs::read_to_string(trial.path().join("log.txt")).unwrap();
    assert_eq!(log, "epoch 1\nepoch 2\n");
    assert_eq!(results.trials().unwrap(), [trial]);
}

#[test]
fn epochs_are_csv_with_shortest_floats_and_empty_cells_for_nan() {
    let folder = tempfile::tempdir().unwrap();
    let trial = TrialFolder::new(folder.path());
    trial.write_epochs(&[epoch(1), epoch(2)]).unwrap();
    assert_eq!(
        fs::read_to_string(folder.path().join("epochs.csv")).unwrap(),
        "epoch,step,train_loss,train_accuracy,val_loss,val_accuracy,lr\n\
         1,61,0.30000000000000004,0.3333333333333333,,0.5,0.0001\n\
         2,122,0.30000000000000004,0.3333333333333333,,0.5,0.0001\n"
    );
}

#[test]
fn the_whole_folder_reads_back_as_written() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("beeant");
    assert!(matches!(
        ResultsFolder::open(&root),
        Err(RecordError::NoResults { .. })
    ));
    let results = ResultsFolder::create(&root).unwrap();
    assert_eq!(results.plan().unwrap(), None);
    let plan = Plan {
        format: Plan::FORMAT,
        experiment: "beeant".into(),
        seed: u64::MAX,
        repeats: 1,
        reference: Some("scratch".into()),
        variants: vec!["scratch".into(), "frozen".into()],
        cells: vec!["base".into()],
        classes: vec!["ants".into(), "bees".into()],
        trials: vec![key("frozen", 2), key("frozen", 1), key("scratch", 1)],
    };
    results.write_plan(&plan).unwrap();
    assert_eq!(results.plan().unwrap().as_ref(), Some(&plan));
    let order: Vec<String> = plan.ordered().iter().map(ToString::to_string).collect();
    assert_eq!(
        order,
        ["scratch, repeat 1", "frozen, repeat 1", "frozen, repeat 2"]
    );
    results.write_experiment("name = \"beeant\"\n").unwrap();
    assert_eq!(
        results.experiment().unwrap().as_deref(),
        Some("name = \"beeant\"\n")
    );

    let sample = |kind, index| Sample {
        kind,
        index,
        label: 1,
        name: "val/bees/1.jpg".into(),
    };
    let thumbnail = Thumbnail {
        width: 2,
        height: 1,
        rgb: vec![255, 0, 0, 0, 0, 255],
    };
    let samples = [
        (sample(SampleKind::Batch, 0), thumbnail.clone()),
        (sample(SampleKind::Val, 7), thumbnail.clone()),
    ];
    results.write_samples(&samples).unwrap();
    let read = results.samples().unwrap();
    assert_eq!(read, [samples[1].0.clone(), samples[0].0.clone()]);
    assert_eq!(results.thumbnail(&read[0]).unwrap(), thumbnail);
    assert_eq!(
        names(&root.join("samples")),
        ["batch-000.png", "samples.csv", "val-0007.png"]
    );
}

#[test]
fn a_failing_write_keeps_the_old_file_and_leaves_no_litter() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("status.json");
    fs::write(&path, "old").unwrap();
    let no_space = io::Error::from_raw_os_error(28);
    let error = atomic_write(&path, |writer| {
        writer.write_all(&vec![b'x'; 200_000])?;
        Err(no_space)
    })
    .unwrap_err();
    let message = error.to_string();
    assert!(message.contains("status.json"), "{message}");
    assert!(message.contains("No space left on device"), "{message}");
    assert!(message.contains("hint: free space"), "{message}");
    assert_eq!(fs::read_to_string(&path).unwrap(), "old");
    assert_eq!(names(folder.path()), ["status.json"]);
}

#[test]
fn a_folder_that_can_not_be_written_is_named_with_a_hint() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("trials"), "a file").unwrap();
    let message = ResultsFolder::create(folder.path())
        .unwrap_err()
        .to_string();
    assert!(
        message.contains("trials") && message.contains("hint:"),
        "{message}"
    );
    let denied = atomic_write(&folder.path().join("x"), |_| {
        Err(io::ErrorKind::PermissionDenied.into())
    });
    let message = denied.unwrap_err().to_string();
    assert!(
        message.contains("permission") && message.contains("--results-dir"),
        "{message}"
    );
}

/// The kernel's own refusal rather than a made-up one: a limit on the size of files, in a process of its own.
#[cfg(target_os = "linux")]
#[test]
fn a_disk_that_takes_no_more_keeps_the_old_file() {
    if let Ok(path) = std::env::var("GRAFT_TEST_LIMITED_WRITE") {
        let error = atomic_write(Path::new(&path), |writer| {
            writer.write_all(&vec![b'x'; 1 << 20])
        });
        println!("refused: {}", error.unwrap_err());
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("last.safetensors");
    fs::write(&path, "old").unwrap();
    let output = Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -f 8; exec \"$@\"", "sh"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "a_disk_that_takes_no_more_keeps_the_old_file"])
        .arg("--nocapture")
        .env("GRAFT_TEST_LIMITED_WRITE", &path)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}");
    assert!(text.contains("refused: failed to write"), "{text}");
    assert!(text.contains("hint:"), "{text}");
    assert_eq!(fs::read_to_string(&path).unwrap(), "old");
    assert_eq!(names(folder.path()), ["last.safetensors"]);
}

#[test]
fn leftovers_of_killed_processes_go_when_the_sweep_is_locked() {
    let folder = tempfile::tempdir().unwrap();
    let results = ResultsFolder::create(folder.path()).unwrap();
    let trial = results.trial(&key("scratch", 1));
    trial.create().unwrap();
    let stale = ".epochs.csv.999-0.graft-tmp";
    fs::write(folder.path().join(stale), "half").unwrap();
    fs::write(trial.path().join(stale), "half").unwrap();
    fs::write(trial.path().join("notes.txt"), "mine").unwrap();
    drop(results.lock().unwrap());
    assert_eq!(names(folder.path()), [".lock", "trials"]);
    assert_eq!(names(trial.path()), ["notes.txt"]);

    // A file that is being written stays.
    atomic_write(&folder.path().join("plan.json"), |writer| {
        writer.write_all(b"new")?;
        remove_stale(folder.path()).map_err(io::Error::other)
    })
    .unwrap();
    assert_eq!(fs::read(folder.path().join("plan.json")).unwrap(), b"new");
}

#[test]
fn a_second_process_is_told_who_holds_the_sweep() {
    if let Ok(root) = std::env::var("GRAFT_TEST_LOCKED_ROOT") {
        let error = ResultsFolder::open(root).unwrap().lock().unwrap_err();
        println!("told: {error}");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let results = ResultsFolder::create(folder.path()).unwrap();
    let lock = results.lock().unwrap();
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "a_second_process_is_told_who_holds_the_sweep"])
        .arg("--nocapture")
        .env("GRAFT_TEST_LOCKED_ROOT", folder.path())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let pid = format!("(pid {})", std::process::id());
    assert!(output.status.success() && text.contains(&pid), "{text}");
    drop(lock);
    results.lock().unwrap();
}

#[test]
fn a_trial_is_held_once_and_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let trial = TrialFolder::new(folder.path().join("scratch-base-r01-00"));
    let lock = trial.lock().unwrap();
    match trial.lock_within(Duration::from_millis(1)) {
        Err(RecordError::Locked { pid, path }) => {
            assert_eq!(pid, Some(std::process::id()));
            assert_eq!(path, trial.path());
        }
        other => panic!("{other:?}"),
    }
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| trial.lock_within(Duration::from_secs(60)));
        drop(lock);
        waiting.join().unwrap().unwrap();
    });
}

#[test]
fn damaged_files_are_named_with_their_line() {
    let folder = tempfile::tempdir().unwrap();
    let trial = TrialFolder::new(folder.path());
    let header = "epoch,step,train_loss,train_accuracy,val_loss,val_accuracy,lr\n";
    let cases = [
        ("", "line 1: the columns are ``"),
        ("epoch,step\n1,2\n", "line 1: the columns are `epoch,step`"),
        (
            &format!("{header}1,1,1,1,1,1,1\n3,2,1,1,1,1,1\n"),
            "line 3: epoch 3 follows epoch 1",
        ),
        (
            &format!("{header}1,5,1,1,1,1,1\n2,4,1,1,1,1,1\n"),
            "line 3: step 4 follows step 5",
        ),
        (
            &format!("{header}2,1,1,1,1,1,1\n"),
            "line 2: the first epoch is 2",
        ),
        (
            &format!("{header}1,1,1,1,1,1,1\n2,2,0.4"),
            "line 3: 3 cells, expected 7",
        ),
        (
            &format!("{header}1,1,high,1,1,1,1\n"),
            "line 2: column `train_loss` is `high`",
        ),
        (
            &format!("{header}-1,1,1,1,1,1,1\n"),
            "line 2: column `epoch` is `-1`",
        ),
    ];
    for (text, expected) in cases {
        fs::write(folder.path().join("epochs.csv"), text).unwrap();
        let message = trial.epochs().unwrap_err().to_string();
        assert!(message.contains("epochs.csv, "), "{message}");
        assert!(message.contains(expected), "{message}");
    }
    fs::write(
        folder.path().join("epochs.csv"),
        [header.as_bytes(), b"1,\xff"].concat(),
    )
    .unwrap();
    let message = trial.epochs().unwrap_err().to_string();
    assert!(message.contains("line 2: not UTF-8"), "{message}");

    for (text, expected) in [
        ("", "EOF"),
        ("{\"format\": 1, \"state\": \"fin", "line 1 column"),
        (
            "{\"format\": 2}",
            "it has format 2, and this version of graft reads format 1",
        ),
        ("{}", "it has no `format` number"),
        ("{\"format\": 1, \"state\": \"asleep\"}", "asleep"),
    ] {
        fs::write(folder.path().join("status.json"), text).unwrap();
        let message = trial.status().unwrap_err().to_string();
        assert!(
            message.contains("status.json") && message.contains(expected),
            "{message}"
        );
        assert!(!trial.is_finished());
    }
}

#[test]
fn rows_in_a_wrong_order_are_not_written() {
    let folder = tempfile::tempdir().unwrap();
    let trial = TrialFolder::new(folder.path());
    trial.write_epochs(&[epoch(1)]).unwrap();
    let message = trial
        .write_epochs(&[epoch(1), epoch(1)])
        .unwrap_err()
        .to_string();
    assert!(
        message.contains("row 2: epoch 1 follows epoch 1"),
        "{message}"
    );
    assert_eq!(trial.epochs().unwrap().len(), 1);
}

#[test]
fn other_folders_are_no_trials() {
    let folder = tempfile::tempdir().unwrap();
    let results = ResultsFolder::create(folder.path()).unwrap();
    fs::create_dir(folder.path().join("trials/.ipynb_checkpoints")).unwrap();
    fs::write(folder.path().join("trials/.DS_Store"), "x").unwrap();
    assert_eq!(results.trials().unwrap(), []);
    results.lock().unwrap();
}

#[test]
fn the_best_epoch_is_the_first_with_the_highest_accuracy() {
    let row = |number, val_accuracy| EpochRow {
        val_accuracy,
        ..epoch(number)
    };
    let rows = [
        row(1, 0.5),
        row(2, f64::NAN),
        row(3, 0.75),
        row(4, 0.75),
        row(5, 0.7),
    ];
    assert_eq!(best_epoch(&rows).unwrap().epoch, 3);
    assert!(best_epoch(&rows[1..2]).is_none());
    assert!(best_epoch(&[]).is_none());
}
