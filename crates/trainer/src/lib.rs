//! The training loop, optimizers, metrics and checkpoints.
//!
//! [`run_trial`] takes a [`Trial`] from its folder to its record. The loop itself is in `fit.rs`; what a trial holds
//! while it runs is in `session.rs`.

mod bench;
mod checkpoint;
pub mod device;
mod error;
mod evaluate;
mod features;
mod fit;
mod inputs;
mod metrics;
mod network;
mod optimizer;
mod pace;
mod predict;
mod resources;
mod run;
mod session;
mod spec;
mod step;
mod trial;

pub use bench::StepBench;
pub use checkpoint::{Best, CHECKPOINT_FORMAT, ModelCard, Position, Tensors, load_best, read_card};
pub use error::TrainError;
pub use features::FeatureCache;
pub use metrics::Tally;
pub use predict::{Predictor, Preprocessing};
pub use resources::{PICTURE_BYTES, Resources};
pub use run::run_trial;
pub use spec::{OptimizerSpec, Recipe, TrialSpec};
pub use trial::{Observer, Outcome, StepProgress, Trial};
