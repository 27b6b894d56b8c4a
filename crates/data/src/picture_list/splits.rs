//! Which picture of a list is in which split.

use std::path::Path;

use super::{Sample, rows::Rows};
use crate::{
    Amount, Answer, CsvSpec, DataError, Split, draw_parts,
    error::{UNEXPLAINED, printable},
};

/// Held out for validation and for the test unless the file says otherwise.
const VAL: Amount = Amount::Fraction(0.2);
const TEST: Amount = Amount::Fraction(0.1);

/// The splits as the list says them, or else drawn.
pub(super) fn divide(
    file: &Path,
    spec: &CsvSpec,
    rows: &Rows,
    samples: &[Sample],
    classes: &[String],
) -> Result<[Vec<Sample>; 3], DataError> {
    let mut splits: [Vec<Sample>; 3] = Default::default();
    if let Some(column) = &rows.split_column {
        if spec.val.is_some() || spec.test.is_some() {
            return Err(DataError::Spec(format!(
                "the column `{column}` of {} says the splits, and so do `val` and `test`\n\
                 hint: leave `val` and `test` out, or rename the column",
                file.display()
            )));
        }
        for (row, sample) in rows.rows.iter().zip(samples) {
            let split = row.split.unwrap_or(Split::Train);
            splits[split as usize].push(sample.clone());
        }
        for split in [Split::Train, Split::Val] {
            if splits[split as usize].is_empty() {
                return Err(DataError::Format {
                    path: file.to_owned(),
                    reason: format!("no picture has `{split}` in the column `{column}`"),
                    hint: "the training and the validation split need pictures".to_owned(),
                });
            }
        }
    } else {
        let drawn = draw(file, spec, samples, classes)?;
        for split in Split::ALL {
            let pictures = drawn[split as usize].iter();
            splits[split as usize] = pictures.map(|&picture| samples[picture].clone()).collect();
        }
    }
    check_classes(file, &splits[Split::Train as usize], classes)?;
    Ok(splits)
}

/// Every class needs training pictures.
pub(super) fn check_classes(
    file: &Path,
    train: &[Sample],
    classes: &[String],
) -> Result<(), DataError> {
    let has = |label: u32| train.iter().any(|s| s.answer == Answer::Class(label));
    match classes.iter().zip(0..).find(|(_, label)| !has(*label)) {
        None => Ok(()),
        Some((class, _)) => Err(DataError::Format {
            path: file.to_owned(),
            reason: format!("the class `{}` has no training pictures", printable(class)),
            hint: "list more pictures of it, or leave the class out".to_owned(),
        }),
    }
}

/// Numbers of validation pictures need a variance, of which R² is a share.
pub(super) fn check_numbers(file: &Path, val: &[Sample]) -> Result<(), DataError> {
    let Some(number) = val.first().and_then(|sample| sample.answer.number()) else {
        return Ok(());
    };
    if val.iter().any(|s| s.answer.number() != Some(number)) {
        return Ok(());
    }
    let found = match val.len() {
        1 => "there is only one picture".to_owned(),
        n => format!("all {n} pictures have {number}"),
    };
    Err(DataError::Format {
        path: file.to_owned(),
        reason: format!("{UNEXPLAINED}, and {found}"),
        hint: "put more pictures into the validation split, with `val` or in the column that says the splits"
            .to_owned(),
    })
}

/// Pictures of training, validation and test, drawn class by class.
fn draw(
    file: &Path,
    spec: &CsvSpec,
    samples: &[Sample],
    classes: &[String],
) -> Result<[Vec<usize>; 3], DataError> {
    let mut groups = vec![Vec::new(); classes.len().max(1)];
    for (place, sample) in samples.iter().enumerate() {
        let group = sample.answer.class().unwrap_or(0);
        groups[group as usize].push(place);
    }
    let (val, test) = (spec.val.unwrap_or(VAL), spec.test.unwrap_or(TEST));
    let counts = Amount::resolve(&[val, test], samples.len());
    let counts = counts.filter(|counts| {
        let held_out = counts[0] + counts[1];
        let wanted_test = test != Amount::Count(0);
        counts[0] > 0 && (counts[1] > 0 || !wanted_test) && held_out < samples.len()
    });
    let counts = counts.ok_or_else(|| DataError::Format {
        path: file.to_owned(),
        reason: format!(
            "its {} pictures can't be divided: `val = {val}` and `test = {test}` leave a split without pictures",
            samples.len()
        ),
        hint: "list more pictures, or change `val` and `test` (`test = 0` for no test split)"
            .to_owned(),
    })?;
    let mut parts = draw_parts(&groups, &counts, spec.split_seed).into_iter();
    let mut next = || parts.next().unwrap_or_default();
    let (val, test, train) = (next(), next(), next());
    Ok([train, val, test])
}
