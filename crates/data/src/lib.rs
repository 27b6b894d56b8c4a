//! Pictures to batches: sources, splits, decoding, transforms and the loader.
//!
//! A [`Source`] names its classes and hands out decoded pictures; a [`PictureCache`] keeps them as bytes within a
//! budget; a [`Transform`] turns a picture into the input of a network; a [`Loader`] does that on other threads and
//! yields [`Batch`]es in an order that depends on the seed alone.

mod archive;
mod cache;
mod decode;
mod error;
mod folder;
mod generated;
mod jpeg;
mod loader;
mod picture;
mod sample;
mod source;
mod spec;
mod transform;
mod walk;

pub use cache::{MemoryBudget, PictureCache};
pub use decode::{DecodeError, MAX_PIXELS, decode};
pub use error::DataError;
pub use folder::{ImageFolder, read_picture};
pub use generated::Generated;
pub use loader::{Batch, Batches, Loader, LoaderOptions};
pub use picture::Picture;
pub use sample::sample_jpeg;
pub use source::{DataFolders, Source, Split, ensure_present, open};
pub use spec::{
    DataSpec, GeneratedSpec, GeneratedTask, ImageFolderSpec, OnBadImage, SourceSpec, SplitFolders,
    Step, StepError, TransformSpec, Views, view,
};
pub use transform::{
    Crop, Mode, Normalization, Scratch, Transform, TransformError, random_resized_crop,
};
pub use walk::picture_files;
