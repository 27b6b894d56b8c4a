//! Reads `exclude` of `[grid]`: the cells that are left out.

use super::{
    fields::Sink,
    grid::{Cell, Grid, value_label},
    rules::{Rule, Text},
    suggest::{nearest, one_of},
    tree::{Entry, Node, Origin, Value, dotted},
};

/// Leaves out the cells that have all of these values.
pub(super) struct Exclusion {
    /// The only variant that it is about, and where that is written.
    pub(super) variant: Option<(String, Origin)>,
    /// Keys of axes with the value that a cell has there.
    pub(super) values: Vec<(String, Node)>,
    origin: Origin,
}

impl Exclusion {
    fn matches(&self, cell: &Cell, grid: &Grid) -> bool {
        self.values.iter().all(|(key, value)| {
            let found = cell.value(grid, key);
            found.is_some_and(|found| found.same(value))
        })
    }

    fn is_about(&self, variant: &str) -> bool {
        let only = self.variant.as_ref();
        only.is_none_or(|(name, _)| name == variant)
    }
}

/// Reads the list. Keys and values that the grid does not have are reported.
pub(super) fn read(node: &Node, grid: &Grid, sink: &Sink) -> Vec<Exclusion> {
    let Some(nodes) = node.list() else {
        let expected = "a list of tables, such as [{ \"train.optimizer.lr\" = 1e-3, \"train.batch_size\" = 32 }]";
        sink.wrong(node, expected);
        return Vec::new();
    };
    let read = |node| read_one(node, grid, sink);
    nodes.iter().filter_map(read).collect()
}

/// Reads an entry; `None` after a problem.
fn read_one(node: &Node, grid: &Grid, sink: &Sink) -> Option<Exclusion> {
    let Some(table) = node.table() else {
        sink.wrong(node, "a table of axes with a value each");
        return None;
    };
    let mut exclusion = Exclusion {
        variant: None,
        values: Vec::new(),
        origin: node.origin.clone(),
    };
    let mut good = true;
    for entry in &table.entries {
        if entry.name == "variant" {
            let name = Text("the name of a variant").read(&entry.node, sink);
            good &= name.is_some();
            exclusion.variant = name.map(|name| (name, entry.node.origin.clone()));
        } else {
            good &= collect(entry, "", grid, &mut exclusion.values, sink);
        }
    }
    if good && exclusion.values.is_empty() {
        let message = "expected at least one axis of the grid with the value that is left out";
        let hint = "a variant that is not to be trained at all is better deleted";
        let hint = exclusion.variant.is_some().then(|| hint.to_owned());
        sink.problem_with_hint(&node.origin, message, hint);
        good = false;
    }
    good.then_some(exclusion)
}

/// Collects the axes that `entry` and the tables in it name. Returns whether all is well with them.
fn collect(
    entry: &Entry,
    prefix: &str,
    grid: &Grid,
    values: &mut Vec<(String, Node)>,
    sink: &Sink,
) -> bool {
    let key = match prefix {
        "" => entry.name.clone(),
        prefix => format!("{prefix}.{}", entry.name),
    };
    let node = &entry.node;
    let known = || grid.axes.iter().map(|axis| axis.key.as_str());
    let Some(axis) = grid.axes.iter().find(|axis| axis.key == key) else {
        let is_part = |known: &str| known.starts_with(&format!("{key}."));
        if let (Value::Table(table), true) = (&node.value, known().any(is_part)) {
            let mut good = true;
            for entry in &table.entries {
                good &= collect(entry, &key, grid, values, sink);
            }
            return good;
        }
        let advice = match nearest(&key, known()) {
            Some(near) => format!("did you mean `{near}`?"),
            None if grid.axes.is_empty() => "the grid has no axes".to_owned(),
            None => format!("expected {}", one_of(known())),
        };
        sink.problem(&node.origin, format!("no axis of the grid; {advice}"));
        return false;
    };
    // What is wrong with an axis is reported there.
    if !axis.values.is_empty() && !axis.values.iter().any(|value| value.same(node)) {
        let labels: Vec<String> = axis.values.iter().map(value_label).collect();
        let message = format!(
            "the axis has no value {}; expected {}",
            value_label(node),
            one_of(labels.iter().map(String::as_str))
        );
        sink.problem(&node.origin, message);
        return false;
    }
    values.push((key, node.clone()));
    true
}

impl Grid {
    /// Whether a variant is left out of a cell.
    pub(super) fn leaves_out(&self, cell: &Cell, variant: &str) -> bool {
        let mut exclusions = self.exclusions.iter();
        exclusions.any(|exclusion| exclusion.is_about(variant) && exclusion.matches(cell, self))
    }

    /// The cells in which any of the `variants` is trained. Exclusions that leave out nothing, or everything, are
    /// reported.
    pub(super) fn cells_of(&self, variants: &[&str], sink: &Sink) -> Vec<Cell> {
        let mut cells = self.cells();
        for exclusion in &self.exclusions {
            self.check_exclusion(exclusion, &cells, variants, sink);
        }
        let Some(first) = self.exclusions.first().filter(|_| !variants.is_empty()) else {
            return cells;
        };
        let all_left_out =
            |variant: &&&str| cells.iter().all(|cell| self.leaves_out(cell, variant));
        let without: Vec<&str> = variants.iter().filter(all_left_out).copied().collect();
        if !without.is_empty() {
            let mut origin = first.origin.clone();
            origin.key = dotted("grid", "exclude");
            let message = if without.len() == variants.len() {
                "every cell of the grid is left out".to_owned()
            } else {
                format!(
                    "variant `{}` is left out of every cell",
                    without.join("`, `")
                )
            };
            sink.problem(&origin, message);
            return cells;
        }
        cells.retain(|cell| variants.iter().any(|name| !self.leaves_out(cell, name)));
        cells
    }

    fn check_exclusion(
        &self,
        exclusion: &Exclusion,
        cells: &[Cell],
        variants: &[&str],
        sink: &Sink,
    ) {
        if let Some((name, origin)) = &exclusion.variant
            && !variants.contains(&name.as_str())
        {
            let known = || variants.iter().copied();
            let advice = match nearest(name, known()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("expected {}", one_of(known())),
            };
            sink.problem(origin, format!("no variant is called {name:?}; {advice}"));
        }
        if !cells.iter().any(|cell| exclusion.matches(cell, self)) {
            let message = "no cell of the grid has all of these values";
            let hint = "axes of one `zip` have their values in pairs";
            sink.problem_with_hint(&exclusion.origin, message, Some(hint.to_owned()));
        }
    }
}
