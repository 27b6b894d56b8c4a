//! What a value may be.

use std::{fmt::Display, str::FromStr};

use super::{
    fields::Sink,
    suggest::{nearest, one_of},
    tree::{Node, Value},
};

/// What a value may be, and what it is then.
pub(super) trait Rule {
    /// What a good value becomes.
    type Value;
    /// In words, after "expected".
    fn expected(&self) -> String;
    /// The value, or a problem for each thing that is wrong with it.
    fn read(&self, node: &Node, sink: &Sink) -> Option<Self::Value>;
}

/// A whole number from `.0` to `.1`.
pub(super) struct Whole(pub(super) i64, pub(super) i64);

impl Rule for Whole {
    type Value = u64;

    fn expected(&self) -> String {
        format!("a whole number from {} to {}", self.0, self.1)
    }

    fn read(&self, node: &Node, sink: &Sink) -> Option<u64> {
        if let Value::Whole(number) = node.value
            && (i128::from(self.0)..=i128::from(self.1)).contains(&number)
        {
            return Some(number as u64);
        }
        sink.wrong(node, &self.expected());
        None
    }
}

/// A finite number within bounds.
pub(super) enum Number {
    /// Above zero, at most this.
    Positive(f64),
    /// From zero to this.
    UpTo(f64),
    /// From zero to below this.
    Below(f64),
}

impl Rule for Number {
    type Value = f64;

    fn expected(&self) -> String {
        match self {
            Self::Positive(most) => format!("a number above 0, at most {most:?}"),
            Self::UpTo(most) => format!("a number from 0 to {}", limit(*most)),
            Self::Below(limit) => format!("a number from 0 to below {limit}"),
        }
    }

    fn read(&self, node: &Node, sink: &Sink) -> Option<f64> {
        let number = match node.value {
            Value::Whole(number) => number as f64,
            // Adding zero turns -0 into 0.
            Value::Fraction(number) => number + 0.0,
            _ => f64::NAN,
        };
        let good = match self {
            Self::Positive(most) => number > 0.0 && number <= *most,
            Self::UpTo(most) => (0.0..=*most).contains(&number),
            Self::Below(limit) => (0.0..*limit).contains(&number),
        };
        if !good {
            sink.wrong(node, &self.expected());
        }
        good.then_some(number)
    }
}

/// A limit without dozens of zeros.
fn limit(number: f64) -> String {
    if number >= 1e16 {
        format!("{number:e}")
    } else {
        number.to_string()
    }
}

/// `true` or `false`.
pub(super) struct Flag;

impl Rule for Flag {
    type Value = bool;

    fn expected(&self) -> String {
        "true or false".to_owned()
    }

    fn read(&self, node: &Node, sink: &Sink) -> Option<bool> {
        if let Value::Flag(flag) = node.value {
            return Some(flag);
        }
        sink.wrong(node, &self.expected());
        None
    }
}

/// A text that is not empty.
pub(super) struct Text(pub(super) &'static str);

impl Rule for Text {
    type Value = String;

    fn expected(&self) -> String {
        self.0.to_owned()
    }

    fn read(&self, node: &Node, sink: &Sink) -> Option<String> {
        let text = node.text().filter(|text| !text.trim().is_empty());
        if text.is_none() {
            sink.wrong(node, &self.expected());
        }
        text.map(str::to_owned)
    }
}

/// An address that can be fetched.
pub(super) struct WebAddress;

impl Rule for WebAddress {
    type Value = String;

    fn expected(&self) -> String {
        "an address that starts with `https://`".to_owned()
    }

    fn read(&self, node: &Node, sink: &Sink) -> Option<String> {
        let is_address = |text: &&str| {
            let rest = text
                .strip_prefix("https://")
                .or_else(|| text.strip_prefix("http://"));
            rest.is_some_and(|rest| !rest.is_empty())
        };
        let text = node.text().filter(is_address);
        if text.is_none() {
            sink.wrong(node, &self.expected());
        }
        text.map(str::to_owned)
    }
}

/// A name that becomes part of a folder's name.
pub(super) struct Name;

impl Name {
    /// Longest name in characters.
    const LONGEST: usize = 64;

    pub(super) fn is_good(text: &str) -> bool {
        (1..=Self::LONGEST).contains(&text.len())
            && !text.starts_with('.')
            && text
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
    }
}

impl Rule for Name {
    type Value = String;

    fn expected(&self) -> String {
        format!(
            "a name of 1 to {} letters, digits, `.`, `_` or `-` that does not start with `.`",
            Self::LONGEST
        )
    }

    fn read(&self, node: &Node, sink: &Sink) -> Option<String> {
        let name = node.text().filter(|text| Self::is_good(text));
        if name.is_none() {
            sink.wrong(node, &self.expected());
        }
        name.map(str::to_owned)
    }
}

/// One of a few words, each with its meaning.
pub(super) struct Word<'a, T>(pub(super) &'a [(&'a str, T)]);

impl<T: Copy> Rule for Word<'_, T> {
    type Value = T;

    fn expected(&self) -> String {
        one_of(self.0.iter().map(|(word, _)| *word))
    }

    fn read(&self, node: &Node, sink: &Sink) -> Option<T> {
        let text = node.text();
        let known = self.0.iter().find(|(word, _)| text == Some(word));
        if known.is_none() {
            let near = text.and_then(|text| nearest(text, self.0.iter().map(|(word, _)| *word)));
            let (found, expected) = (node.found(), self.expected());
            let message = match near {
                Some(word) => {
                    format!("expected {expected}, found {found}; did you mean `{word}`?")
                }
                None => format!("expected {expected}, found {found}"),
            };
            sink.problem(&node.origin, message);
        }
        known.map(|(_, meaning)| *meaning)
    }
}

/// A text that a type reads, whose error says what is wrong with it.
pub(super) struct Parsed<T> {
    expected: &'static str,
    parse: fn(&str) -> Result<T, String>,
}

impl<T: FromStr<Err: Display>> Parsed<T> {
    pub(super) fn new(expected: &'static str) -> Self {
        Self {
            expected,
            parse: |text| text.parse().map_err(|error: T::Err| error.to_string()),
        }
    }
}

impl<T> Parsed<T> {
    pub(super) fn with(expected: &'static str, parse: fn(&str) -> Result<T, String>) -> Self {
        Self { expected, parse }
    }
}

impl<T> Rule for Parsed<T> {
    type Value = T;

    fn expected(&self) -> String {
        self.expected.to_owned()
    }

    fn read(&self, node: &Node, sink: &Sink) -> Option<T> {
        let Some(text) = node.text() else {
            sink.wrong(node, self.expected);
            return None;
        };
        let parsed = (self.parse)(text);
        if let Err(message) = &parsed {
            sink.problem(&node.origin, message);
        }
        parsed.ok()
    }
}

/// A list of values that follow one rule.
pub(super) struct List<R>(pub(super) R, pub(super) &'static str);

impl<R: Rule> Rule for List<R> {
    type Value = Vec<R::Value>;

    fn expected(&self) -> String {
        self.1.to_owned()
    }

    fn read(&self, node: &Node, sink: &Sink) -> Option<Vec<R::Value>> {
        let Some(nodes) = node.list() else {
            sink.wrong(node, self.1);
            return None;
        };
        // All elements are read before the first bad one ends it.
        let values: Vec<_> = nodes.iter().map(|node| self.0.read(node, sink)).collect();
        values.into_iter().collect()
    }
}
