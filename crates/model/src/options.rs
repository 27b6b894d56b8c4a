//! Reads the options of a network: every one is checked, and unknown ones are refused.

use toml::{Table, Value};

use crate::OptionError;

/// What an option is called, means, and is when not written.
#[derive(Clone, Copy, Debug)]
pub struct OptionInfo {
    /// Its name in the experiment file.
    pub name: &'static str,
    /// What it means, in a few words.
    pub meaning: &'static str,
}

/// Dropout before the classifier, as the networks have it whose only option it is.
pub(crate) const DROPOUT: OptionInfo = OptionInfo {
    name: "dropout",
    meaning: "probability of dropping a feature before the classifier",
};

/// Reads the only option of a network that is `dropout`, and gives it beside the options with it filled in.
pub(crate) fn only_dropout(written: &Table, default: f64) -> Result<(f64, Table), OptionError> {
    let mut options = Options::new(written, &[DROPOUT])?;
    let dropout = options.probability(DROPOUT.name, default)?;
    Ok((dropout, options.finish()))
}

/// The options of one network while they are checked.
pub(crate) struct Options<'a> {
    written: &'a Table,
    checked: Table,
}

impl<'a> Options<'a> {
    /// Refuses options that `known` does not have.
    pub(crate) fn new(written: &'a Table, known: &[OptionInfo]) -> Result<Self, OptionError> {
        match written
            .keys()
            .find(|key| known.iter().all(|option| option.name != **key))
        {
            None => Ok(Self {
                written,
                checked: Table::new(),
            }),
            Some(key) => {
                let names: Vec<&str> = known.iter().map(|option| option.name).collect();
                let expected = if names.is_empty() {
                    "no option at all".to_owned()
                } else {
                    format!("an option named {}", names.join(", "))
                };
                Err(OptionError::new(key, expected, format!("`{key}`")))
            }
        }
    }

    /// A whole number in `range`.
    pub(crate) fn whole(
        &mut self,
        key: &str,
        default: i64,
        range: std::ops::RangeInclusive<i64>,
    ) -> Result<usize, OptionError> {
        let expected = || format!("a whole number from {} to {}", range.start(), range.end());
        let value = match self.written.get(key) {
            None => default,
            Some(value) => {
                whole_in(value, &range).ok_or_else(|| OptionError::new(key, expected(), value))?
            }
        };
        self.checked.insert(key.to_owned(), Value::Integer(value));
        Ok(value as usize)
    }

    /// A list of `lengths` whole numbers in `range`.
    pub(crate) fn whole_list(
        &mut self,
        key: &str,
        default: &[i64],
        lengths: std::ops::RangeInclusive<usize>,
        range: std::ops::RangeInclusive<i64>,
    ) -> Result<Vec<usize>, OptionError> {
        let values = match self.written.get(key) {
            None => default.to_vec(),
            Some(value) => {
                let list = value
                    .as_array()
                    .filter(|list| lengths.contains(&list.len()));
                let list = list
                    .and_then(|list| list.iter().map(|value| whole_in(value, &range)).collect());
                list.ok_or_else(|| {
                    let expected = format!(
                        "a list of {} to {} whole numbers from {} to {}",
                        lengths.start(),
                        lengths.end(),
                        range.start(),
                        range.end()
                    );
                    OptionError::new(key, expected, value)
                })?
            }
        };
        let list = values.iter().map(|&value| Value::Integer(value)).collect();
        self.checked.insert(key.to_owned(), Value::Array(list));
        Ok(values.into_iter().map(|value| value as usize).collect())
    }

    /// A probability from 0 to below 1.
    pub(crate) fn probability(&mut self, key: &str, default: f64) -> Result<f64, OptionError> {
        let value = match self.written.get(key) {
            None => default,
            Some(value) => {
                let number = value
                    .as_float()
                    .or_else(|| value.as_integer().map(|i| i as f64));
                let number = number.filter(|p| (0.0..1.0).contains(p));
                number.ok_or_else(|| OptionError::new(key, "a number from 0 to below 1", value))?
            }
        };
        self.checked.insert(key.to_owned(), Value::Float(value));
        Ok(value)
    }

    /// `true` or `false`.
    pub(crate) fn flag(&mut self, key: &str, default: bool) -> Result<bool, OptionError> {
        let value = match self.written.get(key) {
            None => default,
            Some(value) => {
                let flag = value.as_bool();
                flag.ok_or_else(|| OptionError::new(key, "`true` or `false`", value))?
            }
        };
        self.checked.insert(key.to_owned(), Value::Boolean(value));
        Ok(value)
    }

    /// The options with every default filled in.
    pub(crate) fn finish(self) -> Table {
        self.checked
    }
}

fn whole_in(value: &Value, range: &std::ops::RangeInclusive<i64>) -> Option<i64> {
    value.as_integer().filter(|number| range.contains(number))
}
