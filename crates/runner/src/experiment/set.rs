//! `--set KEY=VALUE`: values from the command line in the place of the file's.

use toml::de::DeValue;

use super::{
    problem::{Place, Problem},
    suggest::{nearest, one_of},
    tree::{Layer, Node, Origin, Reader, Table, Value, dotted},
};

/// Puts the value of a `--set` argument, the `index`th, into the file.
///
/// The key has the parts of the file's tables with dots between them. A variant goes by its name
/// (`variant.frozen.model.weights`), and after `grid.` comes the key of an axis, with or without quotes. The value is
/// TOML, or else taken as a text.
pub(super) fn apply(root: &mut Table, index: usize, argument: &str) -> Result<(), Problem> {
    let place = |key: &str| Place::Set {
        index,
        argument: argument.into(),
        key: key.into(),
    };
    let failed = |message: String| Problem {
        place: place(""),
        key: String::new(),
        message,
        hint: None,
    };
    let Some((key, text)) = split(argument) else {
        let message = "expected KEY=VALUE, such as `train.epochs=4`";
        return Err(failed(message.to_owned()));
    };
    let Some(parts) = parts(key) else {
        let message = format!("`{key}` is not a key: expected names with dots between them");
        return Err(failed(message));
    };
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    let node = |key: &str| value(text.trim(), &place(key), key);
    match parts.as_slice() {
        ["variant", rest @ ..] if !rest.is_empty() => {
            let (variant, path) = find_variant(root, rest).map_err(failed)?;
            let start = dotted("variant", &variant.name);
            let key = path.iter().fold(start, |key, part| dotted(&key, part));
            variant.table.assign(path, node(&key));
        }
        ["grid", rest @ ..] if !rest.is_empty() => {
            let axis = rest.join(".");
            let node = node(&dotted("grid", &axis));
            assign_axis(root, &axis, node);
        }
        path => {
            let key = path
                .iter()
                .fold(String::new(), |key, part| dotted(&key, part));
            root.assign(path, node(&key));
        }
    }
    Ok(())
}

/// Splits an argument at the first `=` outside quotes.
fn split(argument: &str) -> Option<(&str, &str)> {
    let mut quoted = false;
    let end = argument.find(|c| {
        quoted ^= c == '"';
        c == '=' && !quoted
    })?;
    Some((&argument[..end], &argument[end + 1..]))
}

/// The parts of a key: names with dots between them, in quotes where they hold dots.
fn parts(key: &str) -> Option<Vec<String>> {
    let mut parts = vec![String::new()];
    let mut quoted = false;
    for c in key.trim().chars() {
        match c {
            '"' => quoted = !quoted,
            '.' if !quoted => parts.push(String::new()),
            c if quoted || !c.is_whitespace() => parts.last_mut()?.push(c),
            _ => return None,
        }
    }
    let good = !quoted && parts.iter().all(|part| !part.is_empty());
    good.then_some(parts)
}

/// The value of an argument.
fn value(text: &str, place: &Place, key: &str) -> Node {
    let reader = Reader {
        place: &|_| place.clone(),
        layer: Layer::Set,
    };
    match DeValue::parse(text) {
        Ok(value) => reader.node(&value, key),
        Err(_) => Node {
            value: Value::Text(text.to_owned()),
            origin: Origin {
                place: place.clone(),
                key: key.to_owned(),
                layer: Layer::Set,
            },
        },
    }
}

/// A variant of the file.
struct Variant<'t> {
    name: String,
    table: &'t mut Table,
}

/// The variant whose name starts `path`, and the rest of the path. Names may hold dots; the longest one counts.
fn find_variant<'t, 'p>(
    root: &'t mut Table,
    path: &'p [&'p str],
) -> Result<(Variant<'t>, &'p [&'p str]), String> {
    let entry = root
        .entries
        .iter_mut()
        .find(|entry| entry.name == "variant");
    let nodes: &mut [Node] = match entry.map(|entry| &mut entry.node.value) {
        Some(Value::List(nodes)) => nodes,
        _ => &mut [],
    };
    let name = |node: &Node| Some(node.table()?.get("name")?.text()?.to_owned());
    let names: Vec<String> = nodes.iter().filter_map(name).collect();
    let found = (1..=path.len())
        .rev()
        .find(|&n| names.contains(&path[..n].join(".")));
    let Some(parts) = found else {
        let wanted = path[0];
        return Err(match nearest(wanted, names.iter().map(String::as_str)) {
            Some(name) => {
                format!("no variant is called `{wanted}`; did you mean `variant.{name}`?")
            }
            None => format!(
                "no variant is called `{wanted}`; there is {}",
                one_of(names.iter().map(String::as_str))
            ),
        });
    };
    let wanted = path[..parts].join(".");
    if parts == path.len() {
        return Err(format!(
            "expected a key of the variant, such as `variant.{wanted}.model.weights=VALUE`"
        ));
    }
    let node = nodes
        .iter_mut()
        .find(|node| name(node).as_ref() == Some(&wanted));
    match node.map(|node| &mut node.value) {
        Some(Value::Table(table)) => {
            let name = wanted;
            Ok((Variant { name, table }, &path[parts..]))
        }
        _ => Err(format!("no variant is called `{wanted}`")),
    }
}

/// Puts an axis into the grid, in the place of one of the same key however that is written.
fn assign_axis(root: &mut Table, axis: &str, node: Node) {
    let parts: Vec<&str> = axis.split('.').collect();
    let nested = root
        .get("grid")
        .and_then(Node::table)
        .is_some_and(|grid| grid.get(axis).is_none() && grid.at(&parts).is_some());
    let path = if nested { parts } else { vec![axis] };
    root.assign(&[&["grid"], path.as_slice()].concat(), node);
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn arguments_are_split() {
        assert_eq!(split("a.b=c=d"), Some(("a.b", "c=d")));
        assert_eq!(split(r#"grid."x=y"=[1]"#), Some((r#"grid."x=y""#, "[1]")));
        assert_eq!(split("repeats"), None);
        assert_eq!(
            parts(r#"variant."a.b".train"#).unwrap(),
            ["variant", "a.b", "train"]
        );
        for bad in ["", ".", "a..b", "a.", "a b", "\"a"] {
            assert_eq!(parts(bad), None, "{bad}");
        }
    }

    #[test]
    fn values_are_toml_or_text() {
        let place = Place::Set {
            index: 0,
            argument: Arc::from("k=v"),
            key: Arc::from("k"),
        };
        let read = |text| value(text, &place, "k").value;
        assert_eq!(read("4"), Value::Whole(4));
        assert_eq!(read("1e-3"), Value::Fraction(1e-3));
        assert_eq!(read("true"), Value::Flag(true));
        assert_eq!(read("\"4\""), Value::Text("4".into()));
        assert_eq!(
            read("file:w.safetensors"),
            Value::Text("file:w.safetensors".into())
        );
        assert_eq!(read("[1"), Value::Text("[1".into()));
        assert!(matches!(read("[1, 2]"), Value::List(nodes) if nodes.len() == 2));
    }
}
