//! From a picture to the input of a network: random or fixed steps, then normalisation.
//!
//! The steps are torchvision's on PIL pictures, with Pillow's antialiased bilinear filter. They are not carried out one by
//! one: crops and flips only move a window ([`plan`]), so that most lists of steps cost one resize of the needed part and
//! one pass that normalises, flips and sorts the channels.

mod check;
mod crop;
#[cfg(test)]
mod parity;
mod plan;
mod resize;

use graft_stream::Stream;

use crate::{Picture, Step, TransformSpec};

pub use check::TransformError;
pub use crop::{Crop, random_resized_crop};
pub use resize::Scratch;

use plan::Plan;

/// Which of the two lists of steps is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mode {
    /// The random steps of training.
    Training,
    /// The fixed steps of evaluation.
    Evaluation,
}

/// Mean and standard deviation of each channel, of values scaled to 0..1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Normalization {
    /// Subtracted.
    pub mean: [f32; 3],
    /// Divided by.
    pub std: [f32; 3],
}

/// Turns pictures into inputs of a network.
#[derive(Clone, Debug)]
pub struct Transform {
    spec: TransformSpec,
    /// The normalised value of every byte in every channel, rounded as `ToTensor` and `Normalize` round it.
    values: Box<[[f32; 256]; 3]>,
}

impl Transform {
    /// Checks `spec` and prepares for inputs normalised by `normalization`.
    pub fn new(spec: &TransformSpec, normalization: Normalization) -> Result<Self, TransformError> {
        spec.check()?;
        let mut values = Box::new([[0.0; 256]; 3]);
        for (c, channel) in values.iter_mut().enumerate() {
            let (mean, std) = (normalization.mean[c], normalization.std[c]);
            for (byte, value) in channel.iter_mut().enumerate() {
                *value = (byte as f32 / 255.0 - mean) / std;
            }
        }
        Ok(Self {
            spec: spec.clone(),
            values,
        })
    }

    /// Side of the square inputs in pixels.
    pub fn size(&self) -> usize {
        self.spec.size as usize
    }

    /// Numbers in one input: 3 · size · size.
    pub fn input_len(&self) -> usize {
        3 * self.size() * self.size()
    }

    /// Writes the input of a network, (3, size, size), to `out`. In training the random steps draw from `stream`, in
    /// the order of the list; in evaluation nothing is drawn.
    ///
    /// # Panics
    /// When `out` has not [`Self::input_len`] elements.
    pub fn apply(
        &self,
        picture: &Picture,
        mode: Mode,
        stream: &mut Stream,
        scratch: &mut Scratch,
        out: &mut [f32],
    ) -> Result<(), TransformError> {
        assert_eq!(out.len(), self.input_len(), "the length of an input");
        let flip = self.pixels(picture, mode, stream, scratch)?;
        self.normalize(&scratch.done.rgb, flip, out);
        Ok(())
    }

    /// The transformed picture before it is normalised, size × size, to look at or to keep.
    pub fn view(
        &self,
        picture: &Picture,
        mode: Mode,
        stream: &mut Stream,
        scratch: &mut Scratch,
    ) -> Result<Picture, TransformError> {
        let flip = self.pixels(picture, mode, stream, scratch)?;
        let mut view = scratch.done.clone();
        if flip {
            for row in view.rgb.chunks_exact_mut(3 * self.size()) {
                row.as_chunks_mut::<3>().0.reverse();
            }
        }
        Ok(view)
    }

    /// Normalises a picture that [`Self::view`] gave: `apply` in a second step.
    ///
    /// # Panics
    /// When the picture is not size × size or `out` has not [`Self::input_len`] elements.
    pub fn normalize_view(&self, view: &Picture, out: &mut [f32]) {
        assert_eq!(
            (view.rgb.len(), out.len()),
            (self.input_len(), self.input_len())
        );
        self.normalize(&view.rgb, false, out);
    }

    /// The steps, up to the flip that is left to do.
    fn pixels(
        &self,
        picture: &Picture,
        mode: Mode,
        stream: &mut Stream,
        scratch: &mut Scratch,
    ) -> Result<bool, TransformError> {
        let steps = match mode {
            Mode::Training => &self.spec.train,
            Mode::Evaluation => &self.spec.eval,
        };
        let size = self.spec.size;
        let mut plan = Plan::new(picture.width, picture.height);
        for step in steps {
            match *step {
                Step::RandomResizedCrop => {
                    let (width, height) = plan.size();
                    plan.crop(random_resized_crop(width, height, stream));
                    plan.resize(size, size, picture, scratch)?;
                }
                Step::HorizontalFlip => {
                    if stream.chance(0.5) {
                        plan.flip();
                    }
                }
                Step::Resize(side) => {
                    let (width, height) = plan.size();
                    let (width, height) = crop::shorter_side(width, height, side);
                    plan.resize(width, height, picture, scratch)?;
                }
                Step::CenterCrop(side) => {
                    let (width, height) = plan.size();
                    plan.crop(crop::center(width, height, side.unwrap_or(size)));
                }
            }
        }
        plan.finish(picture, scratch)
    }

    /// Interleaved bytes to normalised planes, mirrored if `flip`.
    fn normalize(&self, rgb: &[u8], flip: bool, out: &mut [f32]) {
        let size = self.size();
        let [red, green, blue] = &*self.values;
        let (out_red, rest) = out.split_at_mut(size * size);
        let (out_green, out_blue) = rest.split_at_mut(size * size);
        let rows = out_red
            .chunks_exact_mut(size)
            .zip(out_green.chunks_exact_mut(size))
            .zip(out_blue.chunks_exact_mut(size));
        for (((row_red, row_green), row_blue), row) in rows.zip(rgb.chunks_exact(3 * size)) {
            let write = |(((r, g), b), pixel): (((&mut f32, &mut f32), &mut f32), &[u8; 3])| {
                *r = red[usize::from(pixel[0])];
                *g = green[usize::from(pixel[1])];
                *b = blue[usize::from(pixel[2])];
            };
            let places = row_red.iter_mut().zip(row_green).zip(row_blue);
            let pixels = row.as_chunks::<3>().0.iter();
            if flip {
                places.zip(pixels.rev()).for_each(write);
            } else {
                places.zip(pixels).for_each(write);
            }
        }
    }
}
