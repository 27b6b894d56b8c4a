//! Pillow's antialiased bilinear resize of the part that is needed.

use std::fmt;

use super::{crop::Crop, filter::Resampler};
use crate::Picture;

/// A rectangle inside a picture, in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rect {
    /// Left column.
    pub x: u32,
    /// Top row.
    pub y: u32,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
}

/// Memory that a transform uses again and again; one for each thread.
#[derive(Default)]
pub struct Scratch {
    resampler: Resampler,
    /// The result of the last step.
    pub(crate) done: Picture,
    /// A picture between two resizes.
    pub(crate) between: Picture,
    /// Resized pixels on their way into a padded picture, and memory for steps that can't work in place.
    part: Vec<u8>,
}

impl Scratch {
    /// The picture between two steps, to be changed, and memory to use meanwhile.
    pub(crate) fn change(&mut self) -> (&mut Picture, &mut Vec<u8>) {
        (&mut self.between, &mut self.part)
    }
}

impl fmt::Debug for Scratch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scratch").finish_non_exhaustive()
    }
}

/// Resizes `window` of `source` to `target` and leaves `crop` of that in `scratch.done`, black where `crop` reaches out.
pub(crate) fn resample(
    source: &Picture,
    window: Rect,
    target: (u32, u32),
    crop: Crop,
    scratch: &mut Scratch,
) {
    let (width, height) = (crop.width, crop.height);
    let mut done = std::mem::take(&mut scratch.done);
    done.width = width;
    done.height = height;
    let part = overlap(crop, target);
    let (part_width, part_height) = (part.width, part.height);
    if (part_width, part_height) == (width, height) {
        done.rgb = resized(
            source,
            window,
            target,
            part,
            &mut scratch.resampler,
            done.rgb,
        );
    } else {
        done.rgb.clear();
        done.rgb.resize(width as usize * height as usize * 3, 0);
        if part_width > 0 && part_height > 0 {
            let bytes = std::mem::take(&mut scratch.part);
            scratch.part = resized(source, window, target, part, &mut scratch.resampler, bytes);
            let left = (i64::from(part.x) - crop.x) as usize * 3;
            let top = (i64::from(part.y) - crop.y) as usize;
            let rows = done.rgb.chunks_exact_mut(width as usize * 3).skip(top);
            let length = part_width as usize * 3;
            for (to, from) in rows.zip(scratch.part.chunks_exact(length)) {
                to[left..left + length].copy_from_slice(from);
            }
        }
    }
    scratch.done = done;
}

/// What of `crop` lies in a picture of this size.
pub(super) fn overlap(crop: Crop, (width, height): (u32, u32)) -> Rect {
    let along = |start: i64, length: u32, limit: u32| {
        let from = start.clamp(0, i64::from(limit));
        let to = (start + i64::from(length)).clamp(from, i64::from(limit));
        (from as u32, (to - from) as u32)
    };
    let (x, width) = along(crop.x, crop.width, width);
    let (y, height) = along(crop.y, crop.height, height);
    Rect {
        x,
        y,
        width,
        height,
    }
}

/// The rectangle `part` of `window` resized to `target`, in the memory of `bytes`.
fn resized(
    source: &Picture,
    window: Rect,
    target: (u32, u32),
    part: Rect,
    resampler: &mut Resampler,
    mut bytes: Vec<u8>,
) -> Vec<u8> {
    bytes.resize(part.width as usize * part.height as usize * 3, 0);
    if target == (window.width, window.height) {
        let stride = source.width as usize * 3;
        let left = (window.x + part.x) as usize * 3;
        let length = part.width as usize * 3;
        let rows = source
            .rgb
            .chunks_exact(stride)
            .skip((window.y + part.y) as usize);
        for (to, from) in bytes.chunks_exact_mut(length).zip(rows) {
            to.copy_from_slice(&from[left..left + length]);
        }
        return bytes;
    }
    resampler.resample(source, window, target, part, &mut bytes);
    bytes
}
