//! Results folders made by code: what a sweep would have left, without training anything.

use std::path::Path;

use graft_record::{
    EpochRow, Plan, PredictionRow, Predictions, ResultsFolder, Sample, SampleKind, State, Status,
    Thumbnail, TimingRow, TrialKey,
};
use graft_stream::{Purpose, Stream};

/// Describes a sweep; `write` makes its folder.
pub(crate) struct Sweep {
    pub(crate) variants: Vec<String>,
    pub(crate) cells: Vec<String>,
    pub(crate) repeats: u32,
    pub(crate) epochs: u32,
    pub(crate) classes: Vec<String>,
    pub(crate) samples: bool,
    /// The state of a trial by (place of the variant, place of the cell, repeat).
    pub(crate) state: fn(usize, usize, u32) -> Option<State>,
}

impl Sweep {
    pub(crate) fn new(variants: &[&str], repeats: u32, epochs: u32) -> Self {
        Self {
            variants: variants.iter().map(ToString::to_string).collect(),
            cells: vec![TrialKey::BASE_CELL.to_owned()],
            repeats,
            epochs,
            classes: vec!["ants".to_owned(), "bees".to_owned()],
            samples: false,
            state: |_, _, _| Some(State::Finished),
        }
    }

    pub(crate) fn write(&self, root: &Path) -> ResultsFolder {
        let results = ResultsFolder::create(root).unwrap();
        let mut trials = Vec::new();
        for (v, variant) in self.variants.iter().enumerate() {
            for (c, cell) in self.cells.iter().enumerate() {
                for repeat in 1..=self.repeats {
                    let key = TrialKey {
                        variant: variant.clone(),
                        cell: cell.clone(),
                        repeat,
                        id: format!("{v}{c}{repeat:06x}"),
                    };
                    if let Some(state) = (self.state)(v, c, repeat) {
                        self.write_trial(&results, &key, v, c, state);
                    }
                    trials.push(key);
                }
            }
        }
        // The plan's list is in the order of running, not of reporting.
        trials.reverse();
        let plan = Plan {
            format: Plan::FORMAT,
            experiment: "beeant".to_owned(),
            seed: 7,
            repeats: self.repeats,
            reference: self.variants.first().cloned(),
            variants: self.variants.clone(),
            cells: self.cells.clone(),
            classes: self.classes.clone(),
            trials,
        };
        results.write_plan(&plan).unwrap();
        if self.samples {
            self.write_samples(&results);
        }
        results
    }

    fn write_trial(
        &self,
        results: &ResultsFolder,
        key: &TrialKey,
        v: usize,
        c: usize,
        state: State,
    ) {
        let folder = results.trial(key);
        folder.create().unwrap();
        let done = match state {
            State::Finished => self.epochs,
            _ => self.epochs.div_ceil(2),
        };
        let rows: Vec<EpochRow> = (1..=done)
            .map(|epoch| Self::epoch(v, c, key.repeat, epoch))
            .collect();
        let timing: Vec<TimingRow> = (1..=done)
            .map(|epoch| TimingRow {
                epoch,
                seconds: 2.5,
                images_per_second: 97.5,
            })
            .collect();
        let mut status = Status::new(state);
        status.epochs_done = done;
        folder.write_status(&status).unwrap();
        folder.write_epochs(&rows).unwrap();
        folder.write_timing(&timing).unwrap();
        if state == State::Finished {
            folder
                .write_predictions(&Predictions::Classes(self.predictions(v, key.repeat)))
                .unwrap();
        }
    }

    /// Curves that fall towards a floor of the variant's own, with noise of the repeat's own.
    fn epoch(v: usize, c: usize, repeat: u32, epoch: u32) -> EpochRow {
        let index = [v as u64, c as u64, u64::from(repeat), u64::from(epoch)];
        let mut stream = Stream::new(1, Purpose::Generate, &index);
        let mut luck = Stream::new(1, Purpose::Generate, &[u64::from(repeat)]);
        let shared = 0.02 * luck.normal();
        let floor = 0.35 / (1.0 + v as f64) + 0.02 * c as f64;
        let fall = (0.5 - floor) * (-0.25 * f64::from(epoch) * (1.0 + v as f64 / 3.0)).exp();
        let mut error = |extra: f64| {
            let error = floor + fall + extra + shared + 0.015 * stream.normal();
            // Pictures are whole: so many of 153 are wrong.
            (error.clamp(0.0, 1.0) * 153.0).round() / 153.0
        };
        EpochRow {
            epoch,
            step: u64::from(epoch) * 61,
            train_loss: 2.0 * error(-0.03),
            train_accuracy: 1.0 - error(-0.03),
            val_loss: 2.0 * error(0.0),
            val_accuracy: 1.0 - error(0.0),
            lr: 1e-4,
        }
    }

    fn predictions(&self, v: usize, repeat: u32) -> Vec<PredictionRow> {
        let classes = self.classes.len();
        (0..153)
            .map(|index| {
                let mut stream =
                    Stream::new(2, Purpose::Generate, &[v as u64, u64::from(repeat), index]);
                let label = index as usize % classes;
                let right = stream.chance(1.0 - 0.35 / (1.0 + v as f64));
                let predicted = if right {
                    label
                } else {
                    (label + 1 + stream.below(classes - 1)) % classes
                };
                PredictionRow {
                    index: index as usize,
                    file: format!("val/{}/{index:04}.jpg", self.classes[label]),
                    label: label as u32,
                    predicted: predicted as u32,
                    probability: stream.uniform(0.5, 1.0),
                }
            })
            .collect()
    }

    fn write_samples(&self, results: &ResultsFolder) {
        let sample = |kind, index: usize| {
            let label = (index % self.classes.len()) as u32;
            let sample = Sample {
                kind,
                index,
                label,
                name: format!("val/{}/{index:04}.jpg", self.classes[label as usize]),
            };
            (sample, picture(index))
        };
        let mut samples: Vec<(Sample, Thumbnail)> =
            (0..4).map(|i| sample(SampleKind::Batch, i)).collect();
        samples.extend((0..16).map(|i| sample(SampleKind::Val, i * 7 % 153)));
        results.write_samples(&samples).unwrap();
    }
}

/// A coloured disc on a coloured ground, of a shape of its own.
fn picture(index: usize) -> Thumbnail {
    let (width, height): (i64, i64) = (128, if index.is_multiple_of(5) { 96 } else { 128 });
    let mut rgb = Vec::new();
    for y in 0..height {
        for x in 0..width {
            let inside = (x - 64).pow(2) + (y - height / 2).pow(2) < 30 * 30;
            let hue = (index * 37 % 200) as u8;
            rgb.extend(if inside {
                [250 - hue, 200, hue]
            } else {
                [60 + hue / 3, (x + 60) as u8, (y + 60) as u8]
            });
        }
    }
    Thumbnail {
        width: width as u32,
        height: height as u32,
        rgb,
    }
}
