//! Reads a `[[variant]]`: its network, how weights are transferred, and what it overrides.

use std::collections::BTreeMap;

use graft_data::SourceSpec;
use graft_model::{
    BatchNormMode, HeadSpec, ModelSpec, TransferMode, TransferSpec, WeightsSpec, registry,
};

use super::{
    Places, RepeatFrom, Settings, data,
    fields::{Fields, Scope, Sink},
    fitting::fitting,
    rules::{List, Number, Parsed, Rule, Text, Whole, Word},
    train,
    tree::{Node, Origin, Table, Value},
};

/// A variant as written, with the file's `[train]` and `[data.transform]` below what it overrides, and the file's subset
/// if it has none of its own. `file_origin` is where keys are missing that neither has.
pub(super) fn merged(file: &Table, file_origin: &Origin, variant: &Table) -> Table {
    let mut merged = variant.clone();
    let is_table = |node: &Node| node.table().is_some();
    let own = data::SUBSET_KEYS
        .iter()
        .any(|key| variant.at(&["data", key]).is_some());
    if !own && variant.get("data").is_none_or(is_table) {
        for key in data::SUBSET_KEYS {
            if let Some(node) = file.at(&["data", key]) {
                merged.assign(&["data", key], node.clone());
            }
        }
    }
    for path in [&["train"][..], &["data", "transform"]] {
        let below = file.at(path);
        let node = match (below, variant.at(path)) {
            (Some(below), Some(over)) => match (below.table(), over.table()) {
                (Some(ours), Some(theirs)) => Node {
                    value: Value::Table(ours.merged(theirs)),
                    origin: below.origin.clone(),
                },
                _ => over.clone(),
            },
            (Some(below), None) => below.clone(),
            (None, Some(_)) => continue,
            (None, None) => Node {
                value: Value::Table(Table::default()),
                origin: Origin {
                    key: path.join("."),
                    ..file_origin.clone()
                },
            },
        };
        // A `data` that is no table is left to be found wrong.
        let blocked = variant
            .get(path[0])
            .is_some_and(|node| node.table().is_none());
        if !blocked {
            merged.assign(path, node);
        }
    }
    merged
}

/// Reads a merged variant, which has the values of the grid's cell in it.
pub(super) fn settings(
    table: &Table,
    origin: &Origin,
    source: Option<&SourceSpec>,
    sink: &Sink,
) -> Option<Settings> {
    let fields = Fields::new(table, origin, Scope::Variant, sink);
    fields.node("name");
    let (model, weights) = match fields.required_table("model") {
        Some(fields) => model(fields),
        None => (None, None),
    };
    let transfer = transfer(&fields, weights.as_ref().map(Option::is_some));
    let repeat_from = fields.or("repeat_from", &Word(REPEAT_FROM), "start");
    // What these lack is missing from the file as a whole, unless the variant has a table of its own.
    let train = fields.table("train").and_then(train::training);
    let data = fields.table("data").and_then(|fields| {
        let subset = data::subset(&fields, source);
        let below = fields.table("transform");
        let transform = below.and_then(|fields| data::transform(fields, source));
        fields.finish();
        Some((subset?, transform?))
    });
    fields.finish();
    let (subset, transform) = data?;
    let train::Training { recipe, keep_last } = train?;
    let place = |path: &[&str]| table.at(path).map(|node| node.origin.place.clone());
    let settings = Settings {
        model: model?,
        weights: weights?,
        transfer: transfer?,
        repeat_from: repeat_from?,
        subset,
        transform,
        train: recipe,
        keep_last,
        places: Places {
            class_weights: place(&["train", "class_weights"]),
            label_smoothing: place(&["train", "label_smoothing"]),
            per_class: place(&["data", "per_class"]),
        },
    };
    fitting(settings, table, origin, sink)
}

const REPEAT_FROM: &[(&str, RepeatFrom)] = &[
    ("start", RepeatFrom::Start),
    ("previous", RepeatFrom::Previous),
];

/// Reads the network and its weights.
#[expect(
    clippy::option_option,
    reason = "no weights are not the same as weights that can't be read"
)]
fn model(fields: Fields<'_>) -> (Option<ModelSpec>, Option<Option<WeightsSpec>>) {
    let weights = match fields.node("weights") {
        None => Some(None),
        Some(node) => {
            let expected =
                "`hf:OWNER/REPO`, `https://…`, `file:PATH` or `trial:EXPERIMENT/VARIANT`";
            Parsed::new(expected).read(node, fields.sink()).map(Some)
        }
    };
    let kinds: Vec<_> = registry().iter().map(|entry| (entry.name, entry)).collect();
    // Without a kind nobody knows which of the other keys are right.
    let Some(entry) = fields.required("kind", &Word(&kinds)) else {
        return (None, weights);
    };
    let mut written = toml::Table::new();
    let mut nodes: Vec<(&str, &Node)> = Vec::new();
    for option in entry.options {
        if let Some(node) = fields.node(option.name) {
            written.insert(option.name.to_owned(), node.to_toml());
            nodes.push((option.name, node));
        }
    }
    // Each refused option is reported and left out, until the rest is right.
    let mut good = true;
    let checked = loop {
        match (entry.check)(&written) {
            Ok(checked) => break Some(checked),
            Err(error) => {
                good = false;
                let node = nodes.iter().find(|(name, _)| *name == error.key);
                match node {
                    Some((_, node)) => fields.sink().wrong(node, &error.expected),
                    None => fields.sink().problem(fields.origin(), error.to_string()),
                }
                if written.remove(&error.key).is_none() {
                    break None;
                }
            }
        }
    };
    for (name, value) in checked.iter().flatten() {
        if !written.contains_key(name) {
            fields.default(name, value.clone(), None);
        }
    }
    let cut = fields
        .node("cut")
        .map(|node| LAYER.read(node, fields.sink()));
    let head = fields.node("head").map(|_| head(fields.table("head")?));
    fields.finish();
    good &= cut != Some(None) && head != Some(None);
    let model = checked.filter(|_| good).map(|options| ModelSpec {
        cut: cut.flatten(),
        head: head.flatten(),
        ..ModelSpec::new(entry.name, options)
    });
    (model, weights)
}

/// The name of a layer of a backbone.
const LAYER: Text = Text("the name of a layer of the backbone, such as `layer3`");

/// Reads a head of hidden layers.
fn head(fields: Fields<'_>) -> Option<HeadSpec> {
    let units = List(Whole(1, 65_536), "a list of whole numbers from 1 to 65536");
    let hidden = fields.optional("hidden", &units);
    let hidden_is_good = hidden.is_some() || fields.node("hidden").is_none();
    let dropout = fields.or("dropout", &Number::Below(1.0), 0.0);
    fields.finish();
    Some(HeadSpec {
        hidden: hidden_is_good
            .then(|| hidden.unwrap_or_default())?
            .into_iter()
            .map(|units| units as usize)
            .collect(),
        dropout: dropout?,
    })
}

/// Reads how weights are transferred; `weighted` says whether there are any, if that is known.
fn transfer(fields: &Fields<'_>, weighted: Option<bool>) -> Option<TransferSpec> {
    const MODES: &[(&str, TransferMode)] = &[
        ("fine-tune", TransferMode::FineTune),
        ("frozen", TransferMode::Frozen),
    ];
    const STATISTICS: &[(&str, BatchNormMode)] = &[
        ("batch", BatchNormMode::Batch),
        ("running", BatchNormMode::Running),
    ];
    let node = fields.node("transfer");
    if node.is_none() && weighted == Some(true) {
        fields.default("transfer", "fine-tune".into(), None);
    }
    let mode = node.map_or(Some(TransferMode::FineTune), |node| {
        Word(MODES).read(node, fields.sink())
    });
    if mode == Some(TransferMode::Frozen)
        && weighted == Some(false)
        && let Some(node) = node
    {
        fields.sink().problem_with_hint(
            &node.origin,
            "only the head of a frozen network trains, so its backbone needs weights, and the model has none",
            Some("give the model `weights`, or leave `transfer` out to train it from scratch".to_owned()),
        );
    }
    let statistics = match mode {
        Some(TransferMode::Frozen) => "running",
        _ => "batch",
    };
    let batch_norm = fields.or_following(
        "batch_norm",
        &Word(STATISTICS),
        statistics,
        Some("transfer"),
    );
    let head_lr = fields.or("head_lr", &Number::Positive(1e6), 1.0);
    let layer_decay = fields.optional_known("layer_decay", &Number::Positive(1.0));
    let layer_lr = layer_lr(fields);
    if mode == Some(TransferMode::Frozen) {
        for key in ["layer_decay", "layer_lr"] {
            if let Some(node) = fields.node(key) {
                let message = "the backbone is frozen, so its layers have no learning rate";
                let hint = "leave it out, or set `transfer` to \"fine-tune\"";
                fields
                    .sink()
                    .problem_with_hint(&node.origin, message, Some(hint.to_owned()));
            }
        }
    }
    let freeze = fields.optional("freeze", &LAYER);
    if let Some(node) = fields.node("freeze") {
        freeze.as_ref()?;
        let (message, hint) = match (mode, weighted) {
            (Some(TransferMode::Frozen), _) => (
                "the whole backbone is frozen already",
                "leave `freeze` out, or set `transfer` to \"fine-tune\"",
            ),
            (_, Some(false)) => (
                "frozen layers need weights, and the model has none",
                "give the model `weights`, or leave `freeze` out",
            ),
            _ => ("", ""),
        };
        if !message.is_empty() {
            let hint = Some(hint.to_owned());
            fields.sink().problem_with_hint(&node.origin, message, hint);
            return None;
        }
    }
    Some(TransferSpec {
        mode: mode?,
        batch_norm: batch_norm?,
        head_lr: head_lr?,
        freeze,
        layer_decay: layer_decay?,
        layer_lr: layer_lr?,
    })
}

/// Reads what the learning rates of layers are multiplied with, by their names.
fn layer_lr(fields: &Fields<'_>) -> Option<BTreeMap<String, f64>> {
    let Some(node) = fields.node("layer_lr") else {
        return Some(BTreeMap::new());
    };
    let Some(table) = node.table() else {
        let expected = "a table of layers with numbers, such as { layer1 = 0.1 }";
        fields.sink().wrong(node, expected);
        return None;
    };
    // All of them are read before the first bad one ends it.
    let rates: Vec<_> = table
        .entries
        .iter()
        .map(|entry| {
            let rate = Number::Positive(1e6).read(&entry.node, fields.sink())?;
            Some((entry.name.clone(), rate))
        })
        .collect();
    rates.into_iter().collect()
}
