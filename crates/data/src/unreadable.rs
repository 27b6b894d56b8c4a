//! Which pictures of a source can't be read.

use rayon::prelude::*;

use crate::{DataError, Source, Split, error::list};

/// Why each picture of a split can't be read, on the threads of the current rayon pool; `None` for those that can.
pub(crate) fn reasons(source: &dyn Source, split: Split) -> Vec<Option<String>> {
    (0..source.len(split))
        .into_par_iter()
        .map(|index| match source.load(split, index) {
            Ok(_) => None,
            Err(DataError::BadPicture { reason, .. }) => Some(reason.to_string()),
            Err(DataError::Io { source, .. }) => Some(source.to_string()),
            Err(other) => Some(other.to_string()),
        })
        .collect()
}

/// What to tell about pictures that were left out, each with its reason.
pub(crate) fn note(skipped: &[String]) -> Option<String> {
    match skipped {
        [] => None,
        [one] => Some(format!("1 unreadable picture left out: {one}")),
        _ => Some(format!(
            "{} unreadable pictures left out: {}",
            skipped.len(),
            list(skipped)
        )),
    }
}
