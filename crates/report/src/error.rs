//! What can keep a report from being made.

use std::path::PathBuf;

use graft_record::RecordError;

/// A report that can't be made. The message is complete.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The results folder can't be read or written.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The folder has no plan, so that nobody knows which trials belong to it.
    #[error(
        "{} has no plan.json\nhint: `graft sweep EXPERIMENT` makes it; a sweep that was stopped can be started \
         again with the same command",
        root.display()
    )]
    NoPlan {
        /// The results folder.
        root: PathBuf,
    },
    /// A figure can't be drawn.
    #[error("failed to draw {figure}: {problem}")]
    Draw {
        /// The figure's file name.
        figure: String,
        /// What the drawing library said.
        problem: String,
    },
}
