//! From a picture to the input of a network: random or fixed steps, then normalisation.
//!
//! The steps are torchvision's on PIL pictures, with Pillow's antialiased bilinear filter. They are not carried out one by
//! one: crops and flips only move a window ([`plan`]), so that most lists of steps cost one resize of the needed part and
//! one pass that normalises and flips. Steps that change colours or turn the picture work on its bytes as they are then.

mod augment;
mod check;
mod color;
mod crop;
mod filter;
mod layout;
mod normalize;
#[cfg(test)]
mod parity;
#[cfg(test)]
mod parity_augment;
mod plan;
mod resize;
mod turn;

use graft_stream::Stream;

use crate::{Border, Picture, Step, TransformSpec};

pub use check::TransformError;
pub use crop::{Crop, random_resized_crop};
pub use filter::Weights;
pub use layout::ViewLayout;
pub use normalize::Normalization;
pub use resize::{Rect, Scratch};

use augment::Jittered;
use normalize::Normalizer;
use plan::{Blank, BlankStop, Canvas, Pixels, Plan};

/// What is left to do when the pixels are made.
#[derive(Clone, Copy, Debug, Default)]
struct Rest {
    /// To be mirrored left to right.
    flip: bool,
    /// To be erased, after mirroring and normalising.
    erased: Option<Crop>,
}

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
        let Rest { flip, erased } = self.pixels(picture, mode, stream, scratch)?;
        self.normalize(&scratch.done.rgb, flip, out);
        if let Some(part) = erased {
            augment::erase(out, self.size(), part, [0.0; 3]);
        }
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

    /// The transformed picture before it is normalised, size × size, to look at or to keep. What a `random-erasing` sets to
    /// 0 has the mean colour.
    pub fn view(
        &self,
        picture: &Picture,
        mode: Mode,
        stream: &mut Stream,
        scratch: &mut Scratch,
    ) -> Result<Picture, TransformError> {
        let Rest { flip, erased } = self.pixels(picture, mode, stream, scratch)?;
        let mut view = scratch.done.clone();
        if flip {
            turn::mirror(&mut view);
        }
        if let Some(part) = erased {
            augment::erase(&mut view.rgb, self.size(), part, self.normalizer.zero());
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

    /// How the input of a network is made of a picture of this size, without making it; `None` if the steps need its pixels
    /// on the way. Draws as [`Self::apply`] does, but for `None`, after which `stream` is of no use any more.
    ///
    /// # Errors
    /// As [`Self::apply`].
    pub fn layout(
        &self,
        (width, height): (u32, u32),
        mode: Mode,
        stream: &mut Stream,
    ) -> Result<Option<ViewLayout>, TransformError> {
        let mut plan = Plan::new(width, height);
        match self.follow(&mut plan, mode, stream, &mut Blank) {
            Ok(erased) => Ok(Some(plan.layout(erased))),
            Err(BlankStop::NeedsPixels) => Ok(None),
            Err(BlankStop::Failed(error)) => Err(error),
        }
    }

    /// The transformed picture, size × size, and what is left to do: it may have to be mirrored, normalised, and erased in
    /// part.
    pub(crate) fn unfinished(
        &self,
        picture: &Picture,
        mode: Mode,
        stream: &mut Stream,
        scratch: &mut Scratch,
    ) -> Result<(Picture, ViewLayout), TransformError> {
        let Rest { flip, erased } = self.pixels(picture, mode, stream, scratch)?;
        let layout = ViewLayout {
            flip,
            erased,
            ..ViewLayout::whole(self.spec.size, self.spec.size)
        };
        Ok((scratch.done.clone(), layout))
    }

    /// What every byte of red, green and blue becomes when it is normalised.
    pub fn values(&self) -> &[[f32; 256]; 3] {
        self.normalizer.values()
    }

    /// The steps, up to what is left to do.
    fn pixels(
        &self,
        picture: &Picture,
        mode: Mode,
        stream: &mut Stream,
        scratch: &mut Scratch,
    ) -> Result<Rest, TransformError> {
        let mut plan = Plan::new(picture.width, picture.height);
        let mut canvas = Pixels { picture, scratch };
        let erased = self.follow(&mut plan, mode, stream, &mut canvas)?;
        let flip = plan.finish(&mut canvas)?;
        Ok(Rest { flip, erased })
    }

    /// Takes the steps; returns what is to be erased.
    fn follow<C: Canvas>(
        &self,
        plan: &mut Plan,
        mode: Mode,
        stream: &mut Stream,
        canvas: &mut C,
    ) -> Result<Option<Crop>, C::Stop> {
        let steps = match mode {
            Mode::Training => &self.spec.train,
            Mode::Evaluation => &self.spec.eval,
        };
        let size = self.spec.size;
        let mut erased = None;
        for step in steps {
            let (width, height) = plan.size();
            match *step {
                Step::RandomResizedCrop => {
                    plan.crop(random_resized_crop(width, height, stream), canvas)?;
                    plan.resize(size, size, canvas)?;
                }
                Step::HorizontalFlip => {
                    if stream.chance(0.5) {
                        plan.flip();
                    }
                }
                Step::Resize(side) => {
                    let (width, height) = crop::shorter_side(width, height, side);
                    plan.resize(width, height, canvas)?;
                }
                Step::CenterCrop(side) => {
                    plan.crop(crop::center(width, height, side.unwrap_or(size)), canvas)?;
                }
                Step::Pad(margin, Border::Black) => {
                    plan.crop(crop::padded(width, height, margin), canvas)?;
                }
                Step::RandomCrop(side) => {
                    let side = side.unwrap_or(size);
                    let part = crop::random(width, height, side, stream);
                    let part = part.ok_or(TransformError::TooSmall {
                        side,
                        width,
                        height,
                    })?;
                    plan.crop(part, canvas)?;
                }
                Step::RandomErasing(probability) => {
                    if stream.chance(probability) {
                        erased = augment::erased(size, stream);
                    }
                }
                Step::VerticalFlip
                | Step::Pad(_, Border::Reflect)
                | Step::Rotation(..)
                | Step::ColorJitter(_)
                | Step::RandAugment { .. } => change(step, plan, stream, canvas)?,
            }
        }
        Ok(erased)
    }

    /// Interleaved bytes to interleaved normalised values, mirrored if `flip`.
    fn normalize(&self, rgb: &[u8], flip: bool, out: &mut [f32]) {
        self.normalizer.apply(rgb, 3 * self.size(), flip, out);
    }
}

/// A step that changes bytes: the picture so far is made, and changed in place.
fn change<C: Canvas>(
    step: &Step,
    plan: &mut Plan,
    stream: &mut Stream,
    canvas: &mut C,
) -> Result<(), C::Stop> {
    if *step == Step::VerticalFlip && !stream.chance(0.5) {
        return Ok(());
    }
    if let Step::Pad(margin, _) = *step {
        let (width, height) = plan.size();
        let whole = crop::padded(width, height, margin);
        plan::check_pixels(whole.width, whole.height)?;
    }
    plan.settle(canvas)?;
    let (_, scratch) = canvas.pixels()?;
    let (picture, spare) = scratch.change();
    match *step {
        Step::VerticalFlip => turn::flip(picture),
        Step::Pad(margin, _) => turn::reflect(picture, margin, spare),
        Step::Rotation(degrees, filter) => {
            turn::rotate(picture, stream.uniform(-degrees, degrees), filter, spare);
        }
        Step::ColorJitter(jitter) => Jittered::draw(&jitter, stream).apply(picture),
        Step::RandAugment {
            operations,
            magnitude,
        } => augment::rand_augment(picture, operations, magnitude, stream, spare),
        // The others move a window.
        _ => {}
    }
    plan.settled(scratch);
    Ok(())
}
