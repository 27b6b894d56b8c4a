//! What the sweep and its workers say to each other: one JSON object a line over the worker's stdin and stdout.

use graft_record::{EpochRow, TimingRow};
use graft_trainer::StepProgress;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// From the sweep to a worker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum ToWorker {
    /// Run this trial on so many threads.
    Run {
        /// Threads to compute with.
        threads: usize,
        /// Where to compute, as `--device` names it.
        device: String,
        /// A [`graft_trainer::Trial`].
        trial: Value,
    },
    /// Open this device, on which trials may follow.
    Prepare {
        /// As `--device` names it.
        device: String,
    },
    /// End the running trial with a checkpoint and wait for the next order.
    Yield,
    /// End the running trial with a checkpoint and exit. The end of the stream means the same, since then the sweep
    /// is gone.
    Stop,
}

/// From a worker to the sweep.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum FromWorker {
    /// The trial is accepted. A worker that dies before it says so has done nothing to the trial.
    Started,
    /// The device is open, as far as that can be told.
    Ready,
    /// A step is done. Not every step is told.
    Step {
        /// Where the trial is.
        progress: StepProgress,
    },
    /// An epoch is done.
    Epoch {
        /// Its figures.
        row: EpochRow,
        /// Its speed.
        timing: TimingRow,
    },
    /// How much memory the device has. Told by trials on a GPU, once they have taken theirs.
    Memory {
        /// Bytes that nobody has taken.
        free: u64,
        /// Bytes in all.
        total: u64,
    },
    /// The trial has ended; the worker waits for the next one.
    Ended {
        /// How.
        end: End,
    },
}

/// How a trial ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "end", rename_all = "kebab-case")]
pub enum End {
    /// All epochs are done.
    Finished {
        /// The epoch with the best validation accuracy.
        best_epoch: u32,
        /// That accuracy, from 0 to 1.
        #[serde(with = "graft_record::nullable")]
        best_val_accuracy: f64,
    },
    /// It was told to stop and can be resumed.
    Interrupted,
    /// The loss was not finite.
    Diverged {
        /// In which epoch, from 1.
        epoch: u32,
        /// In which step, from 1.
        step: u64,
    },
    /// It could not be run to its end.
    Failed {
        /// Why, in full sentences for a reader.
        error: String,
    },
    /// Its results could not be written because the disk is full. The trial is as good as interrupted.
    DiskFull {
        /// The message of the failed write.
        error: String,
    },
    /// Its results folder could not be used: another process works in it, or a file in it could not be read or
    /// written. The next sweep runs it again.
    Unrecorded {
        /// The message of the results folder.
        error: String,
        /// Whether another process has the trial.
        in_use: bool,
    },
    /// The device's memory did not suffice. The trial can go on from its last checkpoint where there is more.
    OutOfMemory {
        /// The message, with what would fit.
        error: String,
    },
    /// The worker died under it.
    Crashed {
        /// How the worker ended, and what it last wrote to stderr.
        error: String,
    },
    /// It was not run, because a trial that it starts from did not finish.
    Blocked {
        /// The id of that trial.
        source: String,
    },
}

impl End {
    /// Whether the trial has all its results.
    pub fn is_finished(&self) -> bool {
        matches!(self, Self::Finished { .. })
    }

    /// Whether the trial has no results in this sweep, for another reason than that it was told to stop.
    pub fn is_failure(&self) -> bool {
        matches!(
            self,
            Self::Failed { .. }
                | Self::OutOfMemory { .. }
                | Self::Unrecorded { .. }
                | Self::Crashed { .. }
                | Self::Diverged { .. }
                | Self::Blocked { .. }
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes out of a worker's pipe on the other side.
    fn passed_on(message: &FromWorker) -> FromWorker {
        serde_json::from_str(&serde_json::to_string(message).unwrap()).unwrap()
    }

    #[test]
    fn messages_survive_any_number() {
        for number in [f64::NAN, f64::INFINITY, -f64::INFINITY, 0.1] {
            let same = |found: f64| found == number || (!number.is_finite() && found.is_nan());
            let end = End::Finished {
                best_epoch: 3,
                best_val_accuracy: number,
            };
            let FromWorker::Ended {
                end:
                    End::Finished {
                        best_epoch,
                        best_val_accuracy,
                    },
            } = passed_on(&FromWorker::Ended { end })
            else {
                panic!("another message");
            };
            assert!(best_epoch == 3 && same(best_val_accuracy));
            let progress = StepProgress {
                epoch: 1,
                epochs: 2,
                batch: 3,
                batches: 4,
                validating: false,
                train_loss: number,
                images_per_second: number,
            };
            let FromWorker::Step { progress } = passed_on(&FromWorker::Step { progress }) else {
                panic!("another message");
            };
            assert!(same(progress.train_loss) && same(progress.images_per_second));
            let row = EpochRow {
                epoch: 1,
                step: 2,
                train_loss: number,
                train_accuracy: number,
                val_loss: number,
                val_accuracy: number,
                lr: number,
            };
            let timing = TimingRow {
                epoch: 1,
                seconds: number,
                images_per_second: number,
            };
            let FromWorker::Epoch { row, timing } = passed_on(&FromWorker::Epoch { row, timing })
            else {
                panic!("another message");
            };
            assert!(same(row.val_accuracy) && same(row.lr) && same(timing.seconds));
        }
    }
}
