//! Reads a table key by key and collects everything that is wrong with it.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeSet,
};

use super::{
    problem::{Place, Problem},
    rules::Rule,
    suggest::{nearest, one_of},
    tree::{Layer, Node, Origin, Table, Value, dotted},
};

/// Collects problems, and the keys that were asked for.
#[derive(Default)]
pub(super) struct Sink {
    problems: RefCell<Vec<Problem>>,
    unknown: RefCell<Vec<Unknown>>,
    asked: RefCell<BTreeSet<(Scope, String)>>,
    defaults: RefCell<Vec<Default>>,
    silence: Cell<Silence>,
}

/// Which problems are not collected at the moment.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Silence {
    #[default]
    None,
    /// Missing keys: another layer may have them.
    Missing,
    /// All of them: they will be found again.
    All,
}

/// Which keys are meant by a path: those of the file or those of a variant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Scope {
    File,
    Variant,
}

/// A default that was used because nothing was written.
pub(super) struct Default {
    /// The key's path in its scope.
    pub(super) path: String,
    pub(super) value: toml::Value,
    /// The key that the default follows, if it depends on one.
    pub(super) follows: Option<&'static str>,
}

/// A key that nobody asked for.
struct Unknown {
    origin: Origin,
    /// Where the key, not its value, was written.
    place: Place,
    name: String,
    /// The table's key.
    table: String,
    scope: Scope,
    siblings: Vec<String>,
}

impl Sink {
    pub(super) fn problem(&self, origin: &Origin, message: impl Into<String>) {
        self.problem_with_hint(origin, message, None);
    }

    pub(super) fn problem_with_hint(
        &self,
        origin: &Origin,
        message: impl Into<String>,
        hint: Option<String>,
    ) {
        self.push(Problem {
            place: origin.place.clone(),
            key: origin.key.clone(),
            message: message.into(),
            hint,
        });
    }

    pub(super) fn push(&self, problem: Problem) {
        if self.silence.get() != Silence::All {
            self.problems.borrow_mut().push(problem);
        }
    }

    /// Keys that do not go together. Nothing is said as long as another layer may have one of them.
    pub(super) fn together(&self, origin: &Origin, message: &str, hint: &str) {
        if self.silence.get() == Silence::None {
            self.problem_with_hint(origin, message, Some(hint.to_owned()));
        }
    }

    /// The value is not what was expected.
    pub(super) fn wrong(&self, node: &Node, expected: &str) {
        let message = format!("expected {expected}, found {}", node.found());
        self.problem(&node.origin, message);
    }

    /// Runs `read` without collecting the problems of `silence`; its defaults are returned.
    pub(super) fn probe<T>(&self, silence: Silence, read: impl FnOnce() -> T) -> (T, Vec<Default>) {
        self.defaults.borrow_mut().clear();
        let before = self.silence.replace(silence);
        let result = read();
        self.silence.set(before);
        (result, self.defaults.take())
    }

    /// Whether any reader asked for the key at `path`.
    pub(super) fn is_known(&self, scope: Scope, path: &str) -> bool {
        self.asked.borrow().contains(&(scope, path.to_owned()))
    }

    /// The known path that ends with the same name as `path`, or else with one that is spelled almost like it.
    pub(super) fn nearest_path(&self, scope: Scope, path: &str) -> Option<String> {
        let last = |path: &str| path.rsplit('.').next().unwrap_or_default().to_owned();
        let asked = self.asked.borrow();
        let known = asked.iter().filter(|(other, _)| *other == scope);
        let mut known: Vec<(String, &str)> =
            known.map(|(_, path)| (last(path), path.as_str())).collect();
        known.sort_by_key(|(_, path)| (path.len(), *path));
        let wanted = last(path);
        let near = nearest(&wanted, known.iter().map(|(name, _)| name.as_str()));
        let name = if known.iter().any(|(name, _)| *name == wanted) {
            wanted.as_str()
        } else {
            near?
        };
        let found = known.iter().find(|(other, _)| other == name);
        found.map(|(_, path)| (*path).to_owned())
    }

    /// Takes the axes of the grid whose key nobody asked for out of the unknown keys.
    pub(super) fn take_unknown_axes(&self) -> BTreeSet<usize> {
        let mut axes = BTreeSet::new();
        self.unknown.borrow_mut().retain(|unknown| {
            let Layer::Grid(axis) = unknown.origin.layer else {
                return true;
            };
            axes.insert(axis);
            false
        });
        axes
    }

    /// All problems, after the unknown keys have got their suggestions.
    pub(super) fn finish(self) -> Vec<Problem> {
        let mut told = BTreeSet::new();
        for unknown in self.unknown.take() {
            // A key of the file is found again in every variant that it applies to.
            if told.insert((unknown.place.clone(), unknown.origin.key.clone())) {
                let message = format!("unknown key; {}", self.advice(&unknown));
                self.push(Problem {
                    place: unknown.place,
                    key: unknown.origin.key,
                    message,
                    hint: None,
                });
            }
        }
        self.problems.into_inner()
    }

    /// What to write instead of an unknown key.
    fn advice(&self, unknown: &Unknown) -> String {
        let siblings = || unknown.siblings.iter().map(String::as_str);
        let meant = |key: &str| format!("did you mean `{key}`?");
        let on_command_line = matches!(unknown.place, Place::Set { .. });
        // The key of the table as written ends with its path in the scope.
        let written = unknown.origin.key.as_str();
        if let Some(sibling) = nearest(&unknown.name, siblings()) {
            let parent = written.strip_suffix(&dotted("", &unknown.name));
            let parent = parent.filter(|_| on_command_line).unwrap_or("");
            return meant(&format!("{parent}{sibling}"));
        }
        let path = dotted(&unknown.table, &unknown.name);
        let start = written.strip_suffix(&path).unwrap_or("");
        // In another table only a key of the same name can be meant.
        let same = |scope| {
            let near = self.nearest_path(scope, &path)?;
            (near.rsplit('.').next() == Some(&*unknown.name)).then_some(near)
        };
        if let Some(path) = same(unknown.scope) {
            return meant(&format!("{start}{path}"));
        }
        if unknown.scope == Scope::File
            && let Some(path) = same(Scope::Variant)
        {
            return format!("did you mean `{path}` of a [[variant]]?");
        }
        format!("expected {}", one_of(siblings()))
    }
}

/// A table that is being read.
pub(super) struct Fields<'a> {
    table: &'a Table,
    origin: &'a Origin,
    scope: Scope,
    /// The table's key as a person would write it.
    key: String,
    /// The table's path in its scope.
    path: String,
    asked: RefCell<Vec<String>>,
    sink: &'a Sink,
}

impl<'a> Fields<'a> {
    pub(super) fn new(table: &'a Table, origin: &'a Origin, scope: Scope, sink: &'a Sink) -> Self {
        Self {
            table,
            origin,
            scope,
            key: origin.key.clone(),
            path: String::new(),
            asked: RefCell::default(),
            sink,
        }
    }

    pub(super) fn sink(&self) -> &'a Sink {
        self.sink
    }

    pub(super) fn scope(&self) -> Scope {
        self.scope
    }

    pub(super) fn origin(&self) -> &'a Origin {
        self.origin
    }

    /// The value of `key` as written. The key counts as known from now on.
    pub(super) fn node(&self, key: &str) -> Option<&'a Node> {
        let mut asked = self.asked.borrow_mut();
        if !asked.iter().any(|other| other == key) {
            asked.push(key.to_owned());
        }
        let path = dotted(&self.path, key);
        self.sink.asked.borrow_mut().insert((self.scope, path));
        self.table.get(key)
    }

    /// The value of a key that may be left out.
    pub(super) fn optional<R: Rule>(&self, key: &str, rule: &R) -> Option<R::Value> {
        rule.read(self.node(key)?, self.sink)
    }

    /// As [`Self::optional`], with no value at all, not that of a key that is not there, for one that can't be read.
    #[expect(
        clippy::option_option,
        reason = "a key that is not there is not the same as one that can't be read"
    )]
    pub(super) fn optional_known<R: Rule>(&self, key: &str, rule: &R) -> Option<Option<R::Value>> {
        match self.node(key) {
            None => Some(None),
            Some(node) => rule.read(node, self.sink).map(Some),
        }
    }

    /// The value of a key that must be there.
    pub(super) fn required<R: Rule>(&self, key: &str, rule: &R) -> Option<R::Value> {
        let node = self.node(key);
        if node.is_none() {
            self.missing(key, &rule.expected());
        }
        rule.read(node?, self.sink)
    }

    /// The value of `key`, or `default` as it would be written.
    pub(super) fn or<R: Rule>(
        &self,
        key: &str,
        rule: &R,
        default: impl Into<toml::Value>,
    ) -> Option<R::Value> {
        self.or_following(key, rule, default, None)
    }

    /// As [`Self::or`], with a default that depends on the key at the path `follows`.
    pub(super) fn or_following<R: Rule>(
        &self,
        key: &str,
        rule: &R,
        default: impl Into<toml::Value>,
        follows: Option<&'static str>,
    ) -> Option<R::Value> {
        if let Some(node) = self.node(key) {
            return rule.read(node, self.sink);
        }
        let value = default.into();
        let node = Node::from_toml(&value, self.origin);
        self.default(key, value, follows);
        rule.read(&node, self.sink)
    }

    /// Notes that `key` is not written and what it is then.
    pub(super) fn default(&self, key: &str, value: toml::Value, follows: Option<&'static str>) {
        let path = dotted(&self.path, key);
        self.sink.defaults.borrow_mut().push(Default {
            path,
            value,
            follows,
        });
    }

    /// A table that may be left out; empty then.
    pub(super) fn table(&self, key: &str) -> Option<Fields<'a>> {
        static EMPTY: Table = Table {
            entries: Vec::new(),
        };
        match self.node(key) {
            None => Some(self.below(key, &EMPTY, self.origin, dotted(&self.key, key))),
            Some(node) => self.child(key, node),
        }
    }

    /// A table that must be there.
    pub(super) fn required_table(&self, key: &str) -> Option<Fields<'a>> {
        let node = self.node(key);
        if node.is_none() {
            self.missing(key, "a table");
        }
        self.child(key, node?)
    }

    fn child(&self, key: &str, node: &'a Node) -> Option<Fields<'a>> {
        if let Value::Table(table) = &node.value {
            return Some(self.below(key, table, &node.origin, node.origin.key.clone()));
        }
        self.sink.wrong(node, "a table");
        None
    }

    fn below(&self, name: &str, table: &'a Table, origin: &'a Origin, key: String) -> Fields<'a> {
        Fields {
            table,
            origin,
            scope: self.scope,
            key,
            path: dotted(&self.path, name),
            asked: RefCell::default(),
            sink: self.sink,
        }
    }

    fn missing(&self, key: &str, expected: &str) {
        if self.sink.silence.get() != Silence::None {
            return;
        }
        self.sink.push(Problem {
            place: self.origin.place.clone(),
            key: dotted(&self.key, key),
            message: format!("missing; expected {expected}"),
            hint: None,
        });
    }

    /// Every key that nobody asked for is a problem.
    pub(super) fn finish(self) {
        if self.sink.silence.get() == Silence::All {
            return;
        }
        let asked = self.asked.into_inner();
        for entry in &self.table.entries {
            if !asked.contains(&entry.name) {
                self.sink.unknown.borrow_mut().push(Unknown {
                    origin: entry.node.origin.clone(),
                    place: entry.place.clone(),
                    name: entry.name.clone(),
                    table: self.path.clone(),
                    scope: self.scope,
                    siblings: asked.clone(),
                });
            }
        }
    }
}
