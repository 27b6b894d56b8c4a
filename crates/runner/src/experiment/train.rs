//! Reads `[train]`.

use graft_model::Precision;
use graft_trainer::{
    ClipSpec, DecayOn, EarlyStopping, EmaSpec, OptimizerSpec, Recipe, TrainingMode,
};

use super::{
    fields::{Fields, Sink},
    rules::{Flag, List, Number, Rule, Whole, Word},
    schedule::{self, MONITORS},
    tree::Node,
};

type ReadOptimizer = fn(&Fields<'_>) -> Option<OptimizerSpec>;

/// The kinds of optimizer and how each reads its keys.
const OPTIMIZERS: &[(&str, ReadOptimizer)] = &[
    ("sgd", sgd),
    ("adam", adam),
    ("adamw", adamw),
    ("rmsprop", rmsprop),
];

/// The keys of each kind beside `kind` itself.
const OPTIMIZER_KEYS: &[(&str, &[&str])] = &[
    ("sgd", &["lr", "momentum", "weight_decay", "nesterov"]),
    ("adam", &["lr", "betas", "eps", "weight_decay"]),
    ("adamw", &["lr", "betas", "eps", "weight_decay"]),
    (
        "rmsprop",
        &["lr", "alpha", "eps", "momentum", "weight_decay"],
    ),
];

/// The keys of a kind of optimizer or schedule beside `kind` itself; none if no such kind is known.
pub(super) fn keys_of_kind(kind: &str) -> Option<&'static [&'static str]> {
    let mut known = OPTIMIZER_KEYS.iter().chain(schedule::COURSE_KEYS);
    known.find(|(name, _)| *name == kind).map(|(_, keys)| *keys)
}

/// What the learning rate may be; beyond it, 32-bit numbers end.
const LEARNING_RATE: Number = Number::Positive(1e38);
/// What weight decay may be.
const WEIGHT_DECAY: Number = Number::UpTo(100.0);
/// What the parameter of a beta distribution may be.
const ALPHA: Number = Number::UpTo(1000.0);

/// What `[train]` says.
pub(super) struct Training {
    pub(super) recipe: Recipe,
    /// How many of the last epochs' networks are kept; decides no result.
    pub(super) keep_last: u32,
}

/// Reads how a network is trained.
pub(super) fn training(fields: Fields<'_>) -> Option<Training> {
    let epochs = fields.required("epochs", &Whole(1, 100_000));
    let batch_size = fields.required("batch_size", &Whole(1, 65_536));
    let optimizer = fields.required_table("optimizer").and_then(optimizer);
    let weight_decay_on = fields.or("weight_decay_on", &Word(DECAY_ON), "all");
    let schedule = part(&fields, "schedule", schedule::schedule).map(Option::unwrap_or_default);
    let clip = part(&fields, "clip", clip).map(Option::unwrap_or_default);
    let label_smoothing = fields.or("label_smoothing", &Number::Below(1.0), 0.0);
    let alpha = |key| match fields.node(key) {
        None => Some(0.0),
        Some(_) => fields.optional(key, &ALPHA),
    };
    let (mixup, cutmix) = (alpha("mixup"), alpha("cutmix"));
    let class_weights = fields.optional_known("class_weights", &ClassWeights);
    let best = fields.or("best", &Word(MONITORS), "val_accuracy");
    let early_stopping = part(&fields, "early_stopping", early_stopping);
    let validate_every = fields.optional_known("validate_every", &Whole(1, 1_000_000_000));
    let evaluate_train = fields.or("evaluate_train", &Flag, false);
    let training_mode = fields.or("training_mode", &Word(TRAINING_MODES), "always");
    let ema = part(&fields, "ema", ema);
    let precision = fields.or("precision", &Word(PRECISIONS), "f32");
    let deterministic = fields.or("deterministic", &Flag, true);
    let keep_last = fields.or("keep_last", &Whole(0, 100_000), 0);
    fields.finish();
    let recipe = Recipe {
        epochs: epochs? as u32,
        batch_size: batch_size? as usize,
        optimizer: optimizer?,
        weight_decay_on: weight_decay_on?,
        schedule: schedule?,
        clip: clip?,
        label_smoothing: label_smoothing?,
        mixup: mixup?,
        cutmix: cutmix?,
        class_weights: class_weights?.unwrap_or_default(),
        best: best?,
        early_stopping: early_stopping?,
        ema: ema?,
        validate_every: validate_every?,
        evaluate_train: evaluate_train?,
        training_mode: training_mode?,
        precision: precision?,
        deterministic: deterministic?,
    };
    Some(Training {
        recipe,
        keep_last: keep_last? as u32,
    })
}

const PRECISIONS: &[(&str, Precision)] = &[
    ("f32", Precision::F32),
    ("tf32", Precision::Tf32),
    ("bf16", Precision::Bf16),
];

const DECAY_ON: &[(&str, DecayOn)] = &[("all", DecayOn::All), ("weights", DecayOn::Weights)];

const TRAINING_MODES: &[(&str, TrainingMode)] = &[
    ("always", TrainingMode::Always),
    ("first-epoch", TrainingMode::FirstEpoch),
];

/// The weights of the classes, of which one at least counts.
struct ClassWeights;

impl Rule for ClassWeights {
    type Value = Vec<f64>;

    fn expected(&self) -> String {
        "a list of numbers from 0 on, one for each class, and not all of them 0".to_owned()
    }

    fn read(&self, node: &Node, sink: &Sink) -> Option<Vec<f64>> {
        let weights = List(
            Number::UpTo(1e6),
            "a list of numbers from 0 on, one for each class",
        );
        let weights = weights.read(node, sink)?;
        if weights.iter().all(|weight| *weight == 0.0) {
            sink.wrong(node, &self.expected());
            return None;
        }
        Some(weights)
    }
}

/// Reads a table that need not be there; no value at all for one that can't be read.
#[expect(
    clippy::option_option,
    reason = "a table that is not there is not the same as one that can't be read"
)]
fn part<T>(fields: &Fields<'_>, key: &str, read: fn(Fields<'_>) -> Option<T>) -> Option<Option<T>> {
    match fields.node(key) {
        None => Some(None),
        Some(_) => fields.table(key).and_then(read).map(Some),
    }
}

/// Reads when a trial ends early, with Keras's names and defaults.
fn early_stopping(fields: Fields<'_>) -> Option<EarlyStopping> {
    let monitor = fields.or("monitor", &Word(MONITORS), "val_loss");
    let patience = fields.required("patience", &Whole(1, 100_000));
    let min_delta = fields.or("min_delta", &Number::UpTo(1e38), 0.0);
    fields.finish();
    Some(EarlyStopping {
        monitor: monitor?,
        patience: patience? as u32,
        min_delta: min_delta?,
    })
}

/// Reads how weights are averaged.
fn ema(fields: Fields<'_>) -> Option<EmaSpec> {
    let decay = fields.or("decay", &Number::Below(1.0), 0.999);
    fields.finish();
    Some(EmaSpec { decay: decay? })
}

/// Reads how gradients are clipped.
fn clip(fields: Fields<'_>) -> Option<ClipSpec> {
    let limit = |key| fields.optional_known(key, &Number::Positive(1e38));
    let (norm, value) = (limit("norm"), limit("value"));
    if fields.node("norm").is_none() && fields.node("value").is_none() {
        let message = "expected `norm` or `value`, or both: nothing is clipped otherwise";
        let hint = "leave `clip` out to clip nothing";
        fields.sink().together(fields.origin(), message, hint);
    }
    fields.finish();
    Some(ClipSpec {
        norm: norm?,
        value: value?,
    })
}

fn optimizer(fields: Fields<'_>) -> Option<OptimizerSpec> {
    // Without a kind nobody knows which of the other keys are right.
    let read = fields.required("kind", &Word(OPTIMIZERS))?;
    let optimizer = read(&fields);
    fields.finish();
    optimizer
}

fn sgd(fields: &Fields<'_>) -> Option<OptimizerSpec> {
    let lr = fields.required("lr", &LEARNING_RATE);
    let momentum = fields.or("momentum", &Number::Below(1.0), 0.0);
    let weight_decay = fields.or("weight_decay", &WEIGHT_DECAY, 0.0);
    let nesterov = fields.or("nesterov", &Flag, false);
    if nesterov == Some(true)
        && momentum == Some(0.0)
        && let Some(node) = fields.node("nesterov")
    {
        let message = "Nesterov's momentum is one, and `momentum` is 0";
        let hint = "set `momentum`, such as 0.9, or leave `nesterov` out";
        fields.sink().together(&node.origin, message, hint);
    }
    Some(OptimizerSpec::Sgd {
        lr: lr?,
        momentum: momentum?,
        weight_decay: weight_decay?,
        nesterov: nesterov?,
    })
}

fn adam(fields: &Fields<'_>) -> Option<OptimizerSpec> {
    let (lr, betas, eps, weight_decay) = adam_keys(fields, 0.0)?;
    Some(OptimizerSpec::Adam {
        lr,
        betas,
        eps,
        weight_decay,
    })
}

fn adamw(fields: &Fields<'_>) -> Option<OptimizerSpec> {
    let (lr, betas, eps, weight_decay) = adam_keys(fields, 0.01)?;
    Some(OptimizerSpec::Adamw {
        lr,
        betas,
        eps,
        weight_decay,
    })
}

/// Learning rate, betas, eps and weight decay, with PyTorch's defaults.
fn adam_keys(fields: &Fields<'_>, weight_decay: f64) -> Option<(f64, (f64, f64), f64, f64)> {
    let lr = fields.required("lr", &LEARNING_RATE);
    let betas = fields.or("betas", &BETAS, vec![0.9, 0.999]);
    let eps = fields.or("eps", &Number::Positive(1.0), 1e-8);
    let weight_decay = fields.or("weight_decay", &WEIGHT_DECAY, weight_decay);
    let [first, second] = betas?[..] else {
        if let Some(node) = fields.node("betas") {
            fields.sink().wrong(node, BETAS.1);
        }
        return None;
    };
    Some((lr?, (first, second), eps?, weight_decay?))
}

const BETAS: List<Number> = List(Number::Below(1.0), "two numbers from 0 to below 1");

fn rmsprop(fields: &Fields<'_>) -> Option<OptimizerSpec> {
    let lr = fields.required("lr", &LEARNING_RATE);
    let alpha = fields.or("alpha", &Number::Below(1.0), 0.99);
    let eps = fields.or("eps", &Number::Positive(1.0), 1e-8);
    let momentum = fields.or("momentum", &Number::Below(1.0), 0.0);
    let weight_decay = fields.or("weight_decay", &WEIGHT_DECAY, 0.0);
    Some(OptimizerSpec::Rmsprop {
        lr: lr?,
        alpha: alpha?,
        eps: eps?,
        momentum: momentum?,
        weight_decay: weight_decay?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::{
        fields::{Scope, Sink},
        raw::RawExperiment,
        tree::Table,
    };

    /// The keys that reading this table asks for.
    fn asked<T>(kind: &str, read: impl FnOnce(Fields<'_>) -> T) -> Vec<&'static str> {
        let raw = RawExperiment::parse(&format!("kind = '{kind}'"), "x.toml".as_ref()).unwrap();
        let (sink, origin) = (Sink::default(), raw.origin());
        let table: &Table = &raw.root;
        read(Fields::new(table, &origin, Scope::Variant, &sink));
        let all = OPTIMIZER_KEYS.iter().chain(schedule::COURSE_KEYS);
        let mut keys: Vec<&str> = all
            .flat_map(|(_, keys)| *keys)
            .copied()
            .filter(|key| sink.is_known(Scope::Variant, key))
            .collect();
        keys.sort_unstable();
        keys.dedup();
        keys
    }

    #[test]
    fn the_keys_of_each_kind_are_those_that_are_read() {
        let check = |kind: &str, found: Vec<&str>| {
            let mut keys = keys_of_kind(kind).unwrap().to_vec();
            keys.sort_unstable();
            assert_eq!(found, keys, "{kind}");
        };
        for (kind, _) in OPTIMIZERS {
            check(kind, asked(kind, optimizer));
        }
        for kind in schedule::kinds() {
            check(kind, asked(kind, schedule::schedule));
        }
        assert_eq!(keys_of_kind("resnet18"), None);
    }
}
