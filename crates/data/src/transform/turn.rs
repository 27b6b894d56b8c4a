//! Flips, turns, shears and shifts of pictures in place, to the bit as Pillow makes them and torchvision calls them.

use crate::{Filter, Picture};

/// Where a pixel of the result comes from: the inverse of the movement, row by row, in pixels.
type Matrix = [f64; 6];

/// Mirrors left to right.
pub(super) fn mirror(picture: &mut Picture) {
    for row in picture.rgb.chunks_exact_mut(3 * picture.width as usize) {
        row.as_chunks_mut::<3>().0.reverse();
    }
}

/// Mirrors top to bottom.
pub(super) fn flip(picture: &mut Picture) {
    let (row, height) = (3 * picture.width as usize, picture.height as usize);
    let (upper, lower) = picture.rgb.split_at_mut(height / 2 * row);
    for (one, other) in upper
        .chunks_exact_mut(row)
        .zip(lower.chunks_exact_mut(row).rev())
    {
        one.swap_with_slice(other);
    }
}

/// `width` pixels more on each side, which mirror the picture about its outermost ones, as numpy's `pad` of mode `reflect`.
pub(super) fn reflect(picture: &mut Picture, width: u32, spare: &mut Vec<u8>) {
    let (old_width, old_height) = (picture.width as usize, picture.height as usize);
    let columns: Vec<usize> = reflected(old_width, width as usize).collect();
    spare.clear();
    for y in reflected(old_height, width as usize) {
        let row = &picture.rgb[3 * y * old_width..][..3 * old_width];
        for &x in &columns {
            spare.extend_from_slice(&row[3 * x..3 * x + 3]);
        }
    }
    std::mem::swap(&mut picture.rgb, spare);
    picture.width += 2 * width;
    picture.height += 2 * width;
}

/// Where the pixels of a side of `length` with `margin` more at both ends come from.
fn reflected(length: usize, margin: usize) -> impl Iterator<Item = usize> {
    // There and back again, without the ends twice.
    let round = (2 * (length - 1)).max(1);
    (0..length + 2 * margin).map(move |place| {
        let place = (place + round - margin % round) % round;
        place.min(round - place).min(length - 1)
    })
}

/// `rotate`: anticlockwise by so many degrees about the middle, black where nothing is. `spare` is memory to use.
pub(super) fn rotate(picture: &mut Picture, degrees: f64, filter: Filter, spare: &mut Vec<u8>) {
    let degrees = degrees.rem_euclid(360.0);
    if degrees == 0.0 {
        return;
    }
    let angle = -degrees.to_radians();
    let (cos, sin) = (rounded(angle.cos()), rounded(angle.sin()));
    let (x, y) = (
        f64::from(picture.width) / 2.0,
        f64::from(picture.height) / 2.0,
    );
    let matrix = [
        cos,
        sin,
        cos * -x + sin * -y + x,
        -sin,
        cos,
        -sin * -x + cos * -y + y,
    ];
    match filter {
        Filter::Nearest => nearest(picture, &matrix, spare),
        Filter::Bilinear => bilinear(picture, &matrix, spare),
    }
}

/// `value` to 15 places, as Pillow rounds the matrix of a rotation.
fn rounded(value: f64) -> f64 {
    format!("{value:.15}").parse().unwrap_or(value)
}

/// `affine` with a shear alone: rows are shifted by `slope` of their distance from the upper edge.
pub(super) fn shear_x(picture: &mut Picture, slope: f64, spare: &mut Vec<u8>) {
    let slope = through_degrees(slope);
    nearest(picture, &[1.0, slope, 0.0, 0.0, 1.0, 0.0], spare);
}

/// `affine` with a shear alone: columns are shifted by `slope` of their distance from the left edge.
pub(super) fn shear_y(picture: &mut Picture, slope: f64, spare: &mut Vec<u8>) {
    let slope = through_degrees(slope);
    nearest(picture, &[1.0, 0.0, 0.0, slope, 1.0, 0.0], spare);
}

/// torchvision takes a shear as an angle, in degrees.
fn through_degrees(slope: f64) -> f64 {
    slope.atan().to_degrees().to_radians().tan()
}

/// `affine` with a translation alone: so many whole pixels to the right and down.
pub(super) fn translate(picture: &mut Picture, (x, y): (f64, f64), spare: &mut Vec<u8>) {
    nearest(picture, &[1.0, 0.0, -x, 0.0, 1.0, -y], spare);
}

/// Pillow's affine transform by nearest neighbour, in numbers with 16 bits behind the point.
fn nearest(picture: &mut Picture, matrix: &Matrix, spare: &mut Vec<u8>) {
    let fixed = |value: f64| (value * 65536.0 + 0.5).floor() as i64;
    let [xx, xy, x0, yx, yy, y0] = *matrix;
    let mut start = (
        fixed(x0 + xx * 0.5 + xy * 0.5),
        fixed(y0 + yx * 0.5 + yy * 0.5),
    );
    let (along, down) = ((fixed(xx), fixed(yx)), (fixed(xy), fixed(yy)));
    let (width, height) = (picture.width as usize, picture.height as usize);
    spare.clear();
    spare.resize(picture.rgb.len(), 0);
    let pixels = picture.rgb.as_chunks::<3>().0;
    for out in spare.as_chunks_mut::<3>().0.chunks_exact_mut(width) {
        let (mut x, mut y) = start;
        for out in out {
            // What is negative is beyond every side as an unsigned number.
            let (column, row) = ((x >> 16) as usize, (y >> 16) as usize);
            if column < width && row < height {
                *out = pixels[row * width + column];
            }
            (x, y) = (x + along.0, y + along.1);
        }
        start = (start.0 + down.0, start.1 + down.1);
    }
    std::mem::swap(&mut picture.rgb, spare);
}

/// Pillow's affine transform by the four pixels around a place.
fn bilinear(picture: &mut Picture, matrix: &Matrix, spare: &mut Vec<u8>) {
    let [xx, xy, x0, yx, yy, y0] = *matrix;
    let (width, height) = (picture.width as usize, picture.height as usize);
    spare.clear();
    spare.resize(picture.rgb.len(), 0);
    let pixels = picture.rgb.as_chunks::<3>().0;
    let out = spare.as_chunks_mut::<3>().0;
    for (row, out) in out.chunks_exact_mut(width).enumerate() {
        for (column, out) in out.iter_mut().enumerate() {
            let (x, y) = (column as f64 + 0.5, row as f64 + 0.5);
            let (x, y) = (xx * x + xy * y + x0, yx * x + yy * y + y0);
            let inside = |place: f64, length: usize| (0.0..length as f64).contains(&place);
            if !inside(x, width) || !inside(y, height) {
                continue;
            }
            let (left, right, dx) = around(x, width);
            let (upper, lower, dy) = around(y, height);
            let at = |row: usize, column: usize| pixels[row * width + column];
            let (one, two) = (at(upper, left), at(upper, right));
            let (three, four) = (at(lower, left), at(lower, right));
            *out = std::array::from_fn(|c| {
                let between = |a: u8, b: u8| f64::from(a) + (f64::from(b) - f64::from(a)) * dx;
                let (above, below) = (between(one[c], two[c]), between(three[c], four[c]));
                (above + (below - above) * dy) as u8
            });
        }
    }
    std::mem::swap(&mut picture.rgb, spare);
}

/// The pixels before and behind a place, within a side of `length`, and how far it is from the one to the other.
fn around(place: f64, length: usize) -> (usize, usize, f64) {
    let place = place - 0.5;
    let first = place.floor();
    let within = |pixel: f64| pixel.clamp(0.0, (length - 1) as f64) as usize;
    (within(first), within(first + 1.0), place - first)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// numpy: `np.pad(np.arange(n), m, mode="reflect")`.
    #[test]
    fn sides_are_reflected_as_numpy_does() {
        let of = |length, margin| reflected(length, margin).collect::<Vec<_>>();
        assert_eq!(of(4, 2), [2, 1, 0, 1, 2, 3, 2, 1]);
        assert_eq!(of(3, 5), [1, 0, 1, 2, 1, 0, 1, 2, 1, 0, 1, 2, 1]);
        assert_eq!(of(2, 3), [1, 0, 1, 0, 1, 0, 1, 0]);
        assert_eq!(of(1, 2), [0, 0, 0, 0, 0]);
    }
}
