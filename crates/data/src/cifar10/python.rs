//! The Python layout: pickled dicts with the labels in a list and the pictures in a NumPy array. Nothing in them is run.

use std::path::Path;

use graft_pickle::{Interpreter, Malformed, Parts, Value};

use super::{BYTES, Batch, batch_names, checked_classes, checked_labels, damaged};
use crate::{DataError, file};

/// The kinds of [`Value::Made`].
const ARRAY: u8 = 0;
const DTYPE: u8 = 1;

/// Classes and batches of a folder.
pub(super) fn read(folder: &Path) -> Result<(Vec<String>, Vec<Batch>), DataError> {
    let meta = folder.join("batches.meta");
    let bytes = file::read(&meta)?;
    let classes = class_names(&bytes).map_err(|refused| damaged(&meta, refused.0))?;
    let classes = checked_classes(&meta, classes)?;
    let batches = batch_names().map(|name| batch(folder, name));
    Ok((classes, batches.collect::<Result<_, _>>()?))
}

fn batch(folder: &Path, name: String) -> Result<Batch, DataError> {
    let path = folder.join(&name);
    let bytes = file::read(&path)?;
    let Content { labels, array } = content(&bytes).map_err(|refused| damaged(&path, refused.0))?;
    let n = labels.len();
    let (picture, byte) = if array.column_major {
        (1, n)
    } else {
        (BYTES, 1)
    };
    Ok(Batch {
        name,
        labels: checked_labels(&path, labels.into_iter())?,
        bytes: array.bytes.to_vec(),
        start: 0,
        picture,
        byte,
    })
}

/// What a batch holds.
struct Content<'a> {
    labels: Vec<i64>,
    array: Array<'a>,
}

/// Reads a pickled batch: as many labels as pictures, and at least one.
fn content(bytes: &[u8]) -> Result<Content<'_>, Refused> {
    let mut calls = NumpyCalls::default();
    let pickle = graft_pickle::read(bytes, &mut calls)?;
    let get = |key| match pickle.root {
        Value::Dict(root) => pickle.parts.get(root, key),
        _ => None,
    };
    let Some(Value::List(labels)) = get("labels") else {
        return Err(Refused("it has no list `labels`".to_owned()));
    };
    let labels = pickle.parts.sequences[labels]
        .iter()
        .map(|label| match label {
            Value::Int(label) => Ok(*label),
            _ => Err(Refused("a label is no whole number".to_owned())),
        });
    let labels = labels.collect::<Result<Vec<_>, _>>()?;
    let array = match get("data") {
        Some(Value::Made(ARRAY, number)) => calls.arrays[number].take(),
        _ => None,
    };
    let array = array.ok_or_else(|| Refused("it has no array `data` of bytes".to_owned()))?;
    let (rows, columns) = array.shape;
    if columns != BYTES as i64 || rows != labels.len() as i64 || rows < 1 {
        return Err(Refused(format!(
            "its array `data` is of {rows} × {columns} bytes, expected {} × {BYTES} for its {} labels",
            labels.len(),
            labels.len()
        )));
    }
    if array.bytes.len() != labels.len() * BYTES {
        return Err(Refused(format!(
            "its array `data` has {} bytes, expected {}",
            array.bytes.len(),
            labels.len() * BYTES
        )));
    }
    Ok(Content { labels, array })
}

/// Reads the pickled names of the classes.
fn class_names(bytes: &[u8]) -> Result<Vec<String>, Refused> {
    let pickle = graft_pickle::read(bytes, &mut NumpyCalls::default())?;
    let names = match pickle.root {
        Value::Dict(root) => pickle.parts.get(root, "label_names"),
        _ => None,
    };
    let Some(Value::List(names)) = names else {
        return Err(Refused("it has no list `label_names`".to_owned()));
    };
    let names = pickle.parts.sequences[names].iter().map(|name| {
        let text = name
            .bytes()
            .and_then(|bytes| std::str::from_utf8(bytes).ok());
        text.map(str::to_owned)
            .ok_or_else(|| Refused("the name of a class is no text".to_owned()))
    });
    names.collect()
}

/// Why a pickle is not a part of CIFAR-10.
struct Refused(String);

impl From<Malformed> for Refused {
    fn from(malformed: Malformed) -> Self {
        Self(format!("as a Python pickle it is wrong: {malformed}"))
    }
}

/// An array of bytes in two dimensions.
#[derive(Clone, Copy)]
struct Array<'a> {
    shape: (i64, i64),
    column_major: bool,
    bytes: &'a [u8],
}

/// The calls that arrays are made with.
#[derive(Default)]
struct NumpyCalls<'a> {
    /// Each as soon as it has its state, if it is one of bytes in two dimensions.
    arrays: Vec<Option<Array<'a>>>,
}

impl<'a> Interpreter<'a> for NumpyCalls<'a> {
    type Error = Refused;

    fn call(
        &mut self,
        parts: &mut Parts<'a>,
        function: Value<'a>,
        arguments: Value<'a>,
        _makes_object: bool,
    ) -> Result<Value<'a>, Refused> {
        let Value::Global(module, name) = function else {
            return Err(Refused("it calls a value that is no function".to_owned()));
        };
        match (module, name) {
            ("numpy.core.multiarray" | "numpy._core.multiarray", "_reconstruct") => {
                self.arrays.push(None);
                Ok(Value::Made(ARRAY, self.arrays.len() - 1))
            }
            ("numpy", "dtype") => {
                let first = match arguments {
                    Value::Tuple(items) => parts.sequences[items].first().copied(),
                    _ => None,
                };
                let is_byte = first.and_then(Value::bytes) == Some(b"u1");
                Ok(Value::Made(DTYPE, usize::from(is_byte)))
            }
            _ => {
                let name: String = format!("{module}.{name}")
                    .chars()
                    .filter(|c| !c.is_control())
                    .take(200)
                    .collect();
                Err(Refused(format!(
                    "Python would call `{name}` to read it, which no part of CIFAR-10 needs; nothing of it was run"
                )))
            }
        }
    }

    fn persistent(&mut self, _: &mut Parts<'a>, _: Value<'a>) -> Result<Value<'a>, Refused> {
        Err(Refused("it refers to another file".to_owned()))
    }

    /// An array's state: version, shape, type, whether columns come first, bytes.
    fn build(
        &mut self,
        parts: &Parts<'a>,
        object: Value<'a>,
        state: Value<'a>,
    ) -> Result<(), Refused> {
        let (Value::Made(ARRAY, number), Value::Tuple(state)) = (object, state) else {
            return Ok(());
        };
        let [
            _,
            Value::Tuple(shape),
            Value::Made(DTYPE, 1),
            Value::Flag(column_major),
            content,
        ] = parts.sequences[state][..]
        else {
            return Ok(());
        };
        if let ([Value::Int(rows), Value::Int(columns)], Some(bytes)) =
            (&parts.sequences[shape][..], content.bytes())
        {
            self.arrays[number] = Some(Array {
                shape: (*rows, *columns),
                column_major,
                bytes,
            });
        }
        Ok(())
    }
}
