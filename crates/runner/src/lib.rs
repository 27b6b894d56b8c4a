//! Experiment files, the sweep and the command line, as a library behind the `graft` binary.

pub mod cli;
pub mod commands;
pub mod experiment;
pub mod failure;
pub mod interrupt;
pub mod plan;
pub mod progress;
pub mod schedule;
mod threads;
pub mod worker;
