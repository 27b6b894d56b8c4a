//! The values of an experiment file, each with the place it was written at and its key.

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{problem::Place, train::keys_of_kind};

/// A value and where it comes from.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Node {
    pub(super) value: Value,
    pub(super) origin: Origin,
}

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Origin {
    pub(super) place: Place,
    /// The key with dots, as a person would write it after `--set`.
    pub(super) key: String,
    pub(super) layer: Layer,
}

/// What wrote a value; a later layer overrules an earlier one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layer {
    File,
    Set,
    /// The grid's axis of this index.
    Grid(usize),
}

/// A TOML value.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Text(String),
    Whole(i128),
    Fraction(f64),
    Flag(bool),
    Date(String),
    List(Vec<Node>),
    Table(Table),
}

/// A table in the order of its keys in the file.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Table {
    pub(super) entries: Vec<Entry>,
}

/// A key of a table and its value.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Entry {
    pub(super) name: String,
    /// Where the key was written.
    pub(super) place: Place,
    pub(super) node: Node,
}

impl Table {
    pub(super) fn get(&self, name: &str) -> Option<&Node> {
        let entry = self.entries.iter().find(|entry| entry.name == name)?;
        Some(&entry.node)
    }

    /// The value at a key with several parts.
    pub(super) fn at(&self, path: &[&str]) -> Option<&Node> {
        let (first, rest) = path.split_first()?;
        let node = self.get(first)?;
        if rest.is_empty() {
            return Some(node);
        }
        node.table()?.at(rest)
    }

    /// Puts `node` in the place of what `name` is now.
    pub(super) fn put(&mut self, name: &str, node: Node) {
        match self.entries.iter_mut().find(|entry| entry.name == name) {
            Some(entry) => {
                entry.place.clone_from(&node.origin.place);
                entry.node = node;
            }
            None => self.entries.push(Entry {
                name: name.to_owned(),
                place: node.origin.place.clone(),
                node,
            }),
        }
    }

    /// Puts `node` at a key with several parts, making the tables on the way. Another `kind` than before makes the
    /// keys beside it meaningless: those of earlier layers go, but for those that the new kind of optimizer or schedule
    /// has, too. Weights stay, so that weights of another kind of network are found out instead of silently left out.
    pub(super) fn assign(&mut self, path: &[&str], node: Node) {
        let Some((first, rest)) = path.split_first() else {
            return;
        };
        if rest.is_empty() {
            if *first == "kind" && self.get("kind").is_some_and(|kind| !kind.same(&node)) {
                let layer = node.origin.layer;
                self.entries.retain(|entry| {
                    entry.name == "weights"
                        || entry.node.origin.layer.same_level(layer)
                        || entry.is_kept_by(&node)
                });
            }
            self.put(first, node);
            return;
        }
        if self.get(first).is_none_or(|node| node.table().is_none()) {
            let mut origin = node.origin.clone();
            let below = rest
                .iter()
                .fold(String::new(), |key, part| dotted(&key, part));
            if let Some(key) = origin.key.strip_suffix(&format!(".{below}")) {
                key.to_owned().clone_into(&mut origin.key);
            }
            let table = Node {
                value: Value::Table(Self::default()),
                origin,
            };
            self.put(first, table);
        }
        let entry = self.entries.iter_mut().find(|entry| entry.name == *first);
        if let Some(Value::Table(table)) = entry.map(|entry| &mut entry.node.value) {
            table.assign(rest, node);
        }
    }

    /// This table with the keys of `over` in the place of its own, table by table. Of a table with another `kind` in
    /// `over`, those keys of this one stay that the new kind has, too.
    pub(super) fn merged(&self, over: &Self) -> Self {
        if let (Some(ours), Some(theirs)) = (self.get("kind"), over.get("kind"))
            && !ours.same(theirs)
        {
            let mut merged = over.clone();
            for entry in &self.entries {
                if over.get(&entry.name).is_none() && entry.is_kept_by(theirs) {
                    merged.entries.push(entry.clone());
                }
            }
            return merged;
        }
        let mut merged = self.clone();
        for entry in &over.entries {
            let below = merged.get(&entry.name);
            let both = (below.and_then(Node::table), entry.node.table());
            let node = match (below, both) {
                (Some(below), (Some(ours), Some(theirs))) => Node {
                    value: Value::Table(ours.merged(theirs)),
                    origin: below.origin.clone(),
                },
                _ => entry.node.clone(),
            };
            merged.put(&entry.name, node);
            if let Some(ours) = merged.entries.iter_mut().find(|e| e.name == entry.name)
                && ours.node.table().is_none()
            {
                ours.place.clone_from(&entry.place);
            }
        }
        merged
    }
}

impl Entry {
    /// Whether a key goes for another `kind` as well: a person wrote it, and that kind has it.
    fn is_kept_by(&self, kind: &Node) -> bool {
        let is_default = matches!(self.node.origin.place, Place::File { line: 0, .. });
        let keys = kind.text().and_then(keys_of_kind).unwrap_or_default();
        !is_default && keys.contains(&self.name.as_str())
    }
}

impl Layer {
    fn same_level(self, other: Self) -> bool {
        std::mem::discriminant(&self) == std::mem::discriminant(&other)
    }
}

impl Node {
    pub(super) fn table(&self) -> Option<&Table> {
        match &self.value {
            Value::Table(table) => Some(table),
            _ => None,
        }
    }

    pub(super) fn list(&self) -> Option<&[Self]> {
        match &self.value {
            Value::List(nodes) => Some(nodes),
            _ => None,
        }
    }

    pub(super) fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Whether two values mean the same, wherever they were written; 1 and 1.0 do.
    pub(super) fn same(&self, other: &Self) -> bool {
        match (&self.value, &other.value) {
            (Value::Whole(a), Value::Fraction(b)) | (Value::Fraction(b), Value::Whole(a)) => {
                *a as f64 == *b
            }
            (Value::List(a), Value::List(b)) => {
                a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.same(b))
            }
            (Value::Table(a), Value::Table(b)) => {
                a.entries.len() == b.entries.len()
                    && a.entries
                        .iter()
                        .all(|entry| b.get(&entry.name).is_some_and(|b| entry.node.same(b)))
            }
            (a, b) => a == b,
        }
    }

    /// The value in a few words, for "found …".
    pub(super) fn found(&self) -> String {
        match &self.value {
            Value::Text(text) => format!("{text:?}"),
            Value::Whole(number) => number.to_string(),
            Value::Fraction(number) if number.is_finite() => format!("{number:?}"),
            Value::Fraction(number) if number.is_nan() => "nan".to_owned(),
            Value::Fraction(number) => if *number > 0.0 { "inf" } else { "-inf" }.to_owned(),
            Value::Flag(flag) => flag.to_string(),
            Value::Date(date) => format!("the date {date}"),
            Value::List(nodes) if nodes.len() <= 8 => {
                let found: Vec<String> = nodes.iter().map(Self::found).collect();
                format!("[{}]", found.join(", "))
            }
            Value::List(nodes) => format!("a list of {} values", nodes.len()),
            Value::Table(_) => "a table".to_owned(),
        }
    }

    /// The value as the `toml` crate has it; whole numbers that it can't hold become fractions.
    pub(super) fn to_toml(&self) -> toml::Value {
        match &self.value {
            Value::Text(text) | Value::Date(text) => toml::Value::String(text.clone()),
            Value::Whole(number) => i64::try_from(*number)
                .map_or(toml::Value::Float(*number as f64), toml::Value::Integer),
            Value::Fraction(number) => toml::Value::Float(*number),
            Value::Flag(flag) => toml::Value::Boolean(*flag),
            Value::List(nodes) => toml::Value::Array(nodes.iter().map(Self::to_toml).collect()),
            Value::Table(table) => toml::Value::Table(
                table
                    .entries
                    .iter()
                    .map(|entry| (entry.name.clone(), entry.node.to_toml()))
                    .collect(),
            ),
        }
    }

    /// A value of the `toml` crate that stands at `origin`.
    pub(super) fn from_toml(value: &toml::Value, origin: &Origin) -> Self {
        let node = |value: &toml::Value| Self::from_toml(value, origin);
        let value = match value {
            toml::Value::String(text) => Value::Text(text.clone()),
            toml::Value::Integer(number) => Value::Whole(i128::from(*number)),
            toml::Value::Float(number) => Value::Fraction(*number),
            toml::Value::Boolean(flag) => Value::Flag(*flag),
            toml::Value::Datetime(date) => Value::Date(date.to_string()),
            toml::Value::Array(values) => Value::List(values.iter().map(node).collect()),
            toml::Value::Table(table) => {
                let mut entries = Table::default();
                for (name, value) in table {
                    entries.put(name, node(value));
                }
                Value::Table(entries)
            }
        };
        Self {
            value,
            origin: origin.clone(),
        }
    }
}

/// `name` below `prefix`, with quotes where TOML wants them.
pub(super) fn dotted(prefix: &str, name: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    let name = if !name.is_empty() && name.chars().all(bare) {
        name.to_owned()
    } else {
        format!("{name:?}")
    };
    if prefix.is_empty() {
        name
    } else {
        format!("{prefix}.{name}")
    }
}

/// Turns what the `toml` crate parsed into nodes.
pub(super) struct Reader<'r> {
    /// The place of a range of bytes.
    pub(super) place: &'r dyn Fn(std::ops::Range<usize>) -> Place,
    pub(super) layer: Layer,
}

impl Reader<'_> {
    pub(super) fn table(&self, table: &DeTable<'_>, key: &str) -> Table {
        let mut entries: Vec<_> = table.iter().collect();
        entries.sort_by_key(|(name, _)| name.span().start);
        let entry = |(name, value): (&Spanned<_>, &Spanned<DeValue<'_>>)| {
            let text: &std::borrow::Cow<'_, str> = name.get_ref();
            Entry {
                name: text.to_string(),
                place: (self.place)(name.span()),
                node: self.node(value, &dotted(key, text)),
            }
        };
        Table {
            entries: entries.into_iter().map(entry).collect(),
        }
    }

    pub(super) fn node(&self, spanned: &Spanned<DeValue<'_>>, key: &str) -> Node {
        let value = match spanned.get_ref() {
            DeValue::String(text) => Value::Text(text.to_string()),
            DeValue::Integer(number) => {
                let negative = number.as_str().starts_with('-');
                let limit = if negative { i128::MIN } else { i128::MAX };
                let whole = i128::from_str_radix(number.as_str(), number.radix());
                Value::Whole(whole.unwrap_or(limit))
            }
            DeValue::Float(number) => Value::Fraction(number.as_str().parse().unwrap_or(f64::NAN)),
            DeValue::Boolean(flag) => Value::Flag(*flag),
            DeValue::Datetime(date) => Value::Date(date.to_string()),
            DeValue::Array(values) => {
                let element = |(i, value): (usize, &Spanned<DeValue<'_>>)| {
                    self.node(value, &element_key(key, i, value.get_ref()))
                };
                Value::List(values.iter().enumerate().map(element).collect())
            }
            DeValue::Table(table) => Value::Table(self.table(table, key)),
        };
        Node {
            value,
            origin: Origin {
                place: (self.place)(spanned.span()),
                key: key.to_owned(),
                layer: self.layer,
            },
        }
    }
}

/// The key of a list's element: by number from 1, but variants by name.
fn element_key(list: &str, index: usize, value: &DeValue<'_>) -> String {
    let name = value.as_table().and_then(|table| table.get("name"));
    match name.and_then(|name| name.get_ref().as_str()) {
        Some(name) if list == "variant" => dotted(list, name),
        _ => format!("{list}[{}]", index + 1),
    }
}
