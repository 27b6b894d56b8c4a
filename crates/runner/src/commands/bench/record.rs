//! What was measured, for people and for programs.

use std::fmt;

use graft_model::{ModelSpec, Precision};
use serde::Serialize;
use toml::Table;

use super::{clock::Median, input::InputTimes};
use crate::cli::{BenchArgs, TransferArg};

/// What was measured; `None` is what was not. `scripts/bench_torch.py` prints the fields of the same names.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Record {
    program: &'static str,
    version: &'static str,
    model: String,
    options: Table,
    transfer: TransferArg,
    batch_size: usize,
    /// Side of the pictures in pixels.
    pub(super) size: usize,
    /// Threads of the steps. The input path is measured on one.
    threads: usize,
    /// The numbers that it computes with.
    dtype: String,
    device: String,
    /// Whether a GPU was held to what gives the same bits every time.
    deterministic: bool,
    /// Whether a GPU's training steps were replayed from a recording.
    pub(super) recorded: bool,
    forward_ms_per_image: Option<f64>,
    train_step_ms_per_image: Option<f64>,
    /// With decoding, as in the first epoch.
    input_ms_per_image: Option<f64>,
    /// Of pictures that are kept decoded, as in later epochs.
    input_later_ms_per_image: Option<f64>,
    /// Of the whole process after its training steps.
    peak_memory_mb: Option<f64>,
    /// Of the whole process before there was a network.
    pub(super) memory_before_mb: Option<f64>,
    /// Whether the pictures of the input path are files or made up.
    pictures: Option<&'static str>,
    repeats: Repeats,
    #[serde(skip)]
    pub(super) model_spec: ModelSpec,
}

/// How many times were measured, of which the median is given.
#[derive(Clone, Copy, Debug, Default, Serialize)]
struct Repeats {
    train_step: Option<usize>,
    forward: Option<usize>,
    input: Option<usize>,
    input_later: Option<usize>,
}

impl Record {
    /// A record without a measurement.
    pub(super) fn new(
        args: &BenchArgs,
        model: ModelSpec,
        size: usize,
        threads: usize,
        device: String,
    ) -> Self {
        Self {
            program: "graft",
            version: env!("CARGO_PKG_VERSION"),
            model: model.kind.clone(),
            options: model.options.clone(),
            transfer: args.transfer,
            batch_size: args.batch_size as usize,
            size,
            threads,
            dtype: Precision::from(args.precision).to_string(),
            device,
            deterministic: args.deterministic,
            recorded: false,
            forward_ms_per_image: None,
            train_step_ms_per_image: None,
            input_ms_per_image: None,
            input_later_ms_per_image: None,
            peak_memory_mb: None,
            memory_before_mb: None,
            pictures: None,
            repeats: Repeats::default(),
            model_spec: model,
        }
    }

    /// Notes the time of a training step on a batch, and the most memory that was held until then.
    pub(super) fn note_train_step(&mut self, time: Median, peak_memory_mb: Option<f64>) {
        self.train_step_ms_per_image = Some(time.per(self.batch_size).milliseconds);
        self.repeats.train_step = Some(time.repeats);
        self.peak_memory_mb = peak_memory_mb;
    }

    /// Notes the time of a forward pass of a batch.
    pub(super) fn note_forward(&mut self, time: Median) {
        self.forward_ms_per_image = Some(time.per(self.batch_size).milliseconds);
        self.repeats.forward = Some(time.repeats);
    }

    /// Notes the times of the input path for a picture.
    pub(super) fn note_input(&mut self, pictures: &'static str, times: &InputTimes) {
        self.input_ms_per_image = Some(times.first.milliseconds);
        self.input_later_ms_per_image = Some(times.later.milliseconds);
        self.repeats.input = Some(times.first.repeats);
        self.repeats.input_later = Some(times.later.repeats);
        self.pictures = Some(pictures);
    }

    /// The record as one line of JSON.
    pub(super) fn json_line(&self) -> String {
        let line = serde_json::to_string(self).expect("a record is plain data");
        format!("{line}\n")
    }
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (size, threads) = (self.size, self.threads);
        writeln!(
            f,
            "{}, {}, graft {}\n{} × {size} × {size} pictures in a batch, {threads} thread{}, {} on the {}\n",
            self.model,
            self.transfer,
            self.version,
            self.batch_size,
            if threads == 1 { "" } else { "s" },
            self.dtype,
            self.device.to_uppercase(),
        )?;
        let heads = ["ms per picture", "pictures/s", "repeats"];
        writeln!(
            f,
            "{:22}{:>16}{:>14}{:>10}",
            "", heads[0], heads[1], heads[2]
        )?;
        let Repeats {
            train_step,
            forward,
            input,
            input_later,
        } = self.repeats;
        let rows = [
            ("training step", self.train_step_ms_per_image, train_step),
            ("forward, evaluation", self.forward_ms_per_image, forward),
            ("input, first epoch", self.input_ms_per_image, input),
            (
                "input, later epochs",
                self.input_later_ms_per_image,
                input_later,
            ),
        ];
        for (name, milliseconds, repeats) in rows {
            if let (Some(milliseconds), Some(repeats)) = (milliseconds, repeats) {
                let rate = 1e3 / milliseconds;
                writeln!(f, "{name:22}{milliseconds:16.3}{rate:14.1}{repeats:10}")?;
            }
        }
        writeln!(f, "\nTimes are medians.")?;
        if let Some(pictures) = self.pictures {
            writeln!(
                f,
                "Input: decode, crop, flip and normalise JPEG pictures ({pictures}) on one thread; later epochs keep them decoded."
            )?;
        }
        if let Some(peak) = self.peak_memory_mb {
            writeln!(f, "Peak memory of the training step: {peak:.0} MiB.")?;
        }
        Ok(())
    }
}
