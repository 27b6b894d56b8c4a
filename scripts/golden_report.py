"""Golden values of crates/report, made with Python 3 and scipy 1.17.1 (numpy alone for Holm's adjustment).

    python scripts/golden_report.py

writes crates/report/tests/golden/statistics.csv: one line per case with the values (separated by spaces), the mean, the
standard deviation, the 95 % interval of the mean and the exact two-sided p of the sign-flip permutation test; and
holm.csv with families of p values and their adjusted ones.
"""

import csv
import pathlib

import numpy as np
from scipy import stats

OUT = pathlib.Path(__file__).parent.parent / "crates/report/tests/golden"


def sign_flip_p(d):
    # permutation_type="samples" with one sample flips its signs; n_resamples above 2^n makes it exact.
    test = stats.permutation_test(
        (d,),
        lambda x, axis=-1: np.sum(x, axis=axis),
        permutation_type="samples",
        n_resamples=2 ** len(d) + 1,
        alternative="two-sided",
        vectorized=True,
        batch=2**16,
    )
    return test.pvalue


def holm(p):
    order = np.argsort(p, kind="stable")
    m = len(p)
    adjusted = np.minimum(np.maximum.accumulate((m - np.arange(m)) * np.asarray(p)[order]), 1)
    out = np.empty(m)
    out[order] = adjusted
    return out


def main():
    rng = np.random.default_rng(20)
    cases = [
        [0.1, -0.1],
        [0.25, 0.5],
        [0.01, 0.02, 0.03, -0.005],
        # Differences of accuracies on 153 pictures: many equal sums.
        *[list(rng.integers(-6, 12, n) / 153) for n in (3, 5, 6, 8, 10, 10, 12, 15)],
        *[list(rng.normal(0.1, 0.2, n)) for n in (4, 7, 10, 13, 18)],
        [0.0, 0.0, 0.0],
    ]
    with open(OUT / "statistics.csv", "w", newline="") as file:
        out = csv.writer(file, lineterminator="\n")
        out.writerow(["values", "mean", "std", "low", "high", "p"])
        for values in cases:
            d = np.asarray(values, dtype=float)
            mean, std, n = d.mean(), d.std(ddof=1), len(d)
            half = stats.t.ppf(0.975, n - 1) * std / np.sqrt(n)
            numbers = [mean, std, mean - half, mean + half, sign_flip_p(d)]
            out.writerow([" ".join(repr(float(v)) for v in d), *(repr(float(v)) for v in numbers)])
    families = [[0.01, 0.04, 0.03, 0.005], [0.5], [0.9, 0.8, 0.7], [0.02, 0.02, 0.02], [0.001, 0.6, 0.04, 0.04, 0.2]]
    with open(OUT / "holm.csv", "w", newline="") as file:
        out = csv.writer(file, lineterminator="\n")
        out.writerow(["p", "adjusted"])
        for p in families:
            out.writerow([" ".join(map(repr, p)), " ".join(repr(float(v)) for v in holm(p))])


if __name__ == "__main__":
    main()
