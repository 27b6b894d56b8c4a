//! Pictures in rows, each with a few words below it.

use graft_record::Thumbnail;
use plotters::style::RGBColor;

use crate::drawing::{Align, Canvas, Font, GRID, INK, MUTED};

/// Pictures in a row.
const COLUMNS: usize = 6;
/// Side of the square that a picture is fitted into.
const SIDE: f64 = 200.0;
const GAP: f64 = 28.0;
const MARGIN: f64 = 40.0;
const FRAME: f64 = 5.0;
const LINE: f64 = 20.0;

/// A picture with its words.
pub(super) struct Tile {
    pub(super) picture: Thumbnail,
    /// A colour if the picture has a frame.
    pub(super) frame: Option<RGBColor>,
    /// Lines below it: the first is bold, in the colour of the frame.
    pub(super) lines: Vec<String>,
}

/// A title, a line that explains, and the tiles.
pub(super) fn draw(title: &str, caption: &str, tiles: &[Tile]) -> Canvas {
    let columns = tiles.len().clamp(3, COLUMNS);
    let rows = tiles.len().div_ceil(columns);
    let lines = tiles.iter().map(|tile| tile.lines.len()).max().unwrap_or(0) as f64;
    let tile_height = SIDE + 14.0 + lines * LINE + GAP;
    let width = 2.0 * MARGIN + columns as f64 * (SIDE + GAP) - GAP;
    let mut canvas = Canvas::new(width, 100.0 + rows as f64 * tile_height + 8.0);
    let room = width - 2.0 * MARGIN;
    let font = Font::bold(24.0, INK);
    canvas.text((MARGIN, 46.0), &font.fit(title, room), font, Align::Left);
    let font = Font::new(15.0, MUTED);
    canvas.text((MARGIN, 74.0), &font.fit(caption, room), font, Align::Left);
    for (i, tile) in tiles.iter().enumerate() {
        let x = MARGIN + (i % columns) as f64 * (SIDE + GAP);
        let y = 100.0 + (i / columns) as f64 * tile_height;
        draw_tile(&mut canvas, x, y, tile);
    }
    canvas
}

fn draw_tile(canvas: &mut Canvas, x: f64, y: f64, tile: &Tile) {
    let inset = if tile.frame.is_some() {
        FRAME + 2.0
    } else {
        0.0
    };
    let (from, to) = ((x, y), (x + SIDE, y + SIDE));
    let (inner, outer) = (
        (from.0 + inset, from.1 + inset),
        (to.0 - inset, to.1 - inset),
    );
    let (corner, end) = canvas.picture(inner, outer, &tile.picture);
    match tile.frame {
        Some(color) => canvas.frame(from, to, color, FRAME),
        // A thin edge, or a white picture would have none.
        None => canvas.frame(
            (corner.0 - 1.0, corner.1 - 1.0),
            (end.0 + 1.0, end.1 + 1.0),
            GRID,
            1.0,
        ),
    }
    for (i, line) in tile.lines.iter().enumerate() {
        let font = if i == 0 {
            Font::bold(15.0, tile.frame.unwrap_or(INK))
        } else {
            Font::new(14.0, MUTED)
        };
        let baseline = to.1 + 21.0 + i as f64 * LINE;
        let middle = x + SIDE / 2.0;
        canvas.text(
            (middle, baseline),
            &font.fit(line, SIDE),
            font,
            Align::Middle,
        );
    }
}
