//! Backbones and heads, weight files and where they come from, transfer modes.
//!
//! A [`Network`] is a backbone and a head with torchvision's parameter names. [`registry`] lists the kinds; each is
//! one file in `backbones/`, made of the [`layers`] on a [`Builder`]. [`locate`] finds the file that a
//! [`WeightsSpec`] names, [`WeightFile`] reads it, and [`Network::load_backbone`] accounts for every tensor in it.

mod assembly;
mod backbones;
mod builder;
mod error;
pub mod init;
pub mod layers;
mod network;
mod options;
mod parameter;
mod pass;
mod precision;
mod registry;
mod spec;
mod summary;
mod weights;

pub use assembly::{Assembly, Output};
pub use builder::Builder;
pub use error::{ModelError, OptionError, ShapeMismatch};
pub use init::Init;
pub use network::Network;
pub use options::OptionInfo;
pub use parameter::{Buffer, Kind, Parameter, Part};
pub use pass::{Auxiliary, Pass};
pub use precision::Precision;
pub use registry::{
    BuildError, Dimensions, Entry, IMAGENET_MEAN, IMAGENET_STD, WeightSource, find, registry,
};
pub use spec::{
    BatchNormMode, HeadSpec, ModelSpec, TransferMode, TransferSpec, WeightsSpec, WeightsSpecError,
};
pub use summary::{LayerRow, Summary, Trace};
pub use weights::{Hub, LoadReport, WeightFile, WeightsFolders, locate};
