//! Made-up pictures for the tests beside.

/// `n` pictures of `size` × `size` × 3 values from -2 to 2.
pub(crate) fn pictures(n: usize, size: usize) -> Vec<Vec<f32>> {
    let mut state = 3_u64;
    let mut value = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        ((state >> 40) as f32 / (1 << 24) as f32 - 0.5) * 4.0
    };
    let pixels = size * size * 3;
    (0..n)
        .map(|_| (0..pixels).map(|_| value()).collect())
        .collect()
}
