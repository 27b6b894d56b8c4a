//! Drawing: a canvas of pixels, colours that everybody can tell apart, and charts of lines over epochs.

mod axis;
mod canvas;
mod chart;
mod palette;
mod stroke;
mod text;

pub(crate) use axis::Axis;
pub(crate) use canvas::{Canvas, write_png};
pub(crate) use chart::{Along, Chart, LegendEntry, Panel, Series};
pub(crate) use palette::{
    AXIS, BACKGROUND, BLUE, GRID, INK, MUTED, PAPER, RIGHT, WRONG, shade, tint, variant_color,
};
pub(crate) use stroke::{Dash, Point};
pub(crate) use text::{Align, Font};
