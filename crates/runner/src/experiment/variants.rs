//! Reads all variants in every cell of the grid.

use graft_data::SourceSpec;
use graft_model::WeightsSpec;

use super::{
    Settings, Variant,
    fields::{Default, Fields, Scope, Silence, Sink},
    grid::{Cell, Grid},
    parents::Reference,
    problem::{Place, Problem},
    rules::Name,
    tree::{Node, Origin, Table, Value},
    variant,
};

/// A variant as far as it can be read.
pub(super) struct ReadVariant {
    pub(super) name: String,
    /// Where the name is written.
    origin: Origin,
    settings: Vec<Option<Settings>>,
    /// The cells that it is trained in, by number.
    cells: Vec<usize>,
    /// Where the weights are written in each cell.
    weights: Vec<Option<Origin>>,
}

impl ReadVariant {
    /// The variant, if it could be read in every cell.
    pub(super) fn into_variant(self) -> Option<Variant> {
        let settings: Option<Vec<Settings>> = self.settings.into_iter().collect();
        Some(Variant {
            name: self.name,
            settings: settings?,
            cells: self.cells,
        })
    }
}

/// What variants are read with.
pub(super) struct Context<'a> {
    /// The file as a whole.
    pub(super) file: &'a Origin,
    pub(super) source: Option<&'a SourceSpec>,
    pub(super) grid: &'a Grid,
    pub(super) cells: &'a [Cell],
    pub(super) sink: &'a Sink,
}

impl Context<'_> {
    /// Reads the variants of the file `filled`, and fills their defaults in there. `nodes` are the variants.
    pub(super) fn read(&self, filled: &mut Table, nodes: &[&Node]) -> Vec<ReadVariant> {
        let mut variants = Vec::new();
        let mut unknown_axes = Vec::new();
        for (index, node) in nodes.iter().enumerate() {
            if let Some(variant) = self.read_one(filled, index, node) {
                let unknown = self.sink.take_unknown_axes().into_iter();
                unknown_axes.extend(unknown.map(|axis| (axis, variant.name.clone())));
                variants.push(variant);
            }
        }
        self.grid.report_unknown(&unknown_axes, self.sink);
        check_names(&variants, self.sink);
        variants
    }

    fn read_one(&self, filled: &mut Table, index: usize, node: &Node) -> Option<ReadVariant> {
        let Some(written) = node.table() else {
            self.sink.wrong(node, "a table");
            return None;
        };
        let fields = Fields::new(written, &node.origin, Scope::Variant, self.sink);
        let name = fields.required("name", &Name);
        let read = |table: &Table| variant::settings(table, &node.origin, self.source, self.sink);
        // Once without the grid, for the defaults.
        let merged = variant::merged(filled, self.file, written);
        let (_, defaults) = self.sink.probe(Silence::All, || read(&merged));
        let own = variant_table(filled, index)?;
        fill(own, defaults, &node.origin, self.grid, |path| {
            self.grid.sets(path)
        });
        let own = own.clone();
        let merged = variant::merged(filled, self.file, &own);
        let mut settings = Vec::new();
        let mut weights = Vec::new();
        let mut cells = Vec::new();
        for (index, cell) in self.cells.iter().enumerate() {
            if (self.grid).leaves_out(cell, name.as_deref().unwrap_or_default()) {
                continue;
            }
            cells.push(index);
            let mut table = merged.clone();
            self.grid.apply(cell, &mut table);
            settings.push(read(&table));
            let node = table.at(&["model", "weights"]);
            weights.push(node.map(|node| node.origin.clone()));
        }
        let origin = written
            .get("name")
            .map_or(&node.origin, |name| &name.origin);
        Some(ReadVariant {
            name: name.unwrap_or_default(),
            origin: origin.clone(),
            settings,
            cells,
            weights,
        })
    }
}

/// The table of the variant at `index`.
fn variant_table(file: &mut Table, index: usize) -> Option<&mut Table> {
    let entry = file
        .entries
        .iter_mut()
        .find(|entry| entry.name == "variant")?;
    let Value::List(nodes) = &mut entry.node.value else {
        return None;
    };
    match &mut nodes.get_mut(index)?.value {
        Value::Table(table) => Some(table),
        _ => None,
    }
}

/// Writes defaults into a table. One that follows another key is not written if something `overrides` that key; nor is one
/// beside a `kind` that `grid` changes, for another kind may have another default.
pub(super) fn fill(
    table: &mut Table,
    defaults: Vec<Default>,
    origin: &Origin,
    grid: &Grid,
    overrides: impl Fn(&str) -> bool,
) {
    for default in defaults {
        let beside = default.path.rsplit_once('.');
        if beside.is_some_and(|(table, _)| grid.has_axis(&format!("{table}.kind"))) {
            continue;
        }
        let path: Vec<&str> = default.path.split('.').collect();
        if table.at(&path).is_some() || default.follows.is_some_and(&overrides) {
            continue;
        }
        let origin = Origin {
            key: default.path.clone(),
            ..origin.clone()
        };
        table.assign(&path, Node::from_toml(&default.value, &origin));
    }
}

/// Reports variants of the same name.
fn check_names(variants: &[ReadVariant], sink: &Sink) {
    for (index, variant) in variants.iter().enumerate() {
        let same = |other: &&ReadVariant| other.name == variant.name && !other.name.is_empty();
        if let Some(first) = variants[..index].iter().find(same) {
            let first = match &first.origin.place {
                Place::File { line, .. } => format!("line {line}"),
                set @ Place::Set { .. } => format!("the command line by {set}"),
            };
            sink.push(Problem {
                place: variant.origin.place.clone(),
                key: String::new(),
                message: format!(
                    "variant {:?} is declared twice (first on {first})",
                    variant.name
                ),
                hint: None,
            });
        }
    }
}

/// The `trial:` weights of all variants and cells.
pub(super) fn references(variants: &[ReadVariant]) -> Vec<Reference<'_>> {
    let trials = variants
        .iter()
        .flat_map(|variant| variant.settings.iter().zip(&variant.weights));
    trials
        .filter_map(|(settings, origin)| {
            let settings = settings.as_ref()?;
            let Some(WeightsSpec::Trial {
                experiment,
                variant,
            }) = &settings.weights
            else {
                return None;
            };
            Some(Reference {
                experiment,
                variant,
                origin: origin.clone()?,
                child: settings,
            })
        })
        .collect()
}
