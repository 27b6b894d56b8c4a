//! Pictures drawn by code from a seed: a source task with many shapes and a small target task with new shapes of the
//! same kind, so that transfer can be shown without a download.
//!
//! Every picture shows one shape, whose outline is its class. Place, size, rotation, colours, texture, background,
//! clutter and noise are random in both tasks alike, so that what a network learns on the many pictures of the
//! source task (to see outlines and to ignore everything else) is what the target task needs.

mod draw;
mod shape;

use graft_stream::{Purpose, Stream};

use crate::{DataError, GeneratedSpec, GeneratedTask, Picture, Source, Split};
use shape::Shape;

/// Changes whenever the same seed draws other pictures.
const GENERATOR_VERSION: &str = "graft generated 1";

/// The classes of the source task.
const SOURCE_SHAPES: [Shape; 10] = [
    Shape::Disc,
    Shape::Ring,
    Shape::Square,
    Shape::Frame,
    Shape::Triangle,
    Shape::Star,
    Shape::Cross,
    Shape::Crescent,
    Shape::Heart,
    Shape::Tee,
];

/// The classes of the target task.
const TARGET_SHAPES: [Shape; 3] = [Shape::Ell, Shape::Half, Shape::Arrow];

/// Sides of pictures that can be drawn.
const SIDES: std::ops::RangeInclusive<u32> = 16..=512;

/// Largest number of pictures in a split.
const MAX_PICTURES: usize = 10_000_000;

/// Pictures drawn by code.
#[derive(Debug)]
pub struct Generated {
    spec: GeneratedSpec,
    shapes: &'static [Shape],
    classes: Vec<String>,
}

impl Generated {
    /// Checks the keys. Nothing is drawn yet.
    pub fn new(spec: &GeneratedSpec) -> Result<Self, DataError> {
        let shapes: &[Shape] = match spec.task {
            GeneratedTask::Source => &SOURCE_SHAPES,
            GeneratedTask::Target => &TARGET_SHAPES,
        };
        if !SIDES.contains(&spec.side) {
            return Err(DataError::Spec(format!(
                "generated pictures of side {} can't be drawn\nhint: `side` goes from {} to {} pixels",
                spec.side,
                SIDES.start(),
                SIDES.end()
            )));
        }
        for (key, count) in [("train", spec.train), ("val", spec.val)] {
            if !(shapes.len()..=MAX_PICTURES).contains(&count) {
                return Err(DataError::Spec(format!(
                    "{count} generated pictures can't be the {key} split of {} classes\n\
                     hint: `{key}` goes from {} to {MAX_PICTURES}",
                    shapes.len(),
                    shapes.len()
                )));
            }
        }
        Ok(Self {
            classes: shapes.iter().map(|shape| shape.name().to_owned()).collect(),
            spec: spec.clone(),
            shapes,
        })
    }

    /// `source` or `target`.
    fn task_name(&self) -> &'static str {
        match self.spec.task {
            GeneratedTask::Source => "source",
            GeneratedTask::Target => "target",
        }
    }
}

impl Source for Generated {
    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn len(&self, split: Split) -> usize {
        match split {
            Split::Train => self.spec.train,
            Split::Val => self.spec.val,
        }
    }

    fn label(&self, _split: Split, index: usize) -> u32 {
        (index % self.shapes.len()) as u32
    }

    fn name(&self, split: Split, index: usize) -> String {
        format!("{}/{split}/{index:05}", self.task_name())
    }

    fn load(&self, split: Split, index: usize) -> Result<Picture, DataError> {
        let task = match self.spec.task {
            GeneratedTask::Source => 0,
            GeneratedTask::Target => 1,
        };
        let place = [task, split as u64, index as u64];
        let mut stream = Stream::new(self.spec.seed, Purpose::Generate, &place);
        let shape = self.shapes[self.label(split, index) as usize];
        Ok(draw::picture(shape, self.spec.side, &mut stream))
    }

    fn fingerprint(&self) -> Result<String, DataError> {
        let GeneratedSpec {
            task: _,
            side,
            train,
            val,
            seed,
        } = self.spec;
        let task = self.task_name();
        let text =
            format!("{GENERATOR_VERSION} {task} side {side} train {train} val {val} seed {seed}");
        Ok(blake3::hash(text.as_bytes()).to_hex().to_string())
    }

    fn notes(&self) -> Vec<String> {
        Vec::new()
    }
}
