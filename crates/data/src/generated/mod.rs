//! Pictures drawn by code from a seed, so that transfer can be shown without a download: a source task with many shapes
//! and a small target task with new shapes of the same kind; and satellite tiles, of which the brightness at night is to
//! be told, and from few of them how poor a place is.
//!
//! Every picture of shapes shows one shape, whose outline is its class. Place, size, rotation, colours, texture, background,
//! clutter and noise are random in both tasks alike, so that what a network learns on the many pictures of the
//! source task (to see outlines and to ignore everything else) is what the target task needs.

mod draw;
mod satellite;
mod shape;

use std::fmt::Write;

use graft_stream::{Purpose, Stream};

use crate::{
    Answer, DataError, GeneratedSpec, GeneratedTask, Picture, Source, Split, Target, error,
};
use satellite::Causes;
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
    /// None for the tasks with numbers.
    shapes: &'static [Shape],
    classes: Vec<String>,
}

impl Generated {
    /// Checks the keys. Nothing is drawn yet.
    pub fn new(spec: &GeneratedSpec) -> Result<Self, DataError> {
        let shapes: &[Shape] = match spec.task {
            GeneratedTask::Source => &SOURCE_SHAPES,
            GeneratedTask::Target => &TARGET_SHAPES,
            GeneratedTask::NightBrightness | GeneratedTask::Poverty => &[],
        };
        if !SIDES.contains(&spec.side) {
            return Err(DataError::Spec(format!(
                "generated pictures of side {} can't be drawn\nhint: `side` goes from {} to {} pixels",
                spec.side,
                SIDES.start(),
                SIDES.end()
            )));
        }
        for (key, count) in [
            ("train", spec.train),
            ("val", spec.val),
            ("test", spec.test),
        ] {
            let none = key == "test" && count == 0;
            if !none && !(shapes.len().max(1)..=MAX_PICTURES).contains(&count) {
                return Err(DataError::Spec(format!(
                    "{count} generated pictures can't be the {key} split of {} classes\n\
                     hint: `{key}` goes from {} to {MAX_PICTURES}",
                    shapes.len(),
                    shapes.len().max(1)
                )));
            }
        }
        if spec.task.target() == Target::Number && spec.val < 2 {
            return Err(DataError::Spec(format!(
                "{}, and `val` is {}\nhint: `val` goes from 2 to {MAX_PICTURES}",
                error::UNEXPLAINED,
                spec.val
            )));
        }
        Ok(Self {
            classes: shapes.iter().map(|shape| shape.name().to_owned()).collect(),
            spec: spec.clone(),
            shapes,
        })
    }

    /// The class of the picture of a number, in every split.
    fn class(&self, index: usize) -> usize {
        index % self.shapes.len()
    }

    /// The word in the experiment file.
    fn task_name(&self) -> &'static str {
        match self.spec.task {
            GeneratedTask::Source => "source",
            GeneratedTask::Target => "target",
            GeneratedTask::NightBrightness => "night-brightness",
            GeneratedTask::Poverty => "poverty",
        }
    }

    /// What the picture of a number is drawn from.
    fn stream(&self, split: Split, index: usize) -> Stream {
        let place = [self.spec.task as u64, split as u64, index as u64];
        Stream::new(self.spec.seed, Purpose::Generate, &place)
    }
}

impl Source for Generated {
    fn target(&self) -> Target {
        self.spec.task.target()
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn len(&self, split: Split) -> usize {
        match split {
            Split::Train => self.spec.train,
            Split::Val => self.spec.val,
            Split::Test => self.spec.test,
        }
    }

    fn answer(&self, split: Split, index: usize) -> Answer {
        let causes = || Causes::draw(&mut self.stream(split, index));
        match self.spec.task {
            GeneratedTask::Source | GeneratedTask::Target => {
                Answer::Class(self.class(index) as u32)
            }
            GeneratedTask::NightBrightness => Answer::Number(causes().night_brightness()),
            GeneratedTask::Poverty => Answer::Number(causes().poverty()),
        }
    }

    fn name(&self, split: Split, index: usize) -> String {
        format!("{}/{split}/{index:05}", self.task_name())
    }

    fn load(&self, split: Split, index: usize) -> Result<Picture, DataError> {
        let mut stream = self.stream(split, index);
        if self.target() == Target::Number {
            let causes = Causes::draw(&mut stream);
            return Ok(satellite::tile(&causes, self.spec.side, &mut stream));
        }
        let shape = self.shapes[self.class(index)];
        Ok(draw::picture(shape, self.spec.side, &mut stream))
    }

    fn fingerprint(&self) -> Result<String, DataError> {
        let GeneratedSpec {
            task: _,
            side,
            train,
            val,
            test,
            seed,
        } = self.spec;
        let task = self.task_name();
        let mut text =
            format!("{GENERATOR_VERSION} {task} side {side} train {train} val {val} seed {seed}");
        if test > 0 {
            let _ = write!(text, " test {test}");
        }
        Ok(blake3::hash(text.as_bytes()).to_hex().to_string())
    }

    fn notes(&self) -> Vec<String> {
        Vec::new()
    }
}
