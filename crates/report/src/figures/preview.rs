//! Pictures of some classes as a network sees them: a row for each class, before anything is trained.

use std::path::Path;

use graft_record::Thumbnail;

use crate::{
    ReportError,
    drawing::{Align, Canvas, Font, GRID, INK, MUTED},
};

const MARGIN: f64 = 40.0;
/// From the upper edge to the first row.
const HEAD: f64 = 100.0;
/// Side of the square that a picture is fitted into.
const SIDE: f64 = 132.0;
const GAP: f64 = 10.0;
/// Width of the column with the names of the classes.
const NAMES: f64 = 170.0;

/// A figure of the pictures of some classes.
#[derive(Clone, Debug)]
pub struct Preview {
    /// The line at the top.
    pub title: String,
    /// The line that explains.
    pub caption: String,
    /// The classes from top to bottom, at most [`Preview::CLASSES`].
    pub rows: Vec<PreviewRow>,
}

/// A class in a [`Preview`].
#[derive(Clone, Debug)]
pub struct PreviewRow {
    /// Its name.
    pub class: String,
    /// A few words below the name.
    pub note: String,
    /// Its pictures, at most [`Preview::PICTURES`].
    pub pictures: Vec<Thumbnail>,
}

impl Preview {
    /// More classes have no room.
    pub const CLASSES: usize = 24;
    /// More pictures of a class have no room.
    pub const PICTURES: usize = 8;

    /// Draws the figure and writes it as PNG.
    ///
    /// # Errors
    /// When the file can't be written.
    pub fn write(&self, path: &Path) -> Result<(), ReportError> {
        let rows = &self.rows[..self.rows.len().min(Self::CLASSES)];
        let shown = |row: &PreviewRow| row.pictures.len().min(Self::PICTURES);
        let columns = rows.iter().map(shown).max().unwrap_or(0).max(4) as f64;
        let width = 2.0 * MARGIN + NAMES + columns * (SIDE + GAP) - GAP;
        let height = HEAD + rows.len() as f64 * (SIDE + GAP) - GAP + MARGIN;
        let mut canvas = Canvas::new(width, height);
        let room = width - 2.0 * MARGIN;
        for (text, font, baseline) in [
            (&self.title, Font::bold(24.0, INK), 46.0),
            (&self.caption, Font::new(15.0, MUTED), 74.0),
        ] {
            let at = (MARGIN, baseline);
            canvas.text(at, &font.fit(text, room), font, Align::Left);
        }
        for (number, row) in rows.iter().enumerate() {
            draw_row(&mut canvas, HEAD + number as f64 * (SIDE + GAP), row);
        }
        canvas.write(path)
    }
}

fn draw_row(canvas: &mut Canvas, y: f64, row: &PreviewRow) {
    let middle = y + SIDE / 2.0;
    for (text, font, baseline) in [
        (&row.class, Font::bold(16.0, INK), middle - 2.0),
        (&row.note, Font::new(14.0, MUTED), middle + 18.0),
    ] {
        let text = font.fit(text, NAMES - 16.0);
        canvas.text((MARGIN, baseline), &text, font, Align::Left);
    }
    for (column, picture) in row.pictures.iter().take(Preview::PICTURES).enumerate() {
        let x = MARGIN + NAMES + column as f64 * (SIDE + GAP);
        let (corner, end) = canvas.picture((x, y), (x + SIDE, y + SIDE), picture);
        // A thin edge, or a white picture would have none.
        canvas.frame(
            (corner.0 - 1.0, corner.1 - 1.0),
            (end.0 + 1.0, end.1 + 1.0),
            GRID,
            1.0,
        );
    }
}
