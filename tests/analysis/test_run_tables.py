"""Analysis: tests and tables against other implementations and answers known by hand."""

from itertools import product

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

import analysis
from analysis.report.comparison_table import markdown
from analysis.statistics.paired_tests import bca_interval, holm, rank_biserial, wilcoxon


def _by_enumeration(d: np.ndarray) -> float:
    """Two-sided p of the signed-rank sum over all sign flips, written out."""
    ranks = stats.rankdata(np.abs(d))
    keep = d != 0
    ranks, signs = ranks[keep], np.sign(d[keep])
    observed = abs((ranks * signs).sum())
    flips = [abs((ranks * np.array(flip)).sum()) for flip in product([-1, 1], repeat=len(ranks))]
    return float(np.mean([value >= observed - 1e-9 for value in flips]))


@given(st.lists(st.integers(-4, 4), min_size=1, max_size=9))
def test_wilcoxon_is_the_complete_sign_flip_distribution(values: list[int]) -> None:
    """With zeros and ties, the p is the share of sign flips at least as extreme."""
    d = np.array(values, dtype=float)
    assert pytest.approx(_by_enumeration(d) if d.any() else 1.0) == wilcoxon(d)[0]


def test_wilcoxon_without_ties_is_scipys_exact() -> None:
    """No zeros and no ties: scipy's exact method gives the same p; above 20 the normal approximation with Pratt's zeros does."""
    rng = np.random.default_rng(0)
    d = rng.normal(0.3, 1, 15)
    assert pytest.approx(stats.wilcoxon(d, method="exact").pvalue) == wilcoxon(d)[0]
    d = np.concatenate([rng.normal(0.3, 1, 30), np.zeros(3)])
    assert (
        pytest.approx(stats.wilcoxon(d, zero_method="pratt", method="asymptotic").pvalue),
        "Wilcoxon signed-rank (Pratt, normal)",
    ) == wilcoxon(d)


def test_holm_by_hand() -> None:
    """p = .01, .04, .03, .005 adjust to .03, .06, .06, .02 (R: p.adjust(..., "holm"))."""
    np.testing.assert_allclose([0.03, 0.06, 0.06, 0.02], holm(np.array([0.01, 0.04, 0.03, 0.005])))


def test_effect_size_and_interval() -> None:
    """All gains give an effect of 1, all losses -1, none 0; the interval holds the mean and shrinks with the spread."""
    d = np.array([0.1, 0.2, 0.3, 0.4, 0.2, 0.15])
    assert (rank_biserial(d), rank_biserial(-d), rank_biserial(0 * d)) == (1.0, -1.0, 0.0)
    low, high = bca_interval(d)
    assert low < d.mean() < high
    assert bca_interval(np.full(5, 0.1)) == (0.1, 0.1)
    assert np.isnan(bca_interval(np.array([0.1]))).all()


def test_the_table_says_when_no_p_can_be_significant() -> None:
    """With 4 people the smallest p is 0.125: the caption says that no adjusted p can fall under it."""
    rows = [
        {
            "dataset": "d",
            "label": "l",
            "model": "m",
            "participant": person,
            "seed": 0,
            "technique": t,
            "variant": "-",
            "auroc": score,
        }
        for person in "ABCD"
        for t, score in (("non_personalized", 0.5), ("x", 0.7))
    ]
    assert "can fall under 0.125" in markdown(analysis.compare(pd.DataFrame(rows)))
