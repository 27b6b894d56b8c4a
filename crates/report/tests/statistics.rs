//! The statistics against scipy 1.17.1; `scripts/golden_report.py` made the values:
//!
//! ```python
//! half = stats.t.ppf(0.975, n - 1) * d.std(ddof=1) / np.sqrt(n)
//! stats.permutation_test((d,), np.sum, permutation_type="samples", n_resamples=2**n + 1)
//! ```

use graft_report::{estimate, holm, sign_flip_p};
use graft_stream::{Purpose, Stream};
use proptest::prelude::*;

fn stream() -> Stream {
    Stream::new(0, Purpose::Statistics, &[])
}

fn numbers(text: &str) -> Vec<f64> {
    text.split(' ').map(|word| word.parse().unwrap()).collect()
}

fn lines(csv: &'static str) -> impl Iterator<Item = Vec<Vec<f64>>> {
    csv.lines()
        .skip(1)
        .map(|line| line.split(',').map(numbers).collect())
}

fn close(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-9 * b.abs().max(1e-3)
}

#[test]
fn intervals_and_exact_p_are_those_of_scipy() {
    let mut cases = 0;
    for line in lines(include_str!("golden/statistics.csv")) {
        let [values, mean, std, low, high, p] = &line[..] else {
            panic!("{line:?}");
        };
        let found = estimate(values);
        assert!(close(found.mean, mean[0]), "{found:?} {mean:?}");
        assert!(close(found.std, std[0]), "{found:?} {std:?}");
        assert!(close(found.low, low[0]), "{found:?} {low:?}");
        assert!(close(found.high, high[0]), "{found:?} {high:?}");
        let found = sign_flip_p(values, &mut stream());
        assert!(close(found, p[0]), "{values:?}: {found} {}", p[0]);
        cases += 1;
    }
    assert_eq!(cases, 17);
}

#[test]
fn adjusted_p_is_holms() {
    for line in lines(include_str!("golden/holm.csv")) {
        let found = holm(&line[0]);
        assert!(
            found.iter().zip(&line[1]).all(|(a, b)| close(*a, *b)),
            "{found:?} {line:?}"
        );
    }
    let found = holm(&[0.02, f64::NAN, 0.03]);
    assert!(
        found[1].is_nan() && close(found[0], 0.04) && close(found[2], 0.04),
        "{found:?}"
    );
    assert!(holm(&[]).is_empty());
}

#[test]
fn too_few_values_have_no_interval() {
    assert!(estimate(&[]).mean.is_nan());
    let one = estimate(&[0.5, f64::NAN]);
    assert_eq!((one.n, one.mean), (1, 0.5));
    assert!(one.std.is_nan() && one.low.is_nan() && one.high.is_nan());
    assert!(sign_flip_p(&[], &mut stream()).is_nan());
    assert_eq!(sign_flip_p(&[0.3], &mut stream()), 1.0);
}

/// Ten differences of one sign: only two of 1024 patterns are as far from 0. Beyond 20, patterns are drawn:
/// the exact p of 21 equal differences with three of the other sign is known from the binomial distribution.
#[test]
fn known_p_values() {
    assert_eq!(sign_flip_p(&[0.1; 10], &mut stream()), 2.0 / 1024.0);
    assert_eq!(
        sign_flip_p(&[0.1; 20], &mut stream()),
        2.0 / f64::from(1 << 20)
    );
    let mut many = [0.1; 21];
    for value in &mut many[..5] {
        *value = -0.1;
    }
    // scipy: 2 * stats.binom.cdf(5, 21, 0.5)
    let exact = 0.026_604_652_404_785_156;
    let p = sign_flip_p(&many, &mut stream());
    assert!(
        (p - exact).abs() < 5.0 * (exact / 200_000.0f64).sqrt(),
        "{p}"
    );
    assert_eq!(p, sign_flip_p(&many, &mut stream()));
}

proptest! {
    #[test]
    fn p_is_a_fair_probability(d in prop::collection::vec(-1.0..1.0f64, 1..12)) {
        let p = sign_flip_p(&d, &mut stream());
        prop_assert!(p > 0.0 && p <= 1.0);
        // Neither the direction, the unit nor the order of the repeats matters.
        let turned: Vec<f64> = d.iter().rev().map(|x| -3.0 * x).collect();
        prop_assert_eq!(p, sign_flip_p(&turned, &mut stream()));
    }

    #[test]
    fn holm_is_between_p_and_bonferroni(p in prop::collection::vec(0.0..1.0f64, 1..12)) {
        for (adjusted, raw) in holm(&p).iter().zip(&p) {
            prop_assert!(adjusted >= raw && *adjusted <= 1.0);
        }
        let smallest = p.iter().copied().fold(1.0, f64::min);
        let adjusted = holm(&p).iter().copied().fold(1.0, f64::min);
        prop_assert!((adjusted - (smallest * p.len() as f64).min(1.0)).abs() < 1e-12);
    }
}
