//! TensorBoard's event files: scalars, histograms, pictures and texts.
//!
//! An event file is a row of frames, each with checksums ([`read_frames`]), and a frame holds an [`Event`] in the form of
//! Protocol Buffers. Only the few messages that are needed are written here, by hand; a library with all of them would be
//! larger than the rest of the program's formats together.

mod checksum;
mod event;
mod frame;
mod histogram;
mod message;

pub use event::{Event, Value};
pub use frame::{read_frames, write_frame};
pub use histogram::Histogram;

/// What the name of an event file begins with. TensorBoard takes every file with `tfevents` in its name.
pub const FILE_NAME: &str = "events.out.tfevents.0.graft";
