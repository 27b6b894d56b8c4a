//! How inputs are made of pictures, for who makes them elsewhere.

use super::{
    crop::Crop,
    filter::{self, Weights},
    resize::{Rect, overlap},
};

/// How the input of a network is made of a picture: `window` of it is resized to `target` with Pillow's filter, `seen` of that
/// is taken, mirrored if `flip`, normalised, and in the end `erased` is set to 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ViewLayout {
    /// The part of the picture that is resized. Nothing outside of it counts.
    pub window: Rect,
    /// Width and height that it gets.
    pub target: (u32, u32),
    /// The part of what was resized that is seen, which has the size of the input. It is black where it reaches out.
    pub seen: Crop,
    /// Whether it is mirrored left to right.
    pub flip: bool,
    /// What is erased of the mirrored and normalised input.
    pub erased: Option<Crop>,
}

impl ViewLayout {
    /// All of a picture of this size as it is.
    pub fn whole(width: u32, height: u32) -> Self {
        let (x, y) = (0, 0);
        Self {
            window: Rect {
                x,
                y,
                width,
                height,
            },
            target: (width, height),
            seen: Crop {
                x: x.into(),
                y: y.into(),
                width,
                height,
            },
            flip: false,
            erased: None,
        }
    }

    /// What of the resized window is seen. Column 0 of it is column `part.x - seen.x` of the input before it is mirrored, and
    /// row 0 is row `part.y - seen.y`; it may be empty.
    pub fn part(&self) -> Rect {
        overlap(self.seen, self.target)
    }

    /// What the columns of [`Self::part`] are made of, counted from the left of the window; `None` if they are taken as they are.
    pub fn across(&self) -> Option<Weights> {
        let (part, length) = (self.part(), self.window.width);
        (self.target.0 != length)
            .then(|| Weights::new(length, self.target.0, part.x..part.x + part.width))
    }

    /// What the rows of [`Self::part`] are made of, counted from the top of the window; `None` if they are taken as they are.
    pub fn down(&self) -> Option<Weights> {
        let (part, length) = (self.part(), self.window.height);
        (self.target.1 != length)
            .then(|| Weights::new(length, self.target.1, part.y..part.y + part.height))
    }

    /// Whether columns are resized before rows, where both are: what is between is rounded to bytes.
    pub fn columns_come_first(&self) -> bool {
        filter::columns_come_first(self.window, self.target)
    }
}
