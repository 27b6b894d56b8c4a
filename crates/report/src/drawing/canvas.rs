//! A canvas of pixels. Everything is drawn three times as large and averaged, because plotters' bitmaps have hard
//! edges.

use std::{io, path::Path};

use graft_record::{Thumbnail, atomic_write};
use image::{ExtendedColorType, ImageEncoder, RgbImage, codecs::png, imageops};
use plotters::{
    backend::{BitMapBackend, DrawingBackend},
    style::{Color, RGBColor},
};

use super::{
    palette::BACKGROUND,
    stroke::{Dash, Point},
    text::{Align, Font},
};
use crate::ReportError;

/// Drawn pixels per pixel and direction.
const SCALE: u32 = 3;

/// A picture that is being drawn. Coordinates are pixels of the finished picture, from its upper left corner.
pub(crate) struct Canvas {
    width: u32,
    height: u32,
    /// (height · SCALE, width · SCALE, 3)
    pixels: Vec<u8>,
    problem: Option<String>,
}

impl Canvas {
    /// White paper of this size.
    pub(crate) fn new(width: f64, height: f64) -> Self {
        let (width, height) = (
            width.round().max(1.0) as u32,
            height.round().max(1.0) as u32,
        );
        let count = 3 * (width * SCALE) as usize * (height * SCALE) as usize;
        Self {
            width,
            height,
            pixels: vec![BACKGROUND.0; count],
            problem: None,
        }
    }

    /// Draws with plotters. Its errors are kept until the picture is finished: they tell of bugs, not of data.
    fn draw<E: std::fmt::Display>(
        &mut self,
        draw: impl FnOnce(&mut BitMapBackend<'_>) -> Result<(), E>,
    ) {
        let size = (self.width * SCALE, self.height * SCALE);
        let mut backend = BitMapBackend::with_buffer(&mut self.pixels, size);
        if let Err(error) = draw(&mut backend) {
            self.problem.get_or_insert(error.to_string());
        }
    }

    /// A filled rectangle from one corner to the other.
    pub(crate) fn rectangle(&mut self, from: Point, to: Point, color: RGBColor, opacity: f64) {
        let (to, from) = (scaled(to), scaled(from));
        if to.0 <= from.0 || to.1 <= from.1 {
            return;
        }
        self.draw(|backend| backend.draw_rect(from, to, &color.mix(opacity), true));
    }

    /// The outline of a rectangle, `width` pixels wide, inside of its corners.
    pub(crate) fn frame(&mut self, from: Point, to: Point, color: RGBColor, width: f64) {
        self.rectangle(from, (to.0, from.1 + width), color, 1.0);
        self.rectangle((from.0, to.1 - width), to, color, 1.0);
        self.rectangle(from, (from.0 + width, to.1), color, 1.0);
        self.rectangle((to.0 - width, from.1), to, color, 1.0);
    }

    /// A filled circle.
    pub(crate) fn disc(&mut self, center: Point, radius: f64, color: RGBColor) {
        let radius = (radius * f64::from(SCALE)).round().max(1.0) as u32;
        self.draw(|backend| backend.draw_circle(scaled(center), radius, &color, true));
    }

    /// A line through points, with round corners and ends.
    pub(crate) fn line(&mut self, points: &[Point], color: RGBColor, width: f64, dash: Dash) {
        for piece in dash.pieces(points, width) {
            for pair in piece.windows(2) {
                self.segment(pair[0], pair[1], color, width);
            }
            for &point in &piece {
                self.disc(point, width / 2.0, color);
            }
        }
    }

    /// A straight piece: plotters' own thick lines have spikes at sharp corners.
    fn segment(&mut self, from: Point, to: Point, color: RGBColor, width: f64) {
        let (dx, dy) = (to.0 - from.0, to.1 - from.1);
        let length = dx.hypot(dy);
        if length < 1e-9 {
            return;
        }
        let (nx, ny) = (-dy / length * width / 2.0, dx / length * width / 2.0);
        let corners = [
            (from.0 + nx, from.1 + ny),
            (to.0 + nx, to.1 + ny),
            (to.0 - nx, to.1 - ny),
            (from.0 - nx, from.1 - ny),
        ]
        .map(scaled);
        self.draw(|backend| backend.fill_polygon(corners, &color));
    }

    /// The area between two lines that are given at the same, growing x: (x, upper y, lower y).
    pub(crate) fn band(&mut self, edges: &[(f64, f64, f64)], color: RGBColor, opacity: f64) {
        let step = 1.0 / f64::from(SCALE);
        for pair in edges.windows(2) {
            let ((x0, top0, low0), (x1, top1, low1)) = (pair[0], pair[1]);
            // Column by column: every pixel is blended once, also where two pieces meet.
            let (first, last) = (scaled((x0, 0.0)).0, scaled((x1, 0.0)).0);
            for column in first..last {
                let x = f64::from(column) * step;
                let t = ((x - x0) / (x1 - x0)).clamp(0.0, 1.0);
                let (top, low) = (top0 + t * (top1 - top0), low0 + t * (low1 - low0));
                self.rectangle((x, top), (x + step, low), color, opacity);
            }
        }
    }

    /// Text on a baseline.
    pub(crate) fn text(&mut self, at: Point, text: &str, font: Font, align: Align) {
        let start = match align {
            Align::Left => at.0,
            Align::Middle => at.0 - font.width(text) / 2.0,
            Align::Right => at.0 - font.width(text),
        };
        let (x, y) = scaled((start, at.1));
        font.set(text, f64::from(SCALE), |dx, dy, coverage| {
            self.blend(x + dx, y + dy, font.color, coverage);
        });
    }

    /// Text that is read from below to above; its middle is at `at`.
    pub(crate) fn vertical_text(&mut self, at: Point, text: &str, font: Font) {
        // Half of a small letter's height to the right of the middle.
        let baseline = at.0 + 0.36 * font.size;
        let (x, y) = scaled((baseline, at.1 + font.width(text) / 2.0));
        font.set(text, f64::from(SCALE), |dx, dy, coverage| {
            self.blend(x + dy, y - dx, font.color, coverage);
        });
    }

    /// One drawn pixel of a glyph.
    fn blend(&mut self, x: i32, y: i32, color: RGBColor, coverage: f32) {
        let (width, height) = (self.width * SCALE, self.height * SCALE);
        let (Ok(x), Ok(y)) = (u32::try_from(x), u32::try_from(y)) else {
            return;
        };
        if x >= width || y >= height {
            return;
        }
        let start = 3 * (y as usize * width as usize + x as usize);
        let coverage = coverage.clamp(0.0, 1.0);
        let inks = [color.0, color.1, color.2];
        for (channel, ink) in self.pixels[start..start + 3].iter_mut().zip(inks) {
            let paper = f32::from(*channel);
            *channel = (paper + (f32::from(ink) - paper) * coverage).round() as u8;
        }
    }

    /// A picture, as large as fits into the rectangle and in its middle. Returns its corners.
    pub(crate) fn picture(
        &mut self,
        from: Point,
        to: Point,
        picture: &Thumbnail,
    ) -> (Point, Point) {
        let (width, height) = (to.0 - from.0, to.1 - from.1);
        let (w, h) = (f64::from(picture.width), f64::from(picture.height));
        let zoom = (width / w).min(height / h);
        let (w, h) = (w * zoom, h * zoom);
        let corner = (from.0 + (width - w) / 2.0, from.1 + (height - h) / 2.0);
        let end = (corner.0 + w, corner.1 + h);
        let Some(pixels) = RgbImage::from_raw(picture.width, picture.height, picture.rgb.clone())
        else {
            self.problem
                .get_or_insert_with(|| "a picture has the wrong number of bytes".to_owned());
            return (corner, end);
        };
        let (x, y) = scaled(corner);
        let (right, below) = scaled(end);
        let (columns, rows) = ((right - x).max(1) as u32, (below - y).max(1) as u32);
        let resized = imageops::resize(&pixels, columns, rows, imageops::FilterType::CatmullRom);
        self.draw(|backend| backend.blit_bitmap((x, y), (columns, rows), resized.as_raw()));
        (corner, end)
    }

    /// The finished pixels: the average of what was drawn.
    pub(crate) fn finish(self) -> Result<RgbImage, String> {
        if let Some(problem) = self.problem {
            return Err(problem);
        }
        let row = 3 * (self.width * SCALE) as usize;
        let count = SCALE * SCALE;
        let mut pixels = Vec::with_capacity(3 * self.width as usize * self.height as usize);
        for lines in self.pixels.chunks_exact(row * SCALE as usize) {
            for x in 0..self.width as usize {
                for channel in 0..3 {
                    let sum: u32 = (0..SCALE as usize)
                        .flat_map(|dy| (0..SCALE as usize).map(move |dx| (dy, dx)))
                        .map(|(dy, dx)| {
                            u32::from(lines[dy * row + (x * SCALE as usize + dx) * 3 + channel])
                        })
                        .sum();
                    pixels.push(((sum + count / 2) / count) as u8);
                }
            }
        }
        RgbImage::from_raw(self.width, self.height, pixels)
            .ok_or_else(|| "the picture is too large".to_owned())
    }

    /// Writes the picture as PNG.
    pub(crate) fn write(self, path: &Path) -> Result<(), ReportError> {
        let picture = self.finish().map_err(|problem| ReportError::Draw {
            figure: path.display().to_string(),
            problem,
        })?;
        write_png(path, &picture, png::CompressionType::Best)
    }
}

/// Writes a finished picture as PNG.
pub(crate) fn write_png(
    path: &Path,
    picture: &RgbImage,
    compression: png::CompressionType,
) -> Result<(), ReportError> {
    atomic_write(path, |file| {
        png::PngEncoder::new_with_quality(file, compression, png::FilterType::Adaptive)
            .write_image(
                picture.as_raw(),
                picture.width(),
                picture.height(),
                ExtendedColorType::Rgb8,
            )
            .map_err(|error| match error {
                image::ImageError::IoError(error) => error,
                other => io::Error::other(other),
            })
    })?;
    Ok(())
}

/// The drawn pixel of a point.
fn scaled(point: Point) -> (i32, i32) {
    let scale = |v: f64| (v * f64::from(SCALE)).round() as i32;
    (scale(point.0), scale(point.1))
}
