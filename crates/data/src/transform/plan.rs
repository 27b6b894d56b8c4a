//! Steps as movements of a window, so that pixels are touched once.
//!
//! At every moment the picture so far is: the `window` of the source, resized to `target`, of which `crop` is seen,
//! mirrored if `flipped`. A step that this can't express (a second resize, a resize of a padded crop, a change of colours)
//! first makes the pixels so far into a new source. Who only wants to know where the window goes gives a plan a [`Blank`]
//! canvas, on which it stops there.

use super::{
    TransformError,
    crop::Crop,
    layout::ViewLayout,
    resize::{Rect, Scratch, resample},
    turn,
};
use crate::Picture;

/// Pictures in between are at most this large.
const MAX_BETWEEN: u64 = 1 << 27;

/// What a plan makes pixels on, where it can't go on without them.
pub(crate) trait Canvas {
    /// Why a plan did not go on.
    type Stop: From<TransformError>;

    /// The picture that was given, and the memory to make others in.
    fn pixels(&mut self) -> Result<(&Picture, &mut Scratch), Self::Stop>;
}

/// The pixels of a picture.
pub(crate) struct Pixels<'a> {
    pub(crate) picture: &'a Picture,
    pub(crate) scratch: &'a mut Scratch,
}

impl Canvas for Pixels<'_> {
    type Stop = TransformError;

    fn pixels(&mut self) -> Result<(&Picture, &mut Scratch), TransformError> {
        Ok((self.picture, self.scratch))
    }
}

/// No pixels.
pub(crate) struct Blank;

/// Why a plan did not go on without pixels.
#[derive(Debug)]
pub(crate) enum BlankStop {
    /// It needs some.
    NeedsPixels,
    /// It would not with them either.
    Failed(TransformError),
}

impl From<TransformError> for BlankStop {
    fn from(error: TransformError) -> Self {
        Self::Failed(error)
    }
}

impl Canvas for Blank {
    type Stop = BlankStop;

    fn pixels(&mut self) -> Result<(&Picture, &mut Scratch), BlankStop> {
        Err(BlankStop::NeedsPixels)
    }
}

/// The picture so far.
#[derive(Debug)]
pub(crate) struct Plan {
    /// Whether the source is the picture in the scratch memory rather than the one given.
    between: bool,
    /// Width and height of the source.
    source: (u32, u32),
    window: Rect,
    target: (u32, u32),
    crop: Crop,
    flipped: bool,
}

impl Plan {
    /// A whole picture.
    pub(crate) fn new(width: u32, height: u32) -> Self {
        Self {
            between: false,
            source: (width, height),
            window: Rect {
                x: 0,
                y: 0,
                width,
                height,
            },
            target: (width, height),
            crop: whole(width, height),
            flipped: false,
        }
    }

    /// Width and height so far.
    pub(crate) fn size(&self) -> (u32, u32) {
        (self.crop.width, self.crop.height)
    }

    /// Mirrors left to right.
    pub(crate) fn flip(&mut self) {
        self.flipped = !self.flipped;
    }

    /// Takes a part, in coordinates of the picture so far; black where it reaches out.
    pub(crate) fn crop<C: Canvas>(&mut self, part: Crop, canvas: &mut C) -> Result<(), C::Stop> {
        if !lies_in(part, self.size()) && !self.shows_all() {
            // What was cut off must not come back.
            self.settle(canvas)?;
        }
        let x = if self.flipped {
            i64::from(self.crop.width) - part.x - i64::from(part.width)
        } else {
            part.x
        };
        self.crop = Crop {
            x: self.crop.x + x,
            y: self.crop.y + part.y,
            ..part
        };
        Ok(())
    }

    /// Whether no pixel of the resized window was cut off.
    fn shows_all(&self) -> bool {
        let Crop { x, y, .. } = self.crop;
        let (right, lower) = (
            x + i64::from(self.crop.width),
            y + i64::from(self.crop.height),
        );
        x <= 0 && y <= 0 && right >= self.target.0.into() && lower >= self.target.1.into()
    }

    /// Makes the pixels so far into the picture that is in the scratch memory, for a step that changes it.
    pub(crate) fn settle<C: Canvas>(&mut self, canvas: &mut C) -> Result<(), C::Stop> {
        if !self.is_settled() {
            self.draw(canvas)?;
            let (_, scratch) = canvas.pixels()?;
            if self.flipped {
                turn::mirror(&mut scratch.done);
            }
            std::mem::swap(&mut scratch.done, &mut scratch.between);
            self.settled(scratch);
        }
        Ok(())
    }

    /// The picture so far is the one in the scratch memory.
    pub(crate) fn settled(&mut self, scratch: &Scratch) {
        *self = Self {
            between: true,
            ..Self::new(scratch.between.width, scratch.between.height)
        };
    }

    /// Whether the picture so far is the one in the scratch memory.
    fn is_settled(&self) -> bool {
        let Self { window, crop, .. } = *self;
        let plain = Self::new(self.source.0, self.source.1);
        self.between
            && !self.flipped
            && (window, self.target, crop) == (plain.window, plain.target, plain.crop)
    }

    /// Resizes the picture so far.
    pub(crate) fn resize<C: Canvas>(
        &mut self,
        width: u32,
        height: u32,
        canvas: &mut C,
    ) -> Result<(), C::Stop> {
        if (width, height) == self.size() {
            return Ok(());
        }
        if let Some(window) = self.visible_window() {
            self.window = window;
        } else {
            self.draw(canvas)?;
            let (_, scratch) = canvas.pixels()?;
            std::mem::swap(&mut scratch.done, &mut scratch.between);
            let (width, height) = self.size();
            *self = Self {
                between: true,
                flipped: self.flipped,
                ..Self::new(width, height)
            };
        }
        self.target = (width, height);
        self.crop = whole(width, height);
        Ok(())
    }

    /// Makes the pixels, but for the flip; returns whether that is left to do.
    pub(crate) fn finish<C: Canvas>(self, canvas: &mut C) -> Result<bool, C::Stop> {
        if self.is_settled() {
            let (_, scratch) = canvas.pixels()?;
            std::mem::swap(&mut scratch.done, &mut scratch.between);
        } else {
            self.draw(canvas)?;
        }
        Ok(self.flipped)
    }

    /// How the pixels are made, with what is erased in the end. The source is the picture that was given, on a canvas that is
    /// [`Blank`].
    pub(crate) fn layout(&self, erased: Option<Crop>) -> ViewLayout {
        ViewLayout {
            window: self.window,
            target: self.target,
            seen: self.crop,
            flip: self.flipped,
            erased,
        }
    }

    /// The part of the source that is seen, if nothing was resized since and nothing is padded.
    fn visible_window(&self) -> Option<Rect> {
        let Rect {
            x,
            y,
            width,
            height,
        } = self.window;
        if self.target != (width, height) {
            return None;
        }
        let crop = self.crop;
        lies_in(crop, (width, height)).then(|| Rect {
            x: x + crop.x as u32,
            y: y + crop.y as u32,
            width: crop.width,
            height: crop.height,
        })
    }

    /// Makes the pixels into `scratch.done`.
    fn draw<C: Canvas>(&self, canvas: &mut C) -> Result<(), C::Stop> {
        let (width, height) = self.size();
        check_pixels(width, height)?;
        let (picture, scratch) = canvas.pixels()?;
        let source = self.between.then(|| std::mem::take(&mut scratch.between));
        resample(
            source.as_ref().unwrap_or(picture),
            self.window,
            self.target,
            self.crop,
            scratch,
        );
        if let Some(source) = source {
            scratch.between = source;
        }
        Ok(())
    }
}

/// Whether a rectangle reaches nowhere out of a picture of this size.
fn lies_in(part: Crop, (width, height): (u32, u32)) -> bool {
    let inside = |start: i64, length: u32, limit: u32| {
        start >= 0 && start + i64::from(length) <= i64::from(limit)
    };
    inside(part.x, part.width, width) && inside(part.y, part.height, height)
}

/// Whether a picture in between may have so many pixels.
pub(crate) fn check_pixels(width: u32, height: u32) -> Result<(), TransformError> {
    if u64::from(width) * u64::from(height) > MAX_BETWEEN {
        return Err(TransformError::TooLarge {
            width,
            height,
            limit: MAX_BETWEEN,
        });
    }
    Ok(())
}

/// All of a picture.
fn whole(width: u32, height: u32) -> Crop {
    Crop {
        x: 0,
        y: 0,
        width,
        height,
    }
}
