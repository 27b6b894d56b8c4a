//! The pictures that the figures show: some validation pictures as the networks see them, and a training batch.

use graft_data::{Mode, Normalization, Picture, Scratch, Source, Split, Transform};
use graft_record::{ResultsFolder, Sample, SampleKind, Thumbnail};
use graft_stream::{Purpose, Stream};

use crate::{experiment::Experiment, failure::Failure};

/// Validation pictures to keep.
const SHOWN: usize = 24;
/// Pictures of the training batch to keep.
const SHOWN_OF_BATCH: usize = 32;

/// Writes the pictures. One that can't be read is left out: the trials will tell of it.
pub(super) fn write(
    results: &ResultsFolder,
    experiment: &Experiment,
    source: &dyn Source,
) -> Result<(), Failure> {
    // The pictures as the first variant in the first cell sees them; others may have another transform.
    let Some(settings) = experiment
        .variants
        .first()
        .and_then(|variant| variant.settings.first())
    else {
        return Ok(());
    };
    let plain = Normalization {
        mean: [0.0; 3],
        std: [1.0; 3],
    };
    let transform = Transform::new(&settings.transform, plain).map_err(Failure::bad_input)?;
    let seed = experiment.seed;
    let mut viewer = Viewer {
        source,
        transform,
        scratch: Scratch::default(),
    };
    let mut samples = Vec::new();
    for index in spread(source, seed).into_iter().take(SHOWN) {
        let mut unused = Stream::new(seed, Purpose::Show, &[]);
        if let Some(view) = viewer.view(Split::Val, index, Mode::Evaluation, &mut unused) {
            samples.push((
                sample(SampleKind::Val, index, source, Split::Val, index),
                view,
            ));
        }
    }
    // The very first batch of the first repeat.
    let kept = settings
        .subset
        .pick(source, seed, 1)
        .map_err(Failure::bad_input)?;
    let kept = kept.unwrap_or_else(|| (0..source.len(Split::Train)).collect());
    let order = Stream::new(seed, Purpose::Shuffle, &[1, 1]).permutation(kept.len());
    for (place, index) in order
        .into_iter()
        .map(|place| kept[place])
        .take(settings.train.batch_size.min(SHOWN_OF_BATCH))
        .enumerate()
    {
        let mut stream = settings.transform.draws(seed, 1, 1, index as u64);
        if let Some(view) = viewer.view(Split::Train, index, Mode::Training, &mut stream) {
            samples.push((
                sample(SampleKind::Batch, place, source, Split::Train, index),
                view,
            ));
        }
    }
    results
        .write_samples(&samples)
        .map_err(Failure::some_failed)
}

fn sample(
    kind: SampleKind,
    place: usize,
    source: &dyn Source,
    split: Split,
    index: usize,
) -> Sample {
    Sample {
        kind,
        index: place,
        label: source.label(split, index).unwrap_or(0),
        name: source.name(split, index),
    }
}

/// All validation pictures, drawn by lot, the classes taking turns.
fn spread(source: &dyn Source, seed: u64) -> Vec<usize> {
    // Pictures with numbers are all of one kind.
    let mut classes: Vec<Vec<usize>> = vec![Vec::new(); source.classes().len().max(1)];
    for index in Stream::new(seed, Purpose::Show, &[0]).permutation(source.len(Split::Val)) {
        let class = source.label(Split::Val, index).unwrap_or(0);
        classes[class as usize].push(index);
    }
    let longest = classes.iter().map(Vec::len).max().unwrap_or(0);
    (0..longest)
        .flat_map(|turn| {
            classes
                .iter()
                .filter_map(move |class| class.get(turn).copied())
        })
        .collect()
}

/// Looks at pictures as a network does.
struct Viewer<'s> {
    source: &'s dyn Source,
    transform: Transform,
    scratch: Scratch,
}

impl Viewer<'_> {
    fn view(
        &mut self,
        split: Split,
        index: usize,
        mode: Mode,
        stream: &mut Stream,
    ) -> Option<Thumbnail> {
        let picture = self.source.load(split, index).ok()?;
        let Picture { width, height, rgb } = self
            .transform
            .view(&picture, mode, stream, &mut self.scratch)
            .ok()?;
        Some(Thumbnail { width, height, rgb })
    }
}
