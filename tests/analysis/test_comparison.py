"""The comparison: pairing over participants and seeds, missing scores, the family, direction, and intervals that agree with p."""

from collections.abc import Iterable

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import analysis
from analysis.report.comparison_table import markdown
from analysis.report.verdict import verdict
from analysis.statistics import columns
from analysis.statistics.dependence import COLUMNS as INFLATION_COLUMNS
from analysis.statistics.paired_tests import mean_test
from analysis.statistics.variant_selection import select_variants


def _rows(
    technique: str, people: Iterable[str], values: Iterable[float], variant: str = "-", **names: object
) -> list[dict[str, object]]:
    """Scores of one variant, one of each person."""
    cell = {"dataset": "d", "label": "l", "model": "m", "technique": technique, "variant": variant, "seed": 0}
    return [{**cell, "participant": person, "auroc": value, **names} for person, value in zip(people, values, strict=True)]


def test_compare_pairs_participants_and_drops_missing_ones() -> None:
    """Mean over seeds first, difference on the baseline's matching windows, a person without a score on one side dropped and counted."""
    rows, gains = [], [0.1, 0.2, 0.3, 0.05, 0.15, 0.25, np.nan]
    for seed, low in ((0, 0.5), (1, 0.6)):
        rows += _rows("non_personalized", "ABCDEFG", [0.1] * 7, against="", seed=seed)
        rows += _rows("non_personalized", "ABCDEFG", [low] * 7, against="x a=1", seed=seed)
        rows += _rows("x", "ABCDEFG", [low + gain for gain in gains], "a=1", against="", seed=seed)
    comparison = analysis.compare(pd.DataFrame(rows))
    x = comparison.set_index("technique").loc["x"]
    assert (6, 1, 2, 1) == (x["n_participants"], x["n_missing"], x["n_seeds"], x["family_size"])
    assert pytest.approx((0.175, 0.55, 0.725)) == (x["difference"], x["baseline_mean"], x["mean"])
    assert pytest.approx(mean_test(np.array(gains[:6]), 1 + 6 / 5).p) == x["p"] == x["p_adjusted"]
    assert pytest.approx(np.std([0.5, 0.6], ddof=1)) == x["seed_sd"]
    assert pytest.approx(0.1) == comparison.set_index("technique").loc["non_personalized", "mean"]
    assert columns.names(columns.reference_columns()) == comparison.columns.tolist()
    assert "1 missing" in markdown(comparison)


def test_a_variant_that_cannot_be_tested_stays_in_its_family() -> None:
    """No participant has a score of variant b: it has no p, and a's is still multiplied by the two variants there are."""
    rows = _rows("non_personalized", "ABCDEF", [0.5] * 6) + _rows("x", "ABCDEF", [0.51, 0.52, 0.53, 0.54, 0.55, 0.56], "a")
    rows += _rows("x", "ABCDEF", [np.nan] * 6, "b")
    comparison = analysis.compare(pd.DataFrame(rows)).set_index("variant")
    assert pytest.approx(2 * comparison.loc["a", "p"]) == comparison.loc["a", "p_adjusted"]
    assert (
        comparison.loc["b", ["p", "p_adjusted", "detectable", "difference"]].isna().all() and not comparison.loc["b", "outcome"]
    )
    assert (2, 6, 0, 2, "d / l / m") == tuple(
        comparison.loc[variant, name]
        for variant, name in (
            ("a", "family_size"),
            ("b", "n_missing"),
            ("b", "n_participants"),
            ("b", "family_size"),
            ("b", "family"),
        )
    )


def test_each_variant_is_tested_with_its_inflation() -> None:
    """A given one is used and named; a variant that the table lacks has the bound of models that are trained anew."""
    gains = [0.01, 0.02, 0.03, 0.04, 0.05, 0.06]
    rows = _rows("non_personalized", "ABCDEF", [0.5] * 6)
    for variant in "ab":
        rows += _rows("x", "ABCDEF", [0.5 + gain for gain in gains], variant)
    table = pd.DataFrame([("d", "l", "m", "x", "a", 1.25, "simulated")], columns=INFLATION_COLUMNS)
    comparison = analysis.compare(pd.DataFrame(rows), inflations=table).set_index("variant")
    for variant, inflation, source in (("a", 1.25, "simulated"), ("b", 1 + 6 / 5, "bound")):
        row, test = comparison.loc[variant], mean_test(np.array(gains), inflation)
        assert (pytest.approx(inflation), source) == (row["inflation"], row["inflation_source"])
        assert pytest.approx((test.p, test.low, test.high)) == tuple(row[["p", "ci_low", "ci_high"]])
    assert "1.25 (simulated)" in markdown(comparison.reset_index()) and "2.20 (bound)" in markdown(comparison.reset_index())


def test_seeds_that_one_side_lacks_are_left_out() -> None:
    """Fault of before: x equals the baseline in every seed, and the baseline's last seed is missing; averaged each over its own seeds the
    difference was +0.175 with p = 0.002. It is 0, over the seeds of both."""
    levels = {0: 0.5, 1: 0.6, 2: 0.9}
    people = "ABCDEFGHIJ"
    rows: list[dict[str, object]] = []
    for seed, level in levels.items():
        values = [level + i / 100 for i in range(10)]
        rows += _rows("x", people, values, seed=seed)
        rows += _rows("non_personalized", people, values if seed < 2 else [np.nan] * 10, seed=seed)
    row = analysis.compare(pd.DataFrame(rows)).set_index("technique").loc["x"]
    assert (0.0, 1.0, 2, 0) == tuple(row[["difference", "p", "n_seeds", "n_missing"]])
    assert pytest.approx((0.595, 0.595)) == tuple(row[["mean", "baseline_mean"]])
    without_rows = [r for r in rows if not (r["technique"] == "non_personalized" and r["seed"] == 2)]
    assert 0.0 == analysis.compare(pd.DataFrame(without_rows)).set_index("technique").loc["x", "difference"]


def test_people_without_a_common_seed_are_missing() -> None:
    """A has seed 0 on one side and seed 1 on the other: no pair, counted as missing."""
    rows = _rows("non_personalized", "ABC", [0.5] * 3) + _rows("x", "BC", [0.6, 0.7]) + _rows("x", "A", [0.9], seed=1)
    row = analysis.compare(pd.DataFrame(rows)).set_index("technique").loc["x"]
    assert (2, 1, pytest.approx(0.15)) == tuple(row[["n_participants", "n_missing", "difference"]])


# AUROC of three people of WESAD under one variant, over three seeds
WESAD = ((0.46, 0.85, 0.005), (1.00, 0.02, 0.20), (0.48, 0.87, 0.007))


def test_the_spread_between_seeds_stands_beside_that_between_people() -> None:
    """The SD between people's means is 0.023; that between seeds, which averaging hides, is the root of the mean variance within people: 0.47."""
    rows = []
    for seed in range(3):
        rows += _rows("non_personalized", "ABC", [0.5] * 3, seed=seed)
        rows += _rows("x", "ABC", [person[seed] for person in WESAD], seed=seed)
    comparison = analysis.compare(pd.DataFrame(rows))
    row = comparison.set_index("technique").loc["x"]
    within = np.sqrt(np.mean([np.var(person, ddof=1) for person in WESAD]))
    assert pytest.approx((np.mean(WESAD), np.std(np.mean(WESAD, axis=1), ddof=1), within)) == tuple(
        row[["mean", "sd", "seed_sd"]]
    )
    assert (pytest.approx(0.433, abs=0.001), 0.45 < row["seed_sd"] < 0.5) == (row["mean"], True)
    text = markdown(comparison)
    assert (
        f"{row['mean']:.3f} ({row['sd']:.3f}) | {within:.3f} |" in text
        and "SD seeds: between seeds within participants" in text
    )
    assert "One seed" not in text


def test_one_seed_is_said() -> None:
    """Its spread is not known: an empty cell, and a sentence in the caption."""
    comparison = analysis.compare(
        pd.DataFrame(_rows("non_personalized", "ABC", [0.5] * 3) + _rows("x", "ABC", [0.6, 0.7, 0.5]))
    )
    assert comparison["seed_sd"].isna().all() and {1} == set(comparison["n_seeds"])
    assert "One seed: how much these numbers change with other random draws of the training is not known." in markdown(
        comparison
    )


THREE_OF_34 = [*(-0.005 - 0.015 * i / 30 for i in range(31)), 0.45, 0.45, 0.45]


@pytest.mark.parametrize("sign", [1, -1])
def test_a_mean_that_few_people_make_is_no_verdict(sign: int) -> None:
    """Fault of before: 31 of 34 lose a little and three gain 0.45, and the verdict was "better", p = 0.0007 (ranks), beside an effect of -0.67."""
    people = [f"P{i:02}" for i in range(34)]
    rows = _rows("non_personalized", people, [0.5] * 34) + _rows("x", people, [0.5 + sign * d for d in THREE_OF_34])
    for row in (analysis.compare(pd.DataFrame(rows)).iloc[-1], select_variants(pd.DataFrame(rows)).iloc[-1]):
        assert "undecided" == row["outcome"] and row["p"] > 0.2 and row["ci_low"] < 0 < row["ci_high"]
        assert row["gainers"] == (3 / 34 if sign > 0 else 31 / 34)


def test_a_verdict_against_most_people_carries_a_caution() -> None:
    """34 lose 0.01, six gain 0.6: the mean is above 0 by its test, most lose. It is marked, in the table and in the verdict."""
    people = [f"P{i:02}" for i in range(40)]
    d = np.append(np.linspace(-0.015, -0.005, 34), [0.6] * 6)
    rows = pd.DataFrame(_rows("non_personalized", people, [0.5] * 40) + _rows("x", people, 0.5 + d))
    inflations = pd.DataFrame([("d", "l", "m", "x", "-", 1.25, "simulated")], columns=INFLATION_COLUMNS)
    comparison, chosen = analysis.compare(rows, inflations=inflations), select_variants(rows, inflations=inflations)
    row = comparison.iloc[-1]
    assert "better" == row["outcome"] and row["effect_size"] < 0 < row["difference"] and row["lopsided"]
    assert "° |" in markdown(comparison) and "against the direction of most" in markdown(comparison)
    assert "Caution: with x " in verdict(chosen, comparison, 0.02)


@given(
    st.lists(st.tuples(*[st.integers(-100, 100)] * 3), min_size=2, max_size=24),
    st.sampled_from(["auroc", "ece"]),
    st.sampled_from([1.25, 1.5, 2.1]),
)
@settings(deadline=None, max_examples=60)
def test_no_row_of_any_table_contradicts_itself(rows_of_people: list[tuple[int, ...]], metric: str, inflation: float) -> None:
    """Over random tables of three variants: the interval leaves out 0 if and only if p < 0.05; the outcome has the sign of the difference and
    follows p Holm; a verdict against the ranks is marked; ``equivalent`` has its 90% interval inside."""
    people = [f"P{i:02}" for i in range(len(rows_of_people))]
    values = np.array(rows_of_people) / 1000
    rows = _rows("non_personalized", people, [0.5] * len(people))
    names = (("x", "a"), ("x", "b"), ("y", "-"))
    for (technique, variant), column in zip(names, values.T, strict=True):
        rows += _rows(technique, people, 0.5 + column, variant)
    scores = pd.DataFrame(rows).rename(columns={"auroc": metric})
    table = pd.DataFrame([("d", "l", "m", *name, inflation, "simulated") for name in names], columns=INFLATION_COLUMNS)
    frames = (analysis.compare(scores, metric, table), select_variants(scores, metric, table))
    for row in pd.concat(frames).dropna(subset=["p"]).to_dict("records"):
        assert (row["p"] < 0.05) == (row["ci_low"] > 0 or row["ci_high"] < 0)
        assert row["p"] <= row["p_adjusted"] <= 1 and (row["outcome"] in ("better", "worse")) == (row["p_adjusted"] < 0.05)
        better_sign = 1 if metric == "auroc" else -1
        if row["outcome"] in ("better", "worse"):
            assert (row["difference"] * better_sign > 0) == (row["outcome"] == "better")
            assert row["lopsided"] or not row["effect_size"] * row["difference"] < 0  # the chosen column has no effect: NaN
        if row["outcome"] == "equivalent":
            assert -0.02 < row["inner_low"] <= row["inner_high"] < 0.02


def test_cells_are_families_of_their_own() -> None:
    """Two models give two families, each with its own baseline; rows come in the order baseline, references, techniques."""
    people, rows = "ABCDEF", []
    for model, level in (("m", 0.5), ("n", 0.6)):
        for technique, gain in (("a", 0.1), ("majority_class", -0.1), ("non_personalized", 0.0)):
            rows += _rows(technique, people, [level + gain + i / 100 for i in range(6)], model=model)
    comparison = analysis.compare(pd.DataFrame(rows))
    assert ["non_personalized", "majority_class", "a"] * 2 == comparison["technique"].tolist()
    assert [1, 1] == comparison.loc[comparison["technique"] == "a", "family_size"].tolist()
    assert pytest.approx([0.525, 0.625]) == comparison.loc[comparison["technique"] == "a", "baseline_mean"].tolist()
    assert comparison.loc[comparison["technique"] != "a", "p"].isna().all()


def test_without_a_baseline_nothing_is_tested() -> None:
    """A study of techniques alone gets its means, no difference, no p and no family."""
    row = analysis.compare(pd.DataFrame(_rows("fine_tuning", "AB", [0.6, 0.7]))).iloc[0]
    assert pytest.approx(0.65) == row["mean"]
    assert pd.isna(row["p"]) and pd.isna(row["family"]) and row["family_size"] == 0


def test_a_metric_that_does_not_exist_is_refused() -> None:
    """With the metrics that there are."""
    with pytest.raises(ValueError, match="no metric 'auc'; there are auroc"):
        analysis.compare(pd.DataFrame(_rows("non_personalized", "A", [0.5])), "auc")
