//! Means with intervals, exact tests, and corrections for asking many questions.

mod holm;
mod interval;
mod permutation;

pub use holm::holm;
pub use interval::{Estimate, estimate};
pub use permutation::sign_flip_p;
pub(crate) use permutation::smallest_p;
