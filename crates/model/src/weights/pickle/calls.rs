//! What calls in a pickle stand for: the few that state dicts are made with, and those that are harmless.

use graft_pickle::{Interpreter, Parts};

use super::{SAVE_THE_WEIGHTS, STORAGE, Storage, TENSOR, Value, View, wrong};
use crate::weights::file::Unreadable;

/// More than the tensors of any network have.
const MOST_DIMENSIONS: usize = 8;

/// Calls that training checkpoints are full of, and whose results weights do not need. In Python, too, none of them does
/// more than to make a value.
const HARMLESS: [(&str, &[&str]); 12] = [
    ("torch", &["device"]),
    ("torch.serialization", &["_get_layout"]),
    ("collections", &["Counter", "defaultdict", "deque"]),
    ("_codecs", &["encode"]),
    ("builtins", PLAIN_TYPES),
    ("__builtin__", PLAIN_TYPES),
    ("numpy", &["dtype", "ndarray"]),
    ("numpy.core.multiarray", &["scalar", "_reconstruct"]),
    ("numpy._core.multiarray", &["scalar", "_reconstruct"]),
    ("argparse", &["Namespace"]),
    ("datetime", &["date", "datetime", "timedelta"]),
    (
        "pathlib",
        &[
            "Path",
            "PurePosixPath",
            "PosixPath",
            "PureWindowsPath",
            "WindowsPath",
        ],
    ),
];

const PLAIN_TYPES: &[&str] = &[
    "bool",
    "bytearray",
    "bytes",
    "complex",
    "dict",
    "float",
    "frozenset",
    "int",
    "list",
    "object",
    "range",
    "set",
    "slice",
    "str",
    "tuple",
];

/// What the calls of a pickle have made.
#[derive(Debug, Default)]
pub(super) struct TorchCalls<'a> {
    pub(super) storages: Vec<Storage<'a>>,
    pub(super) tensors: Vec<View<'a>>,
}

impl<'a> Interpreter<'a> for TorchCalls<'a> {
    type Error = Unreadable;

    /// What a call would give. Calls that are not known are refused.
    fn call(
        &mut self,
        parts: &mut Parts<'a>,
        function: Value<'a>,
        arguments: Value<'a>,
        makes_object: bool,
    ) -> Result<Value<'a>, Unreadable> {
        let Value::Global(module, name) = function else {
            return Err(refused("a value that is no function", false));
        };
        // Seven are more than any of the functions below looks at.
        let mut first = [Value::Opaque; 7];
        let mut count = 0;
        if let Value::Tuple(items) = arguments {
            for (place, item) in first.iter_mut().zip(&parts.sequences[items]) {
                *place = *item;
                count += 1;
            }
        }
        let arguments = &first[..count];
        match (module, name) {
            ("collections", "OrderedDict") => ordered_dict(parts, arguments),
            ("torch", "Size") => Ok(match arguments {
                [Value::Tuple(items) | Value::List(items)] => Value::Tuple(*items),
                _ => Value::Opaque,
            }),
            ("torch.nn.parameter", "Parameter")
            | ("torch._utils", "_rebuild_parameter" | "_rebuild_parameter_with_state") => {
                Ok(arguments.first().copied().unwrap_or(Value::Opaque))
            }
            // A tensor of a subclass: the function that makes it, the class, the function's arguments.
            ("torch._tensor", "_rebuild_from_type_v2") => match *arguments {
                [inner @ Value::Global("torch._utils", _), _, operands, ..] => {
                    self.call(parts, inner, operands, false)
                }
                _ => Err(wrong("a tensor without a description")),
            },
            ("torch._utils", "_rebuild_tensor" | "_rebuild_tensor_v2") => {
                self.tensor(parts, arguments, None)
            }
            ("torch._utils", "_rebuild_tensor_v3") => match arguments.get(6) {
                Some(&Value::Global("torch", dtype)) => self.tensor(parts, arguments, Some(dtype)),
                _ => Err(wrong("a tensor without a type")),
            },
            // Sparse and quantised tensors.
            ("torch._utils", other) if other.starts_with("_rebuild_") => Ok(Value::Opaque),
            _ if is_harmless(module, name) => Ok(Value::Opaque),
            _ => Err(refused(&format!("`{module}.{name}`"), makes_object)),
        }
    }

    /// What the file names by a persistent id: a storage, `("storage", class, key, location, count)` and in older files
    /// `(key, offset, count)` of a part of it; or the class of a network in a file that holds a whole one.
    fn persistent(
        &mut self,
        parts: &mut Parts<'a>,
        id: Value<'a>,
    ) -> Result<Value<'a>, Unreadable> {
        let Value::Tuple(id) = id else {
            return Err(wrong("a storage without a description"));
        };
        let (class, key, count, part) = match parts.sequences[id][..] {
            [Value::Text("module"), class @ Value::Global(..), ..] => return Ok(class),
            [
                Value::Text("storage"),
                Value::Global("torch" | "torch.cuda" | "torch.storage", class),
                Value::Text(key),
                _,
                Value::Int(count),
                ref part @ ..,
            ] => (class, key, count, part),
            _ => return Err(wrong("a storage without a description")),
        };
        let count = usize::try_from(count).map_err(|_| wrong("a storage of negative size"))?;
        let (begin, count) = match part {
            [] | [Value::Opaque] => (0, count),
            [Value::Tuple(part)] => part_of_storage(parts, *part, count)
                .ok_or_else(|| wrong("a part of a storage beyond its end"))?,
            _ => return Err(wrong("a storage without a description")),
        };
        self.storages.push(Storage {
            class,
            key,
            begin,
            count,
        });
        Ok(Value::Made(STORAGE, self.storages.len() - 1))
    }
}

impl<'a> TorchCalls<'a> {
    /// `(storage, offset, shape, strides, …)`.
    fn tensor(
        &mut self,
        parts: &Parts<'a>,
        arguments: &[Value<'a>],
        dtype: Option<&'a str>,
    ) -> Result<Value<'a>, Unreadable> {
        let [
            Value::Made(STORAGE, storage),
            Value::Int(offset),
            Value::Tuple(shape),
            Value::Tuple(strides),
            ..,
        ] = *arguments
        else {
            return Err(wrong("a tensor without a description"));
        };
        let view = View {
            storage: self.storages[storage],
            dtype,
            offset: usize::try_from(offset).map_err(|_| wrong("a negative offset"))?,
            shape: sizes(parts, shape)?,
            strides: sizes(parts, strides)?,
        };
        self.tensors.push(view);
        Ok(Value::Made(TENSOR, self.tensors.len() - 1))
    }
}

/// An empty one, or one with the pairs that Python 2 writes as a list.
fn ordered_dict<'a>(
    parts: &mut Parts<'a>,
    arguments: &[Value<'a>],
) -> Result<Value<'a>, Unreadable> {
    let list = match *arguments {
        [] => return Ok(parts.dict(Vec::new())),
        [Value::List(list) | Value::Tuple(list)] => list,
        _ => return Err(wrong("a dict that is not of pairs")),
    };
    parts.count_copied(parts.sequences[list].len())?;
    let pair = |item: &Value<'a>| match *item {
        Value::List(pair) | Value::Tuple(pair) => match parts.sequences[pair][..] {
            [key, value] => Some((key, value)),
            _ => None,
        },
        _ => None,
    };
    let pairs = parts.sequences[list].iter().map(pair);
    let pairs = pairs
        .collect::<Option<_>>()
        .ok_or_else(|| wrong("a dict that is not of pairs"))?;
    Ok(parts.dict(pairs))
}

fn sizes(parts: &Parts<'_>, tuple: usize) -> Result<Vec<usize>, Unreadable> {
    if parts.sequences[tuple].len() > MOST_DIMENSIONS {
        return Err(wrong("a tensor of too many dimensions"));
    }
    let sizes = parts.sequences[tuple].iter().map(|&value| whole(value));
    sizes
        .collect::<Option<_>>()
        .ok_or_else(|| wrong("a shape that is not of whole numbers"))
}

/// Where a part of a storage of `whole_count` elements begins and how many it has.
fn part_of_storage(parts: &Parts<'_>, part: usize, whole_count: usize) -> Option<(usize, usize)> {
    let [_, begin, count] = parts.sequences[part][..] else {
        return None;
    };
    let (begin, count) = (whole(begin)?, whole(count)?);
    (begin.checked_add(count)? <= whole_count).then_some((begin, count))
}

fn whole(value: Value<'_>) -> Option<usize> {
    match value {
        Value::Int(number) => usize::try_from(number).ok(),
        _ => None,
    }
}

fn is_harmless(module: &str, name: &str) -> bool {
    HARMLESS
        .iter()
        .any(|(known, names)| *known == module && names.contains(&name))
}

fn refused(what: &str, makes_object: bool) -> Unreadable {
    let what: String = what.chars().filter(|c| !c.is_control()).take(200).collect();
    let problem = if makes_object {
        format!("it holds more than tensors: an object of the class {what}")
    } else {
        format!("it holds more than tensors: Python would call {what} to read it")
    };
    Unreadable::new(
        problem,
        format!("nothing of it was run; if you trust the file, {SAVE_THE_WEIGHTS}"),
    )
}
