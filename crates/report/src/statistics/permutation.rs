//! The exact test for paired differences: could the signs be luck?

use graft_stream::Stream;

/// Up to this many pairs all sign patterns are counted; there are about a million of them.
const EXACT_UP_TO: usize = 20;

/// Sign patterns drawn beyond that.
const DRAWS: u32 = 200_000;

/// Two-sided p value of the sign-flip permutation test (Fisher 1935) of paired differences.
///
/// If the two variants were equally good, each difference could as well have the other sign. The p value is the
/// part of all 2ⁿ sign patterns whose sum is at least as far from 0 as the one that was seen. Beyond 20 pairs
/// 200000 patterns are drawn from `stream` instead, and the seen one counts among them (Phipson and Smyth
/// 2010), so that p is never 0. NaN without differences.
pub fn sign_flip_p(differences: &[f64], stream: &mut Stream) -> f64 {
    let n = differences.len();
    if n == 0 || differences.iter().any(|d| !d.is_finite()) {
        return f64::NAN;
    }
    // Accuracies are fractions, so that equal sums are common and must not be parted by rounding.
    let rounding = 1e-9 * differences.iter().map(|d| d.abs()).sum::<f64>();
    let seen = differences.iter().sum::<f64>().abs() - rounding;
    if n <= EXACT_UP_TO {
        // A pattern and its mirror image are equally far from 0: the first sign can stay.
        let hits = count(differences[0], &differences[1..], seen);
        return hits as f64 / (1u64 << (n - 1)) as f64;
    }
    let mut hits = 1u32;
    for _ in 0..DRAWS {
        let mut sum = 0.0;
        let mut bits = 0;
        for (i, d) in differences.iter().enumerate() {
            if i % 32 == 0 {
                bits = stream.bits32();
            }
            sum += if bits & 1 == 0 { *d } else { -d };
            bits >>= 1;
        }
        hits += u32::from(f64::abs(sum) >= seen);
    }
    f64::from(hits) / f64::from(DRAWS + 1)
}

/// The smallest p value that the test can give with `n` pairs.
pub(crate) fn smallest_p(n: usize) -> f64 {
    if n <= EXACT_UP_TO {
        (1.0 - n.max(1) as f64).exp2()
    } else {
        1.0 / f64::from(DRAWS + 1)
    }
}

/// How many sign patterns of `rest` bring `sum` at least `seen` away from 0.
fn count(sum: f64, rest: &[f64], seen: f64) -> u64 {
    match rest {
        [] => u64::from(sum.abs() >= seen),
        [d, rest @ ..] => count(sum + d, rest, seen) + count(sum - d, rest, seen),
    }
}
