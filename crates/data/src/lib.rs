//! Pictures to batches: sources, splits, decoding, transforms and the loader.
//!
//! A [`Source`] names its classes and hands out decoded pictures; a [`PictureCache`] keeps them as bytes within a
//! budget; a [`Transform`] turns a picture into the input of a network; a [`Loader`] does that on other threads and
//! yields [`Batch`]es in an order that depends on the seed alone.

mod archive;
mod cache;
mod cifar10;
mod decode;
mod error;
mod file;
mod fingerprint;
mod folder;
mod generated;
mod jpeg;
mod loader;
mod parts;
mod picture;
mod picture_list;
mod place;
mod sample;
mod shelf;
mod source;
mod source_spec;
mod spec;
mod step;
mod subset;
mod transform;
mod unreadable;
mod walk;

pub use cache::{MemoryBudget, PictureCache};
pub use cifar10::Cifar10;
pub use decode::{DecodeError, MAX_PIXELS, decode};
pub use error::{DataError, LineProblem, printable};
pub use folder::{ImageFolder, read_picture};
pub use generated::Generated;
pub use loader::{Batch, Batches, Loader, LoaderOptions};
pub use parts::{Amount, draw_parts};
pub use picture::Picture;
pub use picture_list::PictureList;
pub use sample::sample_jpeg;
pub use shelf::{Origin, PictureView, Shelf, Shelved};
pub use source::{Answer, DataFolders, Source, Split, Target, ensure_present, open};
pub use source_spec::{
    Cifar10Spec, CsvSpec, GeneratedSpec, GeneratedTask, ImageFolderSpec, OnBadImage, SourceSpec,
    SplitFolders,
};
pub use spec::{DataSpec, TransformSpec, Views, view};
pub use step::{Border, Filter, Jitter, Step, StepError};
pub use subset::Subset;
pub use transform::{
    Crop, Mode, Normalization, Rect, Scratch, Transform, TransformError, ViewLayout, Weights,
    random_resized_crop,
};
pub use walk::{files, picture_files};
