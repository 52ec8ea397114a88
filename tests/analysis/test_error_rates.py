"""The simulation that counts wrong answers, in short: what is right stays at 5%, what is wrong is seen to exceed it."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import analysis
from analysis.validation import error_rates
from analysis.validation.error_rates import BCA, CHOSEN, FLIP_INTERVAL, FRIEDMAN, ONE, STOUFFER, VERDICT, page, rates
from analysis.validation.simulated_scores import CALM, SCENARIOS, STRESSED, VARIANTS, Scenario, simulate_scores, true_means

BY_NAME = {scenario.name: scenario for scenario in SCENARIOS}


@pytest.fixture(scope="module")
def null() -> pd.DataFrame:
    """200 tables of 15 people in whom nothing differs."""
    return rates(BY_NAME["middle"], 200, sizes=(15,)).set_index("quantity")


@pytest.mark.parametrize("quantity", [VERDICT, ONE, CHOSEN, FRIEDMAN, STOUFFER])
def test_what_is_printed_errs_five_times_in_a_hundred(null: pd.DataFrame, quantity: str) -> None:
    """No more than 5%: so many hits are not rarer than once in a thousand if the rate is that."""
    assert stats.binom.sf(null.loc[quantity, "hits"] - 1, 200, 0.05) > 0.001
    assert (200, "15") == tuple(null.loc[quantity, ["tables", "n"]])


@pytest.mark.parametrize("quantity", [error_rates.CHOSEN_WILCOXON, error_rates.UNADJUSTED])
def test_a_wrong_test_is_seen_to_err_more_often(null: pd.DataFrame, quantity: str) -> None:
    """Wilcoxon on a chosen column, or without Holm, exceeds 5% (so many hits are rarer than once in a thousand); the page has it in bold."""
    row = null.loc[quantity]
    assert stats.binom.sf(row["hits"] - 1, 200, 0.05) < 0.001
    bold = f"**{row['rate']:.1%} [{row['low']:.1%}, {row['high']:.1%}]**"
    text = page(null.reset_index(), "the command", 0)
    assert bold in text
    assert "the command" in text and "| middle | 15 |" in text


def test_intervals_hold_the_mean(null: pd.DataFrame) -> None:
    """The interval of the chosen column holds the true mean 95 times in 100, as judged above."""
    assert stats.binom.cdf(null.loc[FLIP_INTERVAL, "hits"], 200, 0.95) > 0.001
    assert null.loc[BCA, "rate"] > 0.8


def test_the_command_writes_the_page(tmp_path: Path) -> None:
    """One table of each kind: every scenario and size has its rows, and the page names the command that made it."""
    error_rates.main(["--tables", "1", "--seed", "3", "--out", str(tmp_path / "page.md")])
    text = (tmp_path / "page.md").read_text(encoding="utf-8")
    assert f"python -m analysis.validation.error_rates --tables 1 --seed 3 --out {tmp_path / 'page.md'}" in text
    for scenario in SCENARIOS:
        assert all(f"| {scenario.name} | {n} | " in text for n in (15, 30, 58, "15 + 30 + 58"))


def test_a_real_difference_is_found() -> None:
    """The windows of every participant twice as far apart: verdict, chosen column and Stouffer reject always, and the intervals hold the new mean."""
    by_quantity = rates(Scenario("sure", "", easy=0.0, better=(2.0,) * VARIANTS), 30, sizes=(15,)).set_index("quantity")
    assert {1.0} == set(by_quantity.loc[[VERDICT, CHOSEN, STOUFFER, FRIEDMAN], "rate"])
    assert by_quantity.loc[FLIP_INTERVAL, "high"] >= 0.9 and by_quantity.loc[BCA, "high"] >= 0.9


def test_scores_are_aurocs_of_a_few_windows() -> None:
    """Steps of one pair of windows, many at 1.0 if people are easy; the same for a seed."""
    scores = simulate_scores(BY_NAME["ceiling"], 50, 30, seed=0)
    assert (50, 30, 1 + VARIANTS) == scores.shape
    steps = scores * STRESSED * CALM
    np.testing.assert_allclose(np.rint(steps), steps, atol=1e-9)
    assert 0 <= scores.min() and scores.max() <= 1
    zeros = {
        name: (np.diff(simulate_scores(BY_NAME[name], 50, 30, 0)[:, :, :2], axis=2) == 0).mean()
        for name in ("ceiling", "middle")
    }
    assert zeros["ceiling"] > 0.4 and zeros["middle"] < 0.1
    np.testing.assert_array_equal(scores, simulate_scores(BY_NAME["ceiling"], 50, 30, seed=0))
    assert (scores != simulate_scores(BY_NAME["ceiling"], 50, 30, seed=1)).any()


def test_the_mean_score_is_that_of_two_bells() -> None:
    """Separations are normal (mean 1, SD 0.8 of people and 0.4 of luck), windows too: the mean AUROC is known in closed form."""
    scores = simulate_scores(BY_NAME["middle"], 100, 60, seed=2)
    assert pytest.approx(stats.norm.cdf(1 / np.sqrt(2 + 0.8**2 + 0.4**2)), abs=0.01) == scores.mean()


def test_the_verdict_counted_is_the_comparisons() -> None:
    """Each of 12 tables, some with a verdict and some without, gives ``analysis.compare`` the same answer."""
    cell = {"dataset": "d", "label": "l", "model": "m", "scoring": "paired", "against": "", "seed": 0}
    columns = [("non_personalized", "-")] + [("tune", f"v={k}") for k in range(VARIANTS)]
    counted, compared = [], []
    for seed in range(12):
        hits = rates(BY_NAME["few gain"], 1, sizes=(58,), seed=seed).set_index("quantity")["hits"]
        counted.append((hits[VERDICT], hits[ONE]))
        table = simulate_scores(BY_NAME["few gain"], 1, 58, seed)[0]
        rows = [
            cell | {"technique": technique, "variant": variant, "participant": f"{i:02}", "auroc": table[i, k]}
            for k, (technique, variant) in enumerate(columns)
            for i in range(58)
        ]
        comparison = analysis.compare(pd.DataFrame(rows)).set_index("variant")
        compared.append((int(comparison["p_adjusted"].min() <= 0.05), int(comparison.loc["v=0", "p"] <= 0.05)))
    assert compared == counted
    assert {0, 1} == {verdict for verdict, _ in counted}


@pytest.mark.parametrize("name", [scenario.name for scenario in SCENARIOS])
def test_the_truth_is_the_mean_of_many_people(name: str) -> None:
    """The true mean is that of 30,000 people within 5 standard errors: 0 under every null, the skewed ones included."""
    scenario = BY_NAME[name]
    scores = simulate_scores(scenario, 500, 60, seed=5)
    d = (scores[:, :, 1:] - scores[:, :, :1]).reshape(-1, VARIANTS)
    error = d.std(axis=0) / np.sqrt(len(d))
    assert (np.abs(d.mean(axis=0) - true_means(scenario, 9, 30_000)) < 6 * error).all()
    assert scenario.null == (not true_means(scenario, 9, 4000).any())
    gains, losses = (d > 0).mean(), (d < 0).mean()
    if scenario.skew:
        assert scenario.skew == np.sign(losses - gains)  # the mean is 0 because the fewer are the larger


def test_mirrored_rows_are_turned_round_as_a_whole() -> None:
    """The same scores, and half the participants' differences with all signs turned."""
    plain, turned = (simulate_scores(Scenario("any", "", mirrored=mirrored), 20, 30, 0) for mirrored in (False, True))
    before, after = (scores[:, :, 1:] - scores[:, :, :1] for scores in (plain, turned))
    np.testing.assert_allclose(np.abs(before), np.abs(after), atol=1e-12)
    signs = np.round((before * after).sum(axis=2) / np.maximum((before**2).sum(axis=2), 1e-9), 6)
    assert {-1.0, 0.0, 1.0} == set(np.unique(signs))
    assert 0.4 < (signs[signs != 0] < 0).mean() < 0.6
