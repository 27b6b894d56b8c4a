//! Weight files: where they are found, how they are read, and whether they fit.

mod check;
mod file;
mod hub;
mod hub_failure;
mod locate;
mod pickle;
mod report;
mod safetensors_file;
mod torch_legacy;
mod torch_storage;
mod torch_zip;
mod url;

pub use file::WeightFile;
pub use hub::Hub;
pub use locate::{WeightsFolders, locate};
pub use report::LoadReport;

pub(crate) use report::Fit;
