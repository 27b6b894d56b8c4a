//! Who asks many questions finds something by luck: p values that account for it.

/// Holm's step-down adjustment (Holm 1979) of a family of p values, in their order. The chance that any true
/// null hypothesis has an adjusted p below 0.05 is at most 5 %. NaN values stay and don't count.
pub fn holm(p: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p.len()).filter(|&i| !p[i].is_nan()).collect();
    order.sort_by(|&a, &b| p[a].total_cmp(&p[b]));
    let mut adjusted = vec![f64::NAN; p.len()];
    let mut highest = 0.0f64;
    for (rank, &i) in order.iter().enumerate() {
        highest = highest.max((order.len() - rank) as f64 * p[i]).min(1.0);
        adjusted[i] = highest;
    }
    adjusted
}
