//! The operations against `torch`, against plain loops in double precision, and against their promises.

mod arrays;
mod errors;
mod golden;
mod gradients;
mod plain;
mod random_sizes;
mod tape;
mod threads;
