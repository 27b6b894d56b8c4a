//! `trial.toml`: what a trial is.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::TrialKey;

/// What decided a trial's result, and what it was made of. Written whenever the trial starts or goes on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of this file's format: [`Manifest::FORMAT`].
    pub format: u32,
    /// The classes in the order of their labels.
    pub classes: Vec<String>,
    /// What a reader of the results should know, such as files that are no pictures.
    #[serde(default)]
    pub notes: Vec<String>,
    /// Which trial.
    pub key: TrialKey,
    /// Number of pictures by split (`train`, `val`, and `test` if there is one).
    pub pictures: BTreeMap<String, u64>,
    /// Number of the network's parameters.
    pub parameters: ParameterCounts,
    /// Everything that decides the result: the trial's specification as a table.
    pub spec: toml::Table,
}

/// How many numbers a network consists of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParameterCounts {
    /// All of them, without the running statistics of batch norm.
    pub total: u64,
    /// Those that training changes.
    pub trainable: u64,
}

impl Manifest {
    /// The format that this version writes and reads.
    pub const FORMAT: u32 = 1;
}
