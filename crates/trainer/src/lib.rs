//! The training loop, optimizers, metrics and checkpoints.
//!
//! [`run_trial`] takes a [`Trial`] from its folder to its record. The loop itself is in `fit.rs`; what a trial holds
//! while it runs is in `session.rs`.

mod average;
mod bench;
mod checkpoint;
pub mod device;
mod error;
mod evaluate;
mod events;
mod features;
mod feed;
mod fit;
mod gallery;
mod inputs;
mod lr_find;
mod measures;
mod metrics;
mod mix;
mod network;
mod optimizer;
mod out_of_memory;
mod pace;
mod predict;
mod recorder;
mod resources;
mod run;
mod schedule;
mod session;
mod spec;
mod step;
mod stopping;
mod targets;
mod trial;

pub use average::EmaSpec;
pub use bench::StepBench;
pub use checkpoint::{Best, CHECKPOINT_FORMAT, ModelCard, Position, Tensors, load_best, read_card};
pub use error::TrainError;
pub use events::{events_file, write_events};
pub use features::FeatureCache;
pub use lr_find::{RangeTest, RateCurve, RatePoint, find_rate};
pub use metrics::{NumberSums, Score, Tally};
pub use predict::{Predictor, Preprocessing};
pub use resources::{PICTURE_BYTES, Resources};
pub use run::run_trial;
pub use schedule::{
    Course, Like, Monitor, Per, Plateau, PlateauState, ScheduleSpec, Time, WarmUp, WarmUpLength,
};
pub use spec::{ClipSpec, DecayOn, OptimizerSpec, Recipe, TrainingMode, TrialSpec};
pub use stopping::{EarlyStopping, StoppingState};
pub use trial::{Observer, Outcome, StepProgress, Trial};
