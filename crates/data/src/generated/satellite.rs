//! Made-up satellite tiles: fields, roads and houses by day, behind which two causes are hidden.
//!
//! How many people live there decides the number of roads and houses, and how wealthy they are the surface of the roads,
//! the roofs, the size of the houses and the lamps along the roads. Nobody is told the causes: the tasks ask for the
//! brightness at night and for poverty, which both follow from them. Colours, haze, the lie of the fields and noise are
//! drawn in both tasks alike and tell nothing.

use graft_stream::Stream;

use crate::Picture;

/// A colour; red, green and blue from 0 to 1.
type Color = [f32; 3];

/// Standard deviation of what no picture tells about the brightness at night.
const NIGHT_NOISE: f64 = 0.02;
/// The same of poverty.
const POVERTY_NOISE: f64 = 0.04;

/// Most roads in a tile.
const MOST_ROADS: f64 = 5.0;
/// Most houses in a tile.
const MOST_HOUSES: f64 = 90.0;
/// Most lamps along a road.
const MOST_LAMPS: f64 = 14.0;

/// What lies behind a tile. Always drawn first, so that numbers need no picture.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Causes {
    /// How many people live there, from 0 to 1.
    pub(super) people: f64,
    /// How wealthy they are, from 0 to 1.
    pub(super) wealth: f64,
    /// What the causes do not explain of the numbers: normal, with standard deviation 1.
    unexplained: f64,
}

impl Causes {
    pub(super) fn draw(stream: &mut Stream) -> Self {
        Self {
            people: stream.unit_f64(),
            wealth: stream.unit_f64(),
            unexplained: stream.normal(),
        }
    }

    /// How bright the place is at night, from 0 to 1: people with much light each.
    pub(super) fn night_brightness(&self) -> f32 {
        let lit = (0.25 + 0.75 * self.people) * (0.15 + 0.85 * self.wealth);
        (lit + NIGHT_NOISE * self.unexplained).clamp(0.0, 1.0) as f32
    }

    /// How poor the place is, from 0 to 1: little wealth, and more so where few people live.
    pub(super) fn poverty(&self) -> f32 {
        let rich = 0.6 * self.wealth + 0.4 * self.people;
        (1.0 - rich + POVERTY_NOISE * self.unexplained).clamp(0.0, 1.0) as f32
    }
}

/// Draws the tile of `side` × `side` pixels that the causes make.
pub(super) fn tile(causes: &Causes, side: u32, stream: &mut Stream) -> Picture {
    let mut tile = Tile::fields(side as usize, stream);
    let roads = 1 + (causes.people * MOST_ROADS).round() as usize;
    let roads: Vec<Road> = (0..roads).map(|_| Road::draw(stream)).collect();
    for road in &roads {
        tile.road(road, causes, stream);
    }
    for _ in 0..(causes.people * MOST_HOUSES).round() as usize {
        let road = roads[stream.below(roads.len())];
        tile.house(&road, causes, stream);
    }
    tile.finish(stream)
}

/// A straight road: a point and a direction, as parts of the side.
#[derive(Clone, Copy)]
struct Road {
    x: f32,
    y: f32,
    dx: f32,
    dy: f32,
}

impl Road {
    fn draw(stream: &mut Stream) -> Self {
        let (x, y) = (stream.unit_f32(), stream.unit_f32());
        let (dy, dx) = (stream.unit_f32() * std::f32::consts::TAU).sin_cos();
        Self { x, y, dx, dy }
    }

    /// The point so far along the road and beside it.
    fn point(&self, along: f32, beside: f32) -> (f32, f32) {
        (
            self.x + along * self.dx - beside * self.dy,
            self.y + along * self.dy + beside * self.dx,
        )
    }
}

/// The tile so far.
struct Tile {
    side: usize,
    pixels: Vec<Color>,
}

impl Tile {
    /// Fields of many greens and browns in a crooked grid.
    fn fields(side: usize, stream: &mut Stream) -> Self {
        const COLORS: [Color; 4] = [
            [0.30, 0.42, 0.18],
            [0.42, 0.47, 0.24],
            [0.50, 0.43, 0.28],
            [0.22, 0.33, 0.16],
        ];
        let n = side as f32;
        let (sin, cos) = (stream.unit_f32() * std::f32::consts::TAU).sin_cos();
        let cell = stream.uniform(0.12, 0.35) as f32;
        let stretch = stream.uniform(0.6, 1.6) as f32;
        let furrows = stream.uniform(0.0, 0.06) as f32;
        let key = stream.bits32();
        let mut pixels = Vec::with_capacity(side * side);
        for y in 0..side {
            for x in 0..side {
                let (x, y) = ((x as f32 + 0.5) / n - 0.5, (y as f32 + 0.5) / n - 0.5);
                let (u, v) = (
                    (x * cos + y * sin) / cell,
                    (y * cos - x * sin) / cell * stretch,
                );
                let field = hash(key, u.floor() as i32, v.floor() as i32);
                let base = COLORS[field as usize % COLORS.len()];
                let shade = 0.85 + 0.3 * ((field >> 8) & 255) as f32 / 255.0;
                // Furrows run along one side of the field or the other.
                let across = if field & 1 << 20 == 0 { u } else { v };
                let furrow = furrows * (across * 40.0).sin();
                pixels.push(base.map(|value| value * shade + furrow));
            }
        }
        Self { side, pixels }
    }

    /// A road across the tile, paved where people are wealthy, with lamps where they can afford them.
    fn road(&mut self, road: &Road, causes: &Causes, stream: &mut Stream) {
        let n = self.side as f32;
        let paved = stream.chance(causes.wealth);
        let ink = if paved {
            [0.46, 0.47, 0.49]
        } else {
            [0.56, 0.45, 0.30]
        };
        let width = stream.uniform(0.008, 0.018) as f32 * n * if paved { 1.3 } else { 1.0 };
        let (px, py) = (road.x * n, road.y * n);
        let side = self.side;
        for (place, pixel) in self.pixels.iter_mut().enumerate() {
            let (x, y) = ((place % side) as f32 + 0.5, (place / side) as f32 + 0.5);
            let distance = ((x - px) * road.dy - (y - py) * road.dx).abs() - width;
            *pixel = blend(*pixel, ink, (0.5 - distance).clamp(0.0, 1.0));
        }
        let lamps = (causes.people * causes.wealth * MOST_LAMPS).round() as usize;
        for _ in 0..lamps {
            let along = stream.uniform(-0.7, 0.7) as f32;
            let (x, y) = road.point(along, 0.0);
            self.fill(x, y, 0.006, 0.006, [0.86, 0.84, 0.74]);
        }
    }

    /// A house beside a road, with its shadow; of metal and larger where people are wealthy, of thatch elsewhere.
    fn house(&mut self, road: &Road, causes: &Causes, stream: &mut Stream) {
        let along = stream.uniform(-0.8, 0.8) as f32;
        let beside = stream.uniform(0.03, 0.14) as f32;
        let beside = if stream.chance(0.5) { beside } else { -beside };
        let (x, y) = road.point(along, beside);
        let size = (stream.uniform(0.010, 0.016) + 0.012 * causes.wealth) as f32;
        let long = size * stream.uniform(1.0, 1.7) as f32;
        let light = stream.uniform(-0.06, 0.06) as f32;
        let roof: Color = if stream.chance(0.1 + 0.8 * causes.wealth) {
            [0.74, 0.76, 0.79]
        } else {
            [0.40, 0.31, 0.21]
        };
        let shift = 0.5 * size;
        self.fill(x + shift, y + shift, long, size, [0.10, 0.11, 0.10]);
        self.fill(x, y, long, size, roof.map(|value| value + light));
    }

    /// Fills a rectangle, given as parts of the side: its middle and half its sides.
    fn fill(&mut self, x: f32, y: f32, half_w: f32, half_h: f32, ink: Color) {
        let n = self.side as f32;
        // How much of a pixel from `from` on lies between the ends.
        let inside = |low: f32, high: f32, from: usize| {
            (high.min(from as f32 + 1.0) - low.max(from as f32)).clamp(0.0, 1.0)
        };
        let range = |low: f32, high: f32| {
            let end = (high.ceil().max(0.0) as usize).min(self.side);
            (low.floor().max(0.0) as usize).min(end)..end
        };
        let (left, right) = ((x - half_w) * n, (x + half_w) * n);
        let (top, bottom) = ((y - half_h) * n, (y + half_h) * n);
        for row in range(top, bottom) {
            for column in range(left, right) {
                let cover = inside(left, right, column) * inside(top, bottom, row);
                let pixel = &mut self.pixels[row * self.side + column];
                *pixel = blend(*pixel, ink, cover);
            }
        }
    }

    /// Light, haze and noise of the day on which the picture was taken; then bytes.
    fn finish(self, stream: &mut Stream) -> Picture {
        let tint: Color = [0.0; 3].map(|_: f32| stream.uniform(0.88, 1.12) as f32);
        let light = stream.uniform(0.8, 1.2) as f32;
        let haze = stream.uniform(0.0, 0.2) as f32;
        let noise = stream.uniform(2.0, 9.0) as f32;
        let mut rgb = Vec::with_capacity(self.pixels.len() * 3);
        for pixel in &self.pixels {
            for (value, tint) in pixel.iter().zip(tint) {
                let value = value * light * tint;
                let value = value + (0.75 - value) * haze;
                // The sum of four uniform numbers is close enough to normal and quick to draw.
                let bits = stream.bits32().to_le_bytes();
                let sum: f32 = bits.iter().map(|&b| f32::from(b) / 255.0 - 0.5).sum();
                rgb.push((value * 255.0 + noise * sum * 3f32.sqrt()).round() as u8);
            }
        }
        Picture {
            width: self.side as u32,
            height: self.side as u32,
            rgb,
        }
    }
}

/// `a` with a part of `b`.
fn blend(a: Color, b: Color, part: f32) -> Color {
    [0, 1, 2].map(|c| a[c] + (b[c] - a[c]) * part)
}

/// 32 bits for a field of the grid (the finalizer of `MurmurHash3`).
fn hash(key: u32, u: i32, v: i32) -> u32 {
    let mut z = key ^ (u as u32).wrapping_mul(0x9E37_79B1) ^ (v as u32).wrapping_mul(0x85EB_CA77);
    z = (z ^ (z >> 16)).wrapping_mul(0x85EB_CA6B);
    z = (z ^ (z >> 13)).wrapping_mul(0xC2B2_AE35);
    z ^ (z >> 16)
}

#[cfg(test)]
mod tests {
    use graft_stream::Purpose;

    use super::*;

    /// Correlation of two lists.
    fn correlation(a: &[f64], b: &[f64]) -> f64 {
        let mean = |list: &[f64]| list.iter().sum::<f64>() / list.len() as f64;
        let (ma, mb) = (mean(a), mean(b));
        let sum = |f: &dyn Fn(f64, f64) -> f64| -> f64 {
            a.iter().zip(b).map(|(a, b)| f(a - ma, b - mb)).sum()
        };
        sum(&|a, b| a * b) / (sum(&|a, _| a * a) * sum(&|_, b| b * b)).sqrt()
    }

    #[test]
    fn numbers_are_spread_and_related_but_not_the_same() {
        let causes: Vec<Causes> = (0..2000)
            .map(|i| Causes::draw(&mut Stream::new(0, Purpose::Generate, &[2, 0, i])))
            .collect();
        let night: Vec<f64> = causes.iter().map(|c| c.night_brightness().into()).collect();
        let poverty: Vec<f64> = causes.iter().map(|c| c.poverty().into()).collect();
        for numbers in [&night, &poverty] {
            assert!(numbers.iter().all(|number| (0.0..=1.0).contains(number)));
            let low = numbers.iter().filter(|&&number| number < 0.25).count();
            let high = numbers.iter().filter(|&&number| number > 0.6).count();
            assert!(low > 100 && high > 100, "{low} {high}");
        }
        let related = correlation(&night, &poverty);
        assert!((-0.95..-0.4).contains(&related), "{related}");
    }

    #[test]
    fn pictures_tell_the_causes() {
        let (mut grey, mut night, mut edges, mut people) = (vec![], vec![], vec![], vec![]);
        for i in 0..150 {
            let mut stream = Stream::new(1, Purpose::Generate, &[2, 0, i]);
            let causes = Causes::draw(&mut stream);
            let picture = tile(&causes, 64, &mut stream);
            assert_eq!(picture.rgb.len(), 64 * 64 * 3);
            let bright = picture.rgb.chunks(3).filter(|rgb| {
                let (low, high) = (rgb.iter().min().unwrap(), rgb.iter().max().unwrap());
                high - low < 50 && *low > 110
            });
            grey.push(bright.count() as f64);
            night.push(f64::from(causes.night_brightness()));
            let step = |pair: &[u8]| f64::from(pair[0].abs_diff(pair[3]) > 40);
            edges.push(picture.rgb.windows(4).step_by(3).map(step).sum());
            people.push(causes.people);
        }
        let (light, busy) = (correlation(&grey, &night), correlation(&edges, &people));
        // Unrelated numbers would be within 0.25, three standard deviations of 150 tiles.
        assert!(light > 0.25, "{light}");
        assert!(busy > 0.25, "{busy}");
    }
}
