//! Weight files: where they are found, how they are read, and whether they fit.

mod file;
mod hub;
mod locate;
mod pickle;
mod report;
mod safetensors_file;
mod torch_file;

pub use file::WeightFile;
pub use hub::Hub;
pub use locate::{WeightsFolders, locate};
pub use report::LoadReport;

pub(crate) use report::Fit;
