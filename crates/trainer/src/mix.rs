//! Pictures of a batch mixed with one another: mixup (Zhang et al. 2018) and `CutMix` (Yun et al. 2019), as torchvision's
//! `v2.MixUp` and `v2.CutMix`. Each picture is mixed with the one before it in the batch, the first with the last.

use graft_stream::{Purpose, Stream};

use crate::{Recipe, targets::Targets};

/// The other labels of a batch of mixed pictures.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Mixed {
    /// Those of what was mixed into each picture.
    pub(crate) targets: Targets,
    /// The share of the picture's own label, from 0 to 1.
    pub(crate) share: f64,
}

impl Mixed {
    /// The targets with the larger share, given the pictures' own ones.
    pub(crate) fn main<'a>(mixed: Option<&'a Self>, own: &'a Targets) -> &'a Targets {
        match mixed {
            Some(mixed) if mixed.share < 0.5 => &mixed.targets,
            _ => own,
        }
    }
}

/// Mixes the batches of an epoch, if the recipe says so.
#[derive(Clone, Debug)]
pub(crate) struct Mixer {
    /// Parameters of the beta distributions, of what is wanted.
    mixup: Option<f64>,
    cutmix: Option<f64>,
    seed: u64,
    repeat: u64,
    epoch: u64,
}

impl Mixer {
    /// For an epoch (from 1) of a repeat.
    pub(crate) fn new(recipe: &Recipe, seed: u64, repeat: u64, epoch: u64) -> Self {
        let wanted = |alpha: f64| (alpha > 0.0).then_some(alpha);
        Self {
            mixup: wanted(recipe.mixup),
            cutmix: wanted(recipe.cutmix),
            seed,
            repeat,
            epoch,
        }
    }

    /// Whether it does anything.
    pub(crate) fn mixes(&self) -> bool {
        self.mixup.is_some() || self.cutmix.is_some()
    }

    /// Mixes the pictures of batch `batch` (from 0) of the epoch, (n, size, size, 3) in `pixels`, with draws of (seed, Augment,
    /// [repeat, epoch, batch], `mix`). With both ways, one of them is drawn for the batch.
    pub(crate) fn mix(
        &self,
        batch: usize,
        pixels: &mut [f32],
        targets: &Targets,
        size: usize,
    ) -> Option<Mixed> {
        let index = [self.repeat, self.epoch, batch as u64];
        let mut stream = Stream::named(self.seed, Purpose::Augment, &index, "mix");
        let way = match (self.mixup, self.cutmix) {
            (None, None) => return None,
            (Some(alpha), None) => Way::blend(alpha, &mut stream),
            (None, Some(alpha)) => Way::patch(alpha, size, &mut stream),
            (Some(blend), Some(patch)) => {
                if stream.chance(0.5) {
                    Way::blend(blend, &mut stream)
                } else {
                    Way::patch(patch, size, &mut stream)
                }
            }
        };
        way.apply(pixels, size);
        Some(Mixed {
            targets: targets.of_picture_before(),
            share: way.share(size),
        })
    }
}

/// How the pictures of a batch are mixed.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    /// All pixels, of which a picture's own count this share.
    Blend(f64),
    /// The pixels of these columns and rows, from and to.
    Patch {
        x: (usize, usize),
        y: (usize, usize),
    },
}

impl Way {
    fn blend(alpha: f64, stream: &mut Stream) -> Self {
        Self::Blend(beta(alpha, stream))
    }

    fn patch(alpha: f64, size: usize, stream: &mut Stream) -> Self {
        let share = beta(alpha, stream);
        let x = stream.below(size);
        let y = stream.below(size);
        Self::patch_around((x, y), share, size)
    }

    /// A square around a pixel that has the part 1 − `share` of the area where it does not reach over the border.
    fn patch_around((x, y): (usize, usize), share: f64, size: usize) -> Self {
        let half = (0.5 * (1.0 - share).sqrt() * size as f64) as usize;
        let range = |middle: usize| (middle.saturating_sub(half), (middle + half).min(size));
        Self::Patch {
            x: range(x),
            y: range(y),
        }
    }

    /// The share of a picture's own label.
    fn share(&self, size: usize) -> f64 {
        match *self {
            Self::Blend(share) => share,
            Self::Patch { x, y } => 1.0 - ((x.1 - x.0) * (y.1 - y.0)) as f64 / (size * size) as f64,
        }
    }

    /// Mixes pictures (n, size, size, 3), each with the one before it.
    fn apply(&self, pixels: &mut [f32], size: usize) {
        let length = 3 * size * size;
        if pixels.len() < length {
            return;
        }
        let last = pixels[pixels.len() - length..].to_vec();
        for number in (0..pixels.len() / length).rev() {
            let (before, own) = pixels[..(number + 1) * length].split_at_mut(number * length);
            let other = match number {
                0 => &last,
                _ => &before[(number - 1) * length..],
            };
            self.mix(own, other, size);
        }
    }

    /// Mixes `other` into `own`.
    fn mix(&self, own: &mut [f32], other: &[f32], size: usize) {
        match *self {
            Self::Blend(share) => {
                let (share, rest) = (share as f32, (1.0 - share) as f32);
                for (own, other) in own.iter_mut().zip(other) {
                    *own = other * rest + *own * share;
                }
            }
            Self::Patch { x, y } => {
                for row in y.0..y.1 {
                    let part = 3 * (row * size + x.0)..3 * (row * size + x.1);
                    own[part.clone()].copy_from_slice(&other[part]);
                }
            }
        }
    }
}

/// A draw from Beta(`alpha`, `alpha`).
fn beta(alpha: f64, stream: &mut Stream) -> f64 {
    // By logarithms, since with small parameters the numbers themselves vanish.
    let (one, other) = (log_gamma_draw(alpha, stream), log_gamma_draw(alpha, stream));
    1.0 / (1.0 + (other - one).exp())
}

/// The logarithm of a draw from the gamma distribution of this shape (Marsaglia and Tsang 2000).
fn log_gamma_draw(shape: f64, stream: &mut Stream) -> f64 {
    // Not 0, of which there is no logarithm.
    let log_unit = |stream: &mut Stream| (1.0 - stream.unit_f64()).ln();
    if shape < 1.0 {
        return log_gamma_draw(shape + 1.0, stream) + log_unit(stream) / shape;
    }
    let d = shape - 1.0 / 3.0;
    let c = 1.0 / (9.0 * d).sqrt();
    loop {
        let x = stream.normal();
        let v = (1.0 + c * x).powi(3);
        if v > 0.0 && log_unit(stream) < 0.5 * x * x + d - d * v + d * v.ln() {
            return (d * v).ln();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: usize = 6;
    const PICTURES: usize = 4;

    /// As in `scripts/golden_trainer.py`, there with the channels first.
    fn pictures() -> Vec<f32> {
        let number = |i: usize| ((i * 37 + 7 * 101) % 128) as f32;
        let mut pixels = vec![0.0; PICTURES * SIZE * SIZE * 3];
        for (place, value) in pixels.iter_mut().enumerate() {
            let (n, pixel, c) = (
                place / (3 * SIZE * SIZE),
                place / 3 % (SIZE * SIZE),
                place % 3,
            );
            *value = (number((n * 3 + c) * SIZE * SIZE + pixel) - 64.0) / 64.0;
        }
        pixels
    }

    /// torchvision 0.29.2: `v2.MixUp` and `v2.CutMix` with given shares and middles.
    #[test]
    fn pictures_are_mixed_as_torchvision_mixes_them() {
        let golden: serde_json::Value =
            serde_json::from_str(include_str!("../tests/golden/mixing.json")).unwrap();
        for case in golden["pictures"].as_array().unwrap() {
            let share = case["share"].as_f64().unwrap();
            let way = match case["middle"].as_array() {
                None => Way::Blend(share),
                Some(middle) => {
                    let at = |i: usize| middle[i].as_u64().unwrap() as usize;
                    Way::patch_around((at(0), at(1)), share, SIZE)
                }
            };
            assert_eq!(way.share(SIZE), case["label_share"].as_f64().unwrap());
            let mut pixels = pictures();
            way.apply(&mut pixels, SIZE);
            let expected = case["pixels"].as_array().unwrap();
            assert_eq!(pixels.len(), expected.len());
            for (place, value) in pixels.iter().enumerate() {
                let (n, pixel, c) = (
                    place / (3 * SIZE * SIZE),
                    place / 3 % (SIZE * SIZE),
                    place % 3,
                );
                let expected = &expected[(n * 3 + c) * SIZE * SIZE + pixel];
                assert_eq!(f64::from(*value), expected.as_f64().unwrap(), "{case}");
            }
        }
    }

    fn mixer(mixup: f64, cutmix: f64, epoch: u64) -> Mixer {
        Mixer {
            mixup: (mixup > 0.0).then_some(mixup),
            cutmix: (cutmix > 0.0).then_some(cutmix),
            seed: 4,
            repeat: 1,
            epoch,
        }
    }

    #[test]
    fn a_batch_is_mixed_in_the_same_way_every_time() {
        let mix = |mixer: &Mixer, batch| {
            let mut pixels = pictures();
            let mixed = mixer.mix(
                batch,
                &mut pixels,
                &Targets::Classes(vec![5, 6, 7, 8]),
                SIZE,
            );
            (pixels, mixed)
        };
        let both = mixer(0.4, 1.0, 1);
        assert_eq!(mix(&both, 3), mix(&both, 3));
        assert_ne!(mix(&both, 3).1, mix(&both, 4).1);
        assert_ne!(mix(&both, 3).1, mix(&mixer(0.4, 1.0, 2), 3).1);
        assert_eq!(
            mix(&both, 3).1.unwrap().targets,
            Targets::Classes(vec![8, 5, 6, 7])
        );
        assert_eq!(mix(&mixer(0.0, 0.0, 1), 3), (pictures(), None));
        // Both ways come: a blend leaves no pixel as it was, a patch leaves some.
        let blends = (0..100).filter(|&batch| {
            let pixels = mix(&both, batch).0;
            let kept = pixels.iter().zip(pictures()).filter(|(a, b)| *a == b);
            kept.count() < 30
        });
        assert!((20..80).contains(&blends.count()));
        let mut alone = pictures()[..3 * SIZE * SIZE].to_vec();
        let five = Targets::Classes(vec![5]);
        let mixed = both.mix(0, &mut alone, &five, SIZE).unwrap();
        assert_eq!(mixed.targets, five);
        assert!(
            alone
                .iter()
                .zip(pictures())
                .all(|(a, b)| (a - b).abs() < 1e-6)
        );
    }

    #[test]
    fn the_larger_share_is_the_main_label() {
        let mixed = |share| Mixed {
            targets: Targets::Classes(vec![9]),
            share,
        };
        let own = Targets::Classes(vec![1]);
        assert_eq!(Mixed::main(Some(&mixed(0.6)), &own), &own);
        let mixed = mixed(0.4);
        assert_eq!(Mixed::main(Some(&mixed), &own), &mixed.targets);
        assert_eq!(Mixed::main(None, &own), &own);
    }

    /// The mean of Beta(α, α) is 1/2, its variance 1 / (4 (2α + 1)).
    #[test]
    fn shares_have_the_moments_of_the_beta_distribution() {
        let mut stream = Stream::new(1, Purpose::Augment, &[]);
        for alpha in [1e-3, 0.2, 1.0, 4.0] {
            let n = 40_000;
            let (mut mean, mut square) = (0.0, 0.0);
            for _ in 0..n {
                let share = beta(alpha, &mut stream);
                assert!((0.0..=1.0).contains(&share), "{share}");
                mean += share / f64::from(n);
                square += (share - 0.5).powi(2) / f64::from(n);
            }
            let variance = 0.25 / (2.0 * alpha + 1.0);
            // More than four standard deviations.
            assert!((mean - 0.5).abs() < 0.011, "{alpha}: {mean}");
            assert!(
                (square - variance).abs() < 0.02 * variance + 0.001,
                "{alpha}: {square}"
            );
        }
    }
}
