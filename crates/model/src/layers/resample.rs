//! Resampling of maps by bicubic interpolation, as `torch.nn.functional.interpolate` does it.

/// The constant of Keys' cubic kernel (1981) in `PyTorch`.
const A: f32 = -0.75;

/// A square map (`from`, `from`, `channels`) resampled to (`to`, `to`, `channels`), as `interpolate(mode="bicubic",
/// scale_factor=scale, align_corners=False, antialias=False)` does it: steps of 1/`scale`, which need not be `from`/`to`.
pub(crate) fn bicubic(
    map: &[f32],
    from: usize,
    to: usize,
    channels: usize,
    scale: f64,
) -> Vec<f32> {
    let taps: Vec<[(usize, f32); 4]> = (0..to).map(|place| taps(place, from, scale)).collect();
    let mut resampled = vec![0.0; to * to * channels];
    let mut row = vec![0.0; channels];
    for (pixel, out) in resampled.chunks_exact_mut(channels.max(1)).enumerate() {
        for (y, down) in taps[pixel / to] {
            row.fill(0.0);
            for (x, across) in taps[pixel % to] {
                let source = &map[(y * from + x) * channels..][..channels];
                for (sum, value) in row.iter_mut().zip(source) {
                    *sum += across * value;
                }
            }
            for (sum, value) in out.iter_mut().zip(&row) {
                *sum += down * value;
            }
        }
    }
    resampled
}

/// The four places around where `place` lies in a line of `from` values, those over the edge moved onto it, and their weights.
fn taps(place: usize, from: usize, scale: f64) -> [(usize, f32); 4] {
    let step = (1.0 / scale) as f32;
    let at = step * (place as f32 + 0.5) - 0.5;
    let t = at - at.floor();
    let weights = [outer(t + 1.0), inner(t), inner(1.0 - t), outer(2.0 - t)];
    let first = at.floor() as i64 - 1;
    let last = from as i64 - 1;
    std::array::from_fn(|i| {
        let place = (first + i as i64).clamp(0, last);
        (place as usize, weights[i])
    })
}

/// Keys' kernel at distances up to 1.
fn inner(x: f32) -> f32 {
    ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0
}

/// Keys' kernel at distances from 1 to 2.
fn outer(x: f32) -> f32 {
    ((A * x - 5.0 * A) * x + 8.0 * A) * x - 4.0 * A
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_size_changes_nothing() {
        let map: Vec<f32> = (0..5 * 5 * 2).map(|i| (i * i % 17) as f32).collect();
        assert_eq!(bicubic(&map, 5, 5, 2, 1.0), map);
    }
}
