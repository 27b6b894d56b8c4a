//! What the commands do. Each returns what goes to stdout; only progress and warnings are written to stderr here. `predict`,
//! whose pictures may be many, writes to stdout as it goes.

mod bench;
mod check_device;
mod folders;
mod list;
mod lr_find;
mod predict;
mod preview;
mod report;
mod split;
mod summary;
mod sweep;
mod threads;
mod weights;

pub use bench::bench;
pub use check_device::check_device;
pub use list::list;
pub use lr_find::lr_find;
pub use predict::predict;
pub use preview::preview;
pub use report::report;
pub use split::split;
pub use summary::summary;
pub use sweep::sweep;
pub use weights::weights;

use crate::failure::Failure;

/// What a command has to say at its end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// For stdout.
    pub text: String,
    /// What was not as it should be, although there is something to say.
    pub failure: Option<Failure>,
}

impl From<String> for Answer {
    fn from(text: String) -> Self {
        Self {
            text,
            failure: None,
        }
    }
}
