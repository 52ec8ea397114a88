"""Techniques over datasets: statsmodels, the formulas by hand, and what may not be combined."""

import numpy as np
import pandas as pd
import pytest
from scipy import optimize, stats
from statsmodels.stats.meta_analysis import combine_effects

from analysis.statistics.across_datasets import COLUMNS, across_datasets, combined_difference

DIFFERENCES, ERRORS = np.array([0.05, -0.01, 0.12, 0.03]), np.array([0.02, 0.03, 0.04, 0.01])


def _by_hand(y: np.ndarray, errors: np.ndarray) -> tuple[float, float, float, float, float]:
    """Paule and Mandel's tau^2 solves sum w (y - mean)^2 = k - 1 with w = 1 / (se^2 + tau^2); Hartung and Knapp's error, at least the plain one."""
    k = len(y)

    def excess(tau2: float) -> float:
        w = 1 / (errors**2 + tau2)
        return float((w * (y - (w @ y) / w.sum()) ** 2).sum() - (k - 1))

    tau2 = optimize.brentq(excess, 0, 10) if excess(0) > 0 else 0.0
    w = 1 / (errors**2 + tau2)
    mean = (w @ y) / w.sum()
    plain = np.sqrt(1 / w.sum())
    knapp = np.sqrt((w * (y - mean) ** 2).sum() / (k - 1) / w.sum())
    error = max(plain, knapp)
    half = stats.t.ppf(0.975, k - 1) * error
    return mean, mean - half, mean + half, float(np.sqrt(tau2)), 2 * stats.t.sf(abs(mean) / error, k - 1)


@pytest.mark.parametrize("seed", range(6))
def test_the_random_effects_mean_by_hand(seed: int) -> None:
    """Mean, interval, SD between datasets and p, with and without a spread between datasets, of two to six of them."""
    rng = np.random.default_rng(seed)
    k = int(rng.integers(2, 7))
    y, errors = rng.normal(0.03, 0.05 * (seed % 2) + 0.001, k), rng.uniform(0.01, 0.05, k)
    assert pytest.approx(_by_hand(y, errors), abs=2e-4) == combined_difference(y, errors)


def test_the_mean_is_that_of_statsmodels() -> None:
    """``combine_effects`` with Paule and Mandel's estimate; the interval has the larger of its two errors, Hartung and Knapp's or the plain one."""
    fit = combine_effects(DIFFERENCES, ERRORS**2, method_re="iterated", use_t=True)
    mean, low, high, spread, p = combined_difference(DIFFERENCES, ERRORS)
    assert pytest.approx((fit.mean_effect_re, np.sqrt(fit.tau2))) == (mean, spread)
    assert pytest.approx(2 * stats.t.ppf(0.975, 3) * max(fit.sd_eff_w_re_hksj, fit.sd_eff_w_re)) == high - low
    assert low < mean < high
    assert (p < 0.05) == (low > 0 or high < 0)


def test_equal_datasets_are_not_surer_than_their_errors() -> None:
    """Three equal differences: Hartung and Knapp's error would be 0; it is not taken under the plain one."""
    mean, low, high, spread, p = combined_difference(np.full(3, 0.04), np.full(3, 0.03))
    half = stats.t.ppf(0.975, 2) * 0.03 / np.sqrt(3)
    assert pytest.approx((0.04, 0.04 - half, 0.04 + half, 0.0)) == (mean, low, high, spread)
    assert p > 0.05


def _chosen() -> pd.DataFrame:
    """Chosen techniques of three entries: a and b of windows of their own, ``b early`` of those of b."""
    rows = []
    for dataset, label, technique, difference, error, n in (
        ("a", "stress", "x", 0.05, 0.02, 15), ("a", "valence", "x", 0.50, 0.02, 15), ("b", "stress", "x", 0.03, 0.01, 30),
        ("b early", "stress", "x", 0.40, 0.01, 30), ("a", "stress", "y", 0.01, 0.02, 15), ("b", "stress", "y", -0.02, 0.02, 30),
        ("b", "stress", "z", 0.02, 0.02, 30),
    ):  # fmt: skip
        half = stats.t.ppf(0.975, n - 1) * error
        row = {"dataset": dataset, "label": label, "model": "m", "technique": technique, "metric": "auroc", "n_participants": n}
        rows.append(row | {"difference": difference, "ci_low": difference - half, "ci_high": difference + half, "p": 0.1})
    return pd.DataFrame(rows)


SOURCES = {"a": "windows/a", "b": "windows/b", "b early": "windows/b"}


def test_one_entry_of_the_same_windows_and_one_label_of_a_dataset_count() -> None:
    """Of b and ``b early`` the first, of a's labels the first: two independent datasets, with the errors that their intervals are made of."""
    table = across_datasets(_chosen(), sources=SOURCES).set_index("technique")
    assert ["x", "y"] == table.index.tolist()  # z was tested on one dataset
    x = table.loc["x"]
    assert (2, 45, "a: stress (15), b: stress (30)") == tuple(x[["n_datasets", "n_participants", "datasets"]])
    expected = _by_hand(np.array([0.05, 0.03]), np.array([0.02, 0.01]))
    assert pytest.approx(expected, abs=2e-4) == tuple(x[["difference", "ci_low", "ci_high", "sd_between_datasets", "p"]])
    assert {2} == set(table["family_size"])
    assert pytest.approx(min(1.0, 2 * table["p"].min())) == table["p_adjusted"].min()


def test_another_label_may_stand_for_a_dataset() -> None:
    """The one that is asked for."""
    table = across_datasets(_chosen(), {"a": "valence"}, SOURCES)
    assert ["a: valence (15), b: stress (30)"] == table["datasets"].tolist()


def test_one_dataset_gives_an_empty_table() -> None:
    """Entries of the same windows alone are one dataset; so is nothing tested, or an interval without width."""
    chosen = _chosen()
    assert across_datasets(chosen[chosen["dataset"].isin(["b", "b early"])], sources=SOURCES).empty
    assert across_datasets(chosen.assign(p=np.nan)).empty
    flat = chosen[chosen["technique"].eq("y")].assign(ci_low=0.0, ci_high=0.0)
    assert across_datasets(flat).empty and COLUMNS == across_datasets(flat).columns.tolist()
