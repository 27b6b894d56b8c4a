//! Passes that are recorded on a GPU, so that a step of a small batch is one launch instead of hundreds.

#[cfg(feature = "cuda")]
mod gpu;
#[cfg(not(feature = "cuda"))]
mod none;
#[cfg(feature = "cuda")]
mod recorded;
#[cfg(all(test, feature = "cuda"))]
mod tests;

#[cfg(feature = "cuda")]
pub(crate) use gpu::Recorder;
#[cfg(not(feature = "cuda"))]
pub(crate) use none::Recorder;
