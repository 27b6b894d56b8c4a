//! Reads `[train.schedule]`.

use graft_trainer::{Course, Like, Monitor, Per, Plateau, ScheduleSpec, WarmUp, WarmUpLength};

use super::{
    fields::Fields,
    rules::{List, Number, Whole, Word},
};

type ReadCourse = fn(&Fields<'_>) -> Option<Course>;

/// The kinds of schedule and how each reads its keys.
const COURSES: &[(&str, ReadCourse)] = &[
    ("constant", |_| Some(Course::Constant)),
    ("step", step),
    ("multi-step", multi_step),
    ("exponential", exponential),
    ("cosine", cosine),
    ("polynomial", polynomial),
    ("one-cycle", one_cycle),
    ("plateau", plateau),
];

/// The keys of each kind beside `kind` itself.
pub(super) const COURSE_KEYS: &[(&str, &[&str])] = &[
    ("constant", &["warm_up"]),
    ("step", &["every", "factor", "warm_up"]),
    ("multi-step", &["at", "factor", "warm_up"]),
    ("exponential", &["factor", "warm_up"]),
    ("cosine", &["min_lr", "per", "warm_up"]),
    ("polynomial", &["power", "per", "warm_up"]),
    (
        "one-cycle",
        &["rise", "div_factor", "final_div_factor", "warm_up"],
    ),
    (
        "plateau",
        &[
            "monitor",
            "factor",
            "patience",
            "min_delta",
            "cooldown",
            "min_lr",
            "like",
            "warm_up",
        ],
    ),
];

/// The names of all kinds.
#[cfg(test)]
pub(super) fn kinds() -> impl Iterator<Item = &'static str> {
    COURSES.iter().map(|(kind, _)| *kind)
}

const PER: &[(&str, Per)] = &[("epoch", Per::Epoch), ("step", Per::Step)];

/// The figures of an epoch that can be watched.
pub(super) const MONITORS: &[(&str, Monitor)] = &[
    ("train_loss", Monitor::TrainLoss),
    ("train_accuracy", Monitor::TrainAccuracy),
    ("val_loss", Monitor::ValLoss),
    ("val_accuracy", Monitor::ValAccuracy),
];

const LIKE: &[(&str, Like)] = &[("pytorch", Like::Pytorch), ("keras", Like::Keras)];

/// What a rate may be multiplied with.
const FACTOR: Number = Number::Positive(10.0);
/// Numbers of epochs.
const EPOCHS: Whole = Whole(1, 100_000);

/// Reads the course of the learning rate.
pub(super) fn schedule(fields: Fields<'_>) -> Option<ScheduleSpec> {
    let read = fields.or("kind", &Word(COURSES), "constant");
    let warm_up = match fields.node("warm_up") {
        None => Some(None),
        Some(_) => fields.table("warm_up").and_then(warm_up).map(Some),
    };
    // Without a kind nobody knows which of the other keys are right.
    let course = read?(&fields);
    fields.finish();
    Some(ScheduleSpec {
        course: course?,
        warm_up: warm_up?,
    })
}

fn warm_up(fields: Fields<'_>) -> Option<WarmUp> {
    let epochs = fields.optional("epochs", &EPOCHS);
    let steps = fields.optional("steps", &Whole(1, 1_000_000_000));
    let start = fields.or("start", &Number::UpTo(1.0), 0.01);
    let written = ["epochs", "steps"].map(|key| fields.node(key).is_some());
    if written[0] == written[1] {
        let message = "expected either `epochs` or `steps`: how long the warm-up takes";
        fields.sink().problem(fields.origin(), message);
    }
    fields.finish();
    let length = match (written, epochs, steps) {
        ([true, false], Some(epochs), _) => WarmUpLength::Epochs(epochs as u32),
        ([false, true], _, Some(steps)) => WarmUpLength::Steps(steps),
        _ => return None,
    };
    Some(WarmUp {
        length,
        start: start?,
    })
}

fn step(fields: &Fields<'_>) -> Option<Course> {
    let every = fields.required("every", &EPOCHS);
    let factor = fields.or("factor", &FACTOR, 0.1);
    Some(Course::Step {
        every: every? as u32,
        factor: factor?,
    })
}

fn multi_step(fields: &Fields<'_>) -> Option<Course> {
    let list = List(EPOCHS, "a list of numbers of epochs");
    let at = fields.required("at", &list);
    let factor = fields.or("factor", &FACTOR, 0.1);
    let mut at: Vec<u32> = at?.into_iter().map(|epoch| epoch as u32).collect();
    at.sort_unstable();
    Some(Course::MultiStep {
        at,
        factor: factor?,
    })
}

fn exponential(fields: &Fields<'_>) -> Option<Course> {
    let factor = fields.required("factor", &FACTOR);
    Some(Course::Exponential { factor: factor? })
}

fn cosine(fields: &Fields<'_>) -> Option<Course> {
    let min_lr = fields.or("min_lr", &Number::UpTo(1e38), 0.0);
    let per = fields.or("per", &Word(PER), "epoch");
    Some(Course::Cosine {
        min_lr: min_lr?,
        per: per?,
    })
}

fn polynomial(fields: &Fields<'_>) -> Option<Course> {
    let power = fields.or("power", &Number::Positive(100.0), 1.0);
    let per = fields.or("per", &Word(PER), "epoch");
    Some(Course::Polynomial {
        power: power?,
        per: per?,
    })
}

fn one_cycle(fields: &Fields<'_>) -> Option<Course> {
    let rise = fields.or("rise", &Number::Below(1.0), 0.3);
    let div_factor = fields.or("div_factor", &Number::Positive(1e12), 25.0);
    let final_div_factor = fields.or("final_div_factor", &Number::Positive(1e12), 1e4);
    Some(Course::OneCycle {
        rise: rise?,
        div_factor: div_factor?,
        final_div_factor: final_div_factor?,
    })
}

fn plateau(fields: &Fields<'_>) -> Option<Course> {
    let monitor = fields.or("monitor", &Word(MONITORS), "val_loss");
    let factor = fields.or("factor", &Number::Below(1.0), 0.1);
    let patience = fields.or("patience", &Whole(0, 100_000), 10);
    let min_delta = fields.or("min_delta", &Number::UpTo(1e38), 1e-4);
    let cooldown = fields.or("cooldown", &Whole(0, 100_000), 0);
    let min_lr = fields.or("min_lr", &Number::UpTo(1e38), 0.0);
    let like = fields.or("like", &Word(LIKE), "pytorch");
    Some(Course::Plateau(Plateau {
        monitor: monitor?,
        factor: factor?,
        patience: patience? as u32,
        min_delta: min_delta?,
        cooldown: cooldown? as u32,
        min_lr: min_lr?,
        like: like?,
    }))
}
