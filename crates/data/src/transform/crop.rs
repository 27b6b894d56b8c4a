//! Where torchvision crops and how large it resizes: the arithmetic of `transforms.v1`, rounding included.

use graft_stream::Stream;

/// A rectangle in pixels. It may reach over the picture's border, where there is black.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crop {
    /// Left column.
    pub x: i64,
    /// Top row.
    pub y: i64,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
}

/// Part of the area that a random crop takes.
const SCALE: (f64, f64) = (0.08, 1.0);

/// Width over height of a random crop.
const RATIO: (f64, f64) = (3.0 / 4.0, 4.0 / 3.0);

/// A random part of a picture, as `RandomResizedCrop.get_params`: ten tries of a uniform area and a log-uniform aspect
/// ratio, then the largest central part with an allowed ratio (after Szegedy et al., "Going Deeper with Convolutions").
pub fn random_resized_crop(width: u32, height: u32, stream: &mut Stream) -> Crop {
    let (w, h) = (f64::from(width), f64::from(height));
    for _ in 0..10 {
        let area = w * h * stream.uniform(SCALE.0, SCALE.1);
        let ratio = stream.uniform(RATIO.0.ln(), RATIO.1.ln()).exp();
        let crop_w = (area * ratio).sqrt().round_ties_even();
        let crop_h = (area / ratio).sqrt().round_ties_even();
        if crop_w > 0.0 && crop_w <= w && crop_h > 0.0 && crop_h <= h {
            let (crop_w, crop_h) = (crop_w as u32, crop_h as u32);
            let y = stream.below((height - crop_h) as usize + 1) as i64;
            let x = stream.below((width - crop_w) as usize + 1) as i64;
            return Crop {
                x,
                y,
                width: crop_w,
                height: crop_h,
            };
        }
    }
    let ratio = w / h;
    let (crop_w, crop_h) = if ratio < RATIO.0 {
        (width, (w / RATIO.0).round_ties_even() as u32)
    } else if ratio > RATIO.1 {
        ((h * RATIO.1).round_ties_even() as u32, height)
    } else {
        (width, height)
    };
    Crop {
        x: i64::from((width - crop_w) / 2),
        y: i64::from((height - crop_h) / 2),
        width: crop_w,
        height: crop_h,
    }
}

/// The size after `Resize(side)`: the shorter side becomes `side`, the longer `int(side * long / short)`.
pub(crate) fn shorter_side(width: u32, height: u32, side: u32) -> (u32, u32) {
    let (short, long) = (width.min(height), width.max(height));
    let longer = u64::from(side) * u64::from(long) / u64::from(short);
    // Beyond 32 bits nothing could be resized anyway; the resize refuses it by its size.
    let longer = u32::try_from(longer).unwrap_or(u32::MAX);
    if width <= height {
        (side, longer)
    } else {
        (longer, side)
    }
}

/// `CenterCrop(side)`: where the picture is smaller it is first padded, the extra pixel to the right and below.
pub(crate) fn center(width: u32, height: u32, side: u32) -> Crop {
    let start = |length: u32| {
        if side > length {
            -i64::from((side - length) / 2)
        } else {
            (f64::from(length - side) / 2.0).round_ties_even() as i64
        }
    };
    Crop {
        x: start(width),
        y: start(height),
        width: side,
        height: side,
    }
}

/// `RandomCrop(side)`: a square at a random place inside; `None` where the picture is smaller.
pub(crate) fn random(width: u32, height: u32, side: u32, stream: &mut Stream) -> Option<Crop> {
    let (down, along) = (height.checked_sub(side)?, width.checked_sub(side)?);
    let y = stream.below(down as usize + 1) as i64;
    let x = stream.below(along as usize + 1) as i64;
    Some(Crop {
        x,
        y,
        width: side,
        height: side,
    })
}

/// So many pixels more on each side.
pub(crate) fn padded(width: u32, height: u32, margin: u32) -> Crop {
    Crop {
        x: -i64::from(margin),
        y: -i64::from(margin),
        width: width.saturating_add(2 * margin),
        height: height.saturating_add(2 * margin),
    }
}

#[cfg(test)]
mod tests {
    use graft_stream::Purpose;

    use super::*;

    /// torchvision 0.29: `RandomResizedCrop.get_params(img, scale=(0.08, 1), ratio=(3/4, 4/3))` on a 500 × 375 picture,
    /// 200,000 draws after `torch.manual_seed(0)`: see `scripts/golden_data.py`, which prints these moments.
    #[test]
    fn random_crops_are_distributed_as_torchvisions() {
        let mut stream = Stream::new(1, Purpose::Augment, &[]);
        let n = 200_000;
        let (mut area, mut log_ratio, mut log_ratio2, mut x, mut small) = (0.0, 0.0, 0.0, 0.0, 0);
        for _ in 0..n {
            let crop = random_resized_crop(500, 375, &mut stream);
            let (w, h) = (f64::from(crop.width), f64::from(crop.height));
            assert!(crop.x >= 0 && crop.x + i64::from(crop.width) <= 500);
            assert!(crop.y >= 0 && crop.y + i64::from(crop.height) <= 375);
            let part = w * h / (500.0 * 375.0);
            area += part;
            small += usize::from(part < 0.25);
            log_ratio += (w / h).ln();
            log_ratio2 += (w / h).ln().powi(2);
            x += crop.x as f64 + w / 2.0;
        }
        let n = f64::from(n);
        let found = [
            area / n,
            log_ratio / n,
            log_ratio2 / n,
            x / n,
            small as f64 / n,
        ];
        for (found, expected) in found.iter().zip(TORCHVISION_MOMENTS) {
            assert!(
                (found - expected).abs() < 0.004 * expected.abs().max(1.0),
                "{found} {expected}"
            );
        }
    }

    /// Mean part of the area, mean and mean square of the log ratio, mean centre, share of crops below a quarter.
    const TORCHVISION_MOMENTS: [f64; 5] = [0.43388, 0.03081, 0.02789, 249.877, 0.24823];

    #[test]
    fn long_pictures_fall_back_to_their_centre() {
        let mut stream = Stream::new(1, Purpose::Augment, &[]);
        let crop = random_resized_crop(1000, 10, &mut stream);
        assert_eq!((crop.x, crop.y, crop.width, crop.height), (493, 0, 13, 10));
        let crop = random_resized_crop(10, 1000, &mut stream);
        assert_eq!((crop.x, crop.y, crop.width, crop.height), (0, 493, 10, 13));
        let crop = random_resized_crop(1, 1, &mut stream);
        assert_eq!((crop.x, crop.y, crop.width, crop.height), (0, 0, 1, 1));
    }

    /// torchvision 0.29: `_compute_resized_output_size((h, w), [side])`.
    #[test]
    fn sizes_are_torchvisions() {
        assert_eq!(shorter_side(500, 375, 256), (341, 256));
        assert_eq!(shorter_side(375, 500, 256), (256, 341));
        assert_eq!(shorter_side(333, 333, 256), (256, 256));
        assert_eq!(shorter_side(1, 3, 2), (2, 6));
    }

    /// torchvision 0.29: `CenterCrop` on 7 × 6, 5 × 8 and 2 × 9 pictures (w × h).
    #[test]
    fn centres_are_torchvisions() {
        let at = |w, h, side| {
            let crop = center(w, h, side);
            (crop.x, crop.y)
        };
        assert_eq!(at(7, 6, 4), (2, 1));
        assert_eq!(at(5, 8, 4), (0, 2));
        assert_eq!(at(2, 9, 5), (-1, 2));
    }
}
