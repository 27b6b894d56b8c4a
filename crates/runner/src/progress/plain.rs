//! Progress as plain lines, for logs and pipes: one for each trial that ends, and now and then one in between.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use graft_record::{EpochRow, TimingRow};
use graft_trainer::StepProgress;

use super::{Scene, describe_end, describe_stop, rough};
use crate::schedule::{End, Job, Listener, Stop};

/// How often running trials are told of.
const INTERVAL: Duration = Duration::from_secs(60);

/// Progress as plain lines.
pub struct PlainProgress {
    scene: Scene,
    done: usize,
    told: Instant,
    running: BTreeMap<usize, Running>,
}

/// A trial on a worker.
struct Running {
    name: String,
    since: Instant,
    epochs_done: u32,
    epochs: u32,
    val_accuracy: Option<f64>,
    figure: &'static str,
}

impl PlainProgress {
    /// A display of this sweep.
    pub fn new(scene: Scene) -> Self {
        let done = scene.finished;
        Self {
            scene,
            done,
            told: Instant::now(),
            running: BTreeMap::new(),
        }
    }

    fn say_running(&self) {
        let mut line = format!("{} of {} trials done", self.done, self.scene.total);
        let left = self.scene.left();
        if !left.is_empty() {
            line.push_str(", ");
            line.push_str(&left);
        }
        eprintln!("{line}");
        for running in self.running.values() {
            let accuracy = running.val_accuracy.map_or_else(String::new, |value| {
                format!(", {} {value:.3}", running.figure)
            });
            eprintln!(
                "  {}: epoch {}/{}{accuracy}",
                running.name, running.epochs_done, running.epochs
            );
        }
    }
}

impl Listener for PlainProgress {
    fn grew(&mut self, ids: &[String]) {
        self.scene.grow(ids);
    }

    fn started(&mut self, job: &Job, worker: usize, _threads: usize) {
        let name = self.scene.name(&job.id);
        let running = Running {
            name,
            since: Instant::now(),
            epochs_done: 0,
            epochs: 0,
            val_accuracy: None,
            figure: self.scene.figure(&job.id),
        };
        self.running.insert(worker, running);
    }

    fn step(&mut self, job: &Job, worker: usize, progress: &StepProgress) {
        if let Some(running) = self.running.get_mut(&worker) {
            running.epochs_done = progress.epoch - 1;
            running.epochs = progress.epochs;
        }
        self.scene.follow(&job.id, progress);
    }

    fn epoch(&mut self, job: &Job, worker: usize, row: &EpochRow, timing: &TimingRow) {
        if let Some(running) = self.running.get_mut(&worker) {
            running.epochs_done = row.epoch;
            running.val_accuracy = Some(row.val_accuracy);
        }
        self.scene.outlook.epoch(&job.id, timing.seconds);
    }

    fn moved(&mut self, _job: &Job, worker: usize) {
        self.running.remove(&worker);
    }

    fn ended(&mut self, job: &Job, worker: Option<usize>, end: &End) {
        let running = worker.and_then(|worker| self.running.remove(&worker));
        self.scene.outlook.over(&job.id);
        if end.is_finished() || end.is_failure() {
            self.done += 1;
        }
        let took = match running {
            Some(running) if end.is_finished() => format!(", {}", rough(running.since.elapsed())),
            _ => String::new(),
        };
        let (done, total, name) = (self.done, self.scene.total, self.scene.name(&job.id));
        let width = total.to_string().len();
        eprintln!(
            "[{done:>width$}/{total}] {name}: {}{took}",
            describe_end(end, self.scene.figure(&job.id))
        );
    }

    fn stopping(&mut self, why: &Stop, running: usize) {
        eprintln!("{}", describe_stop(why, running));
    }

    fn killing(&mut self, running: usize) {
        eprintln!("killing {running} running trials");
    }

    fn tick(&mut self) {
        if self.told.elapsed() >= INTERVAL {
            self.told = Instant::now();
            self.say_running();
        }
    }
}
