//! Runs trials on worker processes.
//!
//! One thread owns all decisions: it hears of messages, of workers that died and of signals through one channel, and
//! hands out the next trial. A worker is a process, so a crash or a kill costs one trial and nothing else.

mod cores;
mod crowd;
mod message;
mod pace;
mod process;
mod queue;
mod run;
mod slot;

use std::{
    sync::mpsc::Sender,
    time::{Duration, Instant},
};

use graft_record::{EpochRow, TimingRow};
use graft_trainer::StepProgress;
use serde_json::Value;

pub use message::{End, FromWorker, ToWorker};
pub use process::WorkerProgram;
pub use run::Schedule;

/// A trial as the scheduler sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct Job {
    /// Unique in the sweep.
    pub id: String,
    /// Ids of the trials that it starts from.
    pub needs: Vec<String>,
    /// Trials with the same word share decoded pictures in a worker's memory, and the features of a frozen backbone.
    /// Weights are opened by each trial.
    pub cohort: String,
    /// Trials with the same word go equally fast beside the same others.
    pub kind: String,
    /// Whether its steps are so small that one trial leaves a GPU idle most of the time.
    pub is_light: bool,
    /// What the worker is handed.
    pub trial: Value,
    /// Whether it only starts once the listener has released it.
    pub held: bool,
}

/// How trials are run. Nothing here changes a result.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Worker processes at most.
    pub workers: usize,
    /// The devices that they are spread over, as `--device` names them.
    pub devices: Vec<String>,
    /// Whether as many trials run at a time as there are workers; or, on each device, as many as prove worth it.
    pub all_at_once: bool,
    /// How many light trials each device begins with where their number is looked for.
    pub at_first: usize,
    /// Cores to share out among running trials.
    pub cores: usize,
    /// When cores are idle, a trial that would still run longer than this goes on from a checkpoint on more threads.
    pub worth_moving: Duration,
    /// Whether the first failure stops the rest.
    pub fail_fast: bool,
    /// When to stop, whatever is left to do.
    pub deadline: Option<Instant>,
    /// What is started as a worker.
    pub program: WorkerProgram,
}

/// Hears what happens in a sweep, in the order in which it happens.
pub trait Listener {
    /// A trial begins on a worker with so many threads.
    fn started(&mut self, job: &Job, worker: usize, threads: usize);
    /// A trial did a step.
    fn step(&mut self, job: &Job, worker: usize, progress: &StepProgress);
    /// A trial did an epoch.
    fn epoch(&mut self, job: &Job, worker: usize, row: &EpochRow, timing: &TimingRow);
    /// A trial left its worker at a checkpoint, to go on at once on more threads, or with fewer others on its device.
    fn moved(&mut self, job: &Job, worker: usize);
    /// The end of a trial whose worker died, if all its results were written before that.
    fn finished(&self, _job: &Job) -> Option<End> {
        None
    }
    /// The ids of trials that were held and are to be run, because of what has ended.
    fn released(&mut self) -> Vec<String> {
        Vec::new()
    }
    /// So many trials, which were held, are to be run as well.
    fn grew(&mut self, _ids: &[String]) {}
    /// A trial ended; `worker` is none if it never ran.
    fn ended(&mut self, job: &Job, worker: Option<usize>, end: &End);
    /// No more trials are started, and so many running ones are told to stop.
    fn stopping(&mut self, why: &Stop, running: usize);
    /// A second signal came: so many running trials are killed.
    fn killing(&mut self, running: usize);
    /// Time has passed.
    fn tick(&mut self);
}

/// Why a sweep ends before all its trials were run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Ctrl-C or a termination signal.
    Signal,
    /// The time that the sweep was given is up.
    TimeUp,
    /// A trial failed and the first failure was to stop the rest.
    FailFast,
    /// The disk with the results is full.
    DiskFull(String),
    /// Workers die before they take a trial.
    NoWorkers(String),
}

/// How a sweep went.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Trials that have all their results.
    pub finished: usize,
    /// Trials that failed, crashed, diverged or were given up.
    pub failed: usize,
    /// Trials that were stopped and can be resumed.
    pub interrupted: usize,
    /// Trials that were never started.
    pub not_started: usize,
    /// Why it ended early, if it did.
    pub stop: Option<Stop>,
}

/// What the deciding thread hears.
#[derive(Debug)]
pub(crate) enum Event {
    /// A worker said something.
    Message {
        slot: usize,
        generation: u64,
        message: FromWorker,
    },
    /// A worker wrote something that is no message.
    Garbled {
        slot: usize,
        generation: u64,
        line: String,
    },
    /// A worker's stdout was closed: it is dead or about to be.
    Closed { slot: usize, generation: u64 },
    /// Ctrl-C or a termination signal reached the sweep.
    Signal,
}

/// Delivers signals to a running schedule.
#[derive(Clone, Debug)]
pub struct SignalSender(Sender<Event>);

impl SignalSender {
    /// Tells the schedule of a signal. The first one stops it cleanly, the second at once.
    pub fn signal(&self) {
        // A schedule that is over needs no signal.
        drop(self.0.send(Event::Signal));
    }
}
