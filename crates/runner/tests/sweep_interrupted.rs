//! A sweep that is stopped or killed goes on and ends where an undisturbed one ends.

mod desk;

use std::{collections::BTreeMap, fs, path::PathBuf};

use desk::{Desk, TINY, send_signal};

/// The tiny experiment with so many epochs that a trial is still running when a signal reaches it.
fn longer() -> String {
    TINY.replace("epochs = 3", "epochs = 400")
        .replace("repeats = 3", "repeats = 1")
}

fn undisturbed(experiment: &str) -> BTreeMap<String, Vec<u8>> {
    let desk = Desk::new();
    desk.write("tiny.toml", experiment);
    desk.graft("sweep tiny.toml --jobs 2").code(0);
    desk.results("tiny")
}

#[track_caller]
fn assert_same(found: &BTreeMap<String, Vec<u8>>, expected: &BTreeMap<String, Vec<u8>>) {
    assert_eq!(
        found.keys().collect::<Vec<_>>(),
        expected.keys().collect::<Vec<_>>()
    );
    for (name, content) in found {
        assert!(content == &expected[name], "{name} differs");
    }
}

/// Lines in all epochs.csv of the trials: grows with every epoch that is done anywhere.
fn epochs_done(desk: &Desk) -> usize {
    let lines = |trial: PathBuf| {
        fs::read_to_string(trial.join("epochs.csv")).map_or(0, |text| text.lines().count() - 1)
    };
    desk.trials("tiny").into_iter().map(lines).sum()
}

#[test]
fn ctrl_c_stops_cleanly_and_the_same_command_goes_on() {
    let expected = undisturbed(&longer());
    for signal in ["INT", "TERM"] {
        let desk = Desk::new();
        desk.write("tiny.toml", longer());
        let mut sweep = desk.start("sweep tiny.toml --jobs 2");
        sweep.wait_until("an epoch", || epochs_done(&desk) > 2);
        sweep.signal(signal);
        let stopped = sweep.finish().code(130);
        assert_eq!(stopped.stdout, "");
        stopped
            .stderr_has("; a second Ctrl-C kills\n")
            .stderr_has("error: interrupted: 0 of 2 trials are finished\nhint: run the same command again to go on\n");
        for trial in desk.trials("tiny") {
            let status = fs::read_to_string(trial.join("status.json")).unwrap();
            assert!(status.contains("\"interrupted\""), "{status}");
            assert!(trial.join("last.safetensors").is_file());
        }
        desk.graft("sweep tiny.toml --jobs 1").code(0);
        assert_same(&desk.results("tiny"), &expected);
    }
}

#[test]
fn a_sweep_whose_time_is_up_goes_on_the_next_time() {
    let expected = undisturbed(TINY);
    let desk = Desk::with_tiny();
    let stopped = desk
        .graft("sweep tiny.toml --max-hours 0.00000001")
        .code(130);
    stopped
        .stderr_has("stopping because the time is up\n")
        .stderr_has(
            "error: the time of --max-hours is up: 0 of 6 trials are finished\n\
             hint: run the same command again to go on\n",
        )
        .stdout_has("tiny: 0 of 6 trials finished");
    desk.graft("sweep tiny.toml --max-hours 10").code(0);
    assert_same(&desk.results("tiny"), &expected);
    // Nothing to do takes no time.
    desk.graft("sweep tiny.toml --max-hours 0.00000001").code(0);
    for bad in ["0", "-1", "nan", "1e6", "soon"] {
        desk.graft(&format!("sweep tiny.toml --max-hours={bad}"))
            .code(2)
            .stderr_has("expected a number of hours above 0, at most 100000");
    }
}

#[test]
fn a_kill_at_any_moment_loses_nothing_that_matters() {
    let expected = undisturbed(&longer());
    let desk = Desk::new();
    desk.write("tiny.toml", longer());
    // Killed sooner and later, and started again at once while workers of the killed sweep may still be at it.
    for more in [0, 1, 7, 20, 3] {
        let before = epochs_done(&desk);
        let mut sweep = desk.start("sweep tiny.toml --jobs 2");
        sweep.read_until("2 to run");
        sweep.wait_until("more epochs", || epochs_done(&desk) >= before + more);
        sweep.signal("KILL");
        assert_eq!(sweep.finish().code, None);
    }
    let last = desk.graft("sweep tiny.toml --jobs 2").code(0);
    last.stdout_has("2 of 2 trials finished");
    assert_same(&desk.results("tiny"), &expected);
}

#[test]
fn a_second_ctrl_c_kills_and_the_same_command_goes_on() {
    let expected = undisturbed(&longer());
    let desk = Desk::new();
    desk.write("tiny.toml", longer());
    let mut sweep = desk.start("sweep tiny.toml --jobs 2");
    sweep.wait_until("an epoch", || epochs_done(&desk) > 2);
    let workers = sweep.workers();
    assert_eq!(workers.len(), 2);
    // Workers that can't hear: the first signal would wait for them for ever.
    for &worker in &workers {
        send_signal(worker, "STOP");
    }
    sweep.signal("INT");
    sweep.read_until("stopping");
    sweep.signal("INT");
    sweep
        .finish()
        .code(130)
        .stderr_has("error: interrupted: 0 of 2 trials are finished");
    for worker in workers {
        assert!(
            !PathBuf::from(format!("/proc/{worker}/stat")).exists(),
            "worker {worker} still lives"
        );
    }
    desk.graft("sweep tiny.toml").code(0);
    assert_same(&desk.results("tiny"), &expected);
}

#[test]
fn a_killed_worker_costs_its_trial_and_the_sweep_goes_on() {
    let desk = Desk::new();
    desk.write("tiny.toml", longer());
    let mut sweep = desk.start("sweep tiny.toml --jobs 1");
    sweep.wait_until("an epoch", || epochs_done(&desk) > 0);
    send_signal(sweep.workers()[0], "KILL");
    sweep
        .finish()
        .code(1)
        .stderr_has("its worker process was killed by signal 9 (SIGKILL)")
        .stderr_has("error: 1 of 2 trials failed\n")
        .stdout_has("1 of 2 trials finished, 1 failed");
    let status = fs::read_to_string(desk.trial("tiny", "narrow", 1).join("status.json")).unwrap();
    assert!(
        status.contains("\"failed\"") && status.contains("SIGKILL"),
        "{status}"
    );
    desk.graft("sweep tiny.toml --retry-failed").code(0);
    assert_same(&desk.results("tiny"), &undisturbed(&longer()));
}

#[test]
fn workers_end_when_their_sweep_is_killed() {
    let desk = Desk::new();
    desk.write(
        "tiny.toml",
        longer().replace("epochs = 400", "epochs = 100000"),
    );
    let mut sweep = desk.start("sweep tiny.toml --jobs 2");
    sweep.wait_until("an epoch", || epochs_done(&desk) > 0);
    let workers = sweep.workers();
    assert_eq!(workers.len(), 2);
    sweep.signal("KILL");
    let gone = |worker: &u32| {
        // An ended process that nobody has waited for is as good as gone.
        let stat = fs::read_to_string(format!("/proc/{worker}/stat")).unwrap_or_default();
        stat.is_empty() || stat.contains(") Z ")
    };
    let start = std::time::Instant::now();
    while !workers.iter().all(gone) {
        assert!(
            start.elapsed().as_secs() < 60,
            "workers outlive their sweep"
        );
        std::thread::yield_now();
    }
}

#[test]
fn a_second_sweep_of_the_same_experiment_is_refused() {
    let desk = Desk::new();
    desk.write(
        "tiny.toml",
        longer().replace("epochs = 400", "epochs = 100000"),
    );
    let mut first = desk.start("sweep tiny.toml --jobs 1");
    first.wait_until("an epoch", || epochs_done(&desk) > 0);
    let second = desk.graft("sweep tiny.toml").code(2);
    assert_eq!(second.stdout, "");
    second
        .stderr_has("error: results/tiny is in use by another process (pid ")
        .stderr_has("\nhint: ");
    // A report may be made at any time.
    desk.graft("report tiny")
        .code(0)
        .stdout_has("0 of 2 trials finished, 1 running");
    first.signal("INT");
    first.finish().code(130);
}

#[test]
fn a_worker_that_is_told_to_end_costs_its_trial_and_the_sweep_goes_on() {
    let desk = Desk::new();
    desk.write("tiny.toml", longer().replace("repeats = 1", "repeats = 2"));
    let mut sweep = desk.start("sweep tiny.toml --jobs 1");
    sweep.wait_until("an epoch", || epochs_done(&desk) > 0);
    send_signal(sweep.workers()[0], "TERM");
    sweep
        .finish()
        .code(130)
        .stderr_has("error: interrupted: 3 of 4 trials are finished\nhint: run the same command again to go on\n")
        .stdout_has("3 of 4 trials finished, 1 interrupted");
    desk.graft("sweep tiny.toml").code(0);
    assert_same(
        &desk.results("tiny"),
        &undisturbed(&longer().replace("repeats = 1", "repeats = 2")),
    );
}
