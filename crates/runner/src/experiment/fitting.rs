//! Whether what a variant says of network, transfer and pictures goes together.

use graft_model::{BatchNormMode, ModelError, Network, OptionError, TransferMode, registry};

use super::{
    Settings,
    fields::Sink,
    suggest::nearest,
    tree::{Origin, Table},
};

/// Reports what does not go together; the settings if all does.
pub(super) fn fitting(
    settings: Settings,
    table: &Table,
    origin: &Origin,
    sink: &Sink,
) -> Option<Settings> {
    for check in [check_size, check_extractor, check_layers, check_mixing] {
        check(&settings, table, origin, sink)?;
    }
    Some(settings)
}

/// Whether the network can take pictures of the transform's size.
fn check_size(settings: &Settings, table: &Table, origin: &Origin, sink: &Sink) -> Option<()> {
    let entry = registry()
        .iter()
        .find(|entry| entry.name == settings.model.kind)?;
    let size = settings.transform.size;
    let error = (entry.check_size)(&settings.model.options, size as usize).err();
    let Some(error) = error else {
        return Some(());
    };
    let (path, message) = if error.key == "size" {
        let message = format!("{} needs {}, found {size}", entry.name, error.expected);
        (vec!["data", "transform", "size"], message)
    } else {
        let message = format!("expected {}, found {}", error.expected, error.found);
        (vec!["model", &error.key], message)
    };
    let node = table.at(&path).or_else(|| table.at(&path[..1]));
    sink.problem(node.map_or(origin, |node| &node.origin), message);
    None
}

/// Whether a network that only extracts features is used as one.
fn check_extractor(settings: &Settings, table: &Table, origin: &Origin, sink: &Sink) -> Option<()> {
    let kind = &settings.model.kind;
    let is_extractor = registry()
        .iter()
        .any(|entry| entry.name == kind && entry.extractor);
    let (path, message, hint) = match (settings.transfer.mode, settings.transfer.batch_norm) {
        _ if !is_extractor => return Some(()),
        (TransferMode::FineTune, _) => (
            "transfer",
            "its backbone can't be trained",
            "set `transfer` to \"frozen\" and give the model `weights`",
        ),
        (_, BatchNormMode::Batch) => (
            "batch_norm",
            "it can't use the batch's statistics",
            "leave `batch_norm` out",
        ),
        (TransferMode::Frozen, BatchNormMode::Running) => return Some(()),
    };
    let node = table.at(&[path]).or_else(|| table.at(&["model"]));
    sink.problem_with_hint(
        node.map_or(origin, |node| &node.origin),
        format!("{kind} is a fixed extractor of features: {message}"),
        Some(hint.to_owned()),
    );
    None
}

/// Whether pictures are mixed whose features are to be kept.
fn check_mixing(settings: &Settings, table: &Table, origin: &Origin, sink: &Sink) -> Option<()> {
    let Settings {
        transfer,
        transform,
        train,
        ..
    } = settings;
    let is_fixed =
        transfer.mode == TransferMode::Frozen && transfer.batch_norm == BatchNormMode::Running;
    let (true, true, Some(views)) = (is_fixed, train.mixes(), transform.views.fixed()) else {
        return Some(());
    };
    let key = if train.mixup > 0.0 { "mixup" } else { "cutmix" };
    let node = table.at(&["transfer"]);
    sink.problem_with_hint(
        node.map_or(origin, |node| &node.origin),
        format!(
            "`{key}` mixes pictures anew in every epoch, so what a frozen backbone makes of `views = {views}` can't be kept"
        ),
        Some(format!("set `views` to \"fresh\" for this variant, or its `train.{key}` to 0")),
    );
    None
}

/// Whether the network has the layers at which it is cut, up to which it is frozen, and whose learning rates are set.
fn check_layers(settings: &Settings, table: &Table, origin: &Origin, sink: &Sink) -> Option<()> {
    let Settings {
        model,
        transfer,
        transform,
        ..
    } = settings;
    if model.cut.is_none() && transfer.freeze.is_none() && transfer.layer_lr.is_empty() {
        return Some(());
    }
    let problems = Network::problems(model, transfer, transform.size as usize);
    for problem in &problems {
        let (path, message) = match problem {
            ModelError::Option { error, .. } => {
                let name = error.found.trim_matches('`');
                let path = match error.key.as_str() {
                    "layer_lr" => vec!["layer_lr", name],
                    "freeze" => vec!["freeze"],
                    key => vec!["model", key],
                };
                let known = error.expected.strip_prefix("one of ").unwrap_or_default();
                let near = nearest(name, known.split(", "));
                let near = near.map_or(String::new(), |near| format!("; did you mean `{near}`?"));
                let OptionError {
                    expected, found, ..
                } = error;
                (path, format!("expected {expected}, found {found}{near}"))
            }
            other => (vec!["model"], other.to_string()),
        };
        let node = table.at(&path).or_else(|| table.at(&path[..1]));
        sink.problem(node.map_or(origin, |node| &node.origin), message);
    }
    problems.is_empty().then_some(())
}
