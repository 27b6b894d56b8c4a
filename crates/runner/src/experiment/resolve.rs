//! From the file as written to the experiment that it means.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use graft_data::SourceSpec;

use super::{
    Experiment, Until, Variant, data, document,
    fields::{Default, Fields, Scope, Silence, Sink},
    grid::{Cell, Grid},
    parents::{self, Chain},
    problem::{Problem, Problems},
    raw::RawExperiment,
    rules::{Flag, Name, Parsed, Rule, Text, Whole},
    suggest::{nearest, one_of},
    train,
    tree::{Node, Origin, Table, Value},
    variants::{Context, ReadVariant, fill, references},
};

/// Most repeats of a cell.
const MOST_REPEATS: i64 = 10_000;

/// Most trials that an experiment may have.
const MOST_TRIALS: u64 = 1_000_000;

/// An experiment, and the files of all experiments that take part in it by their names.
pub(super) struct Resolved {
    pub(super) experiment: Experiment,
    pub(super) files: BTreeMap<String, PathBuf>,
}

/// What stands at the top of the file.
struct Head {
    name: Option<String>,
    repeats: Option<(u32, Option<Until>)>,
    seed: Option<u64>,
    source: Option<SourceSpec>,
}

/// What stands in `[report]`.
struct ReportKeys {
    reference: String,
    tensorboard: bool,
}

/// Checks an experiment and those that its weights come from. `chain` leads to it.
pub(super) fn resolve(raw: &RawExperiment, chain: &Chain) -> Result<Resolved, Problems> {
    let chain = chain.with(raw);
    let sink = Sink::default();
    for problem in &raw.set_problems {
        sink.push(problem.clone());
    }
    let origin = raw.origin();
    let root = Fields::new(&raw.root, &origin, Scope::File, &sink);
    let (head, defaults) = sink.probe(Silence::None, || head(&root));
    let source = head.source.as_ref();
    let grid = match root.table("grid").and(raw.root.get("grid")) {
        Some(node) => Grid::read(node.table().unwrap_or(&Table::default()), &sink),
        None => Grid::default(),
    };
    root.node("train");
    let nodes = variant_nodes(&root, &sink);

    let mut filled = raw.root.clone();
    let overrides = |path: &str| {
        let parts: Vec<&str> = path.split('.').collect();
        let variants = nodes.iter().filter_map(|node| node.table());
        grid.sets(path) || variants.into_iter().any(|table| table.at(&parts).is_some())
    };
    fill(&mut filled, defaults, &origin, &grid, overrides);
    let defaults = base_defaults(&raw.root, &origin, source, &sink);
    fill(&mut filled, defaults, &origin, &grid, overrides);

    let cells = grid.cells_of(&names(&nodes), &sink);
    let context = Context {
        file: &origin,
        source,
        grid: &grid,
        cells: &cells,
        sink: &sink,
    };
    let variants = context.read(&mut filled, &nodes);
    let (report, defaults) = sink.probe(Silence::None, || report(&root, &variants, &sink));
    fill(&mut filled, defaults, &origin, &grid, |_| false);
    root.finish();
    check_amount(&head, &cells, &variants, &origin, &sink);
    let parents = parents::find(
        raw,
        &chain,
        &references(&variants),
        head.most_repeats(),
        &sink,
    );

    let experiment = head.into_experiment(&grid, cells, variants, report, parents.experiments);
    let experiment = experiment.map(|experiment| Experiment {
        document: document::write(&filled, &grid),
        ..experiment
    });
    match (
        experiment,
        Problems::in_order(sink.finish(), parents.problems),
    ) {
        (Some(experiment), None) => Ok(Resolved {
            experiment,
            files: parents.files,
        }),
        (_, Some(problems)) => Err(problems),
        // A part that can't be read leaves a problem; should one not, this is better than a panic.
        (None, None) => Err(Problems::one(Problem {
            place: origin.place,
            key: origin.key,
            message: "the experiment can't be read".to_owned(),
            hint: None,
        })),
    }
}

impl Head {
    fn most_repeats(&self) -> Option<u32> {
        self.repeats.map(|(most, _)| most)
    }

    /// Puts everything together, all but the document, if nothing is missing.
    fn into_experiment(
        self,
        grid: &Grid,
        cells: Vec<Cell>,
        variants: Vec<ReadVariant>,
        report: Option<ReportKeys>,
        parents: BTreeMap<String, Arc<Experiment>>,
    ) -> Option<Experiment> {
        let variants: Option<Vec<Variant>> = variants
            .into_iter()
            .map(ReadVariant::into_variant)
            .collect();
        let ReportKeys {
            reference,
            tensorboard,
        } = report?;
        Some(Experiment {
            name: self.name?,
            repeats: self.repeats?.0,
            until: self.repeats?.1,
            seed: self.seed?,
            source: self.source?,
            grid: grid.to_axes(),
            cells: cells.into_iter().map(|cell| cell.label).collect(),
            variants: variants?,
            reference,
            tensorboard,
            parents,
            document: String::new(),
        })
    }
}

/// Reads the keys at the top of the file, and `[data]`.
fn head(root: &Fields<'_>) -> Head {
    Head {
        name: root.required("name", &Name),
        repeats: repeats(root),
        seed: root.or("seed", &Whole(0, i64::MAX), 0),
        source: root.required_table("data").and_then(data::source),
    }
}

/// Reads the number of repeats: how many at most, and when fewer are enough.
fn repeats(root: &Fields<'_>) -> Option<(u32, Option<Until>)> {
    let Some(Value::Table(_)) = root.node("repeats").map(|node| &node.value) else {
        let most = root.or("repeats", &Whole(1, MOST_REPEATS), 1)?;
        return Some((most as u32, None));
    };
    let fields = root.table("repeats")?;
    let min = fields.required("min", &Whole(2, MOST_REPEATS));
    let max = fields.required("max", &Whole(2, MOST_REPEATS));
    let until = fields.required("until", &Parsed::with(UNTIL, interval));
    if let (Some(min), Some(max), Some(node)) = (min, max, fields.node("max"))
        && max < min
    {
        let message = format!("expected at least `min`, {min}, found {max}");
        fields.sink().problem(&node.origin, message);
        return None;
    }
    fields.finish();
    let (min, interval) = (min? as u32, until?);
    Some((max? as u32, Some(Until { min, interval })))
}

/// What can be written after `until`.
const UNTIL: &str = "how narrow the interval of the mean is to be, such as \"interval < 0.01\"";

/// The width in `interval < 0.01`.
fn interval(text: &str) -> Result<f64, String> {
    let width = text.trim().strip_prefix("interval");
    let width = width.and_then(|rest| rest.trim_start().strip_prefix('<'));
    match width.and_then(|width| width.trim().parse().ok()) {
        Some(width @ 0.0..=1.0) if width > 0.0 => Ok(width),
        Some(_) => Err(format!(
            "expected an interval of accuracies above 0, at most 1, found {text:?}"
        )),
        None => Err(format!("expected {UNTIL}, found {text:?}")),
    }
}

/// Reads `[train]` and `[data.transform]` by themselves for their defaults. What is missing may come from elsewhere.
fn base_defaults(
    root: &Table,
    origin: &Origin,
    source: Option<&SourceSpec>,
    sink: &Sink,
) -> Vec<Default> {
    let read = || {
        let root = Fields::new(root, origin, Scope::File, sink);
        if root.node("train").is_some() {
            root.table("train").and_then(train::training);
        }
        if let Some(data) = root.node("data").and_then(|_| root.table("data")) {
            data.table("transform")
                .and_then(|fields| data::transform(fields, source));
        }
    };
    sink.probe(Silence::Missing, read).1
}

/// The elements of `[[variant]]`.
fn variant_nodes<'a>(root: &Fields<'a>, sink: &Sink) -> Vec<&'a Node> {
    let hint = || Some("write [[variant]] before the keys of each variant".to_owned());
    match root.node("variant").map(|node| (node, &node.value)) {
        Some((_, Value::List(nodes))) if !nodes.is_empty() => nodes.iter().collect(),
        Some((node, Value::List(_))) => {
            sink.problem_with_hint(&node.origin, "expected at least one variant", hint());
            Vec::new()
        }
        Some((node, _)) => {
            let message = format!("expected a list of tables, found {}", node.found());
            sink.problem_with_hint(&node.origin, message, hint());
            Vec::new()
        }
        None => {
            let origin = Origin {
                key: "variant".to_owned(),
                ..root.origin().clone()
            };
            let message = "missing; expected at least one variant";
            sink.problem_with_hint(&origin, message, hint());
            Vec::new()
        }
    }
}

/// The names of variants, as far as they have one.
fn names<'a>(nodes: &[&'a Node]) -> Vec<&'a str> {
    let name = |node: &&'a Node| node.table()?.get("name")?.text();
    nodes.iter().filter_map(name).collect()
}

/// Reads `[report]`.
fn report(root: &Fields<'_>, variants: &[ReadVariant], sink: &Sink) -> Option<ReportKeys> {
    let report = root.table("report")?;
    let reference = reference(&report, variants, sink);
    let tensorboard = report.or("tensorboard", &Flag, false);
    report.finish();
    Some(ReportKeys {
        reference: reference?,
        tensorboard: tensorboard?,
    })
}

/// Reads the variant that the others are compared with, the first one if none is named.
fn reference(report: &Fields<'_>, variants: &[ReadVariant], sink: &Sink) -> Option<String> {
    let Some(node) = report.node("reference") else {
        let first = variants.first().map(|variant| variant.name.as_str());
        let first = first.unwrap_or_default();
        report.default("reference", first.into(), None);
        return Some(first.to_owned());
    };
    let wanted = Text("the name of a variant").read(node, sink)?;
    let known = || {
        let names = variants.iter().map(|variant| variant.name.as_str());
        names.filter(|name| !name.is_empty())
    };
    if known().any(|name| name == wanted) {
        return Some(wanted);
    }
    // A variant whose name can't be read may be the one.
    if known().count() == variants.len() && !variants.is_empty() {
        // A name that is declared twice is another problem.
        let mut names: Vec<&str> = Vec::new();
        for name in known() {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        let advice = match nearest(&wanted, names.iter().copied()) {
            Some(name) => format!("did you mean `{name}`?"),
            None => format!("expected {}", one_of(names)),
        };
        sink.problem(
            &node.origin,
            format!("no variant is called {wanted:?}; {advice}"),
        );
    }
    None
}

/// Reports an experiment of more trials than anybody can mean.
fn check_amount(
    head: &Head,
    cells: &[Cell],
    variants: &[ReadVariant],
    origin: &Origin,
    sink: &Sink,
) {
    let repeats = u64::from(head.most_repeats().unwrap_or(1));
    let trials = (cells.len() as u64)
        .saturating_mul(variants.len() as u64)
        .saturating_mul(repeats);
    if trials > MOST_TRIALS {
        let message = format!(
            "{trials} trials ({} variants × {} cells × {repeats} repeats), expected at most {MOST_TRIALS}",
            variants.len(),
            cells.len()
        );
        sink.problem(origin, message);
    }
}
