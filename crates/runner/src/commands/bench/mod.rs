//! `graft bench`: what a network costs on this machine.

mod clock;
mod input;
mod memory;
mod record;

use std::io::{IsTerminal, stderr};

use graft_data::{Batch, Normalization};
use graft_model::{Init, ModelError, Network, Precision, TransferMode, TransferSpec};
use graft_stream::{Purpose, Stream};
use graft_trainer::{OptimizerSpec, Recipe, StepBench, device};

use self::{clock::median, record::Record};
use super::{Answer, summary::model_of, threads};
use crate::{
    cli::{BenchArgs, BenchPart, PrecisionArg, TransferArg},
    failure::Failure,
};

/// Classes that the network tells apart.
const CLASSES: usize = 2;
/// The optimizer of the training step. The pace is that of a fine-tuning: it does not change the time.
const OPTIMIZER: OptimizerSpec = OptimizerSpec::Sgd {
    lr: 1e-4,
    momentum: 0.9,
    weight_decay: 0.0,
    nesterov: false,
};

/// Measures training step, forward pass and input path.
pub fn bench(args: &BenchArgs) -> Result<Answer, Failure> {
    let spec = model_of(&args.model, &args.options)?;
    let entry = graft_model::find(&spec.kind).map_err(Failure::bad_input)?;
    let size = args.size.map_or(entry.default_size, |size| size as usize);
    let pool = threads::pool(args.threads)?;
    let wanted = |part| args.measure.contains(&part);
    let files = wanted(BenchPart::Input)
        .then(|| input::files(args.pictures.as_deref()))
        .transpose()?;
    let named = device::spread(&args.device).map_err(Failure::bad_input)?;
    let named = named.into_iter().next().unwrap_or_default();
    let mut record = Record::new(args, spec, size, pool.current_num_threads(), named);
    pool.install(|| measure_steps(args, &mut record))?;
    if let Some(files) = files {
        say("the input path");
        let normalization = Normalization {
            mean: entry.mean,
            std: entry.std,
        };
        let times = input::measure(&files, size, normalization, args.seconds)?;
        record.note_input(files.source, &times);
    }
    Ok(Answer::from(if args.json {
        record.json_line()
    } else {
        record.to_string()
    }))
}

/// Measures the steps on the current pool. The training step comes first, so that the peak is its own.
fn measure_steps(args: &BenchArgs, record: &mut Record) -> Result<(), Failure> {
    if args.measure.iter().all(|&part| part == BenchPart::Input) {
        return Ok(());
    }
    record.memory_before_mb = memory::peak_mb();
    let mut steps = prepare(args, record)?;
    if args.measure.contains(&BenchPart::Train) {
        say("the training step");
        let time = median(args.seconds, || match steps.train_step() {
            Ok(loss) if loss.is_finite() => Ok(()),
            Ok(loss) => Err(Failure::some_failed(format!("the loss became {loss}"))),
            Err(error) => Err(Failure::some_failed(error)),
        })?;
        record.note_train_step(time, memory::peak_mb());
        record.recorded = steps.is_recorded();
    }
    if args.measure.contains(&BenchPart::Forward) {
        say("the forward pass");
        let time = median(args.seconds, || {
            steps.forward().map_err(Failure::some_failed)
        })?;
        record.note_forward(time);
    }
    Ok(())
}

/// A network with initial weights, and made-up pictures for it.
fn prepare(args: &BenchArgs, record: &Record) -> Result<StepBench, Failure> {
    let (size, spec) = (record.size, &record.model_spec);
    let bad = |error: ModelError| Failure::bad_input(error);
    let device = device::open(&args.device).map_err(Failure::bad_input)?;
    let init = Init { seed: 0, repeat: 1 };
    let mut network = Network::build(spec, CLASSES, size, &init, &device).map_err(bad)?;
    let transfer = TransferSpec::of(args.transfer.into());
    network.set_transfer(&transfer).map_err(bad)?;
    let mut recipe = Recipe::new(1, args.batch_size as usize, OPTIMIZER);
    recipe.precision = args.precision.into();
    recipe.deterministic = args.deterministic;
    device::set_precision(&device, &recipe).map_err(Failure::bad_input)?;
    network.set_precision(recipe.precision);
    let batch = args.batch_size as usize;
    if device.is_cpu() {
        memory::check(&network.summary(1).map_err(bad)?, batch)?;
    }
    let mut draws = Stream::new(0, Purpose::Generate, &[]);
    let batch = Batch {
        pixels: (0..batch * size * size * 3)
            .map(|_| 4.0 * draws.unit_f32() - 2.0)
            .collect(),
        labels: (0..batch).map(|_| draws.below(CLASSES) as u32).collect(),
        numbers: Vec::new(),
        indices: (0..batch).collect(),
        size,
        ..Batch::default()
    };
    StepBench::new(network, &recipe, batch, &device).map_err(Failure::some_failed)
}

impl From<TransferArg> for TransferMode {
    fn from(transfer: TransferArg) -> Self {
        match transfer {
            TransferArg::FineTune => Self::FineTune,
            TransferArg::Frozen => Self::Frozen,
        }
    }
}

impl From<PrecisionArg> for Precision {
    fn from(precision: PrecisionArg) -> Self {
        match precision {
            PrecisionArg::F32 => Self::F32,
            PrecisionArg::Tf32 => Self::Tf32,
            PrecisionArg::Bf16 => Self::Bf16,
        }
    }
}

/// Tells a person who waits what is being measured.
fn say(what: &str) {
    if stderr().is_terminal() {
        eprintln!("measuring {what} …");
    }
}
