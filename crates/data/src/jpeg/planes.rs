//! Samples of the channels, and pixels from them.

use super::{
    color,
    entropy::LANES,
    headers::{Component, Headers},
    idct::Samples,
};

/// A channel's samples, padded to whole groups of blocks.
#[derive(Default)]
pub(super) struct Plane {
    pub(super) samples: Vec<u8>,
    stride: usize,
    /// What of it is picture.
    width: usize,
    height: usize,
}

impl Plane {
    /// Makes room for all blocks of a component.
    pub(super) fn shape(&mut self, component: Component, headers: &Headers) {
        let (luma, (across, down)) = (headers.components[0], headers.units());
        self.width = (headers.width * component.h).div_ceil(luma.h);
        self.height = (headers.height * component.v).div_ceil(luma.v);
        self.stride = across.next_multiple_of(LANES) * component.h * 8;
        self.samples.resize(self.stride * down * component.v * 8, 0);
    }

    /// A row with its padding.
    fn padded_row(&self, y: usize) -> &[u8] {
        &self.samples[y * self.stride..][..self.stride]
    }

    /// A row without its padding; those outside of the picture are the nearest inside.
    fn row(&self, y: isize) -> &[u8] {
        let y = y.clamp(0, self.height as isize - 1) as usize;
        &self.padded_row(y)[..self.width]
    }

    /// The place of a group of blocks whose top left is at (x, y).
    #[inline(always)]
    pub(super) fn put(&mut self, x: usize, y: usize, samples: &Samples) {
        let rows = self.samples[y * self.stride..].chunks_exact_mut(self.stride);
        for (to, from) in rows.zip(samples) {
            to[x..x + from.len()].copy_from_slice(from);
        }
    }
}

/// Rows on their way to pixels.
#[derive(Default)]
pub(super) struct Rows {
    blue: Vec<u8>,
    red: Vec<u8>,
    sums: Vec<u16>,
    rgb: Vec<u8>,
}

/// The planes as RGB, interleaved.
#[inline(always)]
pub(super) fn pixels(headers: &Headers, planes: &[Plane; 3], rows: &mut Rows) -> Vec<u8> {
    let Headers { width, height, .. } = *headers;
    let mut rgb = Vec::with_capacity(3 * width * height);
    let padded = width.next_multiple_of(color::GROUP);
    rows.rgb.resize(3 * padded, 0);
    let [luma, blue, red] = planes;
    let sampling = (headers.components[0].h, headers.components[0].v);
    for y in 0..height {
        if headers.components.len() == 1 {
            let row = luma.row(y as isize).iter();
            rgb.extend(row.flat_map(|&grey| [grey; 3]));
            continue;
        }
        let (blue, red) = if sampling == (1, 1) {
            (blue.padded_row(y), red.padded_row(y))
        } else {
            for (plane, row) in [(blue, &mut rows.blue), (red, &mut rows.red)] {
                upsample(plane, sampling, y as isize, &mut rows.sums, row);
                row.resize(padded, 0);
            }
            (&rows.blue[..], &rows.red[..])
        };
        color::to_rgb(luma.padded_row(y), blue, red, &mut rows.rgb);
        rgb.extend_from_slice(&rows.rgb[..3 * width]);
    }
    rgb
}

/// Row `y` of a chroma plane in full size.
#[inline(always)]
fn upsample(
    plane: &Plane,
    (h, v): (usize, usize),
    y: isize,
    sums: &mut Vec<u16>,
    row: &mut Vec<u8>,
) {
    // libjpeg interpolates to the sides only where a row has more than two samples.
    let is_narrow = plane.width <= 2;
    let is_upper = y % 2 == 0;
    let (near, far) = (y / 2, if is_upper { y / 2 - 1 } else { y / 2 + 1 });
    match (h, v) {
        (2, 1) if is_narrow => color::repeat(plane.row(y), row),
        (2, 1) => color::double_width(plane.row(y), row),
        (1, _) => color::double_height(plane.row(near), plane.row(far), is_upper, row),
        _ if is_narrow => color::repeat(plane.row(near), row),
        _ => color::double_both(plane.row(near), plane.row(far), sums, row),
    }
}
