//! The operations against `torch`, against plain loops in double precision, and against their promises.

mod activations;
mod arrays;
mod errors;
mod golden;
mod golden_activations;
mod golden_windows;
mod gradients;
mod plain;
mod random_sizes;
mod scales;
mod tape;
mod threads;
