//! Text in an embedded font, so that figures look the same on machines without fonts.
//!
//! Set by `ab_glyph` directly: plotters' own use of it drops the space at the left of each glyph.

use std::sync::OnceLock;

use ab_glyph::{Font as _, FontRef, Glyph, ScaleFont as _};
use plotters::style::RGBColor;

/// Size in pixels per em, weight and colour.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Font {
    pub(crate) size: f64,
    pub(crate) bold: bool,
    pub(crate) color: RGBColor,
}

/// Where the given x is in the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Align {
    Left,
    Middle,
    Right,
}

impl Font {
    pub(crate) fn new(size: f64, color: RGBColor) -> Self {
        Self {
            size,
            bold: false,
            color,
        }
    }

    pub(crate) fn bold(size: f64, color: RGBColor) -> Self {
        Self {
            bold: true,
            ..Self::new(size, color)
        }
    }

    /// Width of `text` in pixels.
    pub(crate) fn width(self, text: &str) -> f64 {
        self.lay_out(text, 1.0).1
    }

    /// Calls `plot` with (x, y, coverage) for the pixels of `text` at `scale`, counted from the start of its
    /// baseline.
    pub(crate) fn set(self, text: &str, scale: f64, mut plot: impl FnMut(i32, i32, f32)) {
        let Some(face) = face(self.bold) else {
            return;
        };
        for glyph in self.lay_out(text, scale).0 {
            // A space has no outline.
            let Some(outline) = face.outline_glyph(glyph) else {
                continue;
            };
            let corner = outline.px_bounds().min;
            outline.draw(|x, y, coverage| {
                plot(
                    corner.x as i32 + x as i32,
                    corner.y as i32 + y as i32,
                    coverage,
                );
            });
        }
    }

    /// The glyphs of `text` at `scale` at their places on a baseline from 0, and where it ends.
    fn lay_out(self, text: &str, scale: f64) -> (Vec<Glyph>, f64) {
        let Some(face) = face(self.bold) else {
            return (Vec::new(), 0.0);
        };
        // ab_glyph's sizes are from the highest ascender to the lowest descender.
        let per_em = face.height_unscaled() / face.units_per_em().unwrap_or(2048.0);
        let scaled = face.as_scaled((self.size * scale) as f32 * per_em);
        let mut glyphs: Vec<Glyph> = Vec::new();
        let mut x = 0.0;
        for c in printable(text).chars() {
            let mut glyph = scaled.scaled_glyph(c);
            x += glyphs
                .last()
                .map_or(0.0, |previous| scaled.kern(previous.id, glyph.id));
            glyph.position.x = x;
            x += scaled.h_advance(glyph.id);
            glyphs.push(glyph);
        }
        (glyphs, f64::from(x))
    }

    /// `text`, or as much of its beginning and end as fits into `width` pixels: names often differ at the end.
    pub(crate) fn fit(self, text: &str, width: f64) -> String {
        let text = printable(text);
        if self.width(&text) <= width {
            return text;
        }
        let letters: Vec<char> = text.chars().collect();
        for kept in (1..letters.len()).rev() {
            let (head, tail) = letters.split_at(kept.div_ceil(2));
            let tail = &tail[tail.len() - kept / 2..];
            let head: String = head.iter().collect();
            let tail: String = tail.iter().collect();
            let short = format!("{}…{}", head.trim_end(), tail.trim_start());
            if self.width(&short) <= width {
                return short;
            }
        }
        String::new()
    }
}

/// Names come from files: a line feed or another control character has no picture.
fn printable(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

/// The embedded typeface; none would mean that the bytes in the program are no font.
fn face(bold: bool) -> Option<&'static FontRef<'static>> {
    static REGULAR: OnceLock<Option<FontRef<'static>>> = OnceLock::new();
    static BOLD: OnceLock<Option<FontRef<'static>>> = OnceLock::new();
    let (cell, bytes) = if bold {
        (&BOLD, dejavu::sans::bold())
    } else {
        (&REGULAR, dejavu::sans::regular())
    };
    cell.get_or_init(|| FontRef::try_from_slice(bytes).ok())
        .as_ref()
}
