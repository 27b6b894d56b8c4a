//! What the random steps that change colours draw, in torchvision's ranges, and what that does to a picture.

use graft_stream::Stream;

use super::{color, crop::Crop, turn};
use crate::{Filter, Jitter, Picture};

/// What a `color-jitter` drew: factors, `None` where the range is one point, and the order in which they come.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Jittered {
    /// 0 is brightness, 1 contrast, 2 saturation and 3 hue.
    pub(super) order: [usize; 4],
    pub(super) factors: [Option<f64>; 4],
}

impl Jittered {
    pub(super) fn draw(jitter: &Jitter, stream: &mut Stream) -> Self {
        let mut order = [0, 1, 2, 3];
        stream.shuffle(&mut order);
        let mut around = |middle: f64, width: f64, least: f64| {
            (width > 0.0).then(|| stream.uniform((middle - width).max(least), middle + width))
        };
        Self {
            order,
            factors: [
                around(1.0, jitter.brightness, 0.0),
                around(1.0, jitter.contrast, 0.0),
                around(1.0, jitter.saturation, 0.0),
                around(0.0, jitter.hue, -0.5),
            ],
        }
    }

    pub(super) fn apply(&self, picture: &mut Picture) {
        for which in self.order {
            let Some(factor) = self.factors[which] else {
                continue;
            };
            match which {
                0 => color::brightness(picture, factor),
                1 => color::contrast(picture, factor),
                2 => color::saturation(picture, factor),
                _ => color::hue(picture, factor),
            }
        }
    }
}

/// The operations of `RandAugment`, in torchvision's order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    Identity,
    ShearX,
    ShearY,
    TranslateX,
    TranslateY,
    Rotate,
    Brightness,
    Color,
    Contrast,
    Sharpness,
    Posterize,
    Solarize,
    AutoContrast,
    Equalize,
}

impl Operation {
    pub(super) const ALL: [Self; 14] = [
        Self::Identity,
        Self::ShearX,
        Self::ShearY,
        Self::TranslateX,
        Self::TranslateY,
        Self::Rotate,
        Self::Brightness,
        Self::Color,
        Self::Contrast,
        Self::Sharpness,
        Self::Posterize,
        Self::Solarize,
        Self::AutoContrast,
        Self::Equalize,
    ];

    /// Whether its strength has a direction, which is drawn.
    pub(super) fn is_signed(self) -> bool {
        (Self::ShearX as usize..=Self::Sharpness as usize).contains(&(self as usize))
    }

    /// The strength at place `magnitude` of 31 on a picture of this size.
    fn strength(self, magnitude: u32, width: u32, height: u32) -> f64 {
        let reach = |side: u32| 150.0 / 331.0 * f64::from(side);
        match self {
            Self::Identity | Self::AutoContrast | Self::Equalize => 0.0,
            Self::ShearX | Self::ShearY => spaced(0.0, 0.3, magnitude),
            Self::TranslateX => spaced(0.0, reach(width), magnitude),
            Self::TranslateY => spaced(0.0, reach(height), magnitude),
            Self::Rotate => spaced(0.0, 30.0, magnitude),
            Self::Brightness | Self::Color | Self::Contrast | Self::Sharpness => {
                spaced(0.0, 0.9, magnitude)
            }
            Self::Posterize => {
                (8.0 - magnitude as f32 / ((BINS - 1) as f32 / 4.0)).round_ties_even() as f64
            }
            Self::Solarize => spaced(1.0, 0.0, magnitude),
        }
    }

    /// Does it to a picture, in the other direction if `reverse`.
    pub(super) fn apply(
        self,
        picture: &mut Picture,
        magnitude: u32,
        reverse: bool,
        spare: &mut Vec<u8>,
    ) {
        let strength = self.strength(magnitude, picture.width, picture.height);
        let strength = if reverse { -strength } else { strength };
        match self {
            Self::Identity => {}
            Self::ShearX => turn::shear_x(picture, strength, spare),
            Self::ShearY => turn::shear_y(picture, strength, spare),
            Self::TranslateX => turn::translate(picture, (strength.trunc(), 0.0), spare),
            Self::TranslateY => turn::translate(picture, (0.0, strength.trunc()), spare),
            Self::Rotate => turn::rotate(picture, strength, Filter::Nearest, spare),
            Self::Brightness => color::brightness(picture, 1.0 + strength),
            Self::Color => color::saturation(picture, 1.0 + strength),
            Self::Contrast => color::contrast(picture, 1.0 + strength),
            Self::Sharpness => color::sharpness(picture, 1.0 + strength, spare),
            Self::Posterize => color::posterize(picture, strength as u32),
            Self::Solarize => color::solarize(picture, 255.0 * strength),
            Self::AutoContrast => color::auto_contrast(picture),
            Self::Equalize => color::equalize(picture),
        }
    }
}

/// Strengths that there are of each operation.
const BINS: u32 = 31;

/// `torch.linspace(from, to, 31)[place]`, in single precision with one rounding as torch does it.
fn spaced(from: f64, to: f64, place: u32) -> f64 {
    let (from, to) = (from as f32, to as f32);
    let step = f64::from((to - from) / (BINS - 1) as f32);
    let value = if place < BINS / 2 {
        f64::from(from) + step * f64::from(place)
    } else {
        f64::from(to) - step * f64::from(BINS - 1 - place)
    };
    f64::from(value as f32)
}

/// `RandAugment`: operations drawn one after the other (Cubuk et al. 2020).
pub(super) fn rand_augment(
    picture: &mut Picture,
    operations: u32,
    magnitude: u32,
    stream: &mut Stream,
    spare: &mut Vec<u8>,
) {
    for _ in 0..operations {
        let operation = Operation::ALL[stream.below(Operation::ALL.len())];
        let reverse = operation.is_signed() && stream.chance(0.5);
        operation.apply(picture, magnitude, reverse, spare);
    }
}

/// Part of the area that is erased, and its height over its width.
const ERASED: ((f64, f64), (f64, f64)) = ((0.02, 0.33), (0.3, 3.3));

/// Where `RandomErasing` erases an input of `size` × `size`; `None` if ten rectangles did not fit.
pub(super) fn erased(size: u32, stream: &mut Stream) -> Option<Crop> {
    let (scale, ratio) = ERASED;
    let side = f64::from(size);
    for _ in 0..10 {
        let area = side * side * stream.uniform(scale.0, scale.1);
        let ratio = stream.uniform(ratio.0.ln(), ratio.1.ln()).exp();
        let height = (area * ratio).sqrt().round_ties_even();
        let width = (area / ratio).sqrt().round_ties_even();
        if height < side && width < side {
            let (width, height) = (width as u32, height as u32);
            let y = stream.below((size - height) as usize + 1) as i64;
            let x = stream.below((size - width) as usize + 1) as i64;
            return Some(Crop {
                x,
                y,
                width,
                height,
            });
        }
    }
    None
}

/// Sets the rectangle `part` of interleaved `values`, `width` pixels in a row, to `value`.
pub(super) fn erase<T: Copy>(values: &mut [T], width: usize, part: Crop, value: [T; 3]) {
    let rows = values.as_chunks_mut::<3>().0.chunks_exact_mut(width);
    for row in rows.skip(part.y as usize).take(part.height as usize) {
        row[part.x as usize..][..part.width as usize].fill(value);
    }
}

#[cfg(test)]
mod tests {
    use graft_stream::Purpose;

    use super::*;

    fn stream() -> Stream {
        Stream::new(3, Purpose::Augment, &[])
    }

    #[test]
    fn jitters_are_drawn_from_their_ranges_in_every_order() {
        let jitter = Jitter {
            brightness: 0.4,
            contrast: 1.5,
            saturation: 0.0,
            hue: 0.1,
        };
        let (mut stream, mut orders) = (stream(), std::collections::BTreeSet::new());
        let mut sums = [0.0; 4];
        for _ in 0..4000 {
            let jittered = Jittered::draw(&jitter, &mut stream);
            orders.insert(jittered.order);
            let [brightness, contrast, saturation, hue] = jittered.factors;
            assert!((0.6..1.4).contains(&brightness.unwrap()));
            assert!((0.0..2.5).contains(&contrast.unwrap()));
            assert_eq!(saturation, None);
            assert!((-0.1..0.1).contains(&hue.unwrap()));
            for (sum, factor) in sums.iter_mut().zip(jittered.factors) {
                *sum += factor.unwrap_or(0.0) / 4000.0;
            }
        }
        assert_eq!(orders.len(), 24);
        // Five standard deviations of the means.
        assert!((sums[0] - 1.0).abs() < 0.02, "{sums:?}");
        assert!((sums[1] - 1.25).abs() < 0.06, "{sums:?}");
        assert!(sums[3].abs() < 0.005, "{sums:?}");
    }

    /// torchvision 0.29.2: `RandomErasing.make_params` on inputs of 32 × 32, 200,000 draws after `torch.manual_seed(0)`;
    /// `scripts/golden_transforms.py` prints these moments.
    #[test]
    fn rectangles_are_erased_as_torchvision_draws_them() {
        let mut stream = stream();
        let n = 200_000;
        let mut sums = [0.0; 4];
        for _ in 0..n {
            let part = erased(32, &mut stream).expect("one of ten fits");
            let (w, h) = (f64::from(part.width), f64::from(part.height));
            assert!(part.x >= 0 && part.x + i64::from(part.width) <= 32);
            assert!(part.y >= 0 && part.y + i64::from(part.height) <= 32);
            let found = [w * h / 1024.0, (h / w).ln(), w, part.x as f64 + w / 2.0];
            for (sum, found) in sums.iter_mut().zip(found) {
                *sum += found / f64::from(n);
            }
        }
        for (found, expected) in sums.into_iter().zip(TORCHVISION_MOMENTS) {
            assert!(
                (found - expected).abs() < 0.006 * expected.abs().max(1.0),
                "{found} {expected}"
            );
        }
    }

    /// Mean part of the area, log of height over width, width, and middle.
    const TORCHVISION_MOMENTS: [f64; 4] = [0.17402, -0.00379, 13.60169, 15.99336];

    #[test]
    fn what_is_erased_is_a_rectangle() {
        let mut values = vec![1; 3 * 4 * 3];
        let part = Crop {
            x: 1,
            y: 1,
            width: 2,
            height: 2,
        };
        erase(&mut values, 4, part, [0, 0, 0]);
        let pixels: Vec<i32> = values.chunks(3).map(|pixel| pixel[1]).collect();
        assert_eq!(pixels, [1, 1, 1, 1, 1, 0, 0, 1, 1, 0, 0, 1]);
        assert_eq!(erased(1, &mut stream()).map(|part| part.width), Some(0));
    }

    /// torchvision 0.29.2: `RandAugment._AUGMENTATION_SPACE` at magnitude 9 and 20.
    #[test]
    fn strengths_are_torchvisions() {
        let at = |operation: Operation, magnitude| operation.strength(magnitude, 224, 200);
        for (operation, nine, twenty) in [
            (Operation::ShearX, 0.089_999_996_125_698_09, 0.2),
            (Operation::Rotate, 9.0, 20.0),
            (Operation::Posterize, 7.0, 5.0),
            (Operation::Solarize, 0.7, 0.333_333),
        ] {
            assert!((at(operation, 9) - nine).abs() < 1e-6, "{operation:?}");
            assert!((at(operation, 20) - twenty).abs() < 1e-6, "{operation:?}");
        }
        assert_eq!(at(Operation::TranslateX, 9).trunc(), 30.0);
        assert_eq!(at(Operation::TranslateY, 30).trunc(), 90.0);
        let signed = Operation::ALL.iter().filter(|op| op.is_signed()).count();
        assert_eq!(signed, 9);
    }
}
