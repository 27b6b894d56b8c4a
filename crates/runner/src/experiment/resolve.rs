//! From the file as written to the experiment that it means.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use graft_data::SourceSpec;

use super::{
    Experiment, Variant, data, document,
    fields::{Default, Fields, Scope, Silence, Sink},
    grid::{Cell, Grid},
    parents::{self, Chain},
    problem::{Problem, Problems},
    raw::RawExperiment,
    rules::{Name, Rule, Text, Whole},
    suggest::{nearest, one_of},
    train,
    tree::{Node, Origin, Table, Value},
    variants::{Context, ReadVariant, fill, references},
};

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
    repeats: Option<u32>,
    seed: Option<u64>,
    source: Option<SourceSpec>,
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
    fill(&mut filled, defaults, &origin, overrides);
    let defaults = base_defaults(&raw.root, &origin, source, &sink);
    fill(&mut filled, defaults, &origin, overrides);

    let cells = grid.cells();
    let context = Context {
        file: &origin,
        source,
        grid: &grid,
        cells: &cells,
        sink: &sink,
    };
    let variants = context.read(&mut filled, &nodes);
    let reference = reference(&root, &variants, &mut filled, &sink);
    root.finish();
    check_amount(&head, &cells, &variants, &origin, &sink);
    let parents = parents::find(raw, &chain, &references(&variants), head.repeats, &sink);

    let experiment = head.into_experiment(&grid, cells, variants, reference, parents.experiments);
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
    /// Puts everything together, all but the document, if nothing is missing.
    fn into_experiment(
        self,
        grid: &Grid,
        cells: Vec<Cell>,
        variants: Vec<ReadVariant>,
        reference: Option<String>,
        parents: BTreeMap<String, Arc<Experiment>>,
    ) -> Option<Experiment> {
        let variants: Option<Vec<Variant>> = variants
            .into_iter()
            .map(ReadVariant::into_variant)
            .collect();
        Some(Experiment {
            name: self.name?,
            repeats: self.repeats?,
            seed: self.seed?,
            source: self.source?,
            grid: grid.to_axes(),
            cells: cells.into_iter().map(|cell| cell.label).collect(),
            variants: variants?,
            reference: reference?,
            parents,
            document: String::new(),
        })
    }
}

/// Reads the keys at the top of the file, and `[data]`.
fn head(root: &Fields<'_>) -> Head {
    Head {
        name: root.required("name", &Name),
        repeats: root.or("repeats", &Whole(1, 10_000), 1).map(|n| n as u32),
        seed: root.or("seed", &Whole(0, i64::MAX), 0),
        source: root.required_table("data").and_then(data::source),
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
            root.table("train").and_then(train::recipe);
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

/// Reads `[report]`: the variant that the others are compared with, the first one if none is named.
fn reference(
    root: &Fields<'_>,
    variants: &[ReadVariant],
    filled: &mut Table,
    sink: &Sink,
) -> Option<String> {
    let first = variants
        .first()
        .map(|variant| variant.name.as_str())
        .unwrap_or_default();
    let report = root.table("report")?;
    let Some(node) = report.node("reference") else {
        report.finish();
        let path = "report.reference".to_owned();
        let default = Default {
            path,
            value: first.into(),
            follows: None,
        };
        fill(filled, vec![default], root.origin(), |_| false);
        return Some(first.to_owned());
    };
    report.finish();
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
        let advice = match nearest(&wanted, known()) {
            Some(name) => format!("did you mean `{name}`?"),
            None => format!("expected {}", one_of(known())),
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
    let repeats = u64::from(head.repeats.unwrap_or(1));
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
