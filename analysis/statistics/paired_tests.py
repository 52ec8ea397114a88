"""Tests of paired differences over participants: arrays in, numbers out.

Scores of different folds share training data, so they are not independent; every table says so.
"""

from collections.abc import Sequence

import numpy as np
from scipy import stats

from analysis.arrays import Floats
from analysis.constants import RESAMPLES

EXACT_UP_TO = 20
BATCH = 500  # resamples at once: those of 20 variants of 58 people then fit the processor's cache
DECIMALS = 12


def _pratt(d: Floats) -> tuple[Floats, Floats]:
    """Ranks of |d| with the zeros ranked and then dropped (Pratt 1959), and the signs of the rest.

    Differences that floats alone tell apart (0.3 - 0.2 and 0.2 - 0.1, or a mean over seeds taken in another order) are ties.
    """
    d = np.round(d, DECIMALS)
    ranks = stats.rankdata(np.abs(d))
    nonzero = d != 0
    return ranks[nonzero], np.sign(d[nonzero])


def wilcoxon(d: Floats) -> tuple[float, str]:
    """Two-sided p of the Wilcoxon signed-rank test of differences (n,), and the test's name.

    Up to 20 differences that are not zero (so always up to n = 20) the complete distribution over sign flips, zeros and ties
    included (scipy's method="exact" ignores them); above, the normal approximation. Zeros do not count towards the 20
    because the approximation needs signs to add up: five gains among 30 people give 0.026 by it, and 0.0625 is the least
    that five signs can reach. No difference that is not zero: 1.
    """
    ranks, signs = _pratt(d)
    if not len(ranks):
        return 1.0, "Wilcoxon signed-rank (Pratt, exact)"
    if len(ranks) > EXACT_UP_TO:
        test = stats.wilcoxon(np.round(d, DECIMALS), zero_method="pratt", method="approx")
        return float(test.pvalue), "Wilcoxon signed-rank (Pratt, normal)"
    doubled = np.round(2 * ranks).astype(int)  # midranks are halves
    counts = np.ones(1)
    for rank in doubled:  # distribution of the doubled rank sum of the positive differences
        longer = np.zeros(len(counts) + rank)
        longer[: len(counts)] += counts
        longer[rank:] += counts
        counts = longer
    total = int(doubled.sum())
    distance = np.abs(2 * np.arange(total + 1) - total)
    observed = abs(2 * int(doubled[signs > 0].sum()) - total)
    return float(counts[distance >= observed].sum() / counts.sum()), "Wilcoxon signed-rank (Pratt, exact)"


def n_nonzero(d: Floats) -> int:
    """How many of the differences (n,) are not zero, up to ``DECIMALS`` decimals."""
    return int(np.count_nonzero(np.round(d, DECIMALS)))


def min_attainable_p(d: Floats, family_size: int) -> float:
    """The least Holm-adjusted p that differences (n,) with these zeros can reach as the first of their family.

    All m that are not zero on one side give 2 / 2^m, and Holm multiplies the first of a family by its size. A row above 0.05
    here can come under it only behind rows of smaller p, whose factors are smaller.
    """
    return min(1.0, family_size * 2 * 0.5 ** n_nonzero(d))


def rank_biserial(d: Floats) -> float:
    """Matched-pairs rank-biserial correlation (Kerby 2014) on Pratt's ranks: (sum of positive - of negative ranks) / all."""
    ranks, signs = _pratt(d)
    return float((ranks * signs).sum() / ranks.sum()) if len(ranks) else 0.0


def _rounded_mean(d: Floats, axis: int) -> Floats:
    """Mean of differences with ``DECIMALS`` decimals, the same in whatever order they are added.

    BCa corrects for the share of resampled means under the observed one, ties counting half; a resample that holds the same
    people in another order is a tie. With 7 people 0.6% are, and their last bits moved a limit by 0.003.
    """
    return np.asarray(np.round(d.sum(axis=axis), DECIMALS) / d.shape[axis])


def bca_interval(d: Floats, seed: int = 0) -> tuple[float, float]:
    """95% BCa bootstrap interval of the mean difference; NaN under 2 differences, the value itself if all are equal."""
    return bca_intervals([d], seed)[0]


def bca_intervals(differences: Sequence[Floats], seed: int = 0) -> list[tuple[float, float]]:
    """``bca_interval`` of each of several variants; those with equally many differences share the drawn participants, which
    gives each the interval that it has alone in a fraction of the time."""
    differences = [np.round(d, DECIMALS) for d in differences]
    intervals = [(float(d[0]), float(d[0])) if len(d) > 1 else (float("nan"), float("nan")) for d in differences]
    uneven = [i for i, d in enumerate(differences) if len(d) > 1 and np.ptp(d) > 0]
    for n in {len(differences[i]) for i in uneven}:
        same_n = [i for i in uneven if len(differences[i]) == n]
        rows, rng = np.stack([differences[i] for i in same_n]), np.random.default_rng(seed)
        sample = stats.bootstrap((rows,), _rounded_mean, axis=1, n_resamples=RESAMPLES, batch=BATCH, method="BCa", rng=rng)
        for i, (low, high) in zip(same_n, np.stack(sample.confidence_interval, axis=1), strict=True):
            intervals[i] = float(low), float(high)
    return intervals


def holm(p: Floats) -> Floats:
    """Holm's step-down adjusted p values; a missing p stays missing but does not shrink the family."""
    order = np.argsort(p)
    factors = len(p) - np.arange(len(p))
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(np.maximum.accumulate(p[order] * factors), 1.0)
    return adjusted
