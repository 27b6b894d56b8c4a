//! Reads `[train]`.

use graft_trainer::{OptimizerSpec, Recipe};

use super::{
    fields::Fields,
    rules::{Number, Whole, Word},
};

type ReadOptimizer = fn(&Fields<'_>) -> Option<OptimizerSpec>;

/// The kinds of optimizer and how each reads its keys.
const OPTIMIZERS: &[(&str, ReadOptimizer)] = &[("sgd", sgd)];

/// What the learning rate may be; beyond it, 32-bit numbers end.
const LEARNING_RATE: Number = Number::Positive(1e38);

/// Reads how a network is trained.
pub(super) fn recipe(fields: Fields<'_>) -> Option<Recipe> {
    let epochs = fields.required("epochs", &Whole(1, 100_000));
    let batch_size = fields.required("batch_size", &Whole(1, 65_536));
    let optimizer = fields.required_table("optimizer").and_then(optimizer);
    fields.finish();
    Some(Recipe {
        epochs: epochs? as u32,
        batch_size: batch_size? as usize,
        optimizer: optimizer?,
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
    let weight_decay = fields.or("weight_decay", &Number::UpTo(100.0), 0.0);
    Some(OptimizerSpec::Sgd {
        lr: lr?,
        momentum: momentum?,
        weight_decay: weight_decay?,
    })
}
