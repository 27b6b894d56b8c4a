//! The id of a trial: a hash of everything that decides its result and of nothing else.

use std::fmt::Write;

use graft_trainer::TrialSpec;
use serde_json::{Map, Value};

/// The id of a trial, 16 hexadecimal digits: the start of the BLAKE3 hash of its spec.
///
/// Where files lie does not count, because the spec has a hash of their content beside it: not the data's path,
/// address, split folders, list and folder of pictures, and not the text that says where the weights are.
///
/// What is hashed is JSON with sorted keys, in which a fraction is the bits of its `f64`, so that no formatting
/// decides.
pub fn trial_id(spec: &TrialSpec) -> String {
    let mut value = serde_json::to_value(spec)
        .expect("a trial is text, numbers and lists, which JSON can hold");
    if let Some(trial) = value.as_object_mut() {
        trial.remove("weights");
        let source = trial
            .get_mut("data")
            .and_then(|data| data.get_mut("source"));
        if let Some(source) = source.and_then(Value::as_object_mut) {
            for place in ["path", "url", "splits", "file", "root"] {
                source.remove(place);
            }
        }
    }
    let mut text = String::new();
    write_canonical(&value, &mut text);
    blake3::hash(text.as_bytes()).to_hex()[..16].to_owned()
}

/// Writes `value` in the one way that equal values have.
fn write_canonical(value: &Value, text: &mut String) {
    match value {
        Value::Number(number) => match number.as_f64().filter(|_| number.is_f64()) {
            // Adding zero turns -0 into 0.
            Some(fraction) => {
                let _ = write!(text, "f{:016x}", (fraction + 0.0).to_bits());
            }
            None => text.push_str(&number.to_string()),
        },
        Value::Array(values) => {
            text.push('[');
            for value in values {
                write_canonical(value, text);
                text.push(',');
            }
            text.push(']');
        }
        Value::Object(table) => write_table(table, text),
        Value::Null | Value::Bool(_) | Value::String(_) => text.push_str(&value.to_string()),
    }
}

fn write_table(table: &Map<String, Value>, text: &mut String) {
    let mut entries: Vec<_> = table.iter().collect();
    // The order of serde_json's map depends on a feature that any crate can switch on.
    entries.sort_by_key(|(key, _)| *key);
    text.push('{');
    for (key, value) in entries {
        text.push_str(&Value::from(key.as_str()).to_string());
        text.push(':');
        write_canonical(value, text);
        text.push(',');
    }
    text.push('}');
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn equal_values_are_written_alike() {
        let mut text = String::new();
        let value = json!({"b": [1, 0.5, -0.0, null], "a": {"d": true, "c": "x\"y"}});
        write_canonical(&value, &mut text);
        assert_eq!(
            text,
            r#"{"a":{"c":"x\"y","d":true,},"b":[1,f3fe0000000000000,f0000000000000000,null,],}"#
        );
    }
}
