"""The comparison: pairing, missing scores, the family, and what no signs could show."""

from collections.abc import Iterable

import numpy as np
import pandas as pd
import pytest

import analysis
from analysis.report.comparison_table import markdown
from analysis.statistics import columns


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
    assert (6, 1, 6, 1) == (x["n_participants"], x["n_missing"], x["n_nonzero"], x["family_size"])
    assert pytest.approx((0.175, 0.55, 0.725)) == (x["difference"], x["baseline_mean"], x["mean"])
    assert pytest.approx(2 / 2**6) == x["p"] == x["p_adjusted"] == x["least_p"]
    assert pytest.approx(0.1) == comparison.set_index("technique").loc["non_personalized", "mean"]
    assert columns.names(columns.reference_columns()) == comparison.columns.tolist()
    assert "1 missing" in markdown(comparison)


def test_a_variant_that_cannot_be_tested_stays_in_its_family() -> None:
    """No participant has a score of variant b: it has no p, and a's is still multiplied by the two variants there are."""
    rows = _rows("non_personalized", "ABCDEF", [0.5] * 6) + _rows("x", "ABCDEF", [0.51, 0.52, 0.53, 0.54, 0.55, 0.56], "a")
    rows += _rows("x", "ABCDEF", [np.nan] * 6, "b")
    comparison = analysis.compare(pd.DataFrame(rows)).set_index("variant")
    assert pytest.approx(2 * 2 / 2**6) == comparison.loc["a", "p_adjusted"] == comparison.loc["a", "least_p"]
    assert comparison.loc["b", ["p", "p_adjusted", "least_p", "difference"]].isna().all()
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


def test_the_least_p_counts_what_is_not_zero() -> None:
    """Of six people two do not change under b (0.3 - 0.2 is 0.1 of another float): four signs reach 0.125, and a's six 0.03125; Holm over two
    makes 0.0625 and, behind it, 0.125, which is what b has with all its signs alike."""
    base = [0.5, 0.5, 0.5, 0.5, 0.3, 0.7]
    rows = _rows("non_personalized", "ABCDEF", base) + _rows("x", "ABCDEF", [v + 0.1 for v in base], "a")
    rows += _rows("x", "ABCDEF", [0.6, 0.6, 0.7, 0.8, 0.1 + 0.2, 0.7], "b")
    comparison = analysis.compare(pd.DataFrame(rows)).set_index("variant")
    assert [6, 4] == comparison.loc[["a", "b"], "n_nonzero"].tolist()
    assert (
        pytest.approx([0.0625, 0.125])
        == comparison.loc[["a", "b"], "least_p"].tolist()
        == comparison.loc[["a", "b"], "p_adjusted"].tolist()
    )


def test_no_signs_of_the_differences_come_under_the_least_p() -> None:
    """Whatever the signs, no variant's adjusted p is under its ``least_p``; with all of them alike it is reached."""
    rng = np.random.default_rng(0)
    sizes = {variant: np.round(rng.uniform(0, 0.1, 7), 2) * (rng.random(7) < 0.7) for variant in "abc"}
    base, least_p = _rows("non_personalized", "ABCDEFG", [0.5] * 7), None
    for signs in [np.ones((3, 7)), *(rng.choice([-1, 1], (3, 7)) for _ in range(40))]:
        rows = [row for v, s in zip("abc", signs, strict=True) for row in _rows("x", "ABCDEFG", 0.5 + s * sizes[v], v)]
        comparison = analysis.compare(pd.DataFrame(base + rows)).set_index("variant").loc[list("abc")]
        least_p = comparison["least_p"] if least_p is None else least_p
        assert least_p.tolist() == comparison["least_p"].tolist()
        assert (comparison["p_adjusted"] >= comparison["least_p"] - 1e-12).all()
        if (signs == 1).all():
            assert pytest.approx(comparison["least_p"].tolist()) == comparison["p_adjusted"].tolist()


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
