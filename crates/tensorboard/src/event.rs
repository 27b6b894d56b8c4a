//! Events: what a frame holds.

use crate::{
    Histogram,
    frame::write_frame,
    message::{Field, Message, fields},
};

/// `DT_STRING` of TensorFlow's types.
const STRING: u64 = 7;

/// A moment of a run and what is to be told of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// When it was, in seconds.
    pub wall_time: f64,
    /// The place on the step axis, from 0.
    pub step: u64,
    /// What is told; none in the first event of a file, which tells the version.
    pub values: Vec<Value>,
}

/// Something with a tag.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A point of a curve.
    Scalar(String, f32),
    /// A slice of a histogram over time.
    Histogram(String, Histogram),
    /// A picture.
    Picture {
        /// The tag.
        tag: String,
        /// Width in pixels.
        width: u32,
        /// Height in pixels.
        height: u32,
        /// The content of a PNG file with three channels.
        png: Vec<u8>,
    },
    /// A text in Markdown.
    Text(String, String),
}

impl Event {
    /// The first event of a file.
    pub fn version() -> Self {
        Self {
            wall_time: 0.0,
            step: 0,
            values: Vec::new(),
        }
    }

    /// Adds the event's frame to `out`.
    pub fn write(&self, out: &mut Vec<u8>) {
        let event = Message::default()
            .double(1, self.wall_time)
            .whole(2, self.step);
        let event = if self.values.is_empty() {
            event.bytes(3, b"brain.Event:2")
        } else {
            let add = |summary: Message, value: &Value| summary.message(1, &value.message());
            event.message(5, &self.values.iter().fold(Message::default(), add))
        };
        write_frame(&event.into_bytes(), out);
    }

    /// The step of the event in a frame whose values are histograms; `None` for any other.
    pub fn step_of_histograms(frame: &[u8]) -> Option<u64> {
        let (mut step, mut values, mut histograms) = (0, 0, 0);
        for (number, field) in fields(frame) {
            match (number, field) {
                (2, Field::Whole(number)) => step = number,
                (5, Field::Bytes(summary)) => {
                    for (_, value) in fields(summary) {
                        let Field::Bytes(value) = value else { continue };
                        values += 1;
                        histograms += fields(value).filter(|(number, _)| *number == 5).count();
                    }
                }
                _ => {}
            }
        }
        (values > 0 && values == histograms).then_some(step)
    }
}

impl Value {
    fn message(&self) -> Message {
        let tagged = |tag: &str| Message::default().bytes(1, tag.as_bytes());
        match self {
            Self::Scalar(tag, value) => tagged(tag).float(2, *value),
            Self::Picture {
                tag,
                width,
                height,
                png,
            } => {
                let picture = Message::default()
                    .whole(1, u64::from(*height))
                    .whole(2, u64::from(*width))
                    .whole(3, 3)
                    .bytes(4, png);
                tagged(tag).message(4, &picture)
            }
            Self::Histogram(tag, histogram) => {
                let histogram = Message::default()
                    .double(1, histogram.min)
                    .double(2, histogram.max)
                    .double(3, histogram.count as f64)
                    .double(4, histogram.sum)
                    .double(5, histogram.sum_of_squares)
                    .doubles(6, &histogram.limits)
                    .doubles(7, &histogram.counts);
                tagged(tag).message(5, &histogram)
            }
            Self::Text(tag, text) => {
                let one = Message::default().whole(1, 1);
                let shape = Message::default().message(2, &one);
                let tensor = Message::default()
                    .whole(1, STRING)
                    .message(2, &shape)
                    .bytes(8, text.as_bytes());
                let plugin = Message::default().bytes(1, b"text");
                let metadata = Message::default().message(1, &plugin);
                tagged(tag).message(8, &tensor).message(9, &metadata)
            }
        }
    }
}
