//! TensorBoard's event file of a trial: made again from the record when the trial goes on, and continued with each epoch.

use std::{
    fs::{self, File, OpenOptions},
    io::{ErrorKind, Write},
    path::{Path, PathBuf},
};

use graft_model::Network;
use graft_record::{
    EpochRow, RecordError, ResultsFolder, SampleKind, TimingRow, TrialKey, atomic_write,
};
use graft_tensorboard::{Event, FILE_NAME, Histogram, Value, read_frames};

use crate::{TrainError, Trial, TrialSpec};

/// Pictures of each kind that are kept in an event file.
const PICTURES: usize = 8;

/// The event file of a trial that runs.
#[derive(Debug)]
pub(crate) struct Events {
    path: PathBuf,
    file: File,
    /// Seconds of the epochs so far.
    seconds: f64,
}

impl Events {
    /// Writes the file from the epochs that are recorded, with the histograms of these epochs that an earlier run left in
    /// it, and opens it for the epochs to come.
    pub(crate) fn open(
        trial: &Trial,
        rows: &[EpochRow],
        timing: &[TimingRow],
    ) -> Result<Self, TrainError> {
        let results = ResultsFolder::open(&trial.results)?;
        write_events(&results, &trial.key, &trial.spec, rows, timing)?;
        let path = events_file(&results, &trial.key);
        let file = OpenOptions::new().append(true).open(&path);
        Ok(Self {
            file: file.map_err(|error| io("open", &path, error))?,
            seconds: seconds(timing, rows.len()),
            path,
        })
    }

    /// Adds the figures of an epoch and the histograms of the parameters that train, as they are after it.
    pub(crate) fn epoch(
        &mut self,
        row: &EpochRow,
        timing: &TimingRow,
        network: &Network,
    ) -> Result<(), TrainError> {
        self.seconds += timing.seconds;
        let mut bytes = Vec::new();
        scalars(row, self.seconds).write(&mut bytes);
        let mut values = Vec::new();
        for parameter in network.parameters() {
            if parameter.trainable() {
                let numbers = parameter.var.flatten_all()?.to_vec1::<f32>()?;
                let histogram = Histogram::of(&numbers);
                values.extend(histogram.map(|h| Value::Histogram(parameter.name.clone(), h)));
            }
        }
        if !values.is_empty() {
            let event = Event {
                wall_time: self.seconds,
                step: row.epoch.into(),
                values,
            };
            event.write(&mut bytes);
        }
        let written = self.file.write_all(&bytes);
        Ok(written.map_err(|error| io("write", &self.path, error))?)
    }
}

/// Where the event file of a trial is: in a folder of its own, which TensorBoard calls a run.
pub fn events_file(results: &ResultsFolder, key: &TrialKey) -> PathBuf {
    let runs = results.root().join("tensorboard");
    runs.join(key.folder_name()).join(FILE_NAME)
}

/// Writes the event file of a trial from the record of its epochs: their figures, the recipe and some pictures. Histograms
/// of these epochs that are in the file already stay.
///
/// The time of an event is that of the training so far, in seconds from 0.
///
/// # Errors
/// When the file can't be written.
pub fn write_events(
    results: &ResultsFolder,
    key: &TrialKey,
    spec: &TrialSpec,
    rows: &[EpochRow],
    timing: &[TimingRow],
) -> Result<(), TrainError> {
    let path = events_file(results, key);
    let earlier = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(io("read", &path, error).into()),
    };
    let mut histograms: Vec<(u64, &[u8])> = read_frames(&earlier)
        .filter_map(|frame| Some((Event::step_of_histograms(frame)?, frame)))
        .collect();
    histograms.reverse();
    let mut bytes = Vec::new();
    Event::version().write(&mut bytes);
    for value in heading(results, key, spec)? {
        let event = Event {
            wall_time: 0.0,
            step: 0,
            values: vec![value],
        };
        event.write(&mut bytes);
    }
    for (place, row) in rows.iter().enumerate() {
        scalars(row, seconds(timing, place + 1)).write(&mut bytes);
        // The last one of an epoch, should there be several, was made by the run that got furthest.
        let of_epoch = histograms
            .iter()
            .find(|(step, _)| *step == u64::from(row.epoch));
        if let Some((_, frame)) = of_epoch {
            graft_tensorboard::write_frame(frame, &mut bytes);
        }
    }
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(|error| io("create folder", folder, error))?;
    }
    Ok(atomic_write(&path, |file| file.write_all(&bytes))?)
}

/// What is told once: the recipe, and pictures that the report shows, too.
fn heading(
    results: &ResultsFolder,
    key: &TrialKey,
    spec: &TrialSpec,
) -> Result<Vec<Value>, TrainError> {
    let text = toml::to_string(spec).map_err(|error| TrainError::Spec(error.to_string()))?;
    let text = format!("# {key}\n\n```toml\n{text}```\n");
    let mut values = vec![Value::Text("recipe".to_owned(), text)];
    // Pictures that can't be read are missing in the report, too, which says why.
    let samples = results.samples().unwrap_or_default();
    for (kind, word) in [
        (SampleKind::Batch, "training"),
        (SampleKind::Val, "validation"),
    ] {
        let of_kind = samples.iter().filter(|sample| sample.kind == kind);
        for sample in of_kind.take(PICTURES) {
            let path = results.root().join("samples").join(sample.file_name());
            let (Ok(thumbnail), Ok(png)) = (results.thumbnail(sample), fs::read(path)) else {
                continue;
            };
            values.push(Value::Picture {
                tag: format!("{word}/{}", sample.file_name().trim_end_matches(".png")),
                width: thumbnail.width,
                height: thumbnail.height,
                png,
            });
        }
    }
    Ok(values)
}

/// The figures of an epoch; those that there are none of are left out.
fn scalars(row: &EpochRow, wall_time: f64) -> Event {
    let figures = [
        ("loss/train", row.train_loss),
        ("loss/val", row.val_loss),
        ("accuracy/train", row.train_accuracy),
        ("accuracy/val", row.val_accuracy),
        ("lr", row.lr),
    ];
    let told = figures.iter().filter(|(_, figure)| !figure.is_nan());
    Event {
        wall_time,
        step: row.epoch.into(),
        values: told
            .map(|&(tag, figure)| Value::Scalar(tag.to_owned(), figure as f32))
            .collect(),
    }
}

/// How long the first epochs took together, as far as that is known.
fn seconds(timing: &[TimingRow], epochs: usize) -> f64 {
    timing.iter().take(epochs).map(|row| row.seconds).sum()
}

fn io(action: &'static str, path: &Path, error: std::io::Error) -> RecordError {
    RecordError::Io {
        action,
        path: path.to_owned(),
        error,
    }
}
