"""The simulations that count wrong answers, in short: what is right stays at its rate, what is wrong is seen to exceed it."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import analysis
from analysis.statistics.dependence import FLOOR, SHARED_TRAINING, retrained_bound
from analysis.statistics.paired_tests import mean_test
from analysis.statistics.variant_choice import choice_inflation, leave_one_out_choice
from analysis.statistics.variant_selection import select_variants
from analysis.validation import error_rates
from analysis.validation import independent_rates as independent
from analysis.validation import shared_training_rates as shared
from analysis.validation.leave_one_out import (
    CALIBRATED,
    COHORTS,
    FINE,
    HYBRID,
    K2,
    K3,
    NEAREST,
    OTHER,
    OWN,
    TECHNIQUES,
    Cohorts,
    Drawn,
    draw_cohorts,
    inflations,
    real_differences,
    simulated_inflations,
)
from analysis.validation.rate_tables import cell, wilson
from analysis.validation.simulated_scores import CALM, SCENARIOS, STRESSED, VARIANTS, Scenario, simulate_scores, true_means

BY_NAME = {scenario.name: scenario for scenario in SCENARIOS}
NO_SIGNAL = COHORTS[0]
STRONG = Cohorts("strong", "", signal=1.5, own=0.3)


def _inflation(d: np.ndarray) -> float:
    """Variance of the mean over cohorts, of differences (cohorts, n), over the mean of s^2 / n."""
    return float(d.mean(axis=1).var() / (d.var(axis=1, ddof=1) / d.shape[1]).mean())


def _hits(counted: pd.DataFrame) -> dict[str, int]:
    """Hits by quantity."""
    return dict(zip(counted["quantity"], counted["hits"], strict=True))


@pytest.fixture(scope="module")
def no_signal() -> tuple[Drawn, dict[str, np.ndarray], np.ndarray]:
    """400 cohorts of 15 whose labels have nothing to do with the signals, trained and tested."""
    drawn = draw_cohorts(NO_SIGNAL, 400, 15, 0)
    return drawn, *real_differences(drawn)


@pytest.fixture(scope="module")
def null() -> dict[str, int]:
    """Hits of 100 independent tables of 15 in which nothing differs."""
    counted = independent.independent_rates(BY_NAME["middle"], 100, sizes=(15,))
    assert {100} == set(counted["tables"]) and {"15"} == set(counted["n"])
    return _hits(counted)


def test_training_in_common_doubles_the_variance(no_signal: tuple[Drawn, dict[str, np.ndarray], np.ndarray]) -> None:
    """Without signal the mean difference of retrained techniques has about twice the variance of independent ones; it is 0, and so is the gain."""
    _, differences, reference = no_signal
    assert set(TECHNIQUES) == set(differences)
    for name in (K2, K3, OTHER):
        assert 1.6 < _inflation(differences[name]) < 2.7, name
    for name in CALIBRATED:
        assert 0.8 < _inflation(differences[name]) < 1.7, name
    for name, d in differences.items():
        assert abs(d.mean()) < 4 * d.mean(axis=1).std() / 20, name
    assert pytest.approx(0.5, abs=0.01) == reference.mean()


def test_signal_lowers_the_inflation() -> None:
    """What is learned surely is not learned by luck: with a strong common signal differences are nearly independent."""
    differences, reference = real_differences(draw_cohorts(STRONG, 400, 15, 0))
    assert reference.mean() > 0.8
    assert max(_inflation(differences[name]) for name in (K2, K3, OTHER)) < 1.5


def test_the_surrogate_finds_the_inflation(no_signal: tuple[Drawn, dict[str, np.ndarray], np.ndarray]) -> None:
    """On average over a few cohorts what raylab simulates is near the inflation that very many cohorts have; it falls with signal."""
    drawn, differences, _ = no_signal
    without = pd.DataFrame([simulated_inflations(drawn, k, 60, k) for k in range(8)]).mean()
    strong = draw_cohorts(STRONG, 4, 15, 0)
    signal = pd.DataFrame([simulated_inflations(strong, k, 60, k) for k in range(4)]).mean()
    assert without[HYBRID] < FLOOR  # so the smallest is used, which is near its inflation
    for name in (K2, K3, OWN, FINE, NEAREST):
        assert pytest.approx(_inflation(differences[name]), rel=0.35) == without[name], name
    assert np.isnan(without[OTHER])
    assert signal[K2] < 1.5 < without[K2]


def test_the_training_is_the_nearest_class_mean() -> None:
    """One participant's AUROC under four techniques, by hand from its cohort's windows."""
    drawn = draw_cohorts(Cohorts("any", "", signal=0.6, own=0.5), 1, 7, 3)
    differences, reference = real_differences(drawn)
    x, m, target = drawn.x[0, :, :, :10], 10, 2
    means = x[:, :m].mean(axis=1) - x[:, m:].mean(axis=1)

    def auroc(windows: np.ndarray, weights: np.ndarray) -> float:
        """Share of pairs in the right order."""
        score, half = windows @ weights, len(windows) // 2
        return float((score[:half, None] > score[half:]).mean())

    others = np.arange(7) != target
    base = auroc(x[target], means[others].sum(axis=0))
    assert pytest.approx(base) == reference[0, target]
    same = others & (drawn.clusters[2][0] == drawn.clusters[2][0, target])
    assert pytest.approx(auroc(x[target], means[same].sum(axis=0)) - base) == differences[K2][0, target]
    near = means[drawn.nearest[0, target]]
    assert (
        drawn.nearest[0, target] != target and pytest.approx(auroc(x[target], near) - base) == differences[NEAREST][0, target]
    )
    given, rest = np.arange(2 * m) % m < 4, x[target][np.arange(2 * m) % m >= 4]
    own = x[target, :m][given[:m]].mean(axis=0) - x[target, m:][given[m:]].mean(axis=0)
    on_rest = auroc(rest, means[others].sum(axis=0))
    assert pytest.approx(auroc(rest, own) - on_rest) == differences[OWN][0, target]
    assert pytest.approx(auroc(rest, means[others].mean(axis=0) + own) - on_rest) == differences[FINE][0, target]
    assert pytest.approx(auroc(rest, means[others].sum(axis=0) + 0.4 * own) - on_rest) == differences[HYBRID][0, target]


def test_the_choice_adds_less_under_shared_training(no_signal: tuple[Drawn, dict[str, np.ndarray], np.ndarray]) -> None:
    """Participants who go up together choose together: the factor for the choice falls; the variance is that of 400 chosen means."""
    _, differences, _ = no_signal
    pairs = np.stack([differences[K2], differences[K3]], axis=2)
    alone, shared_factor = (np.mean([choice_inflation(d, inflation=inflation) for d in pairs[:40]]) for inflation in (1.0, 2.1))
    assert 1.0 < shared_factor < alone - 0.2
    chosen = np.stack([leave_one_out_choice(d)[0] for d in pairs])
    assert pytest.approx(_inflation(chosen), rel=0.3) == 2.1 * shared_factor
    assert 1.0 == choice_inflation(pairs[0, :, :1], inflation=2.1)


def test_inflations_follow_the_rules_of_the_tables() -> None:
    """Above chance the simulated one, not under the smallest; else not under the bound; the bound alone for another model."""
    simulated = dict.fromkeys(TECHNIQUES, 1.1) | {K3: 1.9, OTHER: float("nan")}
    sure, unsure = (inflations(simulated, 15, above) for above in (True, False))
    assert (FLOOR, 1.9, FLOOR) == (sure[K2], sure[K3], sure[FINE])
    assert (retrained_bound(15), SHARED_TRAINING) == (unsure[K2], unsure[FINE])
    assert retrained_bound(15) == sure[OTHER] == unsure[OTHER]


def test_the_verdict_on_shared_training_holds_and_wilcoxon_does_not() -> None:
    """Without signal, 60 cohorts of 15: so many errors are not rarer than once in a thousand at 5%; Wilcoxon's are, over the retrained techniques;
    a rejection and an interval without 0 are the same thing; a large gain is found."""
    counted = shared.shared_training_rates(NO_SIGNAL, 60, 15, draws=40, seed=2, truth=100)
    keys = list(zip(counted["technique"], counted["quantity"], strict=True))
    hits, values = dict(zip(keys, counted["hits"], strict=True)), dict(zip(keys, counted["value"], strict=True))
    for name in (*TECHNIQUES, shared.CHOSEN, shared.FAMILY):
        assert stats.binom.sf(hits[name, shared.ERROR] - 1, 60, 0.05) > 0.001, name
    for name in TECHNIQUES:
        assert 60 == hits[name, shared.ERROR] + hits[name, shared.COVERED]
    assert stats.binom.sf(sum(hits[name, shared.WILCOXON] for name in (K2, K3, NEAREST, OTHER)) - 1, 240, 0.05) < 0.001
    assert 1.9 < values[K2, shared.INFLATION] < 2.7 and 1.5 <= values[OWN, shared.INFLATION] < 1.8
    assert hits[K2, shared.POWER[0.1]] > hits[K2, shared.POWER[0.05]] > hits[K2, shared.ERROR]
    assert hits[shared.CHOSEN, shared.POWER[0.1]] > 20


@pytest.mark.parametrize(
    "quantity", [independent.VARIANT_COUNT, independent.ONE, independent.CHOSEN, independent.FRIEDMAN, independent.STOUFFER]
)
def test_what_is_printed_errs_five_times_in_a_hundred(null: dict[str, int], quantity: str) -> None:
    """No more than 5%: so many hits are not rarer than once in a thousand if the rate is that."""
    assert stats.binom.sf(null[quantity] - 1, 100, 0.05) > 0.001


def test_a_wrong_test_is_seen_to_err_more_often(null: dict[str, int]) -> None:
    """Without Holm the rate exceeds 5% (so many hits are rarer than once in a thousand), and the chosen column by Wilcoxon exceeds the printed."""
    assert null[independent.RANKS_CHOSEN] > null[independent.CHOSEN]
    assert stats.binom.sf(null[independent.RANKS_CHOSEN] + null[independent.UNADJUSTED] - 1, 200, 0.05) < 0.001


def test_intervals_hold_the_mean_and_equivalence_is_not_claimed(null: dict[str, int]) -> None:
    """95 times in 100, as judged above; a true difference of 0.05 is not called smaller than 0.02."""
    for name in (independent.ONE_INTERVAL, independent.CHOSEN_INTERVAL):
        assert stats.binom.cdf(null[name], 100, 0.95) > 0.001
    assert null[independent.EQUIVALENT] <= 5


def test_a_real_difference_is_found() -> None:
    """The windows of every participant twice as far apart: everything rejects always, and the intervals hold the new mean."""
    scenario = Scenario("sure", "", easy=0.0, better=(2.0,) * VARIANTS)
    hits = _hits(independent.independent_rates(scenario, 20, sizes=(15,)))
    assert {20} == {hits[name] for name in independent.PRINTED}
    assert hits[independent.ONE_INTERVAL] >= 15 and hits[independent.CHOSEN_INTERVAL] >= 15


def test_the_verdict_counted_is_the_tables() -> None:
    """Each of 8 tables, some with a verdict and some without, gives ``compare`` and ``select_variants`` the same answer."""
    names = {"dataset": "d", "label": "l", "model": "m", "scoring": "paired", "against": "", "seed": 0}
    columns = [("non_personalized", "-")] + [("tune", f"v={k}") for k in range(VARIANTS)]
    keys = dict(zip(("dataset", "label", "model"), "dlm", strict=True))
    smallest = pd.DataFrame(
        [keys | {"technique": t, "variant": v, "inflation": FLOOR, "inflation_source": "simulated"} for t, v in columns[1:]]
    )
    counted, compared = [], []
    for seed in range(8):
        hits = _hits(independent.independent_rates(BY_NAME["all better"], 1, sizes=(34,), seed=seed))
        counted.append((hits[independent.VARIANT_COUNT], hits[independent.ONE], hits[independent.CHOSEN]))
        scores = simulate_scores(BY_NAME["all better"], 1, 34, seed)[0]
        rows = [
            names | {"technique": technique, "variant": variant, "participant": f"{i:02}", "auroc": scores[i, k]}
            for k, (technique, variant) in enumerate(columns)
            for i in range(34)
        ]
        frame = pd.DataFrame(rows)
        comparison = analysis.compare(frame, inflations=smallest)
        chosen = select_variants(frame, inflations=smallest)
        first = comparison.loc[comparison["variant"].eq("v=0"), "p"]
        compared.append(tuple(int(column.lt(0.05).any()) for column in (comparison["p_adjusted"], first, chosen["p"])))
    assert compared == counted
    assert all({0, 1} == set(column) for column in zip(*counted, strict=True))


def test_the_command_writes_the_page_and_goes_on_from_kept_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two of each kind: every scenario has its rows, the page names the command that made it, and counts that were kept are not made again."""
    monkeypatch.setattr(error_rates, "COHORTS", COHORTS[::2])
    monkeypatch.setattr(error_rates, "SCENARIOS", SCENARIOS[::3])
    monkeypatch.setattr(error_rates, "SIZES", (15, 20))
    arguments = [
        "--cohorts",
        "2",
        "--tables",
        "1",
        "--seed",
        "3",
        "--counts",
        str(tmp_path / "counts"),
        "--out",
        str(tmp_path / "page.md"),
    ]
    error_rates.main(arguments)
    text = (tmp_path / "page.md").read_text(encoding="utf-8")
    assert f"python -m analysis.validation.error_rates --cohorts 2 --tables 1 --seed 3 --out {tmp_path / 'page.md'}" in text
    for kind in COHORTS[::2]:
        assert f"| {kind.name} | 15 | " in text and f"| {kind.name} | {kind.description} | " in text
    for scenario in SCENARIOS[::3]:
        assert f"| {scenario.name} | {scenario.description} | " in text and f"| {scenario.name} | 15 | " in text
        assert scenario.null == (f"| independent: {scenario.name} | 34 | " in text)
    monkeypatch.setattr(error_rates, "shared_training_rates", None)
    monkeypatch.setattr(error_rates, "independent_rates", None)
    error_rates.main(arguments)
    assert text == (tmp_path / "page.md").read_text(encoding="utf-8")


def test_what_is_beyond_its_goal_is_in_bold() -> None:
    """Only if the whole Monte Carlo interval is; that interval is scipy's."""
    limits = stats.binomtest(30, 300).proportion_ci(method="wilson")
    assert pytest.approx((limits.low, limits.high)) == wilson(0.1, 300)
    assert "**10.0 [7.1, 13.9]**" == cell(0.1, 300, "single")
    assert "8.0 [5.4, 11.6]" == cell(0.08, 300, "single")
    assert cell(0.9, 300, "coverage").startswith("**") and cell(0.99, 300, "coverage").startswith("**")
    assert "" == cell(float("nan"), 300)


def test_scores_are_aurocs_of_a_few_windows() -> None:
    """Steps of one pair of windows, many at 1.0 if people are easy; the same for a seed."""
    scores = simulate_scores(BY_NAME["ceiling"], 50, 30, seed=0)
    assert (50, 30, 1 + VARIANTS) == scores.shape
    steps = scores * STRESSED * CALM
    np.testing.assert_allclose(np.rint(steps), steps, atol=1e-9)
    assert 0 <= scores.min() and scores.max() <= 1
    zeros = {
        name: (np.diff(simulate_scores(BY_NAME[name], 50, 30, 0)[:, :, :2], axis=2) == 0).mean()
        for name in ("ceiling", "middle", "very few gain")
    }
    assert zeros["very few gain"] > 0.75 > zeros["ceiling"] > 0.4 and zeros["middle"] < 0.1
    np.testing.assert_array_equal(scores, simulate_scores(BY_NAME["ceiling"], 50, 30, seed=0))
    assert (scores != simulate_scores(BY_NAME["ceiling"], 50, 30, seed=1)).any()


def test_the_mean_score_is_that_of_two_bells() -> None:
    """Separations are normal (mean 1, SD 0.8 of people and 0.4 of luck), windows too: the mean AUROC is known in closed form."""
    scores = simulate_scores(BY_NAME["middle"], 100, 60, seed=2)
    assert pytest.approx(stats.norm.cdf(1 / np.sqrt(2 + 0.8**2 + 0.4**2)), abs=0.01) == scores.mean()


@pytest.mark.parametrize("name", [scenario.name for scenario in SCENARIOS])
def test_the_truth_is_the_mean_of_many_people(name: str) -> None:
    """The true mean is that of 30,000 people within 6 standard errors: 0 under every null, the skewed ones included."""
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


def test_quantiles_are_those_of_scipys_t() -> None:
    """p and the interval of the mean, at inflation 1, are scipy's."""
    d = np.random.default_rng(4).normal(0.3, 1, 12)
    test, other = mean_test(d, 1.0), stats.ttest_1samp(d, 0)
    assert pytest.approx((other.pvalue, *other.confidence_interval())) == (test.p, test.low, test.high)
