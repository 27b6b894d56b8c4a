//! The command line as typed.
#![expect(
    clippy::doc_markdown,
    reason = "the doc comments are the help text, and people read them as they are"
)]

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use graft_data::Amount;

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
  graft preview experiments/beeant.toml        look at the pictures before anything is trained
  graft lr-find experiments/beeant.toml        which learning rates suit its variants
  graft list                                   the networks there are
  graft summary --model resnet18               the layers of a network
  graft weights experiments/beeant.toml        fetch the weights that an experiment needs
  graft split photos data/photos --train 0.8 --val 0.2
                                               make an image folder of pictures
  graft bench --model resnet18                 how fast it trains on this machine
  graft predict --model resnet18 photo.jpg     what is on a picture

Exit codes: 0 all is well, 1 some trials or pictures failed, 2 bad experiment or arguments,
130 interrupted, or out of --max-hours (the same command again goes on).";

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Runs the trials of an experiment that have not finished yet, then reports
    Sweep(SweepArgs),
    /// Reads all pictures of an experiment and shows some as a network sees them
    Preview(PreviewArgs),
    /// Makes the tables and figures of a sweep, finished or not
    Report(ReportArgs),
    /// Finds out which learning rate suits a variant, by steps at growing rates
    LrFind(LrFindArgs),
    /// Prints the layers of a network with shapes, parameters and memory
    Summary(SummaryArgs),
    /// Lists the networks there are, with the size of picture each was made for
    List(ListArgs),
    /// Lists the weight files that experiments need, and fetches those that are missing
    Weights(WeightsArgs),
    /// Divides a folder of pictures into training, validation and test folders
    Split(SplitArgs),
    /// Measures what a network costs on this machine
    Bench(BenchArgs),
    /// Says what is on pictures, by a trial's network or by published weights
    Predict(PredictArgs),
    /// Compares every operation on a GPU with the same on the CPU
    CheckDevice(CheckDeviceArgs),
    /// Runs trials for a sweep, which talks to it over stdin and stdout
    #[command(hide = true)]
    Worker,
}

/// An experiment, and where its files are.
#[derive(Debug, Args)]
pub struct ExperimentArgs {
    /// The experiment file
    pub experiment: PathBuf,
    /// Folder to look for data in, before $GRAFT_DATA_DIR and ./data; the first one also takes downloads
    #[arg(long, value_name = "DIR")]
    pub data_dir: Vec<PathBuf>,
    /// Folder for results, one folder per experiment
    #[arg(long, value_name = "DIR", default_value = "results")]
    pub results_dir: PathBuf,
    /// Override a key of the experiment; variants by name. Can be given several times
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Never use the network (as HF_HUB_OFFLINE=1)
    #[arg(long)]
    pub offline: bool,
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
pub struct SweepArgs {
    /// The experiment, and where its files are.
    #[command(flatten)]
    pub places: ExperimentArgs,
    /// Folder to look for weight files in, before $GRAFT_WEIGHTS_DIR, the caches and the network
    #[arg(long, value_name = "DIR")]
    pub weights_dir: Vec<PathBuf>,
    /// Worker processes that run at a time [default: one for each core; on GPUs as many as pay]
    #[arg(long, short, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub jobs: Option<u32>,
    /// Where to compute: cpu, cuda, cuda:N or auto
    #[arg(long, default_value = "auto")]
    pub device: String,
    /// Disk space for features of frozen backbones, which trials and sweeps share, in GiB. They are kept in
    /// .cache/features in the results folder; 0 keeps none. Changes no result
    #[arg(long, value_name = "GIB", default_value_t = 4.0, value_parser = gib)]
    pub feature_cache: f64,
    /// Stop after so many hours, such as 0.5: running trials write a checkpoint, and the same command again goes on
    #[arg(long, value_name = "HOURS", value_parser = hours)]
    pub max_hours: Option<f64>,
    /// Print what would be run, and write nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Run trials again that failed or diverged in an earlier sweep
    #[arg(long)]
    pub retry_failed: bool,
    /// Stop at the first trial that fails
    #[arg(long)]
    pub fail_fast: bool,
}

/// Reads an amount of GiB.
fn gib(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(gib @ 0.0..=1e6) => Ok(gib),
        _ => Err("expected a number of GiB from 0 to 1000000".to_owned()),
    }
}

const PREVIEW_EXAMPLES: &str = "\
Examples:
  graft preview experiments/beeant.toml --data-dir ~/pictures
  graft preview experiments/beeant.toml --variant pretrained --out /tmp/look

Prints how many pictures each class has and how large they are, those that can't be read, and those
that are there twice: in two splits, they make validation look better than it is. Draws
preview-train.png and preview-val.png: pictures of each class after the transforms.

Exit codes: 0 also with pictures that are there twice, 1 some can't be read and on_bad_image is
\"error\", 2 bad experiment or arguments.";

/// Arguments of `graft preview`.
#[derive(Debug, Args)]
#[command(after_help = PREVIEW_EXAMPLES)]
pub struct PreviewArgs {
    /// The experiment, and where its files are.
    #[command(flatten)]
    pub places: ExperimentArgs,
    /// The variant whose transform is shown, in the first cell of the grid [default: the first variant]
    #[arg(long, value_name = "NAME")]
    pub variant: Option<String>,
    /// Folder for the figures [default: the experiment's folder in the results folder]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}

/// Reads a number of hours.
fn hours(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(hours) if hours > 0.0 && hours <= 1e5 => Ok(hours),
        _ => Err("expected a number of hours above 0, at most 100000".to_owned()),
    }
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

const LR_FIND_EXAMPLES: &str = "\
Examples:
  graft lr-find experiments/beeant.toml
  graft lr-find experiments/beeant.toml --variant frozen --steps 300 --max-lr 1

Each variant takes steps as its first trial would, from the same weights, but with a learning rate
that grows by the same factor from step to step (Smith 2017), until the loss is four times its
lowest. The suggestion is the first rate of its line. Points and a figure of each variant go into
the results folder. The rate of the experiment file does not matter, and no trial is changed.";

/// Arguments of `graft lr-find`.
#[derive(Debug, Args)]
#[command(after_help = LR_FIND_EXAMPLES)]
pub struct LrFindArgs {
    /// The experiment, and where its files are.
    #[command(flatten)]
    pub places: ExperimentArgs,
    /// Only this variant, in the first cell of the grid. Can be given several times
    #[arg(long, value_name = "NAME")]
    pub variant: Vec<String>,
    /// Learning rate of the first step
    #[arg(long, value_name = "LR", default_value_t = 1e-7, value_parser = rate)]
    pub min_lr: f64,
    /// Learning rate of the last step
    #[arg(long, value_name = "LR", default_value_t = 10.0, value_parser = rate)]
    pub max_lr: f64,
    /// Number of steps, at least 10; when an epoch is over, the next one follows
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u32).range(10..=1_000_000))]
    pub steps: u32,
    /// Seed in the place of the experiment's
    #[arg(long, value_name = "SEED", value_parser = clap::value_parser!(u64).range(0..=i64::MAX as u64))]
    pub seed: Option<u64>,
    /// Folder to look for weight files in, before $GRAFT_WEIGHTS_DIR, the caches and the network
    #[arg(long, value_name = "DIR")]
    pub weights_dir: Vec<PathBuf>,
    /// Threads to decode and compute with [default: one for each core]
    #[arg(long, short, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub threads: Option<u32>,
    /// Where to compute: cpu, cuda, cuda:N or auto
    #[arg(long, default_value = "auto")]
    pub device: String,
}

/// Reads a learning rate.
fn rate(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(rate @ 1e-30..=1e30) => Ok(rate),
        _ => Err("expected a learning rate from 1e-30 to 1e30".to_owned()),
    }
}

/// Arguments of `graft list`.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Only networks whose name or description has all of these words, such as `vgg`
    pub words: Vec<String>,
    /// Also list where their weights are
    #[arg(long)]
    pub weights: bool,
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

const WEIGHTS_EXAMPLES: &str = "\
Examples:
  graft weights experiments/beeant.toml             fetch what is missing
  graft weights experiments/*.toml --dry-run        only say what is there
  graft weights --model resnet18                    the weights known for a network

A sweep does the same before its first trial. With this command it can be done ahead, where there is
a network. The fingerprint is the one that the records of trials name their weights by (BLAKE3).

Exit codes: 0 all weights are there, 1 some are not, 2 bad experiment or arguments.";

/// Arguments of `graft weights`.
#[derive(Debug, Args)]
#[command(after_help = WEIGHTS_EXAMPLES)]
pub struct WeightsArgs {
    /// Experiment files
    #[arg(value_name = "EXPERIMENT", required_unless_present = "model")]
    pub experiments: Vec<PathBuf>,
    /// A kind of network, as `model.kind` in an experiment: lists the pretrained weights known for it. They are
    /// alternatives: one is fetched if none is there. Can be given several times
    #[arg(long, short, value_name = "KIND")]
    pub model: Vec<String>,
    /// Folder to look for weight files in, before $GRAFT_WEIGHTS_DIR, the caches and the network
    #[arg(long, value_name = "DIR")]
    pub weights_dir: Vec<PathBuf>,
    /// Override a key of the experiments; variants by name. Can be given several times
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Say what is there and what is missing, and fetch nothing
    #[arg(long, visible_alias = "check")]
    pub dry_run: bool,
    /// Never use the network (as HF_HUB_OFFLINE=1)
    #[arg(long)]
    pub offline: bool,
}

const SPLIT_EXAMPLES: &str = "\
Examples:
  graft split flowers data/flowers --train 0.7 --val 0.2 --test 0.1
  graft split dogs-vs-cats/train data/pets --train 2000 --val 1000 --test 1000 --link

SRC has a folder for each class, or pictures whose names begin with their class, such as cat.0.jpg;
folders whose names begin with a dot are left alone. In DST there will be train/CLASS, val/CLASS and
test/CLASS, as `source = \"image-folder\"` reads them. Amounts are over all classes, and every split
has the classes in the proportion of SRC.";

/// Arguments of `graft split`.
#[derive(Debug, Args)]
#[command(after_help = SPLIT_EXAMPLES)]
pub struct SplitArgs {
    /// Folder with the pictures
    #[arg(value_name = "SRC")]
    pub from: PathBuf,
    /// Folder to make; it must not exist, or be empty
    #[arg(value_name = "DST")]
    pub to: PathBuf,
    /// Training pictures: a number of them, or a share of all such as 0.7
    #[arg(long, value_name = "AMOUNT", value_parser = amount)]
    pub train: Amount,
    /// Validation pictures, likewise
    #[arg(long, value_name = "AMOUNT", value_parser = amount)]
    pub val: Amount,
    /// Test pictures, likewise [default: no test split]
    #[arg(long, value_name = "AMOUNT", value_parser = amount)]
    pub test: Option<Amount>,
    /// Seed of the draw
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,
    /// Copy the pictures (what is done anyway)
    #[arg(long, conflicts_with = "link")]
    pub copy: bool,
    /// Make hard links instead of copies, which takes no space
    #[arg(long)]
    pub link: bool,
}

/// Reads an amount of pictures.
fn amount(text: &str) -> Result<Amount, String> {
    if let Ok(count @ 1..) = text.parse::<usize>() {
        return Ok(Amount::Count(count));
    }
    match text.parse::<f64>() {
        Ok(share) if share > 0.0 && share < 1.0 => Ok(Amount::Fraction(share)),
        _ => {
            Err("expected a number of pictures, or a share of them above 0 and below 1".to_owned())
        }
    }
}

const BENCH_EXAMPLES: &str = "\
Examples:
  graft bench --model resnet18 --batch-size 4
  graft bench --model squeezenet1_1 --transfer frozen --threads 1
  graft bench --model convnet --option 'depth=[4, 8]' --json

The pictures are made up, the weights are initial ones: neither changes the time. The training step
is forward, loss, backward and SGD with momentum; the memory is the most that the process has held
by the end of the training steps (on Linux).";

/// Arguments of `graft bench`.
#[derive(Debug, Args)]
#[command(after_help = BENCH_EXAMPLES)]
pub struct BenchArgs {
    /// Kind of network, as `model.kind` in an experiment
    #[arg(long, short, value_name = "KIND", default_value = "resnet18")]
    pub model: String,
    /// An option of the network, as beside `model.kind` in an experiment. Can be given several times
    #[arg(long = "option", visible_alias = "set", value_name = "KEY=VALUE")]
    pub options: Vec<String>,
    /// Whether the backbone trains along
    #[arg(long, value_name = "MODE", default_value = "fine-tune")]
    pub transfer: TransferArg,
    /// Pictures in a batch
    #[arg(long, short, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub batch_size: u32,
    /// Side of the pictures in pixels [default: what the network was made for]
    #[arg(long, value_name = "PIXELS", value_parser = clap::value_parser!(u32).range(1..=8192))]
    pub size: Option<u32>,
    /// Threads for the steps [default: one for each core]
    #[arg(long, short, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub threads: Option<u32>,
    /// Least time to measure each of training step, forward pass and input path for, after a warm-up
    #[arg(long, value_name = "SECONDS", default_value_t = 3.0, value_parser = seconds)]
    pub seconds: f64,
    /// What to measure
    #[arg(
        long,
        value_name = "PARTS",
        value_delimiter = ',',
        default_value = "train,forward,input"
    )]
    pub measure: Vec<BenchPart>,
    /// Where to compute the steps: cpu, cuda, cuda:N or auto
    #[arg(long, default_value = "auto")]
    pub device: String,
    /// The numbers that the steps compute with: f32, or tf32 or bf16 on a GPU
    #[arg(long, value_name = "NUMBERS", default_value = "f32")]
    pub precision: PrecisionArg,
    /// Whether a GPU may only use what gives the same bits every time, as trials do unless their recipe says otherwise
    #[arg(long, value_name = "BOOL", default_value_t = true, action = clap::ArgAction::Set)]
    pub deterministic: bool,
    /// Folder with JPEG files to measure the input path with [default: made-up pictures]
    #[arg(long, value_name = "DIR")]
    pub pictures: Option<PathBuf>,
    /// Print one line of JSON
    #[arg(long)]
    pub json: bool,
}

/// The numbers that a network computes with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum PrecisionArg {
    /// 32-bit floats
    F32,
    /// 32-bit floats whose products are rounded to TF32
    Tf32,
    /// Activations in bfloat16
    Bf16,
}

/// Arguments of `graft check-device`.
#[derive(Debug, Args)]
pub struct CheckDeviceArgs {
    /// The GPU: cuda or cuda:N
    #[arg(long, default_value = "cuda")]
    pub device: String,
    /// Show the operations that pass, too
    #[arg(long)]
    pub all: bool,
    /// Print one line of JSON
    #[arg(long)]
    pub json: bool,
}

/// What `graft bench` measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum BenchPart {
    /// The training step: forward, loss, backward, update; and the memory it takes
    Train,
    /// The forward pass of an evaluation
    Forward,
    /// The input path: decoding, random crop, flip, normalisation
    Input,
}

const PREDICT_EXAMPLES: &str = "\
Examples:
  graft predict --model resnet18 photo.jpg
  graft predict --model squeezenet1_1 --weights file:mine.safetensors --grid seen.png photos
  graft predict --trial results/beeant/trials/frozen-base-r01-4711 --format csv 'val/*/*.jpg'

Pictures of a trial are prepared as its validation prepared them, and get the same probabilities,
bit for bit. Those of published weights are resized to 256/224 of the network's size, and their
middle is taken. A network of 1000 classes is taken for one of ImageNet-1k, unless --classes says
otherwise.

Exit codes: 0 all pictures were predicted, 1 some could not be read, 2 bad arguments or no picture.";

/// Arguments of `graft predict`.
#[derive(Debug, Args)]
#[command(after_help = PREDICT_EXAMPLES)]
pub struct PredictArgs {
    /// Pictures, folders of pictures, and patterns such as 'photos/*.jpg' or 'photos/**/*.png'
    #[arg(required = true, value_name = "IMAGE")]
    pub images: Vec<PathBuf>,
    /// A trial's folder in a results folder, or a best.safetensors: the network at its best epoch
    #[arg(long, value_name = "PATH", conflicts_with_all = ["model", "weights", "options", "classes", "size"])]
    pub trial: Option<PathBuf>,
    /// Kind of network, as `model.kind` in an experiment
    #[arg(long, short, value_name = "KIND", required_unless_present = "trial")]
    pub model: Option<String>,
    /// Its weights with their classifier: a file, or as `model.weights` in an experiment [default: the published ones]
    #[arg(long, value_name = "WEIGHTS")]
    pub weights: Option<PathBuf>,
    /// An option of the network, as beside `model.kind` in an experiment. Can be given several times
    #[arg(long = "option", visible_alias = "set", value_name = "KEY=VALUE")]
    pub options: Vec<String>,
    /// File with the names of the classes, one on each line
    #[arg(long, value_name = "FILE")]
    pub classes: Option<PathBuf>,
    /// Side of the network's inputs in pixels [default: what the network was made for]
    #[arg(long, value_name = "PIXELS", value_parser = clap::value_parser!(u32).range(1..=8192))]
    pub size: Option<u32>,
    /// Most probable classes to tell
    #[arg(long, value_name = "K", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    pub top: u32,
    /// How to tell them
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub format: PredictFormat,
    /// Draw the pictures with their most probable classes into this PNG file
    #[arg(long, value_name = "FILE")]
    pub grid: Option<PathBuf>,
    /// Folder to look for weight files in, before $GRAFT_WEIGHTS_DIR, the caches and the network
    #[arg(long, value_name = "DIR")]
    pub weights_dir: Vec<PathBuf>,
    /// Never use the network (as HF_HUB_OFFLINE=1)
    #[arg(long)]
    pub offline: bool,
    /// Threads to decode and compute with [default: one for each core]
    #[arg(long, short, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub threads: Option<u32>,
    /// Where to compute: cpu, cuda, cuda:N or auto
    #[arg(long, default_value = "auto")]
    pub device: String,
}

/// How `graft predict` tells what it has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum PredictFormat {
    /// For people
    Text,
    /// A line for each class of each picture: path,rank,index,class,probability
    Csv,
    /// A line for each picture: {"path", "classes": [{"index", "name", "probability"}]} or {"path", "error"}
    Json,
}

/// Whether the backbone trains along, as `transfer` in an experiment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum TransferArg {
    /// Backbone and head train
    FineTune,
    /// The backbone stays fixed and only the head trains
    Frozen,
}

impl std::fmt::Display for TransferArg {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::FineTune => "fine-tune",
            Self::Frozen => "frozen",
        })
    }
}

/// A time to measure for.
fn seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(seconds) if (0.0..=3600.0).contains(&seconds) => Ok(seconds),
        _ => Err("expected seconds from 0 to 3600".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lines of examples and remarks are printed as they are: the width of the help is 100 columns.
    #[test]
    fn no_line_of_the_help_is_too_long() {
        let command = <Cli as clap::CommandFactory>::command();
        for command in command.get_subcommands().chain([&command]) {
            let text = command.get_after_help().map(ToString::to_string);
            for line in text.unwrap_or_default().lines() {
                assert!(
                    line.chars().count() <= 100,
                    "{}: {line}",
                    command.get_name()
                );
            }
        }
    }

    #[test]
    fn the_declaration_is_consistent() {
        <Cli as clap::CommandFactory>::command().debug_assert();
    }
}
