//! The results folder: file formats, atomic writes, locks and reading back.
//!
//! ```text
//! results/beeant/                          ResultsFolder
//!   experiment.toml  plan.json             the experiment as resolved, and the trials it consists of
//!   samples/  samples.csv  val-0007.png    pictures that the figures show
//!   trials/<variant>-<cell>-r03-<id>/      TrialFolder
//!     trial.toml  status.json  epochs.csv  timing.csv  predictions.csv  log.txt
//! ```
//!
//! Every file but `log.txt` and the locks is written under a temporary name, flushed and renamed ([`atomic_write`]), so that
//! a kill at any instant leaves the old file or the new one. JSON and TOML files carry a `format` number, CSV
//! files are known by their header; a reader says what it can't read, with file and line.

mod atomic;
mod content;
mod document;
mod error;
mod float;
mod key;
mod lock;
mod manifest;
mod plan;
mod results;
mod rows;
mod samples;
mod status;
mod table;
mod trial;

pub use atomic::{atomic_write, remove_stale};
pub use content::Content;
pub use error::RecordError;
pub use float::{format_float, nullable, parse_float};
pub use key::{TrialKey, safe_name};
pub use lock::{SweepLock, TrialLock};
pub use manifest::{Manifest, ParameterCounts};
pub use plan::Plan;
pub use results::ResultsFolder;
pub use rows::{
    EpochRow, EstimateRow, EvaluationRow, MetricRow, PredictionRow, Predictions, TimingRow,
    best_epoch,
};
pub use samples::{Sample, SampleKind, Thumbnail};
pub use status::{State, Status};
pub use table::{Fields, Row, read_table, write_table};
pub use trial::TrialFolder;
