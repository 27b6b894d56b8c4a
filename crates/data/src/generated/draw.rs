//! One picture: background, clutter, shape, noise.

use graft_stream::Stream;

use super::shape::Shape;
use crate::Picture;

/// Radius of the shape as a part of the picture's side.
const RADIUS: (f64, f64) = (0.24, 0.40);

/// How far the centre may be from the middle, as a part of the side.
const OFFSET: f64 = 0.14;

/// Largest rotation to either side in turns.
const TURN: f64 = 0.5;

/// Number of strokes in the background: from, below.
const STROKES: (usize, usize) = (2, 7);

/// Opacity of the strokes.
const STROKE_OPACITY: (f64, f64) = (0.35, 0.85);

/// Standard deviation of the noise in 1/255.
const NOISE: (f64, f64) = (3.0, 14.0);

/// Least distance of the shape's colours from the background's, of 1.
const CONTRAST: f32 = 0.34;

/// A colour; red, green and blue from 0 to 1.
type Color = [f32; 3];

/// Draws a picture of `side` × `side` pixels.
pub(crate) fn picture(shape: Shape, side: u32, stream: &mut Stream) -> Picture {
    let mut canvas = Canvas::new(side, stream);
    for _ in 0..STROKES.0 + stream.below(STROKES.1 - STROKES.0) {
        canvas.stroke(stream);
    }
    canvas.shape(shape, stream);
    canvas.finish(stream)
}

/// The picture so far.
struct Canvas {
    side: u32,
    pixels: Vec<Color>,
    /// The two ends of the background's gradient.
    ground: [Color; 2],
}

/// How a surface is coloured, in coordinates of its own.
#[derive(Clone, Copy)]
enum Texture {
    Plain,
    Stripes,
    Checks,
    Dots,
}

impl Texture {
    fn random(stream: &mut Stream) -> Self {
        [
            Self::Plain,
            Self::Plain,
            Self::Stripes,
            Self::Checks,
            Self::Dots,
        ][stream.below(5)]
    }

    /// Part of the second colour at (x, y); `soft` is the width over which the colours blend.
    fn mix(self, x: f32, y: f32, soft: f32) -> f32 {
        let wave = |t: f32| (t * std::f32::consts::TAU).sin();
        let step = |t: f32| (0.5 + t / (soft * 9.0)).clamp(0.0, 1.0);
        match self {
            Self::Plain => 0.0,
            Self::Stripes => step(wave(x)),
            Self::Checks => step(wave(x * 0.8) * wave(y * 0.8)),
            Self::Dots => step(wave(x) + wave(y) - 0.7),
        }
    }
}

impl Canvas {
    /// A background: a gradient with a faint texture.
    fn new(side: u32, stream: &mut Stream) -> Self {
        let ground = [color(stream), color(stream)];
        let angle = stream.uniform(0.0, std::f64::consts::TAU) as f32;
        let texture = Texture::random(stream);
        let period = stream.uniform(0.12, 0.4) as f32;
        let strength = stream.uniform(0.05, 0.3) as f32;
        let (sin, cos) = angle.sin_cos();
        let n = side as f32;
        let pixels = places(side)
            .map(|(x, y)| {
                let (x, y) = (x / n - 0.5, y / n - 0.5);
                let (u, v) = (x * cos + y * sin, y * cos - x * sin);
                let base = blend(ground[0], ground[1], (u + 0.5).clamp(0.0, 1.0));
                let shade = texture.mix(u / period, v / period, 1.0 / (n * period));
                blend(base, base.map(|value| 1.0 - value), strength * shade)
            })
            .collect();
        Self {
            side,
            pixels,
            ground,
        }
    }

    /// A stroke across the background.
    fn stroke(&mut self, stream: &mut Stream) {
        let n = f64::from(self.side);
        let mut place = || (stream.uniform(0.0, n) as f32, stream.uniform(0.0, n) as f32);
        let ((ax, ay), (bx, by)) = (place(), place());
        let width = stream.uniform(0.01, 0.05) * n;
        let width = width as f32;
        let opacity = stream.uniform(STROKE_OPACITY.0, STROKE_OPACITY.1) as f32;
        let ink = color(stream);
        let (dx, dy) = (bx - ax, by - ay);
        let length2 = (dx * dx + dy * dy).max(1e-6);
        for (pixel, (x, y)) in self.pixels.iter_mut().zip(places(self.side)) {
            let along = (((x - ax) * dx + (y - ay) * dy) / length2).clamp(0.0, 1.0);
            let distance = (x - ax - along * dx).hypot(y - ay - along * dy) - width;
            *pixel = blend(*pixel, ink, opacity * coverage(distance));
        }
    }

    /// The shape, in one of two colours or a texture of both.
    fn shape(&mut self, shape: Shape, stream: &mut Stream) {
        let n = f64::from(self.side);
        let radius = (stream.uniform(RADIUS.0, RADIUS.1) * n) as f32;
        let mut centre = || ((0.5 + stream.uniform(-OFFSET, OFFSET)) * n) as f32;
        let (cx, cy) = (centre(), centre());
        let turn = stream.uniform(-TURN, TURN) * std::f64::consts::TAU;
        let (sin, cos) = (turn as f32).sin_cos();
        let inks = [self.contrasting(stream), self.contrasting(stream)];
        let texture = Texture::random(stream);
        let period = stream.uniform(0.25, 0.7) as f32;
        for (pixel, (x, y)) in self.pixels.iter_mut().zip(places(self.side)) {
            // Upwards is positive in the shape's own coordinates.
            let (x, y) = ((x - cx) / radius, (cy - y) / radius);
            let (u, v) = (x * cos + y * sin, y * cos - x * sin);
            let cover = coverage(shape.distance(u, v) * radius);
            if cover > 0.0 {
                let part = texture.mix(u / period, v / period, 1.0 / (radius * period));
                *pixel = blend(*pixel, blend(inks[0], inks[1], part), cover);
            }
        }
    }

    /// A colour unlike both ends of the background.
    fn contrasting(&self, stream: &mut Stream) -> Color {
        let far = |ink: Color| {
            self.ground.iter().all(|ground| {
                let squares = ground.iter().zip(ink).map(|(a, b)| (a - b) * (a - b));
                (squares.sum::<f32>() / 3.0).sqrt() >= CONTRAST
            })
        };
        let mut ink = color(stream);
        for _ in 0..32 {
            if far(ink) {
                break;
            }
            ink = color(stream);
        }
        ink
    }

    /// Adds noise and rounds to bytes.
    fn finish(self, stream: &mut Stream) -> Picture {
        let sigma = (stream.uniform(NOISE.0, NOISE.1)) as f32;
        let mut rgb = Vec::with_capacity(self.pixels.len() * 3);
        for value in self.pixels.iter().flatten() {
            // The sum of four uniform numbers is close enough to normal and quick to draw.
            let bits = stream.bits32().to_le_bytes();
            let sum: f32 = bits.iter().map(|&b| f32::from(b) / 255.0 - 0.5).sum();
            rgb.push((value * 255.0 + sigma * sum * 3f32.sqrt()).round() as u8);
        }
        Picture {
            width: self.side,
            height: self.side,
            rgb,
        }
    }
}

/// The middles of all pixels, row by row.
fn places(side: u32) -> impl Iterator<Item = (f32, f32)> {
    (0..side).flat_map(move |y| (0..side).map(move |x| (x as f32 + 0.5, y as f32 + 0.5)))
}

/// How much of a pixel lies inside, from its signed distance in pixels.
fn coverage(distance: f32) -> f32 {
    (0.5 - distance).clamp(0.0, 1.0)
}

/// A random colour, from pale to vivid.
fn color(stream: &mut Stream) -> Color {
    let hue = stream.unit_f32() * 6.0;
    let saturation = stream.uniform(0.15, 0.95) as f32;
    let value = stream.uniform(0.2, 1.0) as f32;
    let channel = |shift: f32| {
        let t = (hue + shift) % 6.0;
        let wave = (t.min(4.0 - t)).clamp(0.0, 1.0);
        value * (1.0 - saturation * wave)
    };
    [channel(5.0), channel(3.0), channel(1.0)]
}

/// `a` with a part of `b`.
fn blend(a: Color, b: Color, part: f32) -> Color {
    [0, 1, 2].map(|c| a[c] + (b[c] - a[c]) * part)
}
