"""The test of a mean difference over participants whose scores share training data: arrays in, numbers out.

Every participant is tested with a model that was trained on the others. What two participants' windows have in common by chance therefore
enters both of their scores, and the variance of the mean difference is ``inflation`` times s^2 / n (Nadeau and Bengio, Machine Learning 52,
2003, for resampled splits; ``analysis.statistics.dependence`` measures it for a cohort and its plan). More participants do not cure that.
So the test is t with s sqrt(inflation / n) as the standard error of the mean. It tests the mean, the quantity that tables print, where a
signed-rank test tests the symmetry of ranks and can point the other way. docs/error_rates.md counts how often it is wrong.
"""

from dataclasses import dataclass

import numpy as np
from scipy import special, stats

from analysis.arrays import Floats
from analysis.constants import ALPHA

DECIMALS = 12  # differences that floats alone tell apart (0.3 - 0.2 and 0.2 - 0.1) are ties
POWER = 0.8  # of the smallest difference that a study is said to detect
MOST_ZEROS, MOST_SKEW, ENOUGH_PARTICIPANTS = (
    0.6,
    1.5,
    34,
)  # beyond these the test's error rate is not known to hold: ``is_lopsided``


@dataclass(frozen=True)
class MeanTest:
    """The mean of paired differences, its test and its intervals.

    Attributes:
        p: two-sided; NaN under two differences, or if all are equal and not zero (no spread to test with); 1 if all are zero.
        low: of the 95% interval, the inverse of the test: it excludes 0 if and only if p < 0.05. ``high``: likewise. NaN if p is.
        inner_low: of the 90% interval, for two one-sided tests of equivalence. ``inner_high``: likewise.
        detectable: the mean difference that such a study detects in four of five repetitions.
    """

    p: float
    low: float
    high: float
    inner_low: float
    inner_high: float
    detectable: float


def mean_test(d: Floats, inflation: float) -> MeanTest:
    """Test whether the mean of differences (n,) is 0.

    Args:
        inflation: variance of the mean over s^2 / n; 1 for independent differences.
    """
    d = np.round(d, DECIMALS)
    n, mean = len(d), float(d.mean()) if len(d) else float("nan")
    if n < 2 or (np.ptp(d) == 0 and mean != 0):
        return MeanTest(*[float("nan")] * 6)
    if np.ptp(d) == 0:
        return MeanTest(1.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    error = float(d.std(ddof=1)) * np.sqrt(inflation / n)
    below, inner_below, often = special.stdtrit(n - 1, [1 - ALPHA / 2, 1 - ALPHA, POWER])  # quantiles of t(n - 1)
    outer, inner, detectable = below * error, inner_below * error, (below + often) * error
    p = float(2 * special.stdtr(n - 1, -abs(mean) / error))
    return MeanTest(p, mean - outer, mean + outer, mean - inner, mean + inner, float(detectable))


def mean_interval(values: Floats) -> tuple[float, float]:
    """95% t interval of the mean of independent values (n,); NaN under two."""
    test = mean_test(values - values.mean(), 1.0) if len(values) > 1 else None
    return (float(values.mean() + test.low), float(values.mean() + test.high)) if test else (float("nan"), float("nan"))


def is_lopsided(d: Floats) -> bool:
    """Whether differences (n,) are of a kind for which no test of few participants holds its level: nearly all zero, or far to one side.

    Measured in docs/error_rates.md: with most differences 0, or a skewness beyond 1.5, the error rate can reach twice the nominal one until
    there are about 34 participants.
    """
    d = np.round(d, DECIMALS)
    if len(d) < 3 or len(d) >= ENOUGH_PARTICIPANTS or np.ptp(d) == 0:
        return False
    return float((d == 0).mean()) > MOST_ZEROS or abs(float(stats.skew(d))) > MOST_SKEW


def rank_biserial(d: Floats) -> float:
    """Matched-pairs rank-biserial correlation (Kerby 2014) on Pratt's ranks: (sum of positive - of negative ranks) / all. Descriptive."""
    d = np.round(d, DECIMALS)
    ranks, signs = stats.rankdata(np.abs(d))[d != 0], np.sign(d[d != 0])
    return float((ranks * signs).sum() / ranks.sum()) if len(ranks) else 0.0


def share_of_gainers(d: Floats) -> float:
    """The share of differences (n,) above 0."""
    return float((np.round(d, DECIMALS) > 0).mean())


def share_of_losers(d: Floats) -> float:
    """The share of differences (n,) below 0."""
    return share_of_gainers(-d)


def holm(p: Floats) -> Floats:
    """Holm's step-down adjusted p values; a missing p stays missing but does not shrink the family."""
    order = np.argsort(p)
    factors = len(p) - np.arange(len(p))
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(np.maximum.accumulate(p[order] * factors), 1.0)
    return adjusted
