"""From scores to one column per technique: pairs, choices, and what is and is not printed."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from analysis.scores.paired_scores import paired_scores
from analysis.statistics.comparison import compare
from analysis.statistics.dependence import COLUMNS as INFLATION_COLUMNS
from analysis.statistics.paired_tests import mean_test
from analysis.statistics.variant_choice import choice_inflation, leave_one_out_choice
from analysis.statistics.variant_selection import passed, select_variants

CELL = {"dataset": "d", "label": "l", "model": "m", "scoring": "paired"}
Numbers = dict[str, list[float]]


def _scores(variants: dict[tuple[str, str], list[float]], baseline: Numbers, metric: str = "auroc") -> pd.DataFrame:
    """(technique, variant) to scores of people A, B, ...; baseline by ``against``. Two seeds, 0.01 above and below."""
    rows: list[dict[str, Any]] = []
    for (technique, variant), values in variants.items():
        rows += [
            {"technique": technique, "variant": variant, "against": "", "participant": i, metric: v}
            for i, v in enumerate(values)
        ]
    for against, values in baseline.items():
        row = {"technique": "non_personalized", "variant": "-", "against": against}
        rows += [row | {"participant": i, metric: v} for i, v in enumerate(values)]
    people = [CELL | row | {"participant": "ABCDEFGHIJ"[row["participant"]]} for row in rows]
    return pd.DataFrame(
        [row | {"seed": seed, metric: row[metric] + shift} for row in people for seed, shift in ((0, 0.01), (1, -0.01))]
    )


TUNED = [[0.9, 0.6, 0.7, 0.8, 0.9, 0.7], [0.7, 0.8, 0.7, 0.9, 1.0, 0.9]]
BASE = [[0.6, 0.5, 0.7, 0.7, 0.6, 0.6], [0.5, 0.7, 0.6, 0.7, 0.8, 0.8]]


def _tuned(**changed: list[float]) -> pd.DataFrame:
    variants = {("tune", "b=1"): TUNED[0], ("tune", "b=2"): TUNED[1]}
    return _scores(variants, {"": [0.1] * 6, "tune b=1": BASE[0], "tune b=2": BASE[1]} | changed)


def test_each_variant_is_paired_with_the_baseline_on_its_windows() -> None:
    """Means over seeds; if the baseline has one row only, that row serves."""
    pairs = paired_scores(_tuned(), "auroc").set_index(["variant", "participant"])
    assert pytest.approx((0.9, 0.6, 0.3)) == tuple(pairs.loc[("b=1", "A"), ["score", "baseline", "difference"]])
    assert pytest.approx((0.8, 0.7, 0.1)) == tuple(pairs.loc[("b=2", "B"), ["score", "baseline", "difference"]])
    scores = _tuned()
    once = scores[scores["technique"].eq("tune") | scores["against"].eq("")].drop(columns="against")
    assert {0.1} == set(paired_scores(once, "auroc")["baseline"].round(9))


def test_a_row_is_the_choice_and_its_test() -> None:
    """Difference and choices are those of ``analysis.statistics.variant_choice``; p and interval are the mean's test, inflated by the bound times
    the factor of the choice; mean, baseline and SD between seeds are those of the chosen ones."""
    d = (np.array(TUNED) - np.array(BASE)).T
    values, variants = leave_one_out_choice(d)
    i = np.arange(6)
    row = select_variants(_tuned()).iloc[0]
    assert (6, 0, "paired", "auroc", "tune") == tuple(row[["n_participants", "n_missing", "scoring", "metric", "technique"]])
    assert pytest.approx((values.mean(), values.mean())) == (row["difference"], row["mean"] - row["baseline_mean"])
    chosen = np.array(TUNED)[variants, i]
    assert pytest.approx((chosen.mean(), chosen.std(ddof=1))) == (row["mean"], row["sd"])
    bound = 1 + 6 / 5
    factor = choice_inflation(d, bound)
    test = mean_test(values, bound * factor)
    assert factor >= 1
    assert (pytest.approx(bound * factor), "bound", pytest.approx(factor)) == tuple(
        row[["inflation", "inflation_source", "choice_inflation"]]
    )
    assert pytest.approx((test.p, test.low, test.high, test.detectable)) == tuple(row[["p", "ci_low", "ci_high", "detectable"]])
    assert "t of the mean difference, variance inflated for shared training and for the choice" == row["test"]
    assert pytest.approx(np.std([0.01, -0.01], ddof=1)) == row["seed_sd"]
    assert [1, 0, 0, 0, 1, 0] == variants.tolist()
    assert "b=1 x4, b=2 x2" == row["choices"]


def test_the_most_frequent_choice_comes_first() -> None:
    """Only A, who gains nothing from b=1, is given it by the others."""
    row = select_variants(_scores({("tune", "b=1"): [0.5] + [0.9] * 5, ("tune", "b=2"): [0.85] * 6}, {"": [0.5] * 6})).iloc[0]
    assert "b=2 x5, b=1 x1" == row["choices"]


def test_the_best_on_test_stands_beside_it() -> None:
    """The variant of the best mean score, whatever was chosen."""
    row = select_variants(_tuned()).iloc[0]
    best = np.array(TUNED[1])
    assert ("b=2", pytest.approx(best.mean()), pytest.approx(best.std(ddof=1))) == tuple(
        row[["best_variant", "best_mean", "best_sd"]]
    )


def _inflations(values: dict[tuple[str, str], float]) -> pd.DataFrame:
    """(technique, variant) to a simulated inflation."""
    rows = [("d", "l", "m", technique, variant, value, "simulated") for (technique, variant), value in values.items()]
    return pd.DataFrame(rows, columns=INFLATION_COLUMNS)


def test_of_the_chosen_variants_the_largest_inflation_counts() -> None:
    """b=1 and b=2 are both chosen; a variant that no participant is given does not count, however large its own is."""
    variants = {("tune", "b=1"): TUNED[0], ("tune", "b=2"): TUNED[1], ("tune", "b=3"): [0.0] * 6}
    scores = _scores(variants, {"tune b=1": BASE[0], "tune b=2": BASE[1], "tune b=3": BASE[0]})
    inflations = _inflations({("tune", "b=1"): 1.3, ("tune", "b=2"): 1.7, ("tune", "b=3"): 3.9})
    row = select_variants(scores, inflations=inflations).iloc[0]
    assert (pytest.approx(1.7 * row["choice_inflation"]), "simulated") == tuple(row[["inflation", "inflation_source"]])


def _three_techniques() -> pd.DataFrame:
    gains = {
        "a": [0.05, 0.06, 0.04, 0.05, 0.07, 0.06],
        "b": [0.03, -0.02, 0.05, 0.04, 0.06, 0.01],
        "c": [0.1, -0.1, 0.02, 0, 0.1, -0.1],
    }
    return _scores({(name, "-"): [0.5 + g for g in values] for name, values in gains.items()}, {"": [0.5] * 6})


def test_the_family_is_of_techniques() -> None:
    """Three techniques are three tests, whatever their numbers of variants: the smallest p is multiplied by three."""
    chosen = select_variants(_three_techniques()).set_index("technique")
    assert {3} == set(chosen["family_size"])
    assert pytest.approx(3 * chosen.loc["a", "p"]) == chosen.loc["a", "p_adjusted"]
    assert "better" == chosen.loc["a", "outcome"] and {"a"} == passed(chosen.reset_index())


def test_the_primary_technique_stands_alone() -> None:
    """The one that the study names is not adjusted, and Holm is over the two others."""
    chosen = select_variants(_three_techniques(), primary="b").set_index("technique")
    assert [2, 1, 2] == chosen["family_size"].tolist()
    assert chosen.loc["b", "p"] == chosen.loc["b", "p_adjusted"]
    assert pytest.approx(2 * chosen.loc["a", "p"]) == chosen.loc["a", "p_adjusted"]


def test_a_single_variant_is_the_comparisons() -> None:
    """Nothing is chosen: p, interval and test are the comparison's own."""
    d = np.array(TUNED[0]) - np.array(BASE[0])
    scores = _scores({("x", "-"): TUNED[0]}, {"x": BASE[0]})
    row, test = select_variants(scores).iloc[0], mean_test(d, 1 + 6 / 5)
    assert (test.p, test.low, test.high) == pytest.approx(tuple(row[["p", "ci_low", "ci_high"]]))
    names = [
        "p",
        "p_adjusted",
        "ci_low",
        "ci_high",
        "inner_low",
        "inner_high",
        "detectable",
        "outcome",
        "test",
        "lopsided",
        "seed_sd",
    ]
    assert compare(scores).set_index("technique").loc["x", names].tolist() == row[names].tolist()
    assert 1.0 == row["choice_inflation"]
    assert "- x6" == row["choices"]


def test_less_calibration_error_is_better() -> None:
    """Of two variants the one that lowers the error is chosen, the difference and its interval keep their signs."""
    variants = {("tune", "b=1"): [0.30, 0.31, 0.32, 0.33, 0.34, 0.35], ("tune", "b=2"): [0.1, 0.12, 0.11, 0.13, 0.12, 0.11]}
    row = select_variants(_scores(variants, {"": [0.3, 0.3, 0.29, 0.31, 0.32, 0.3]}, "ece"), "ece").iloc[0]
    assert ("b=2 x6", "b=2") == tuple(row[["choices", "best_variant"]])
    assert row["ci_low"] < row["difference"] < row["ci_high"] < 0
    assert row["p"] < 0.001 and ("better", 1.0, 0.0) == tuple(row[["outcome", "gainers", "losers"]])


def test_missing_scores_are_counted_and_the_rest_is_used() -> None:
    """B has one variant only, C none: B gets that one, A and E see b=2 ahead among the rest, C is missing; the interval is of the five."""
    scores = _tuned()
    chosen = scores["technique"].eq("tune")
    scores.loc[chosen & scores["participant"].eq("B") & scores["variant"].eq("b=2"), "auroc"] = np.nan
    scores.loc[chosen & scores["participant"].eq("C"), "auroc"] = np.nan
    row = select_variants(scores).iloc[0]
    assert (5, 1) == tuple(row[["n_participants", "n_missing"]])
    assert "b=1 x3, b=2 x2" == row["choices"]
    assert row["ci_low"] < row["difference"] < row["ci_high"] and 0 < row["p"] < 1


def test_without_a_baseline_nothing_is_tested() -> None:
    """A study of techniques alone: the choice is by the scores; no difference, no p."""
    row = select_variants(_scores({("tune", "b=1"): TUNED[0], ("tune", "b=2"): TUNED[1]}, {})).iloc[0]
    assert pytest.approx(leave_one_out_choice(np.array(TUNED).T)[0].mean()) == row["mean"]
    assert row[["difference", "p", "ci_low", "baseline_mean"]].isna().all()


def test_nothing_to_choose_from_is_an_empty_table() -> None:
    """Only a baseline, and a technique with all scores missing."""
    only = _scores({}, {"": [0.5, 0.6]})
    assert select_variants(only).empty
    row = select_variants(_scores({("tune", "b=1"): [np.nan] * 2, ("tune", "b=2"): [np.nan] * 2}, {"": [0.5, 0.6]})).iloc[0]
    assert (0, 2) == tuple(row[["n_participants", "n_missing"]])
    assert row[["mean", "p", "best_variant"]].isna().all()
