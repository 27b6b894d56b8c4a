//! Pictures that a worker keeps on a GPU, so that small networks do not wait for the processor.

#[cfg(feature = "cuda")]
mod gpu;
#[cfg(not(feature = "cuda"))]
mod none;
#[cfg(all(test, feature = "cuda"))]
mod tests;

#[cfg(feature = "cuda")]
pub(crate) use gpu::Gallery;
#[cfg(not(feature = "cuda"))]
pub(crate) use none::Gallery;
