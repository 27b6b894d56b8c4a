//! Writes an experiment as a file.

use std::fmt::Write;

use super::{
    exclude::Exclusion,
    grid::{Grid, WrittenAxis},
    tree::{Entry, Node, Table, Value, dotted},
};

/// The tables of the file in their usual order.
const SECTIONS: [&str; 5] = ["data", "train", "variant", "grid", "report"];

/// The file of a tree whose defaults are filled in.
pub(super) fn write(root: &Table, grid: &Grid) -> String {
    let mut text = String::new();
    let place = |entry: &Entry| SECTIONS.iter().position(|name| *name == entry.name);
    write_values(
        root.entries.iter().filter(|e| place(e).is_none()),
        &mut text,
    );
    for name in SECTIONS {
        match (name, root.get(name).map(|node| &node.value)) {
            ("grid", _) => write_grid(grid, &mut text),
            ("variant", Some(Value::List(variants))) => {
                for variant in variants.iter().filter_map(Node::table) {
                    text.push_str("\n[[variant]]\n");
                    write_table(variant, "variant", &mut text);
                }
            }
            (_, Some(Value::Table(table))) => write_section(table, name, &mut text),
            _ => {}
        }
    }
    text
}

fn write_grid(grid: &Grid, text: &mut String) {
    if grid.axes.is_empty() {
        return;
    }
    text.push_str("\n[grid]\n");
    let axis = |axis: &WrittenAxis| {
        let values: Vec<String> = axis.values.iter().map(value).collect();
        format!("{} = [{}]", dotted("", &axis.key), values.join(", "))
    };
    // The axes of `zip` stand together, as they were written.
    let mut axes = grid.axes.as_slice();
    while let Some((first, rest)) = axes.split_first() {
        if !first.zipped {
            let _ = writeln!(text, "{}", axis(first));
            axes = rest;
            continue;
        }
        let zipped = axes.iter().take_while(|axis| axis.zipped).count();
        let groups = axes[..zipped].chunk_by(|a, b| a.group == b.group);
        let tables: Vec<String> = groups
            .map(|group| {
                let axes: Vec<String> = group.iter().map(axis).collect();
                format!("{{ {} }}", axes.join(", "))
            })
            .collect();
        let _ = writeln!(text, "zip = [{}]", tables.join(", "));
        axes = &axes[zipped..];
    }
    if !grid.exclusions.is_empty() {
        let tables: Vec<String> = grid.exclusions.iter().map(exclusion).collect();
        let _ = writeln!(text, "exclude = [{}]", tables.join(", "));
    }
}

fn exclusion(exclusion: &Exclusion) -> String {
    let mut entries: Vec<String> = exclusion
        .values
        .iter()
        .map(|(key, node)| format!("{} = {}", dotted("", key), value(node)))
        .collect();
    if let Some((name, _)) = &exclusion.variant {
        entries.push(format!("variant = {}", toml::Value::from(name.as_str())));
    }
    format!("{{ {} }}", entries.join(", "))
}

/// A table under its own header, unless all it holds is other tables.
fn write_section(table: &Table, header: &str, text: &mut String) {
    if table.entries.is_empty() || !table.entries.iter().all(|e| is_section(e, header)) {
        let _ = writeln!(text, "\n[{header}]");
    }
    write_table(table, header, text);
}

fn write_table(table: &Table, header: &str, text: &mut String) {
    let (sections, values): (Vec<&Entry>, Vec<&Entry>) = table
        .entries
        .iter()
        .partition(|entry| is_section(entry, header));
    write_values(values.into_iter(), text);
    for entry in sections {
        if let Some(table) = entry.node.table() {
            write_section(table, &dotted(header, &entry.name), text);
        }
    }
}

/// Whether a table has a header of its own; the others stand in one line.
fn is_section(entry: &Entry, header: &str) -> bool {
    let wanted = matches!(
        (header, entry.name.as_str()),
        ("data" | "variant.data", "transform") | ("variant", "train" | "data")
    );
    wanted && entry.node.table().is_some()
}

fn write_values<'e>(entries: impl Iterator<Item = &'e Entry>, text: &mut String) {
    for entry in entries {
        let _ = writeln!(text, "{} = {}", dotted("", &entry.name), value(&entry.node));
    }
}

/// A value in one line.
fn value(node: &Node) -> String {
    match &node.value {
        Value::Fraction(number) => format!("{number:?}"),
        Value::Whole(number) => number.to_string(),
        Value::List(nodes) => {
            let values: Vec<String> = nodes.iter().map(value).collect();
            format!("[{}]", values.join(", "))
        }
        Value::Table(table) if table.entries.is_empty() => "{}".to_owned(),
        Value::Table(table) => {
            let entry =
                |entry: &Entry| format!("{} = {}", dotted("", &entry.name), value(&entry.node));
            let entries: Vec<String> = table.entries.iter().map(entry).collect();
            format!("{{ {} }}", entries.join(", "))
        }
        Value::Text(_) | Value::Flag(_) | Value::Date(_) => node.to_toml().to_string(),
    }
}
