//! What a network is worth on a split: figures over all pictures, and of each class.

use graft_record::MetricRow;

use crate::metrics::{NumberSums, argmax};

/// The larger of the two numbers of guesses that count, if there are more classes than that.
const TOP: usize = 5;

/// Sums over the pictures of a split, for a classifier.
#[derive(Clone, Debug)]
pub(crate) struct ClassMeasures {
    classes: usize,
    /// Sum of the losses.
    loss: f64,
    seen: u64,
    /// Pictures whose class is among the [`TOP`] most probable.
    in_top: u64,
    /// Pictures of each class.
    support: Vec<u64>,
    /// How often each class was the most probable.
    predicted: Vec<u64>,
    /// How often it was that rightly.
    correct: Vec<u64>,
}

impl ClassMeasures {
    pub(crate) fn new(classes: usize) -> Self {
        Self {
            classes,
            loss: 0.0,
            seen: 0,
            in_top: 0,
            support: vec![0; classes],
            predicted: vec![0; classes],
            correct: vec![0; classes],
        }
    }

    /// Adds a picture of class `label` to which the network gives these probabilities.
    pub(crate) fn add(&mut self, probabilities: &[f32], label: u32) {
        let (label, predicted) = (label as usize, argmax(probabilities));
        let probability = probabilities[label];
        // As PyTorch's loss, which is never infinite: the logarithm of the smallest number there is.
        self.loss -= f64::from(probability)
            .max(f64::from(f32::from_bits(1)))
            .ln();
        self.seen += 1;
        self.support[label] += 1;
        self.predicted[predicted] += 1;
        if predicted == label {
            self.correct[label] += 1;
        }
        // Of equals the first come first.
        let before = probabilities.iter().enumerate().filter(|&(class, &other)| {
            other > probability || (other == probability && class < label)
        });
        self.in_top += u64::from(before.count() < TOP);
    }

    /// The figures. Precision of a class that was never predicted, and recall of one without pictures, are 0, as
    /// scikit-learn's.
    pub(crate) fn rows(&self, split: &str, names: &[String]) -> Vec<MetricRow> {
        let row = |metric: &str, class: &str, value: f64| MetricRow {
            split: split.to_owned(),
            metric: metric.to_owned(),
            class: class.to_owned(),
            value,
        };
        let seen = self.seen as f64;
        let correct: u64 = self.correct.iter().sum();
        let mut rows = vec![
            row("loss", "", self.loss / seen),
            row("accuracy", "", correct as f64 / seen),
        ];
        if self.classes > TOP {
            let accuracy = self.in_top as f64 / seen;
            rows.push(row(&format!("top_{TOP}_accuracy"), "", accuracy));
        }
        let of_classes: Vec<[f64; 3]> = (0..self.classes).map(|class| self.of(class)).collect();
        let metrics = ["precision", "recall", "f1"];
        for (place, metric) in metrics.iter().enumerate() {
            let sum: f64 = of_classes.iter().map(|figures| figures[place]).sum();
            rows.push(row(metric, "", sum / self.classes as f64));
        }
        for (class, figures) in of_classes.iter().enumerate() {
            let name = names.get(class).map_or("", String::as_str);
            for (metric, figure) in metrics.iter().zip(figures) {
                rows.push(row(metric, name, *figure));
            }
            rows.push(row("pictures", name, self.support[class] as f64));
        }
        rows
    }

    /// Precision, recall and F1 of a class.
    fn of(&self, class: usize) -> [f64; 3] {
        let share = |part: u64, whole: u64| {
            if whole == 0 {
                0.0
            } else {
                part as f64 / whole as f64
            }
        };
        let correct = self.correct[class];
        [
            share(correct, self.predicted[class]),
            share(correct, self.support[class]),
            share(2 * correct, self.predicted[class] + self.support[class]),
        ]
    }
}

/// Sums over the pictures of a split, for a regression.
#[derive(Clone, Debug, Default)]
pub(crate) struct NumberMeasures {
    sums: NumberSums,
    /// Of the absolute differences.
    absolute: f64,
    seen: u64,
}

impl NumberMeasures {
    /// Adds a picture.
    pub(crate) fn add(&mut self, output: f64, number: f64) {
        self.sums.add(output, number);
        self.absolute += (output - number).abs();
        self.seen += 1;
    }

    /// The figures: mean squared error (the loss), mean absolute error, and R², the explained share of the variance, which is
    /// not a number if the numbers are all the same.
    pub(crate) fn rows(&self, split: &str) -> Vec<MetricRow> {
        let seen = self.seen as f64;
        let row = |metric: &str, value| MetricRow {
            split: split.to_owned(),
            metric: metric.to_owned(),
            class: String::new(),
            value,
        };
        vec![
            row("mean_squared_error", self.sums.squared_error / seen),
            row("mean_absolute_error", self.absolute / seen),
            row("r2", self.sums.explained(seen)),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(rows: &[MetricRow], metric: &str, class: &str) -> f64 {
        let mut found = rows
            .iter()
            .filter(|row| row.metric == metric && row.class == class);
        let row = found
            .next()
            .unwrap_or_else(|| panic!("no {metric} of {class:?}"));
        assert!(found.next().is_none());
        row.value
    }

    /// Against `sklearn.metrics.classification_report` of scikit-learn 1.7 on the same eight pictures: labels 0 0 0 1 1 2 2 2,
    /// predictions 0 0 1 1 2 2 2 0.
    #[test]
    fn figures_are_those_of_scikit_learn() {
        let mut measures = ClassMeasures::new(3);
        let pictures = [
            (0, 0),
            (0, 0),
            (0, 1),
            (1, 1),
            (1, 2),
            (2, 2),
            (2, 2),
            (2, 0),
        ];
        for (label, predicted) in pictures {
            let mut probabilities = [0.25; 3];
            probabilities[predicted] = 0.5;
            measures.add(&probabilities, label);
        }
        let names = ["a", "b", "c"].map(str::to_owned);
        let rows = measures.rows("test", &names);
        let close = |metric, class, expected: f64| {
            let found = value(&rows, metric, class);
            assert!(
                (found - expected).abs() < 1e-12,
                "{metric} {class}: {found}"
            );
        };
        close("accuracy", "", 5.0 / 8.0);
        for (class, precision, recall, f1) in [
            ("a", 2.0 / 3.0, 2.0 / 3.0, 2.0 / 3.0),
            ("b", 0.5, 0.5, 0.5),
            ("c", 2.0 / 3.0, 2.0 / 3.0, 2.0 / 3.0),
            ("", 11.0 / 18.0, 11.0 / 18.0, 11.0 / 18.0),
        ] {
            close("precision", class, precision);
            close("recall", class, recall);
            close("f1", class, f1);
        }
        close("pictures", "b", 2.0);
        close("loss", "", -(5.0 * 0.5f64.ln() + 3.0 * 0.25f64.ln()) / 8.0);
        assert!(
            rows.iter()
                .all(|row| row.split == "test" && row.metric != "top_5_accuracy")
        );
    }

    #[test]
    fn a_class_counts_among_the_first_five() {
        let mut measures = ClassMeasures::new(7);
        let probabilities = [0.3, 0.2, 0.15, 0.1, 0.1, 0.1, 0.05];
        for label in 0..7 {
            measures.add(&probabilities, label);
        }
        let names: Vec<String> = (0..7).map(|class| class.to_string()).collect();
        let rows = measures.rows("val", &names);
        assert_eq!(value(&rows, "top_5_accuracy", ""), 5.0 / 7.0);
        assert_eq!(value(&rows, "accuracy", ""), 1.0 / 7.0);
        // Never predicted.
        assert_eq!(value(&rows, "precision", "3"), 0.0);
    }

    /// As `mean_squared_error`, `mean_absolute_error` and `r2_score` of scikit-learn's documentation for these numbers.
    #[test]
    fn figures_of_numbers_are_those_of_scikit_learn() {
        let mut measures = NumberMeasures::default();
        for (output, number) in [(2.5, 3.0), (0.0, -0.5), (2.0, 2.0), (8.0, 7.0)] {
            measures.add(output, number);
        }
        let rows = measures.rows("val");
        assert_eq!(value(&rows, "mean_squared_error", ""), 0.375);
        assert_eq!(value(&rows, "mean_absolute_error", ""), 0.5);
        assert!((value(&rows, "r2", "") - 0.948_608_137_044_967_9).abs() < 1e-12);
    }
}
