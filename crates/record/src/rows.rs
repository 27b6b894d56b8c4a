//! The rows of a trial's CSV files.

use serde::{Deserialize, Serialize};

use crate::{Fields, Row, format_float};

/// A line of a trial's `epochs.csv`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct EpochRow {
    /// Number of the epoch, from 1.
    pub epoch: u32,
    /// Optimizer steps since the trial began, at the end of the epoch.
    pub step: u64,
    /// Mean loss over the training pictures as they were seen during the epoch.
    #[serde(with = "crate::float::nullable")]
    pub train_loss: f64,
    /// Part of the training pictures that were classified correctly as they were seen, from 0 to 1.
    #[serde(with = "crate::float::nullable")]
    pub train_accuracy: f64,
    /// Mean loss over the validation pictures after the epoch; NaN if they were not looked at.
    #[serde(with = "crate::float::nullable")]
    pub val_loss: f64,
    /// Part of the validation pictures that are classified correctly, from 0 to 1; NaN likewise.
    #[serde(with = "crate::float::nullable")]
    pub val_accuracy: f64,
    /// Learning rate of the epoch's last step.
    #[serde(with = "crate::float::nullable")]
    pub lr: f64,
}

/// A line of a trial's `timing.csv`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct TimingRow {
    /// Number of the epoch, from 1.
    pub epoch: u32,
    /// Wall-clock seconds of the epoch, validation included; of its last part if it was interrupted.
    #[serde(with = "crate::float::nullable")]
    pub seconds: f64,
    /// Training pictures per second of training.
    #[serde(with = "crate::float::nullable")]
    pub images_per_second: f64,
}

/// A line of a trial's `evaluations.csv`: what the network made of a split after a step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EvaluationRow {
    /// The running epoch, from 1.
    pub epoch: u32,
    /// Optimizer steps since the trial began.
    pub step: u64,
    /// `train` or `val`; both in evaluation mode, with the transforms of the evaluation.
    pub split: String,
    /// Mean loss.
    pub loss: f64,
    /// Part of the pictures that are classified correctly, from 0 to 1.
    pub accuracy: f64,
}

/// A line of a trial's `metrics.csv`: a figure of the best checkpoint on a split.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MetricRow {
    /// `val` or `test`.
    pub split: String,
    /// What is measured, such as `accuracy` or `recall`.
    pub metric: String,
    /// The class that it is measured of; empty for all of them, of which precision, recall and F1 are the plain mean.
    pub class: String,
    /// The figure.
    pub value: f64,
}

/// A line of a trial's `predictions.csv`: what the best checkpoint says about a validation picture.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PredictionRow {
    /// Number of the picture in the split.
    pub index: usize,
    /// The picture's name as its source gives it.
    pub file: String,
    /// Its class.
    pub label: u32,
    /// The class that the network finds most probable.
    pub predicted: u32,
    /// The probability that the network gives to it, from 0 to 1.
    pub probability: f64,
}

/// A line of a trial's `estimates.csv`: what the best checkpoint says about a picture that has a number.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EstimateRow {
    /// Number of the picture in the split.
    pub index: usize,
    /// The picture's name as its source gives it.
    pub file: String,
    /// Its number.
    pub number: f64,
    /// What the network says.
    pub predicted: f64,
}

/// What the best checkpoint says about the pictures of a split.
#[derive(Clone, Debug, PartialEq)]
pub enum Predictions {
    /// Classes.
    Classes(Vec<PredictionRow>),
    /// Numbers.
    Numbers(Vec<EstimateRow>),
}

/// The epoch with the highest validation accuracy; the first of several. None if there is no accuracy at all.
pub fn best_epoch(rows: &[EpochRow]) -> Option<&EpochRow> {
    rows.iter()
        .filter(|row| !row.val_accuracy.is_nan())
        .reduce(|best, row| {
            if row.val_accuracy > best.val_accuracy {
                row
            } else {
                best
            }
        })
}

/// Epochs come one after another, and none is missing.
fn next_epoch(epoch: u32, previous: Option<u32>) -> Result<(), String> {
    match previous {
        None if epoch <= 1 => Ok(()),
        None => Err(format!("the first epoch is {epoch}, expected 1")),
        Some(previous) if previous.checked_add(1) == Some(epoch) => Ok(()),
        Some(previous) => Err(format!("epoch {epoch} follows epoch {previous}")),
    }
}

impl Row for EpochRow {
    const HEADER: &'static [&'static str] = &[
        "epoch",
        "step",
        "train_loss",
        "train_accuracy",
        "val_loss",
        "val_accuracy",
        "lr",
    ];

    fn cells(&self) -> Vec<String> {
        let mut cells = vec![self.epoch.to_string(), self.step.to_string()];
        cells.extend(
            [
                self.train_loss,
                self.train_accuracy,
                self.val_loss,
                self.val_accuracy,
                self.lr,
            ]
            .map(format_float),
        );
        cells
    }

    fn parse(fields: &Fields<'_>) -> Result<Self, String> {
        Ok(Self {
            epoch: fields.whole("epoch")?,
            step: fields.whole("step")?,
            train_loss: fields.float("train_loss")?,
            train_accuracy: fields.float("train_accuracy")?,
            val_loss: fields.float("val_loss")?,
            val_accuracy: fields.float("val_accuracy")?,
            lr: fields.float("lr")?,
        })
    }

    fn follows(&self, previous: Option<&Self>) -> Result<(), String> {
        next_epoch(self.epoch, previous.map(|row| row.epoch))?;
        match previous {
            Some(row) if row.step > self.step => {
                Err(format!("step {} follows step {}", self.step, row.step))
            }
            _ => Ok(()),
        }
    }
}

impl Row for EvaluationRow {
    const HEADER: &'static [&'static str] = &["epoch", "step", "split", "loss", "accuracy"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.epoch.to_string(),
            self.step.to_string(),
            self.split.clone(),
            format_float(self.loss),
            format_float(self.accuracy),
        ]
    }

    fn parse(fields: &Fields<'_>) -> Result<Self, String> {
        Ok(Self {
            epoch: fields.whole("epoch")?,
            step: fields.whole("step")?,
            split: fields.text("split")?.to_owned(),
            loss: fields.float("loss")?,
            accuracy: fields.float("accuracy")?,
        })
    }

    fn follows(&self, previous: Option<&Self>) -> Result<(), String> {
        match previous {
            Some(row) if row.step > self.step => {
                Err(format!("step {} follows step {}", self.step, row.step))
            }
            _ => Ok(()),
        }
    }
}

impl Row for MetricRow {
    const HEADER: &'static [&'static str] = &["split", "metric", "class", "value"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.split.clone(),
            self.metric.clone(),
            self.class.clone(),
            format_float(self.value),
        ]
    }

    fn parse(fields: &Fields<'_>) -> Result<Self, String> {
        Ok(Self {
            split: fields.text("split")?.to_owned(),
            metric: fields.text("metric")?.to_owned(),
            class: fields.text("class")?.to_owned(),
            value: fields.float("value")?,
        })
    }

    fn follows(&self, _: Option<&Self>) -> Result<(), String> {
        Ok(())
    }
}

impl Row for TimingRow {
    const HEADER: &'static [&'static str] = &["epoch", "seconds", "images_per_second"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.epoch.to_string(),
            format_float(self.seconds),
            format_float(self.images_per_second),
        ]
    }

    fn parse(fields: &Fields<'_>) -> Result<Self, String> {
        Ok(Self {
            epoch: fields.whole("epoch")?,
            seconds: fields.float("seconds")?,
            images_per_second: fields.float("images_per_second")?,
        })
    }

    fn follows(&self, previous: Option<&Self>) -> Result<(), String> {
        next_epoch(self.epoch, previous.map(|row| row.epoch))
    }
}

/// Pictures come in their order.
fn next_picture(index: usize, previous: Option<usize>) -> Result<(), String> {
    match previous {
        Some(previous) if previous >= index => {
            Err(format!("picture {index} follows picture {previous}"))
        }
        _ => Ok(()),
    }
}

impl Row for EstimateRow {
    const HEADER: &'static [&'static str] = &["index", "file", "number", "predicted"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.index.to_string(),
            self.file.clone(),
            format_float(self.number),
            format_float(self.predicted),
        ]
    }

    fn parse(fields: &Fields<'_>) -> Result<Self, String> {
        Ok(Self {
            index: fields.whole("index")?,
            file: fields.text("file")?.to_owned(),
            number: fields.float("number")?,
            predicted: fields.float("predicted")?,
        })
    }

    fn follows(&self, previous: Option<&Self>) -> Result<(), String> {
        next_picture(self.index, previous.map(|row| row.index))
    }
}

impl Row for PredictionRow {
    const HEADER: &'static [&'static str] = &["index", "file", "label", "predicted", "probability"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.index.to_string(),
            self.file.clone(),
            self.label.to_string(),
            self.predicted.to_string(),
            format_float(self.probability),
        ]
    }

    fn parse(fields: &Fields<'_>) -> Result<Self, String> {
        Ok(Self {
            index: fields.whole("index")?,
            file: fields.text("file")?.to_owned(),
            label: fields.whole("label")?,
            predicted: fields.whole("predicted")?,
            probability: fields.float("probability")?,
        })
    }

    fn follows(&self, previous: Option<&Self>) -> Result<(), String> {
        next_picture(self.index, previous.map(|row| row.index))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epoch_without_validation_goes_through_json() {
        let row = EpochRow {
            epoch: 1,
            step: 2,
            train_loss: f64::INFINITY,
            train_accuracy: 0.1,
            val_loss: f64::NAN,
            val_accuracy: f64::NAN,
            lr: 1e-4,
        };
        let text = serde_json::to_string(&row).unwrap();
        let back: EpochRow = serde_json::from_str(&text).unwrap();
        assert!(back.val_loss.is_nan() && back.train_loss.is_nan());
        assert_eq!((back.train_accuracy, back.lr), (0.1, 1e-4));
    }
}
