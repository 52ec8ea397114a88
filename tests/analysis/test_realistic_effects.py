"""Cohorts with a gain of realistic size: the gain is what it is said to be, the counts are whole, and what cannot pass does not."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from analysis.validation.best_reference_rates import rates
from analysis.validation.leave_one_out import COHORTS, FINE, draw_cohorts, real_differences
from analysis.validation.rate_tables import most_false_verdicts
from analysis.validation.realistic_effects import ANY, COLUMNS, REALISTIC, markdown, realistic_rates, true_gain, with_gain


def test_the_gain_is_that_which_is_asked_for() -> None:
    """On other cohorts than it was set on; it grows with the participants' own signal."""
    kind = with_gain(0.05, 20)
    assert pytest.approx(0.05, abs=0.01) == true_gain(kind, 20, 200, seed=9)
    assert true_gain(replace(kind, own=2 * kind.own), 20, 50, 9) > true_gain(kind, 20, 50, 9) > true_gain(REALISTIC, 20, 50, 9)
    assert pytest.approx(real_differences(draw_cohorts(kind, 50, 20, 9))[0][FINE].mean()) == true_gain(kind, 20, 50, 9)


def test_counts_are_of_every_cohort() -> None:
    """Two gains and nothing, of one size: outcomes of a cohort are one of four, and the null studies are as many as asked for."""
    counts = realistic_rates(cohorts=2, null_studies=3, sizes=(8,))
    assert COLUMNS == counts.columns.tolist() and [0.0, 0.03, 0.05] == sorted(counts["effect"].unique())
    wide = counts.pivot(index="effect", columns="quantity", values="hits")
    assert [3, 2, 2] == wide[["better", "worse", "equivalent", "undecided"]].sum(axis=1).tolist()
    assert {2, 3} == set(counts["cohorts"])
    text = markdown(counts)
    assert "| 8 | +0.03 |" in text and "too few studies" in text


def _nulls(hits: int) -> pd.DataFrame:
    row = {
        "n": 20,
        "effect": 0.0,
        "true_effect": 0.0,
        "own": 0.0,
        "sd": 0.1,
        "detectable": 0.05,
        "quantity": ANY,
        "cohorts": 200,
    }
    return pd.DataFrame([row | {"hits": hits}], columns=COLUMNS)


def test_a_rate_of_one_in_ten_does_not_pass() -> None:
    """Of 200 studies at most 12: 10% gives more with a probability of 95% or more (binomial)."""
    rng = np.random.default_rng(0)
    assert 12 == most_false_verdicts(200)
    assert (rng.binomial(200, 0.1, 20_000) > 12).mean() >= 0.95
    assert "| all | 200 | 12 |" in markdown(_nulls(12)) and "yes (at most 12)" in markdown(_nulls(12))
    assert "no (at most 12)" in markdown(_nulls(13))


def test_the_choice_of_the_reference_is_counted() -> None:
    """With equal models the choices add variance, and the factor is above 1; errors with it are not above those without."""
    inflation, alone, both, factor = rates(COHORTS[0], 10, cohorts=20, truth=100)
    assert factor > 1 and both <= alone and inflation > 1
