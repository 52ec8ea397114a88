"""Analysis: tests and tables against other implementations and answers known by hand."""

import numpy as np
import pandas as pd
import pytest

import analysis
from analysis.report.comparison_table import markdown
from analysis.statistics.paired_tests import holm, mean_test, rank_biserial


def test_holm_by_hand() -> None:
    """p = .01, .04, .03, .005 adjust to .03, .06, .06, .02 (R: p.adjust(..., "holm"))."""
    np.testing.assert_allclose([0.03, 0.06, 0.06, 0.02], holm(np.array([0.01, 0.04, 0.03, 0.005])))


def test_effect_size_and_interval() -> None:
    """All gains give an effect of 1, all losses -1, none 0; the interval holds the mean and grows with the root of the inflation."""
    d = np.array([0.1, 0.2, 0.3, 0.4, 0.2, 0.15])
    assert (rank_biserial(d), rank_biserial(-d), rank_biserial(0 * d)) == (1.0, -1.0, 0.0)
    alone, inflated = mean_test(d, 1.0), mean_test(d, 2.25)
    assert alone.low < d.mean() < alone.high
    assert pytest.approx(1.5 * (alone.high - alone.low)) == inflated.high - inflated.low


def _four_people(gains: list[float]) -> pd.DataFrame:
    """Scores of two techniques of four people, without the column of paired references."""
    cell = {"dataset": "d", "label": "l", "model": "m", "seed": 0, "variant": "-"}
    people = [("non_personalized", p, 0.5) for p in "ABCD"] + [("x", p, 0.5 + g) for p, g in zip("ABCD", gains, strict=True)]
    return pd.DataFrame([{**cell, "technique": t, "participant": p, "auroc": a} for t, p, a in people])


def test_four_people_are_tested_with_the_bound() -> None:
    """t with 3 degrees of freedom and Nadeau and Bengio's 1 + 4 / 3 = 2.33, which the caption names."""
    gains = [0.1, 0.2, 0.3, 0.2]
    comparison = analysis.compare(_four_people(gains))
    row = comparison.set_index("technique").loc["x"]
    assert pytest.approx(mean_test(np.array(gains), 7 / 3).p) == row["p"]
    assert (pytest.approx(7 / 3), "bound") == (row["inflation"], row["inflation_source"])
    assert "s^2 / n times 2.33 (bound)" in markdown(comparison)


def test_equal_gains_of_all_people_have_no_spread_to_test_with() -> None:
    """The difference stands without a p, an interval or an outcome."""
    row = analysis.compare(_four_people([0.2] * 4)).set_index("technique").loc["x"]
    assert pytest.approx(0.2) == row["difference"]
    assert row[["p", "p_adjusted", "ci_low", "ci_high", "detectable"]].isna().all() and not row["outcome"]
