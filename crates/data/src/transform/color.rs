//! Changes of colours in place, to the bit as Pillow's `ImageEnhance` and `ImageOps` make them and torchvision calls them.

use crate::Picture;

/// The levels of one channel, or what becomes of each.
type Levels = [u8; 256];

/// How bright a pixel is, of 255: Pillow's conversion to grey (ITU-R 601-2).
fn grey([red, green, blue]: [u8; 3]) -> u8 {
    let sum = u32::from(red) * 19_595 + u32::from(green) * 38_470 + u32::from(blue) * 7_471;
    ((sum + 0x8000) >> 16) as u8
}

/// Pillow's `blend`: from `a` towards `b` by `factor`, beyond it above 1.
fn blend(a: u8, b: u8, factor: f32) -> u8 {
    // A cast of what is out of range gives the end of the range.
    (f32::from(a) + factor * (f32::from(b) - f32::from(a))) as u8
}

/// Every level of every channel replaced by what `table` says.
fn look_up(picture: &mut Picture, table: &Levels) {
    for byte in &mut picture.rgb {
        *byte = table[usize::from(*byte)];
    }
}

/// The table of a function of levels.
fn table(of: impl FnMut(u8) -> u8) -> Levels {
    let mut levels: Levels = std::array::from_fn(|level| level as u8);
    levels = levels.map(of);
    levels
}

/// `adjust_brightness`: 0 is black, 1 the picture itself.
pub(super) fn brightness(picture: &mut Picture, factor: f64) {
    look_up(picture, &table(|level| blend(0, level, factor as f32)));
}

/// `adjust_contrast`: 0 is the mean grey, 1 the picture itself.
pub(super) fn contrast(picture: &mut Picture, factor: f64) {
    let pixels = picture.rgb.as_chunks::<3>().0;
    let sum: u64 = pixels.iter().map(|&pixel| u64::from(grey(pixel))).sum();
    let mean = (sum as f64 / pixels.len() as f64 + 0.5) as u8;
    look_up(picture, &table(|level| blend(mean, level, factor as f32)));
}

/// `adjust_saturation`: 0 is grey, 1 the picture itself.
pub(super) fn saturation(picture: &mut Picture, factor: f64) {
    let factor = factor as f32;
    for pixel in picture.rgb.as_chunks_mut::<3>().0 {
        let grey = grey(*pixel);
        *pixel = pixel.map(|level| blend(grey, level, factor));
    }
}

/// `adjust_hue`: the circle of colours turned by so many turns, in Pillow's HSV of 8 bits.
pub(super) fn hue(picture: &mut Picture, turns: f64) {
    let shift = (turns * 255.0) as i32 as u8;
    for pixel in picture.rgb.as_chunks_mut::<3>().0 {
        let [hue, saturation, value] = to_hsv(*pixel);
        *pixel = from_hsv([hue.wrapping_add(shift), saturation, value]);
    }
}

/// Hue, saturation and value; where Pillow computes in double precision in between, this does too.
fn to_hsv([red, green, blue]: [u8; 3]) -> [u8; 3] {
    let (most, least) = (red.max(green).max(blue), red.min(green).min(blue));
    if most == least {
        return [0, 0, most];
    }
    let range = f32::from(most - least);
    let share = |level: u8| f32::from(most - level) / range;
    let (r, g, b) = (share(red), share(green), share(blue));
    let sixths = if red == most {
        b - g
    } else if green == most {
        (2.0 + f64::from(r) - f64::from(b)) as f32
    } else {
        (4.0 + f64::from(g) - f64::from(r)) as f32
    };
    let turns = ((f64::from(sixths) / 6.0 + 1.0) % 1.0) as f32;
    let saturation = range / f32::from(most);
    let byte = |value: f32| (f64::from(value) * 255.0) as u8;
    [byte(turns), byte(saturation), most]
}

fn from_hsv([hue, saturation, value]: [u8; 3]) -> [u8; 3] {
    if saturation == 0 {
        return [value; 3];
    }
    let sixths = f64::from(hue) * 6.0 / 255.0;
    let sector = sixths.floor();
    let rest = (sixths - sector) as f32;
    let saturation = (f64::from(saturation) / 255.0) as f32;
    let level = |share: f64| (f64::from(value) * (1.0 - share)).round() as u8;
    let p = level(saturation.into());
    let q = level(f64::from(saturation * rest));
    let t = level(f64::from(saturation) * (1.0 - f64::from(rest)));
    match sector as u8 % 6 {
        0 => [value, t, p],
        1 => [q, value, p],
        2 => [p, value, t],
        3 => [p, q, value],
        4 => [t, p, value],
        _ => [value, p, q],
    }
}

/// `adjust_sharpness`: 0 is smoothed, 1 the picture itself. `spare` is memory to use.
pub(super) fn sharpness(picture: &mut Picture, factor: f64, spare: &mut Vec<u8>) {
    let (width, height) = (picture.width as usize, picture.height as usize);
    // Pillow smooths what is inside, and nothing of a picture without inside.
    if width < 3 || height < 3 {
        return;
    }
    let (row, factor) = (3 * width, factor as f32);
    spare.clone_from(&picture.rgb);
    for y in 1..height - 1 {
        let rows = [y - 1, y, y + 1].map(|y| &spare[y * row..][..row]);
        let out = &mut picture.rgb[y * row..][..row];
        for (x, out) in out.iter_mut().enumerate().take(row - 3).skip(3) {
            let around = rows
                .iter()
                .flat_map(|row| [row[x - 3], row[x], row[x + 3]])
                .map(u32::from);
            let sum = around.sum::<u32>() + 4 * u32::from(rows[1][x]);
            // The thirteenth part, rounded.
            let smooth = ((2 * sum + 13) / 26) as u8;
            *out = blend(smooth, rows[1][x], factor);
        }
    }
}

/// `posterize`: only the highest `bits` of each level are kept.
pub(super) fn posterize(picture: &mut Picture, bits: u32) {
    let mask = 0xff_u8.checked_shl(8 - bits.min(8)).unwrap_or(0);
    look_up(picture, &table(|level| level & mask));
}

/// `solarize`: levels from `threshold` on are inverted.
pub(super) fn solarize(picture: &mut Picture, threshold: f64) {
    let inverted = |level: u8| {
        if f64::from(level) < threshold {
            level
        } else {
            255 - level
        }
    };
    look_up(picture, &table(inverted));
}

/// `autocontrast`: each channel stretched so that its darkest level is 0 and its brightest 255.
pub(super) fn auto_contrast(picture: &mut Picture) {
    by_channel(picture, |histogram| {
        let low = histogram.iter().position(|&count| count > 0)?;
        let high = histogram.iter().rposition(|&count| count > 0)?;
        if high <= low {
            return None;
        }
        let scale = 255.0 / (high - low) as f64;
        let offset = -(low as f64) * scale;
        Some(table(|level| (f64::from(level) * scale + offset) as u8))
    });
}

/// `equalize`: each channel's levels spread so that about as many pixels have each.
pub(super) fn equalize(picture: &mut Picture) {
    by_channel(picture, |histogram| {
        let last = histogram.iter().rfind(|&&count| count > 0)?;
        let step = (histogram.iter().sum::<u64>() - last) / 255;
        if step == 0 {
            return None;
        }
        let mut n = step / 2;
        Some(table(|level| {
            let level = usize::from(level);
            let new = (n / step).min(255) as u8;
            n += histogram[level];
            new
        }))
    });
}

/// Each channel replaced by what a function of its histogram says; left as it is where that says nothing.
fn by_channel(picture: &mut Picture, table: impl Fn(&[u64; 256]) -> Option<Levels>) {
    let pixels = picture.rgb.as_chunks_mut::<3>().0;
    for channel in 0..3 {
        let mut histogram = [0; 256];
        for pixel in &*pixels {
            histogram[usize::from(pixel[channel])] += 1;
        }
        if let Some(table) = table(&histogram) {
            for pixel in &mut *pixels {
                pixel[channel] = table[usize::from(pixel[channel])];
            }
        }
    }
}
