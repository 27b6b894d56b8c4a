//! From a picture to the input of a network: random or fixed steps, then normalisation.
//!
//! The steps are torchvision's on PIL pictures, with Pillow's antialiased bilinear filter. They are not carried out one by
//! one: crops and flips only move a window ([`plan`]), so that most lists of steps cost one resize of the needed part and
//! one pass that normalises and flips.

mod check;
mod crop;
mod normalize;
#[cfg(test)]
mod parity;
mod plan;
mod resize;

use graft_stream::Stream;

use crate::{Picture, Step, TransformSpec};

pub use check::TransformError;
pub use crop::{Crop, random_resized_crop};
pub use normalize::Normalization;
pub use resize::Scratch;

use normalize::Normalizer;
use plan::Plan;

/// Which of the two lists of steps is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mode {
    /// The random steps of training.
    Training,
    /// The fixed steps of evaluation.
    Evaluation,
}

/// Turns pictures into inputs of a network.
#[derive(Clone, Debug)]
pub struct Transform {
    spec: TransformSpec,
    normalizer: Normalizer,
}

impl Transform {
    /// Checks `spec` and prepares for inputs normalised by `normalization`.
    pub fn new(spec: &TransformSpec, normalization: Normalization) -> Result<Self, TransformError> {
        spec.check()?;
        Ok(Self {
            spec: spec.clone(),
            normalizer: Normalizer::new(normalization),
        })
    }

    /// What it does.
    pub fn spec(&self) -> &TransformSpec {
        &self.spec
    }

    /// Side of the square inputs in pixels.
    pub fn size(&self) -> usize {
        self.spec.size as usize
    }

    /// Numbers in one input: size · size · 3.
    pub fn input_len(&self) -> usize {
        3 * self.size() * self.size()
    }

    /// Writes the input of a network, (size, size, 3), to `out`. In training the random steps draw from `stream`, in
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

    /// Writes the input of a network, (size, size, 3), in evaluation, which draws nothing, to `out`.
    ///
    /// # Panics
    /// When `out` has not [`Self::input_len`] elements.
    pub fn evaluate(
        &self,
        picture: &Picture,
        scratch: &mut Scratch,
        out: &mut [f32],
    ) -> Result<(), TransformError> {
        // `new` has checked that no step of evaluation draws.
        let mut unused = Stream::from_key(0);
        self.apply(picture, Mode::Evaluation, &mut unused, scratch, out)
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

    /// Interleaved bytes to interleaved normalised values, mirrored if `flip`.
    fn normalize(&self, rgb: &[u8], flip: bool, out: &mut [f32]) {
        self.normalizer.apply(rgb, 3 * self.size(), flip, out);
    }
}
