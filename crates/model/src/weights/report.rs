//! What of a weight file went into a network, and what did not.

use std::{
    collections::{BTreeMap, HashSet},
    fmt,
};

use super::{WeightFile, file::Stored};
use crate::{
    Entry, Part, ShapeMismatch,
    error::{first_few, list_problems},
};

/// How much of a file is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fit {
    /// All but the classifier.
    Backbone,
    /// Everything.
    Whole,
}

/// What of a weight file went into a network, and what did not. Only `missing`, `unexpected` and `wrong_shape` are
/// unexplained, and they are errors.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LoadReport {
    /// The network's tensors that the file had.
    pub loaded: Vec<String>,
    /// The file's classifier, in whose place there is a new head.
    pub skipped: Vec<String>,
    /// What the file has of layers behind the one at which the network was cut, and of second classifiers that it lacks.
    pub left_out: Vec<String>,
    /// Tensors of second classifiers, which the file lacks: they are drawn afresh.
    pub drawn: Vec<String>,
    /// Counters of batches that batch norm kept and nothing needs.
    pub ignored: Vec<String>,
    /// The network's tensors that the file lacks.
    pub missing: Vec<String>,
    /// The file's tensors that the network lacks.
    pub unexpected: Vec<String>,
    /// Tensors whose shape differs.
    pub wrong_shape: Vec<ShapeMismatch>,
}

impl LoadReport {
    /// Whether every tensor is accounted for.
    pub fn fits(&self) -> bool {
        self.missing.is_empty() && self.unexpected.is_empty() && self.wrong_shape.is_empty()
    }
}

impl fmt::Display for LoadReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} tensors loaded", self.loaded.len())?;
        if !self.skipped.is_empty() {
            write!(f, "; the classifier skipped: {}", first_few(&self.skipped))?;
        }
        if !self.left_out.is_empty() {
            write!(f, "; {} tensors left out", self.left_out.len())?;
        }
        if !self.drawn.is_empty() {
            write!(f, "; drawn afresh: {}", first_few(&self.drawn))?;
        }
        if !self.ignored.is_empty() {
            write!(f, "; {} batch counters ignored", self.ignored.len())?;
        }
        if !self.fits() {
            write!(
                f,
                "; {}",
                list_problems(&self.missing, &self.unexpected, &self.wrong_shape)
            )?;
        }
        Ok(())
    }
}

impl WeightFile {
    /// Compares the file with a network's tensors (name, part, shape), of which it `left_out` some: which of the file's tensors
    /// goes where, and the report.
    pub(crate) fn compare(
        &self,
        network: &[(&str, Part, &[usize])],
        left_out: &HashSet<String>,
        entry: &Entry,
        fit: Fit,
    ) -> (Vec<(String, Stored)>, LoadReport) {
        let mut report = LoadReport::default();
        let mut plan = Vec::new();
        let mut stored: BTreeMap<String, (&str, &Stored)> = BTreeMap::new();
        for (name, tensor) in self.stored() {
            if let Some((twin, _)) = stored.insert((entry.rename)(name), (name, tensor)) {
                report.unexpected.push(twin.to_owned());
            }
        }
        let is_auxiliary = |name: &str| {
            let mut prefixes = entry.auxiliary.iter();
            prefixes.any(|prefix| name.starts_with(prefix))
        };
        for &(name, part, shape) in network {
            let wanted = fit == Fit::Whole || part == Part::Backbone;
            match stored.remove(name) {
                Some(_) if !wanted => report.skipped.push(name.to_owned()),
                None if !wanted => {}
                None if is_auxiliary(name) => report.drawn.push(name.to_owned()),
                None => report.missing.push(name.to_owned()),
                Some((_, tensor)) if tensor.shape == shape => {
                    report.loaded.push(name.to_owned());
                    plan.push((name.to_owned(), tensor.clone()));
                }
                Some((_, tensor)) => report.wrong_shape.push(ShapeMismatch {
                    name: name.to_owned(),
                    expected: shape.to_vec(),
                    found: tensor.shape.clone(),
                }),
            }
        }
        for (renamed, (name, _)) in stored {
            let list = if renamed.ends_with(".num_batches_tracked") {
                &mut report.ignored
            } else if left_out.contains(&renamed) || is_auxiliary(&renamed) {
                &mut report.left_out
            } else if fit == Fit::Backbone && renamed.starts_with(entry.classifier) {
                &mut report.skipped
            } else {
                &mut report.unexpected
            };
            list.push(name.to_owned());
        }
        (plan, report)
    }
}
