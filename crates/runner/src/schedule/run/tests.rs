//! The scheduler with shell scripts as workers.

use std::{ffi::OsString, path::PathBuf, time::Instant};

use graft_record::{EpochRow, TimingRow};
use graft_trainer::StepProgress;
use serde_json::json;

use super::*;
use crate::schedule::WorkerProgram;

/// What every script starts with: how to say things, and how to tell which trial it was handed.
const PRELUDE: &str = r#"
started() { echo '{"type":"started"}'; }
finished() { echo '{"type":"ended","end":{"end":"finished","best_epoch":1,"best_val_accuracy":0.5}}'; }
failed() { echo '{"type":"ended","end":{"end":"failed","error":"no such picture"}}'; }
interrupted() { echo '{"type":"ended","end":{"end":"interrupted"}}'; }
"#;

/// Finishes whatever it is handed, but for the trials named `bad`, `crash` and `wait`.
const WORKER: &str = r#"
while read -r line; do
    case $line in
        *bad*) started; failed ;;
        *crash*) started; echo 'something is wrong' >&2; kill -9 $$ ;;
        *wait*) started; read -r stop; interrupted ;;
        *'"stop"'*) ;;
        *) started; finished ;;
    esac
done
"#;

fn job(id: &str, needs: &[&str]) -> Job {
    Job {
        id: id.to_owned(),
        needs: needs.iter().map(|&need| need.to_owned()).collect(),
        cohort: String::new(),
        kind: String::new(),
        is_light: false,
        trial: json!({ "name": id }),
        held: false,
    }
}

/// Writes down what happens, and sends a signal when a certain thing does.
#[derive(Default)]
struct Diary {
    lines: Vec<String>,
    signal: Option<SignalSender>,
    signal_at: Vec<String>,
    /// The trial that has written all its results when its worker dies.
    finished: Option<String>,
}

impl Diary {
    fn note(&mut self, line: String) {
        if let (Some(signal), true) = (&self.signal, self.signal_at.contains(&line)) {
            signal.signal();
        }
        self.lines.push(line);
    }
}

impl Listener for Diary {
    fn started(&mut self, job: &Job, _worker: usize, threads: usize) {
        self.note(format!("{} started on {threads}", job.id));
    }
    fn step(&mut self, job: &Job, _worker: usize, progress: &StepProgress) {
        self.note(format!("{} step {}", job.id, progress.batch));
    }
    fn epoch(&mut self, job: &Job, _worker: usize, row: &EpochRow, _timing: &TimingRow) {
        self.note(format!("{} epoch {}", job.id, row.epoch));
    }
    fn moved(&mut self, job: &Job, _worker: usize) {
        self.note(format!("{} moved", job.id));
    }
    fn ended(&mut self, job: &Job, _worker: Option<usize>, end: &End) {
        let how = match end {
            End::Finished { .. } => "finished".to_owned(),
            End::Interrupted => "interrupted".to_owned(),
            End::Diverged { .. } => "diverged".to_owned(),
            End::Failed { error } => format!("failed: {error}"),
            End::Unrecorded { error, .. } => format!("unrecorded: {error}"),
            End::DiskFull { error } => format!("disk full: {error}"),
            End::OutOfMemory { error } => format!("out of memory: {error}"),
            End::Crashed { error } => format!("crashed: {error}"),
            End::Blocked { source } => format!("blocked by {source}"),
        };
        self.note(format!("{} {how}", job.id));
    }
    fn stopping(&mut self, why: &Stop, running: usize) {
        self.note(format!("stopping {running} because {why:?}"));
    }
    fn killing(&mut self, running: usize) {
        self.note(format!("killing {running}"));
    }
    fn finished(&self, job: &Job) -> Option<End> {
        (self.finished.as_ref() == Some(&job.id)).then_some(End::Finished {
            best_epoch: 1,
            best_val_accuracy: 0.5,
        })
    }
    fn tick(&mut self) {}
}

/// A sweep with a script as its worker.
struct Test {
    script: String,
    settings: Settings,
    diary: Diary,
}

impl Test {
    fn new(script: &str) -> Self {
        let program = WorkerProgram {
            program: PathBuf::from("sh"),
            args: Vec::new(),
            env: Vec::new(),
        };
        let settings = Settings {
            workers: 1,
            devices: vec!["cpu".to_owned()],
            all_at_once: true,
            at_first: 1,
            cores: 4,
            worth_moving: Duration::from_secs(3600),
            fail_fast: false,
            deadline: None,
            program,
        };
        Self {
            script: format!("{PRELUDE}{script}"),
            settings,
            diary: Diary::default(),
        }
    }

    fn fail_fast(mut self) -> Self {
        self.settings.fail_fast = true;
        self
    }

    fn workers(mut self, workers: usize) -> Self {
        self.settings.workers = workers;
        self
    }

    fn signal_at(mut self, line: &str) -> Self {
        self.diary.signal_at.push(line.to_owned());
        self
    }

    fn run(mut self, jobs: Vec<Job>) -> (Tally, Vec<String>) {
        self.settings.program.args = vec![OsString::from("-c"), OsString::from(self.script)];
        let schedule = Schedule::new(jobs, self.settings);
        self.diary.signal = Some(schedule.signal_sender());
        let tally = schedule.run(&mut self.diary);
        (tally, self.diary.lines)
    }
}

#[test]
fn all_trials_are_run_in_order_and_the_last_one_gets_the_cores() {
    let (tally, lines) = Test::new(WORKER).run(vec![job("a", &[]), job("b", &[])]);
    assert_eq!(
        lines,
        [
            "a started on 4",
            "a finished",
            "b started on 4",
            "b finished"
        ]
    );
    assert_eq!(
        tally,
        Tally {
            finished: 2,
            ..Tally::default()
        }
    );
}

#[test]
fn a_failed_trial_costs_those_that_start_from_it_and_no_other() {
    let jobs = vec![job("child", &["bad"]), job("bad", &[]), job("other", &[])];
    let (tally, lines) = Test::new(WORKER).run(jobs);
    assert_eq!(
        lines,
        [
            "bad started on 4",
            "bad failed: no such picture",
            "child blocked by bad",
            "other started on 4",
            "other finished"
        ]
    );
    assert_eq!(
        tally,
        Tally {
            finished: 1,
            failed: 2,
            ..Tally::default()
        }
    );
}

#[test]
fn a_killed_worker_costs_its_trial_and_is_replaced() {
    let (tally, lines) = Test::new(WORKER).run(vec![job("crash", &[]), job("other", &[])]);
    assert_eq!(
        lines,
        [
            "crash started on 4",
            "crash crashed: its worker process was killed by signal 9 (SIGKILL), which is also how the system ends \
             a process when memory runs out; it wrote: something is wrong",
            "other started on 4",
            "other finished"
        ]
    );
    assert_eq!(
        tally,
        Tally {
            finished: 1,
            failed: 1,
            ..Tally::default()
        }
    );
}

#[test]
fn fail_fast_starts_nothing_after_the_first_failure() {
    let (tally, lines) = Test::new(WORKER)
        .fail_fast()
        .run(vec![job("bad", &[]), job("other", &[])]);
    assert_eq!(
        lines,
        [
            "bad started on 4",
            "bad failed: no such picture",
            "stopping 0 because FailFast"
        ]
    );
    assert_eq!(
        tally,
        Tally {
            failed: 1,
            not_started: 1,
            stop: Some(Stop::FailFast),
            ..Tally::default()
        }
    );
}

#[test]
fn fail_fast_tells_running_trials_to_stop() {
    let jobs = vec![job("wait", &[]), job("bad", &[]), job("other", &[])];
    let (tally, lines) = Test::new(WORKER).fail_fast().workers(2).run(jobs);
    assert!(lines.contains(&"wait interrupted".to_owned()), "{lines:?}");
    assert_eq!(
        tally,
        Tally {
            failed: 1,
            interrupted: 1,
            not_started: 1,
            stop: Some(Stop::FailFast),
            ..Tally::default()
        }
    );
}

#[test]
fn a_signal_stops_running_trials_cleanly() {
    let (tally, lines) = Test::new(WORKER)
        .signal_at("wait started on 4")
        .run(vec![job("wait", &[]), job("other", &[])]);
    assert_eq!(
        lines,
        [
            "wait started on 4",
            "stopping 1 because Signal",
            "wait interrupted"
        ]
    );
    assert_eq!(
        tally,
        Tally {
            interrupted: 1,
            not_started: 1,
            stop: Some(Stop::Signal),
            ..Tally::default()
        }
    );
}

#[test]
fn when_the_time_is_up_running_trials_stop_cleanly_and_no_more_start() {
    let mut test = Test::new(WORKER);
    test.settings.deadline = Some(Instant::now() + Duration::from_millis(200));
    let (tally, lines) = test.run(vec![job("wait", &[]), job("other", &[])]);
    assert_eq!(lines.last().unwrap(), "wait interrupted");
    assert!(lines.contains(&"stopping 1 because TimeUp".to_owned()));
    let expected = Tally {
        interrupted: 1,
        not_started: 1,
        stop: Some(Stop::TimeUp),
        ..Tally::default()
    };
    assert_eq!(tally, expected);
}

#[test]
fn a_deadline_that_has_passed_starts_nothing_and_without_work_means_nothing() {
    let mut test = Test::new(WORKER);
    test.settings.deadline = Some(Instant::now());
    let (tally, lines) = test.run(vec![job("a", &[]), job("b", &[])]);
    assert_eq!(lines, ["stopping 0 because TimeUp"]);
    assert_eq!((tally.not_started, tally.stop), (2, Some(Stop::TimeUp)));
    let mut test = Test::new(WORKER);
    test.settings.deadline = Some(Instant::now());
    assert_eq!(test.run(Vec::new()), (Tally::default(), Vec::new()));
}

#[test]
fn a_second_signal_kills_a_worker_that_does_not_listen() {
    let deaf = "read -r line; started; while :; do read -r line; done";
    let (tally, lines) = Test::new(deaf)
        .signal_at("deaf started on 4")
        .signal_at("stopping 1 because Signal")
        .run(vec![job("deaf", &[])]);
    assert_eq!(
        lines,
        [
            "deaf started on 4",
            "stopping 1 because Signal",
            "killing 1",
            "deaf interrupted"
        ]
    );
    assert_eq!(
        tally,
        Tally {
            interrupted: 1,
            stop: Some(Stop::Signal),
            ..Tally::default()
        }
    );
}

#[test]
fn a_full_disk_stops_the_sweep_and_leaves_the_trial_resumable() {
    let full = r#"read -r line; started
        echo '{"type":"ended","end":{"end":"disk-full","error":"no space"}}'; read -r line"#;
    let (tally, lines) = Test::new(full).run(vec![job("a", &[]), job("b", &[])]);
    assert_eq!(
        lines,
        [
            "a started on 4",
            "a disk full: no space",
            "stopping 0 because DiskFull(\"no space\")"
        ]
    );
    let stop = Some(Stop::DiskFull("no space".to_owned()));
    assert_eq!(
        tally,
        Tally {
            interrupted: 1,
            not_started: 1,
            stop,
            ..Tally::default()
        }
    );
}

#[test]
fn workers_that_die_at_once_end_the_sweep_with_their_message() {
    let (tally, lines) = Test::new("echo 'no such library' >&2; exit 127").run(vec![job("a", &[])]);
    let because = "its worker process ended with exit code 127; it wrote: no such library";
    assert_eq!(
        lines,
        [format!("stopping 0 because NoWorkers({because:?})")]
    );
    assert_eq!(tally.not_started, 1);
}

#[test]
fn a_worker_that_can_not_be_started_ends_the_sweep() {
    let mut test = Test::new("");
    test.settings.program.program = PathBuf::from("/nowhere/graft");
    let (tally, _) = test.run(vec![job("a", &[])]);
    let Some(Stop::NoWorkers(reason)) = tally.stop else {
        panic!("{tally:?}")
    };
    assert!(
        reason.starts_with("can't start /nowhere/graft: "),
        "{reason}"
    );
    assert_eq!(tally.not_started, 1);
}

#[test]
fn a_worker_that_babbles_is_replaced_and_its_trial_fails() {
    let babble = "while read -r line; do started; case $line in *odd*) echo hello; read -r line;; *) finished;; esac; done";
    let (tally, lines) = Test::new(babble).run(vec![job("odd", &[]), job("even", &[])]);
    assert_eq!(
        lines,
        [
            "odd started on 4",
            "odd crashed: its worker process wrote what is no message: hello",
            "even started on 4",
            "even finished"
        ]
    );
    assert_eq!(
        tally,
        Tally {
            finished: 1,
            failed: 1,
            ..Tally::default()
        }
    );
}

#[test]
fn steps_and_epochs_reach_the_listener() {
    let steps = r#"read -r line; started
        echo '{"type":"step","progress":{"epoch":1,"epochs":2,"batch":3,"batches":9,"validating":false,"train_loss":0.5,"images_per_second":10.0}}'
        echo '{"type":"epoch","row":{"epoch":1,"step":9,"train_loss":0.5,"train_accuracy":0.5,"val_loss":0.5,"val_accuracy":0.5,"lr":0.1},"timing":{"epoch":1,"seconds":1.0,"images_per_second":10.0}}'
        finished; read -r line"#;
    let (tally, lines) = Test::new(steps).run(vec![job("a", &[])]);
    assert_eq!(
        lines,
        ["a started on 4", "a step 3", "a epoch 1", "a finished"]
    );
    assert_eq!(tally.finished, 1);
}

#[test]
fn the_last_trial_moves_to_idle_cores_and_goes_on() {
    let script = r#"
        step() { echo '{"type":"step","progress":{"epoch":1,"epochs":9,"batch":'$1',"batches":9,"validating":false,"train_loss":0.5,"images_per_second":10.0}}'; }
        while read -r line; do
            case $line in
                *long*'"threads":2'*|*'"threads":2'*long*) started; step 1; step 2; read -r order
                    case $order in *yield*) interrupted ;; *) failed ;; esac ;;
                *) started; finished ;;
            esac
        done"#;
    let mut test = Test::new(script).workers(2);
    test.settings.worth_moving = Duration::ZERO;
    let (tally, lines) = test.run(vec![
        job("long", &[]),
        job("short", &[]),
        job("child", &["long"]),
    ]);
    let of = |id: &str| {
        lines
            .iter()
            .filter(|line| line.starts_with(id))
            .map(String::as_str)
            .collect::<Vec<_>>()
    };
    let long = [
        "long started on 2",
        "long step 1",
        "long step 2",
        "long moved",
        "long started on 4",
        "long finished",
    ];
    assert_eq!(of("long"), long);
    assert_eq!(of("child"), ["child started on 4", "child finished"]);
    assert_eq!(
        tally,
        Tally {
            finished: 3,
            ..Tally::default()
        }
    );
}

#[test]
fn a_trial_whose_worker_died_after_its_last_file_is_finished() {
    let mut test = Test::new(WORKER);
    test.diary.finished = Some("crash".to_owned());
    let (tally, lines) = test.run(vec![job("crash", &[]), job("child", &["crash"])]);
    assert_eq!(
        lines,
        [
            "crash started on 4",
            "crash finished",
            "child started on 4",
            "child finished"
        ]
    );
    assert_eq!(tally.finished, 2);
}

#[test]
fn workers_that_end_between_trials_are_no_failed_starts() {
    // Each ends after its first trial without a word.
    let script = "read -r line; started; finished; read -r line";
    let jobs: Vec<Job> = ["a", "b", "c", "d", "e", "f"]
        .iter()
        .map(|id| job(id, &[]))
        .collect();
    let (tally, _) = Test::new(script).workers(3).run(jobs);
    assert_eq!(
        tally,
        Tally {
            finished: 6,
            ..Tally::default()
        }
    );
}

#[test]
fn a_trial_that_finds_no_memory_goes_on_when_its_neighbours_are_gone() {
    let folder = tempfile::tempdir().unwrap();
    let full = r#"echo '{"type":"ended","end":{"end":"out-of-memory","error":"no memory"}}'"#;
    // `small` ends once `big` has found the device full.
    let script = format!(
        r"
        cd {}
        mkfifo full 2>/dev/null
        while read -r line; do
            case $line in
                *big*) started; if [ -e seen ]; then finished; else touch seen; echo > full; {full}; fi ;;
                *small*) started; read -r _ < full; finished ;;
                *huge*) started; {full} ;;
            esac
        done",
        folder.path().display()
    );
    let mut test = Test::new(&script).workers(2);
    test.settings.devices = vec!["cuda:0".to_owned()];
    let jobs = vec![job("small", &[]), job("big", &[]), job("huge", &["big"])];
    let (tally, lines) = test.run(jobs);
    let of = |id: &str| {
        let lines = lines.iter().filter(|line| line.starts_with(id));
        lines.map(String::as_str).collect::<Vec<_>>()
    };
    let place = |line: &str| lines.iter().position(|other| other == line);
    assert_eq!(of("small"), ["small started on 2", "small finished"]);
    let big = &of("big")[..2];
    assert_eq!(big, ["big started on 2", "big moved"]);
    assert_eq!(of("big").last(), Some(&"big finished"));
    assert!(place("small finished") < place("big finished"), "{lines:?}");
    assert_eq!(of("huge").last(), Some(&"huge out of memory: no memory"));
    let expected = Tally {
        finished: 2,
        failed: 1,
        ..Tally::default()
    };
    assert_eq!(tally, expected);
}

#[test]
fn trials_are_spread_over_devices_and_grow_in_number_only_where_that_is_watched() {
    let folder = tempfile::tempdir().unwrap();
    // The first trial on each of the two devices meets the one on the other.
    let script = format!(
        r#"
        cd {}
        mkfifo met 2>/dev/null
        while read -r line; do
            case $line in
                *'"device":"cuda:0"'*) started; [ -e zero ] || {{ touch zero; read -r _ < met; }}; finished ;;
                *'"device":"cuda:1"'*) started; [ -e one ] || {{ touch one; echo > met; }}; finished ;;
                *) started; failed ;;
            esac
        done"#,
        folder.path().display()
    );
    let mut test = Test::new(&script).workers(4);
    test.settings.devices = vec!["cuda:0".to_owned(), "cuda:1".to_owned()];
    test.settings.all_at_once = false;
    let jobs: Vec<Job> = ["a", "b", "c", "d"].map(|id| job(id, &[])).into();
    let (tally, lines) = test.run(jobs);
    assert_eq!(tally.finished, 4, "{lines:?}");
    // One at a time on each, and each with its share of the four cores.
    let started: Vec<&String> = lines
        .iter()
        .filter(|line| line.contains("started"))
        .collect();
    assert!(
        started.iter().all(|line| line.ends_with("on 1")),
        "{lines:?}"
    );
    let most = lines.iter().fold((0, 0), |(now, most), line| {
        let now = if line.contains("started") {
            now + 1
        } else {
            now - 1
        };
        (now, now.max(most))
    });
    assert!(most.1 <= 2, "{lines:?}");
}

#[test]
fn a_worker_opens_its_device_while_another_one_shows_whether_it_is_wanted() {
    let folder = tempfile::tempdir().unwrap();
    // `long` ends when the other worker was told to get ready.
    let script = format!(
        r#"
        cd {}
        mkfifo ready 2>/dev/null
        while read -r line; do
            case $line in
                *'"type":"prepare","device":"cuda:0"'*) echo '{{"type":"ready"}}'; echo > ready ;;
                *long*) started
                    echo '{{"type":"step","progress":{{"epoch":1,"epochs":2,"batch":3,"batches":9,"validating":false,"train_loss":0.5,"images_per_second":1.0}}}}'
                    read -r _ < ready; finished ;;
                *) started; finished ;;
            esac
        done"#,
        folder.path().display()
    );
    let mut test = Test::new(&script).workers(2);
    test.settings.devices = vec!["cuda:0".to_owned()];
    test.settings.all_at_once = false;
    let (tally, lines) = test.run(vec![job("long", &[]), job("next", &[])]);
    assert_eq!(tally.finished, 2, "{lines:?}");
    let place = |line: &str| lines.iter().position(|other| other == line);
    assert!(
        place("long finished") < place("next started on 2"),
        "{lines:?}"
    );
}
