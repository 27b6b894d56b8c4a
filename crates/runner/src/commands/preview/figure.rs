//! Some pictures of each class as a variant's network sees them.

use graft_data::{Mode, Normalization, Picture, Scratch, Source, Split, Target, Transform};
use graft_record::Thumbnail;
use graft_report::{Preview, PreviewRow};
use graft_stream::{Purpose, Stream};

use super::survey::Survey;
use crate::{
    experiment::{Experiment, Settings},
    failure::Failure,
};

/// The figures of all splits that have pictures, with the names of their files.
pub(super) fn figures(
    experiment: &Experiment,
    variant: &str,
    settings: &Settings,
    source: &dyn Source,
    survey: &Survey,
) -> Result<Vec<(String, Preview)>, Failure> {
    // A view is not normalised; what is erased has the mean colour of photographs.
    let normalization = Normalization {
        mean: [0.485, 0.456, 0.406],
        std: [1.0; 3],
    };
    let transform =
        Transform::new(&settings.transform, normalization).map_err(Failure::bad_input)?;
    let mut figures = Vec::new();
    for split in Split::ALL {
        if source.is_empty(split) {
            continue;
        }
        let mut viewer = Viewer {
            source,
            transform: &transform,
            split,
            seed: experiment.seed,
            scratch: Scratch::default(),
        };
        let figure = Preview {
            title: format!("{}: {split} pictures of {variant}", experiment.name),
            caption: caption(split, settings, source.classes().len()),
            rows: viewer.rows(survey)?,
        };
        figures.push((format!("preview-{split}.png"), figure));
    }
    Ok(figures)
}

fn caption(split: Split, settings: &Settings, classes: usize) -> String {
    let size = settings.transform.size;
    let steps = if split == Split::Train {
        &settings.transform.train
    } else {
        &settings.transform.eval
    };
    let steps: Vec<String> = steps.iter().map(ToString::to_string).collect();
    let mixed = if split == Split::Train && settings.train.mixes() {
        "; before they are mixed"
    } else {
        ""
    };
    let first = if classes > Preview::CLASSES {
        format!("; the first {} of {classes} classes", Preview::CLASSES)
    } else {
        String::new()
    };
    format!(
        "{size} × {size} pixels after {}{mixed}{first}",
        steps.join(", ")
    )
}

/// Looks at pictures of a split as a network does.
struct Viewer<'s> {
    source: &'s dyn Source,
    transform: &'s Transform,
    split: Split,
    seed: u64,
    scratch: Scratch,
}

impl Viewer<'_> {
    /// Some pictures of each class, drawn by lot from those that can be read.
    fn rows(&mut self, survey: &Survey) -> Result<Vec<PreviewRow>, Failure> {
        let (source, split) = (self.source, self.split);
        // Pictures with numbers are all of one kind.
        let names = match source.target() {
            Target::Classes => source.classes().to_vec(),
            Target::Number => vec!["all".to_owned()],
        };
        let mut classes: Vec<Vec<usize>> = vec![Vec::new(); names.len()];
        let index = [1, split as u64];
        for picture in Stream::new(self.seed, Purpose::Show, &index).permutation(source.len(split))
        {
            let class = source.label(split, picture).unwrap_or(0);
            classes[class as usize].push(picture);
        }
        let mut rows = Vec::new();
        let named = names.iter().zip(classes);
        for (class, pictures) in named.take(Preview::CLASSES) {
            let note = match pictures.len() {
                1 => "1 picture".to_owned(),
                count => format!("{count} pictures"),
            };
            let readable = pictures.iter().filter(|&&i| survey.split(split)[i].is_ok());
            let shown: Result<_, Failure> = readable
                .take(Preview::PICTURES)
                .map(|&picture| self.view(picture))
                .collect();
            rows.push(PreviewRow {
                class: class.clone(),
                note,
                pictures: shown?,
            });
        }
        Ok(rows)
    }

    /// A picture as it is seen in evaluation, or in the first epoch of the first repeat.
    fn view(&mut self, index: usize) -> Result<Thumbnail, Failure> {
        let picture = self.source.load(self.split, index);
        let picture = picture.map_err(Failure::some_failed)?;
        let (mode, mut stream) = if self.split == Split::Train {
            let spec = self.transform.spec();
            (Mode::Training, spec.draws(self.seed, 1, 1, index as u64))
        } else {
            (Mode::Evaluation, Stream::from_key(0))
        };
        let view = self
            .transform
            .view(&picture, mode, &mut stream, &mut self.scratch)
            .map_err(|error| {
                let name = self.source.name(self.split, index);
                Failure::bad_input(format!("{name}: {error}"))
            })?;
        let Picture { width, height, rgb } = view;
        Ok(Thumbnail { width, height, rgb })
    }
}
