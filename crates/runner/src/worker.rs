//! The worker process: `graft worker` reads trials from stdin, runs one after another, and tells of them on stdout.

use std::{
    collections::BTreeMap,
    io::{self, BufRead, Write},
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, Sender, channel},
    },
    time::{Duration, Instant},
};

use graft_record::{EpochRow, RecordError, ResultsFolder, TimingRow, TrialFolder};
use graft_trainer::{
    Observer, Outcome, Resources, StepProgress, TrainError, Trial,
    device::{self, Device},
    run_trial,
};
use rayon::ThreadPool;
use serde_json::Value;

use crate::{
    interrupt,
    schedule::{End, FromWorker, ToWorker},
    threads,
};

/// How often at most a worker tells of a step.
const STEP_INTERVAL: Duration = Duration::from_millis(100);
/// How long a worker whose sweep is gone may take to stop at a step before it ends without a checkpoint.
const ORPHAN_GRACE: Duration = Duration::from_secs(20);
/// The exit code of a worker that could not talk to its sweep.
const LOST_SWEEP: u8 = 3;

/// What the worker was told.
#[derive(Clone, Debug, Default)]
struct Wishes {
    /// To end the running trial and itself.
    stop: Arc<AtomicBool>,
    /// To end the running trial.
    give_back: Arc<AtomicBool>,
}

impl Wishes {
    fn is_stop(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// What a worker is to do next.
enum Order {
    /// A trial that was handed over.
    Run {
        threads: usize,
        device: String,
        trial: Value,
    },
    /// To open a device.
    Prepare { device: String },
}

/// Runs trials until stdin ends or says stop.
pub fn run() -> ExitCode {
    let wishes = Wishes::default();
    let at_signal = wishes.clone();
    interrupt::on_termination(move || at_signal.stop());
    let (sender, orders) = channel();
    let heard = wishes.clone();
    // Never joined: it waits for a line until the process ends.
    std::thread::spawn(move || listen(sender, &heard));
    match work(&orders, &wishes) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("can't tell the sweep anything: {error}");
            ExitCode::from(LOST_SWEEP)
        }
    }
}

/// Reads orders until the sweep is gone.
fn listen(orders: Sender<Order>, wishes: &Wishes) {
    for line in io::stdin().lock().lines() {
        let Ok(line) = line else { break };
        match serde_json::from_str(&line) {
            Ok(ToWorker::Run {
                threads,
                device,
                trial,
            }) => {
                let order = Order::Run {
                    threads,
                    device,
                    trial,
                };
                if orders.send(order).is_err() {
                    return;
                }
            }
            Ok(ToWorker::Prepare { device }) => {
                if orders.send(Order::Prepare { device }).is_err() {
                    return;
                }
            }
            Ok(ToWorker::Yield) => wishes.give_back.store(true, Ordering::Relaxed),
            Ok(ToWorker::Stop) => wishes.stop(),
            Err(error) => {
                eprintln!("can't read an order of the sweep: {error}");
                std::process::exit(i32::from(LOST_SWEEP));
            }
        }
    }
    // The sweep has ended or was killed. The running trial, if any, stops at its next step; one that does not get
    // there is ended, since every file on the disk is whole at any time.
    wishes.stop();
    drop(orders);
    std::thread::sleep(ORPHAN_GRACE);
    std::process::exit(i32::from(LOST_SWEEP));
}

fn work(orders: &Receiver<Order>, wishes: &Wishes) -> io::Result<()> {
    let mut resources = Resources::default();
    let mut pools = BTreeMap::new();
    while !wishes.is_stop() {
        // Looked at now and then so that a signal ends a worker that waits, too.
        let order = loop {
            match orders.recv_timeout(Duration::from_millis(200)) {
                Ok(order) => break order,
                Err(std::sync::mpsc::RecvTimeoutError::Timeout) if !wishes.is_stop() => {}
                Err(_) => return Ok(()),
            }
        };
        // An order that is not accepted goes to another worker.
        if wishes.is_stop() {
            break;
        }
        match order {
            Order::Prepare { device } => {
                // What can't be opened is the error of the trial that follows.
                drop(device::open(&device));
                tell(&FromWorker::Ready)?;
            }
            Order::Run {
                threads,
                device,
                trial,
            } => {
                // A wish that was meant for the trial before.
                wishes.give_back.store(false, Ordering::Relaxed);
                tell(&FromWorker::Started)?;
                let end = match read_trial(trial, threads, device) {
                    Ok(trial) => run_on(&trial, &mut resources, &mut pools, wishes),
                    Err(end) => end,
                };
                tell(&FromWorker::Ended { end })?;
            }
        }
    }
    Ok(())
}

/// The trial of an order, to be computed on `device` with so many threads.
fn read_trial(trial: Value, threads: usize, device: String) -> Result<Trial, End> {
    let mut trial: Trial = serde_json::from_value(trial).map_err(|error| End::Failed {
        error: format!("the worker can't read the trial: {error}"),
    })?;
    // Preparing batches takes less time than training on them, but for frozen backbones.
    trial.loader_threads = threads;
    trial.device = device;
    Ok(trial)
}

/// Runs a trial on as many threads as prepare its batches. On a GPU one thread tells it what to do, the same for all trials: what
/// has been opened, loaded and chosen there is a thread's own.
fn run_on(
    trial: &Trial,
    resources: &mut Resources,
    pools: &mut BTreeMap<usize, ThreadPool>,
    wishes: &Wishes,
) -> End {
    let on_cpu = trial.device == "cpu";
    let threads = if on_cpu { trial.loader_threads } else { 1 };
    let pool = match pools.entry(threads) {
        std::collections::btree_map::Entry::Occupied(entry) => entry.into_mut(),
        std::collections::btree_map::Entry::Vacant(entry) => match threads::build(threads) {
            Ok(pool) => entry.insert(pool),
            Err(error) => {
                return End::Failed {
                    error: format!("can't start {threads} threads: {error}"),
                };
            }
        },
    };
    let mut observer = PipeObserver::new(trial, wishes.clone());
    match pool.install(|| run_trial(trial, resources, &mut observer)) {
        Ok(outcome) => outcome.into(),
        Err(error) => {
            observer.log(&error.to_string());
            how_it_failed(error)
        }
    }
}

fn how_it_failed(error: TrainError) -> End {
    let message = error.to_string();
    if error.is_out_of_memory() || error.may_be_out_of_memory() {
        End::OutOfMemory { error: message }
    } else if is_disk_full(&error) {
        End::DiskFull { error: message }
    } else if let TrainError::Record(error) = error {
        End::Unrecorded {
            error: message,
            in_use: matches!(error, RecordError::Locked { .. }),
        }
    } else {
        End::Failed { error: message }
    }
}

impl From<Outcome> for End {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Finished {
                best_epoch,
                best_val_accuracy,
            } => Self::Finished {
                best_epoch,
                best_val_accuracy,
            },
            Outcome::Interrupted { .. } => Self::Interrupted,
            Outcome::Diverged { epoch, step } => Self::Diverged { epoch, step },
        }
    }
}

/// Whether the results could not be written because there is no room for them.
fn is_disk_full(error: &TrainError) -> bool {
    use io::ErrorKind::{QuotaExceeded, ReadOnlyFilesystem, StorageFull};
    let TrainError::Record(RecordError::Io { error, .. }) = error else {
        return false;
    };
    matches!(
        error.kind(),
        StorageFull | QuotaExceeded | ReadOnlyFilesystem
    )
}

fn tell(message: &FromWorker) -> io::Result<()> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    let mut stdout = io::stdout().lock();
    stdout.write_all(&line)?;
    stdout.flush()
}

/// Tells the sweep of a trial's progress.
struct PipeObserver {
    folder: TrialFolder,
    /// Where the trial computes, if that is no CPU.
    device: Option<Device>,
    wishes: Wishes,
    told: Option<Instant>,
}

impl PipeObserver {
    fn new(trial: &Trial, wishes: Wishes) -> Self {
        let folder = match ResultsFolder::open(&trial.results) {
            Ok(results) => results.trial(&trial.key),
            // `run_trial` finds the same and says so.
            Err(_) => TrialFolder::new(&trial.results),
        };
        // `run_trial` says what is wrong with it.
        let device = device::open(&trial.device).ok();
        Self {
            folder,
            device: device.filter(|device| !device.is_cpu()),
            wishes,
            told: None,
        }
    }

    fn tell(&self, message: &FromWorker) {
        if tell(message).is_err() {
            // Nobody listens any more.
            self.wishes.stop();
        }
    }
}

impl Observer for PipeObserver {
    fn step(&mut self, progress: &StepProgress) {
        let last = progress.batch == progress.batches;
        if !last && self.told.is_some_and(|told| told.elapsed() < STEP_INTERVAL) {
            return;
        }
        self.told = Some(Instant::now());
        self.tell(&FromWorker::Step {
            progress: *progress,
        });
    }

    fn epoch(&mut self, row: &EpochRow, timing: &TimingRow) {
        self.tell(&FromWorker::Epoch {
            row: *row,
            timing: *timing,
        });
        // After an epoch a trial has taken all that it will.
        if let Some((free, total)) = self.device.as_ref().and_then(device::memory) {
            self.tell(&FromWorker::Memory { free, total });
        }
    }

    fn log(&mut self, line: &str) {
        // The log is for people; a trial does not fail for want of it.
        drop(self.folder.append_log(line));
    }

    fn should_stop(&self) -> bool {
        self.wishes.is_stop() || self.wishes.give_back.load(Ordering::Relaxed)
    }
}
