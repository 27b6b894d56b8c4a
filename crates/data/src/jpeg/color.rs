//! Subsampled chroma to full size and luma with chroma to RGB, to the bit as libjpeg's defaults (`jdsample.c` with "fancy" upsampling,
//! `jdcolor.c`).

/// Twice as wide: each sample three parts of the nearer and one of the farther neighbour. `row` has more than two.
#[inline(always)]
pub(super) fn double_width(row: &[u8], wide: &mut Vec<u8>) {
    let n = row.len();
    wide.resize(2 * n, 0);
    let part = |nearer: u8, farther: u8, half| {
        ((3 * u16::from(nearer) + u16::from(farther) + half) >> 2) as u8
    };
    let pairs = wide.as_chunks_mut().0;
    pairs[0] = [row[0], part(row[0], row[1], 2)];
    let neighbours = row.iter().zip(&row[1..]).zip(&row[2..]);
    for (pair, ((&left, &this), &right)) in pairs[1..].iter_mut().zip(neighbours) {
        *pair = [part(this, left, 1), part(this, right, 2)];
    }
    pairs[n - 1] = [part(row[n - 1], row[n - 2], 1), row[n - 1]];
}

/// One of the two rows that come from `near`, the one beside `far`.
#[inline(always)]
pub(super) fn double_height(near: &[u8], far: &[u8], is_upper: bool, row: &mut Vec<u8>) {
    let half = if is_upper { 1 } else { 2 };
    row.resize(near.len(), 0);
    for ((to, &near), &far) in row.iter_mut().zip(near).zip(far) {
        *to = ((3 * u16::from(near) + u16::from(far) + half) >> 2) as u8;
    }
}

/// Both at once, rounded once. `near` has more than two samples.
#[inline(always)]
pub(super) fn double_both(near: &[u8], far: &[u8], sums: &mut Vec<u16>, wide: &mut Vec<u8>) {
    let n = near.len();
    sums.resize(n, 0);
    for ((sum, &near), &far) in sums.iter_mut().zip(near).zip(far) {
        *sum = 3 * u16::from(near) + u16::from(far);
    }
    wide.resize(2 * n, 0);
    let part = |nearer: u16, farther: u16, half| ((3 * nearer + farther + half) >> 4) as u8;
    let pairs = wide.as_chunks_mut().0;
    pairs[0] = [part(sums[0], sums[0], 8), part(sums[0], sums[1], 7)];
    let neighbours = sums.iter().zip(&sums[1..]).zip(&sums[2..]);
    for (pair, ((&left, &this), &right)) in pairs[1..].iter_mut().zip(neighbours) {
        *pair = [part(this, left, 8), part(this, right, 7)];
    }
    pairs[n - 1] = [
        part(sums[n - 1], sums[n - 2], 8),
        part(sums[n - 1], sums[n - 1], 7),
    ];
}

/// Each sample twice.
#[inline(always)]
pub(super) fn repeat(row: &[u8], wide: &mut Vec<u8>) {
    wide.clear();
    wide.extend(row.iter().flat_map(|&sample| [sample; 2]));
}

/// Pixels that are converted at once.
pub(super) const GROUP: usize = 64;

/// Luma and chroma (ITU-R BT.601, full range) to RGB, in whole groups of pixels.
#[inline(always)]
pub(super) fn to_rgb(luma: &[u8], blue: &[u8], red: &[u8], rgb: &mut [u8]) {
    let (luma, blue, red) = (luma.as_chunks().0, blue.as_chunks().0, red.as_chunks().0);
    let groups = rgb.as_chunks_mut().0.iter_mut();
    for (((rgb, luma), blue), red) in groups.zip(luma).zip(blue).zip(red) {
        *rgb = group_to_rgb(*luma, *blue, *red);
    }
}

/// A group of pixels; given by value, so that nothing it reads can change under the vectors that the compiler makes of it.
#[inline(always)]
fn group_to_rgb(luma: [u8; GROUP], blue: [u8; GROUP], red: [u8; GROUP]) -> [u8; 3 * GROUP] {
    /// The constants have 16 fractional bits.
    const HALF: i32 = 1 << 15;
    let mut rgb = [0; 3 * GROUP];
    for i in 0..GROUP {
        let (y, cb, cr) = (
            i32::from(luma[i]),
            i32::from(blue[i]) - 128,
            i32::from(red[i]) - 128,
        );
        let r = y + ((91881 * cr + HALF) >> 16);
        let g = y + ((-22554 * cb - 46802 * cr + HALF) >> 16);
        let b = y + ((116_130 * cb + HALF) >> 16);
        rgb[3 * i] = r.clamp(0, 255) as u8;
        rgb[3 * i + 1] = g.clamp(0, 255) as u8;
        rgb[3 * i + 2] = b.clamp(0, 255) as u8;
    }
    rgb
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pillow can't write colours that are subsampled downwards only: libjpeg-turbo's `h1v2_fancy_upsample` by hand.
    #[test]
    fn rows_between_two_rows_lean_to_the_nearer() {
        let mut row = Vec::new();
        double_height(&[10, 0, 255], &[20, 1, 255], true, &mut row);
        assert_eq!(row, [12, 0, 255]);
        double_height(&[10, 0, 255], &[20, 2, 0], false, &mut row);
        assert_eq!(row, [13, 1, 191]);
    }

    #[test]
    fn single_pixels_are_those_of_the_standard() {
        // Grey, and pure red (76, 85, 255) as JFIF rounds it.
        let (mut luma, mut blue, mut red) = ([90; GROUP], [128; GROUP], [128; GROUP]);
        (luma[7], blue[7], red[7]) = (76, 85, 255);
        let rgb = group_to_rgb(luma, blue, red);
        assert_eq!(rgb[3 * 6..3 * 9], [90, 90, 90, 254, 0, 0, 90, 90, 90]);
    }
}
