//! Pictures in rows with what a network says about each: its most probable class and how probable that is.
//!
//! Every row is drawn and averaged by itself, so that hundreds of pictures take the memory of a finished figure and one row.

use std::path::Path;

use graft_record::Thumbnail;
use image::{RgbImage, codecs::png::CompressionType, imageops};

use crate::{
    ReportError,
    drawing::{Align, BACKGROUND, BLUE, Canvas, Font, GRID, INK, MUTED, PAPER, write_png},
};

const MARGIN: f64 = 40.0;
/// From the upper edge to the first row.
const HEAD: f64 = 100.0;
/// Between a picture and the bar below it.
const BAR_GAP: f64 = 7.0;
const BAR: f64 = 4.0;
/// Pixels of a kept picture for each of the figure: it is drawn larger and averaged.
const DETAIL: f64 = 2.0;
/// Lines that the name of a class may take.
const NAME_LINES: usize = 2;

/// How many pictures there may be at most, in how many columns they are laid out, and the side of their places.
const LAYOUTS: [(usize, usize, f64); 9] = [
    (1, 1, 420.0),
    (2, 2, 340.0),
    (4, 4, 260.0),
    (6, 3, 260.0),
    (8, 4, 230.0),
    (24, 6, 200.0),
    (60, 8, 180.0),
    (120, 10, 165.0),
    (Grid::MOST, 14, 150.0),
];

/// Pictures with the labels that a network gives them.
#[derive(Clone, Debug)]
pub struct Grid {
    columns: usize,
    side: f64,
    tiles: Vec<Tile>,
}

/// A picture and its label.
#[derive(Clone, Debug)]
struct Tile {
    picture: Thumbnail,
    class: String,
    probability: f64,
    name: String,
}

impl Grid {
    /// More pictures are not drawn.
    pub const MOST: usize = 400;

    /// An empty grid, laid out for so many pictures.
    pub fn new(count: usize) -> Self {
        let fits = LAYOUTS.iter().find(|(most, ..)| count <= *most);
        let &(_, columns, side) = fits.unwrap_or(&LAYOUTS[LAYOUTS.len() - 1]);
        Self {
            columns: columns.min(count.max(1)),
            side,
            tiles: Vec::new(),
        }
    }

    /// A picture in the size that is drawn, its sides in proportion. `rgb` is (height, width, 3), interleaved.
    ///
    /// # Panics
    /// When `rgb` has not `height * width * 3` bytes.
    pub fn thumbnail(&self, width: u32, height: u32, rgb: &[u8]) -> Thumbnail {
        let bytes = 3 * width as usize * height as usize;
        assert_eq!(rgb.len(), bytes, "the bytes of a picture");
        let zoom = DETAIL * self.side / f64::from(width.max(height));
        if zoom >= 1.0 {
            let rgb = rgb.to_vec();
            return Thumbnail { width, height, rgb };
        }
        let scaled = |side: u32| (f64::from(side) * zoom).round().max(1.0) as u32;
        let view = image::ImageBuffer::<image::Rgb<u8>, &[u8]>::from_raw(width, height, rgb)
            .expect("the number of bytes was checked");
        let small: RgbImage = imageops::thumbnail(&view, scaled(width), scaled(height));
        Thumbnail {
            width: small.width(),
            height: small.height(),
            rgb: small.into_raw(),
        }
    }

    /// Whether there is no room for another picture.
    pub fn is_full(&self) -> bool {
        self.tiles.len() >= Self::MOST
    }

    /// How many pictures there are.
    pub fn len(&self) -> usize {
        self.tiles.len()
    }

    /// Whether there is no picture.
    pub fn is_empty(&self) -> bool {
        self.tiles.is_empty()
    }

    /// Adds a picture with its most probable class, the probability of that from 0 to 1, and the picture's name. One that
    /// has no room is left out.
    pub fn add(&mut self, picture: Thumbnail, class: &str, probability: f64, name: &str) {
        if !self.is_full() {
            self.tiles.push(Tile {
                picture,
                class: class.to_owned(),
                probability,
                name: name.to_owned(),
            });
        }
    }

    /// Draws the grid below a title and a line that explains, and writes it as PNG.
    ///
    /// # Errors
    /// When the file can't be written.
    pub fn write(&self, path: &Path, title: &str, caption: &str) -> Result<(), ReportError> {
        let failed = |problem| ReportError::Draw {
            figure: path.display().to_string(),
            problem,
        };
        let mut strips = vec![self.head(title, caption).finish().map_err(failed)?];
        for row in self.tiles.chunks(self.columns) {
            strips.push(self.row(row).finish().map_err(failed)?);
        }
        let height = strips.iter().map(RgbImage::height).sum::<u32>() + 10;
        let mut whole = RgbImage::from_pixel(
            strips[0].width(),
            height,
            image::Rgb([BACKGROUND.0, BACKGROUND.1, BACKGROUND.2]),
        );
        let mut below = 0;
        for strip in &strips {
            imageops::replace(&mut whole, strip, 0, below);
            below += i64::from(strip.height());
        }
        write_png(path, &whole, CompressionType::Default)
    }

    fn gap(&self) -> f64 {
        (0.13 * self.side).max(16.0)
    }

    /// Size of the letters of a class's name.
    fn letters(&self) -> f64 {
        if self.side < 170.0 { 13.0 } else { 15.0 }
    }

    fn width(&self) -> f64 {
        let columns = self.columns as f64;
        (2.0 * MARGIN + columns * (self.side + self.gap()) - self.gap()).max(500.0)
    }

    fn head(&self, title: &str, caption: &str) -> Canvas {
        let mut canvas = Canvas::new(self.width(), HEAD);
        let room = self.width() - 2.0 * MARGIN;
        for (text, font, baseline) in [
            (title, Font::bold(24.0, INK), 46.0),
            (caption, Font::new(15.0, MUTED), 74.0),
        ] {
            let at = (MARGIN, baseline);
            canvas.text(at, &font.fit(text, room), font, Align::Left);
        }
        canvas
    }

    fn row(&self, tiles: &[Tile]) -> Canvas {
        let label = Font::bold(self.letters(), INK);
        let names: Vec<Vec<String>> = tiles
            .iter()
            .map(|tile| {
                let first = self.side - self.percent_font().width(&percent(tile.probability));
                wrap(label, &tile.class, first - 10.0, self.side)
            })
            .collect();
        let lines = names.iter().map(Vec::len).max().unwrap_or(1).max(1) as f64;
        let line = 1.3 * self.letters();
        let below = BAR_GAP + BAR + 4.0 + (lines + 1.0) * line + 6.0;
        let mut canvas = Canvas::new(self.width(), self.side + below + self.gap());
        for (column, (tile, name)) in tiles.iter().zip(&names).enumerate() {
            let x = MARGIN + column as f64 * (self.side + self.gap());
            self.tile(&mut canvas, x, tile, name);
        }
        canvas
    }

    fn percent_font(&self) -> Font {
        Font::bold(self.letters(), BLUE)
    }

    fn tile(&self, canvas: &mut Canvas, x: f64, tile: &Tile, class: &[String]) {
        let (side, right) = (self.side, x + self.side);
        canvas.rectangle((x, 0.0), (right, side), PAPER, 1.0);
        canvas.picture((x, 0.0), (right, side), &tile.picture);
        let bar = side + BAR_GAP;
        canvas.rectangle((x, bar), (right, bar + BAR), GRID, 1.0);
        let share = if tile.probability.is_finite() {
            tile.probability.clamp(0.0, 1.0)
        } else {
            0.0
        };
        canvas.rectangle((x, bar), (x + share * side, bar + BAR), BLUE, 1.0);
        let line = 1.3 * self.letters();
        let mut baseline = bar + BAR + 4.0 + self.letters();
        let figure = percent(tile.probability);
        canvas.text(
            (right, baseline),
            &figure,
            self.percent_font(),
            Align::Right,
        );
        for text in class {
            let font = Font::bold(self.letters(), INK);
            canvas.text((x, baseline), text, font, Align::Left);
            baseline += line;
        }
        let font = Font::new(self.letters() - 2.0, MUTED);
        canvas.text(
            (x, baseline),
            &font.fit(&tile.name, side),
            font,
            Align::Left,
        );
    }
}

/// `93 %`; what is not quite certain is not rounded to certainty.
fn percent(probability: f64) -> String {
    let percent = 100.0 * probability;
    match percent {
        _ if percent.is_nan() => "—".to_owned(),
        _ if percent < 1.0 => "<1 %".to_owned(),
        _ if percent > 99.0 && probability < 1.0 => ">99 %".to_owned(),
        _ => format!("{percent:.0} %"),
    }
}

/// `text` in at most [`NAME_LINES`] lines, the first of which has less room. What does not fit is cut in the middle.
fn wrap(font: Font, text: &str, first: f64, rest: f64) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let mut pieces = text.split_inclusive([' ', '-']).peekable();
    while let Some(piece) = pieces.next() {
        let is_last = lines.len() + 1 >= NAME_LINES;
        let room = if lines.is_empty() { first } else { rest };
        let mut line = piece.to_owned();
        while let Some(next) = pieces.peek() {
            let longer = format!("{line}{next}");
            if !is_last && font.width(longer.trim_end()) > room {
                break;
            }
            line = longer;
            pieces.next();
        }
        lines.push(font.fit(line.trim(), room));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_wrapped_where_there_is_room_and_cut_where_there_is_none() {
        let font = Font::bold(15.0, INK);
        assert_eq!(wrap(font, "ant", 100.0, 150.0), ["ant"]);
        assert_eq!(
            wrap(font, "American Staffordshire terrier", 100.0, 200.0),
            ["American", "Staffordshire terrier"]
        );
        assert_eq!(
            wrap(font, "long-horned beetle", 100.0, 200.0),
            ["long-", "horned beetle"]
        );
        let long =
            "a name of a class that nobody would want to write down in a figure of this width";
        let lines = wrap(font, long, 100.0, 150.0);
        assert_eq!(lines.len(), 2);
        assert!(
            lines[1].contains('…') && lines[1].ends_with("width"),
            "{lines:?}"
        );
        assert!(font.width(&lines[0]) <= 100.0 && font.width(&lines[1]) <= 150.0);
        let word = wrap(font, "Donaudampfschifffahrtsgesellschaft", 100.0, 150.0);
        assert!(word.len() == 1 && font.width(&word[0]) <= 100.0, "{word:?}");
        assert!(wrap(font, "", 100.0, 150.0).is_empty());
    }

    #[test]
    fn probabilities_are_rounded_but_not_to_certainty() {
        for (probability, text) in [
            (0.934, "93 %"),
            (0.9951, ">99 %"),
            (1.0, "100 %"),
            (0.004, "<1 %"),
            (f64::NAN, "—"),
        ] {
            assert_eq!(percent(probability), text);
        }
    }

    #[test]
    fn every_number_of_pictures_has_a_layout() {
        for count in 0..=Grid::MOST + 1 {
            let grid = Grid::new(count);
            assert!(grid.columns >= 1 && grid.columns <= count.max(1));
            assert!((300.0..2600.0).contains(&grid.width()), "{count}");
        }
        assert!(LAYOUTS.windows(2).all(|pair| pair[0].0 < pair[1].0));
    }

    #[test]
    fn thumbnails_keep_their_proportions_and_at_least_a_pixel() {
        let grid = Grid::new(24);
        let size = |width, height| {
            let rgb = vec![7; 3 * (width * height) as usize];
            let small = grid.thumbnail(width, height, &rgb);
            assert!(small.rgb.iter().all(|&byte| byte == 7));
            (small.width, small.height)
        };
        assert_eq!(size(1600, 1200), (400, 300));
        assert_eq!(size(32, 20), (32, 20));
        assert_eq!(size(4000, 1), (400, 1));
    }
}
