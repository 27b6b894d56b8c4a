//! `comparisons.csv`: each variant against the reference, in pairs of repeats.

use graft_record::format_float;

use super::Table;
use crate::{comparison::comparisons, sweep::Sweep};

pub(super) struct Comparisons;

impl Table for Comparisons {
    fn file_name(&self) -> &'static str {
        "comparisons.csv"
    }

    fn header(&self) -> Vec<&'static str> {
        vec![
            "variant",
            "reference",
            "cell",
            "at",
            "n",
            "mean",
            "low",
            "high",
            "p",
            "p_holm",
        ]
    }

    fn rows(&self, sweep: &Sweep) -> Vec<Vec<String>> {
        comparisons(sweep)
            .iter()
            .map(|c| {
                let mut cells = vec![
                    c.variant.to_owned(),
                    c.reference.to_owned(),
                    c.cell.to_owned(),
                    c.at.word().to_owned(),
                    c.difference.n.to_string(),
                ];
                let numbers = [
                    c.difference.mean,
                    c.difference.low,
                    c.difference.high,
                    c.p,
                    c.p_holm,
                ];
                cells.extend(numbers.map(format_float));
                cells
            })
            .collect()
    }
}
