//! The command line as typed.
#![expect(
    clippy::doc_markdown,
    reason = "the doc comments are the help text, and people read them as they are"
)]

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// Runs transfer-learning experiments on images.
///
/// An experiment is a TOML file: which pictures, which networks, how each is trained, how often each is repeated. A
/// sweep runs every trial of it and leaves CSV files, averaged error curves and a verdict with its uncertainty.
#[derive(Debug, Parser)]
#[command(name = "graft", version, after_help = EXAMPLES, max_term_width = 100)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

const EXAMPLES: &str = "\
Examples:
  graft sweep experiments/quickstart.toml      run an experiment that needs no download
  graft sweep experiments/beeant.toml          the same command again goes on where it stopped
  graft report beeant                          draw what is there, also while the sweep runs
  graft summary --model resnet18               the layers of a network

Exit codes: 0 all trials finished, 1 some failed, 2 bad experiment or arguments,
130 interrupted (the same command again goes on).";

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Runs the trials of an experiment that have not finished yet, then reports
    Sweep(SweepArgs),
    /// Makes the tables and figures of a sweep, finished or not
    Report(ReportArgs),
    /// Prints the layers of a network with shapes, parameters and memory
    Summary(SummaryArgs),
    /// Runs trials for a sweep, which talks to it over stdin and stdout
    #[command(hide = true)]
    Worker,
}

const SWEEP_EXAMPLES: &str = "\
Examples:
  graft sweep experiments/beeant.toml --dry-run
  graft sweep experiments/beeant.toml --data-dir ~/pictures --jobs 4
  graft sweep experiments/beeant.toml --set repeats=2 --set train.epochs=4
  graft sweep experiments/beeant.toml --set variant.frozen.model.weights=file:w.safetensors

Ctrl-C stops cleanly: running trials write a checkpoint, and the same command again goes on
from there. A second Ctrl-C stops at once; that costs the epochs since the last checkpoint.";

/// Arguments of `graft sweep`.
#[derive(Debug, Args)]
#[command(after_help = SWEEP_EXAMPLES)]
#[expect(clippy::struct_excessive_bools, reason = "they are independent flags")]
pub struct SweepArgs {
    /// The experiment file
    pub experiment: PathBuf,
    /// Folder to look for data in, before $GRAFT_DATA_DIR and ./data; the first one also takes downloads
    #[arg(long, value_name = "DIR")]
    pub data_dir: Vec<PathBuf>,
    /// Folder to look for weight files in, before $GRAFT_WEIGHTS_DIR, the caches and the network
    #[arg(long, value_name = "DIR")]
    pub weights_dir: Vec<PathBuf>,
    /// Folder for results, one folder per experiment
    #[arg(long, value_name = "DIR", default_value = "results")]
    pub results_dir: PathBuf,
    /// Worker processes that run at a time [default: one for each core]
    #[arg(long, short, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub jobs: Option<u32>,
    /// Where to compute: cpu, cuda, cuda:N or auto
    #[arg(long, default_value = "auto")]
    pub device: String,
    /// Override a key of the experiment; variants by name. Can be given several times
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Print what would be run, and write nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Run trials again that failed or diverged in an earlier sweep
    #[arg(long)]
    pub retry_failed: bool,
    /// Stop at the first trial that fails
    #[arg(long)]
    pub fail_fast: bool,
    /// Never use the network (as HF_HUB_OFFLINE=1)
    #[arg(long)]
    pub offline: bool,
}

const REPORT_EXAMPLES: &str = "\
Examples:
  graft report beeant
  graft report experiments/beeant.toml
  graft report results/beeant";

/// Arguments of `graft report`.
#[derive(Debug, Args)]
#[command(after_help = REPORT_EXAMPLES)]
pub struct ReportArgs {
    /// Name of an experiment, its file, or its results folder
    pub experiment: PathBuf,
    /// Folder with the results folders of experiments
    #[arg(long, value_name = "DIR", default_value = "results")]
    pub results_dir: PathBuf,
}

const SUMMARY_EXAMPLES: &str = "\
Examples:
  graft summary --model resnet18 --classes 2
  graft summary --model convnet --option 'depth=[4, 8]' --option hidden=512 --size 224
  graft summary --model squeezenet1_1 --weights file:squeezenet1_1.safetensors";

/// Arguments of `graft summary`.
#[derive(Debug, Args)]
#[command(after_help = SUMMARY_EXAMPLES)]
pub struct SummaryArgs {
    /// Kind of network, as `model.kind` in an experiment
    #[arg(long, short, value_name = "KIND")]
    pub model: String,
    /// An option of the network, as beside `model.kind` in an experiment. Can be given several times
    #[arg(long = "option", visible_alias = "set", value_name = "KEY=VALUE")]
    pub options: Vec<String>,
    /// Classes to tell apart
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub classes: u32,
    /// Side of the pictures in pixels [default: what the network was made for]
    #[arg(long, value_name = "PIXELS", value_parser = clap::value_parser!(u32).range(1..=8192))]
    pub size: Option<u32>,
    /// Pictures in a batch
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub batch_size: u32,
    /// Weights to load into the backbone, as `model.weights` in an experiment
    #[arg(long, value_name = "WEIGHTS")]
    pub weights: Option<String>,
    /// Count the backbone's parameters as fixed, as `transfer = "frozen"` does
    #[arg(long)]
    pub frozen: bool,
    /// Folder to look for weight files in, before $GRAFT_WEIGHTS_DIR, the caches and the network
    #[arg(long, value_name = "DIR")]
    pub weights_dir: Vec<PathBuf>,
    /// Never use the network (as HF_HUB_OFFLINE=1)
    #[arg(long)]
    pub offline: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_declaration_is_consistent() {
        <Cli as clap::CommandFactory>::command().debug_assert();
    }
}
