//! Reads `[grid]`: the axes, those that move together, and the cells that they make.

use super::{
    Axis,
    exclude::{self, Exclusion},
    fields::{Scope, Sink},
    tree::{Entry, Layer, Node, Origin, Table, Value},
};

/// Most cells that a grid may have.
const MOST_CELLS: usize = 10_000;

/// Keys of a variant that can't be an axis, and why.
const NO_AXES: [(&str, &str); 2] = [
    ("name", "a grid can't change the name of a variant"),
    (
        "model.kind",
        "a grid can't change the kind of network: declare a [[variant]] for each",
    ),
];

/// The axes of a grid, as written.
#[derive(Default)]
pub(super) struct Grid {
    pub(super) axes: Vec<WrittenAxis>,
    /// Cells that are left out.
    pub(super) exclusions: Vec<Exclusion>,
}

/// One axis, as written.
pub(super) struct WrittenAxis {
    pub(super) key: String,
    pub(super) values: Vec<Node>,
    pub(super) origin: Origin,
    /// Axes of the same group move together: the first values of all of them make one point, and so on.
    pub(super) group: usize,
    /// Whether it stands in `zip`.
    pub(super) zipped: bool,
}

/// One point of the grid.
pub(super) struct Cell {
    pub(super) label: String,
    /// Index of the value on each axis.
    values: Vec<usize>,
}

impl Cell {
    /// The value on an axis.
    pub(super) fn value<'g>(&self, grid: &'g Grid, key: &str) -> Option<&'g Node> {
        let mut axes = grid.axes.iter().zip(&self.values);
        let (axis, value) = axes.find(|(axis, _)| axis.key == key)?;
        axis.values.get(*value)
    }
}

impl Grid {
    /// Reads the axes of `[grid]`, whose keys may be in quotes or nested, and what is left out of it.
    pub(super) fn read(table: &Table, sink: &Sink) -> Self {
        let mut grid = Self::default();
        for entry in &table.entries {
            match entry.name.as_str() {
                "zip" => grid.read_zip(&entry.node, sink),
                "exclude" => {}
                _ => {
                    for axis in collect(std::slice::from_ref(entry), sink) {
                        let group = grid.groups();
                        grid.axes.push(WrittenAxis { group, ..axis });
                    }
                }
            }
        }
        for index in 0..grid.axes.len() {
            grid.check(index, sink);
        }
        for group in 0..grid.groups() {
            grid.check_group(group, sink);
        }
        if let Some(node) = table.get("exclude") {
            grid.exclusions = exclude::read(node, &grid, sink);
        }
        // Without values an axis would leave no cell, but the other axes and the variants are still worth reading.
        grid.axes.retain(|axis| !axis.values.is_empty());
        for (index, axis) in grid.axes.iter_mut().enumerate() {
            for value in &mut axis.values {
                set_layer(value, Layer::Grid(index));
            }
        }
        let cells = (0..grid.groups()).try_fold(1_usize, |cells, group| {
            cells
                .checked_mul(grid.points(group).unwrap_or(1))
                .filter(|cells| *cells <= MOST_CELLS)
        });
        if let (None, Some(axis)) = (cells, grid.axes.first()) {
            let mut origin = axis.origin.clone();
            "grid".clone_into(&mut origin.key);
            sink.problem(
                &origin,
                format!("the grid has more than {MOST_CELLS} cells"),
            );
            grid.axes.clear();
            grid.exclusions.clear();
        }
        grid
    }

    /// Reads `zip`: a list of tables, the axes of each of which move together.
    fn read_zip(&mut self, node: &Node, sink: &Sink) {
        let expected = "a list of tables of axes, such as [{ \"train.batch_size\" = [4, 32], \"train.epochs\" = [20, 40] }]";
        let Some(tables) = node.list() else {
            sink.wrong(node, expected);
            return;
        };
        for node in tables {
            let Some(table) = node.table() else {
                sink.wrong(node, "a table of axes that move together");
                continue;
            };
            if table.entries.is_empty() {
                let message = "the table has no axes; expected some that move together, such as \
                               { \"train.batch_size\" = [4, 32], \"train.epochs\" = [20, 40] }";
                sink.problem(&node.origin, message);
                continue;
            }
            let group = self.groups();
            let axes = collect(&table.entries, sink).into_iter();
            self.axes.extend(axes.map(|axis| WrittenAxis {
                group,
                zipped: true,
                ..axis
            }));
        }
    }

    /// Number of groups; every axis outside of `zip` is one.
    fn groups(&self) -> usize {
        self.axes.last().map_or(0, |axis| axis.group + 1)
    }

    fn group(&self, group: usize) -> impl Iterator<Item = &WrittenAxis> {
        self.axes.iter().filter(move |axis| axis.group == group)
    }

    /// Number of points of a group; none if it has no axis.
    fn points(&self, group: usize) -> Option<usize> {
        self.group(group).map(|axis| axis.values.len()).min()
    }

    /// Reports what is wrong with the axes of a group beside each other.
    fn check_group(&self, group: usize, sink: &Sink) {
        let axes: Vec<&WrittenAxis> = self.group(group).collect();
        let Some((first, others)) = axes.split_first() else {
            return;
        };
        for axis in others {
            if axis.values.len() != first.values.len() && !axis.values.is_empty() {
                let message = format!(
                    "axes that move together need equally many values: `{}` has {} and `{}` has {}",
                    first.key,
                    first.values.len(),
                    axis.key,
                    axis.values.len()
                );
                sink.problem(&axis.origin, message);
            }
        }
        for point in 0..self.points(group).unwrap_or(0) {
            let same = |other: &usize| {
                axes.iter()
                    .all(|axis| axis.values[point].same(&axis.values[*other]))
            };
            if (0..point).any(|other| same(&other)) {
                let value = &first.values[point];
                let message = if others.is_empty() {
                    format!("the value {} is there twice", value_label(value))
                } else {
                    let values = axes.iter().map(|axis| value_label(&axis.values[point]));
                    let values: Vec<String> = values.collect();
                    format!("the values {} are there twice", values.join(", "))
                };
                sink.problem(&value.origin, message);
            }
        }
    }

    /// Reports what is wrong with an axis by itself and beside those before it.
    fn check(&self, index: usize, sink: &Sink) {
        let axis = &self.axes[index];
        if axis.values.is_empty() {
            let message = "the axis has no values; expected at least one";
            let hint = "leave the axis out, or give it values such as [1e-4, 1e-3]";
            sink.problem_with_hint(&axis.origin, message, Some(hint.to_owned()));
        }
        if let Some((_, reason)) = NO_AXES.iter().find(|(key, _)| *key == axis.key) {
            sink.problem(&axis.origin, *reason);
        }
        let covers = |outer: &str, inner: &str| {
            let rest = inner.strip_prefix(outer);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        for other in &self.axes[..index] {
            if covers(&other.key, &axis.key) || covers(&axis.key, &other.key) {
                let message = format!("the axis `{}` sets the same key", other.key);
                sink.problem(&axis.origin, message);
            }
        }
    }

    /// All cells, also those that are left out, first axis slowest; one called `base` without axes.
    pub(super) fn cells(&self) -> Vec<Cell> {
        let mut points = vec![Vec::new()];
        for group in 0..self.groups() {
            let Some(values) = self.points(group) else {
                continue;
            };
            let axes = self.group(group).count();
            points = points
                .iter()
                .flat_map(|point: &Vec<usize>| {
                    (0..values).map(move |value| {
                        let mut point = point.clone();
                        point.extend(std::iter::repeat_n(value, axes));
                        point
                    })
                })
                .collect();
        }
        let names = short_names(self.axes.iter().map(|axis| axis.key.as_str()));
        let label = |values: &[usize]| {
            let parts = names.iter().zip(&self.axes).zip(values);
            let parts = parts.map(|((name, axis), &value)| {
                format!("{name}={}", value_label(&axis.values[value]))
            });
            let label = parts.collect::<Vec<_>>().join(",");
            if label.is_empty() {
                "base".to_owned()
            } else {
                label
            }
        };
        points
            .into_iter()
            .map(|values| Cell {
                label: label(&values),
                values,
            })
            .collect()
    }

    /// Puts the values of a cell into a variant.
    pub(super) fn apply(&self, cell: &Cell, variant: &mut Table) {
        for (axis, &value) in self.axes.iter().zip(&cell.values) {
            let path: Vec<&str> = axis.key.split('.').collect();
            variant.assign(&path, axis.values[value].clone());
        }
    }

    /// Whether an axis sets the key at `path` or a table around it.
    pub(super) fn sets(&self, path: &str) -> bool {
        self.axes.iter().any(|axis| {
            let rest = path.strip_prefix(axis.key.as_str());
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        })
    }

    /// Whether there is an axis of this very key.
    pub(super) fn has_axis(&self, key: &str) -> bool {
        self.axes.iter().any(|axis| axis.key == key)
    }

    /// Reports the axes that some variants have no such key for. `unknown` are pairs of an axis and a variant.
    pub(super) fn report_unknown(&self, unknown: &[(usize, String)], sink: &Sink) {
        for (index, axis) in self.axes.iter().enumerate() {
            let variants = unknown.iter().filter(|(axis, _)| *axis == index);
            if NO_AXES.iter().any(|(key, _)| *key == axis.key) {
                continue;
            }
            if sink.is_known(Scope::Variant, &axis.key) {
                for (_, variant) in variants {
                    let message = format!("variant `{variant}` has no `{}`", axis.key);
                    let hint = "an axis multiplies every variant, so all of them need its key";
                    sink.problem_with_hint(&axis.origin, message, Some(hint.to_owned()));
                }
            } else if variants.count() > 0 {
                let advice = match sink.nearest_path(Scope::Variant, &axis.key) {
                    Some(path) => format!("did you mean `{path}`?"),
                    None => {
                        "expected a key that a variant can override, such as `train.optimizer.lr`"
                            .to_owned()
                    }
                };
                sink.problem(&axis.origin, format!("unknown key; {advice}"));
            }
        }
    }

    /// The axes as data.
    pub(super) fn to_axes(&self) -> Vec<Axis> {
        let axis = |axis: &WrittenAxis| Axis {
            key: axis.key.clone(),
            values: axis.values.iter().map(Node::to_toml).collect(),
            group: axis.group,
        };
        self.axes.iter().map(axis).collect()
    }
}

/// The axes among the entries of a table and of the tables in it.
fn collect(entries: &[Entry], sink: &Sink) -> Vec<WrittenAxis> {
    let mut axes = Vec::new();
    collect_below(entries, "", &mut axes, sink);
    axes
}

fn collect_below(entries: &[Entry], prefix: &str, axes: &mut Vec<WrittenAxis>, sink: &Sink) {
    for entry in entries {
        let key = if prefix.is_empty() {
            entry.name.clone()
        } else {
            format!("{prefix}.{}", entry.name)
        };
        match &entry.node.value {
            Value::Table(table) => collect_below(&table.entries, &key, axes, sink),
            Value::List(values) => axes.push(WrittenAxis {
                key,
                values: values.clone(),
                origin: entry.node.origin.clone(),
                group: 0,
                zipped: false,
            }),
            _ => sink.wrong(&entry.node, "a list of values, such as [1e-4, 1e-3]"),
        }
    }
}

fn set_layer(node: &mut Node, layer: Layer) {
    node.origin.layer = layer;
    match &mut node.value {
        Value::List(nodes) => nodes.iter_mut().for_each(|node| set_layer(node, layer)),
        Value::Table(table) => {
            for entry in &mut table.entries {
                set_layer(&mut entry.node, layer);
            }
        }
        _ => {}
    }
}

/// The last part of each key, with as many parts before it as it takes to tell the keys apart.
fn short_names<'k>(keys: impl Iterator<Item = &'k str>) -> Vec<String> {
    let keys: Vec<Vec<&str>> = keys.map(|key| key.split('.').collect()).collect();
    let end = |key: &[&str], parts: usize| key[key.len().saturating_sub(parts)..].join(".");
    let short = |(i, key): (usize, &Vec<&str>)| {
        let alone = |parts: &usize| {
            let others = keys.iter().enumerate().filter(|(j, _)| *j != i);
            others
                .into_iter()
                .all(|(_, other)| end(other, *parts) != end(key, *parts))
        };
        let parts = (1..=key.len()).find(alone).unwrap_or(key.len());
        end(key, parts)
    };
    keys.iter().enumerate().map(short).collect()
}

/// A value in a label: `0.001`, `8`, `[4 8]`.
pub(super) fn value_label(node: &Node) -> String {
    match &node.value {
        Value::Text(text) => text.clone(),
        Value::Fraction(number) if (1e-6..1e9).contains(&number.abs()) || *number == 0.0 => {
            number.to_string()
        }
        Value::Fraction(number) => format!("{number:e}"),
        Value::List(nodes) => {
            let labels: Vec<String> = nodes.iter().map(value_label).collect();
            format!("[{}]", labels.join(" "))
        }
        Value::Table(table) => {
            let label = |entry: &Entry| format!("{}={}", entry.name, value_label(&entry.node));
            let labels: Vec<String> = table.entries.iter().map(label).collect();
            format!("{{{}}}", labels.join(" "))
        }
        _ => node.found(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_axes_are_short_and_different() {
        let names = |keys: &[&str]| short_names(keys.iter().copied());
        assert_eq!(
            names(&["train.optimizer.lr", "train.batch_size"]),
            ["lr", "batch_size"]
        );
        assert_eq!(
            names(&["train.optimizer.lr", "model.head.lr", "head_lr"]),
            ["optimizer.lr", "head.lr", "head_lr"]
        );
        assert_eq!(names(&["lr", "train.lr"]), ["lr", "train.lr"]);
    }
}
