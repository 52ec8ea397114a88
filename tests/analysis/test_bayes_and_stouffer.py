"""Stouffer against its formula and scipy's documentation, the Bayesian signed-rank against what it must say of plain cases."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from analysis.statistics.bayes_and_stouffer import bayesian_signed_rank, combine_p_values, stouffer


def test_stouffer_is_the_weighted_sum_of_signed_z() -> None:
    """By hand: z 2 up with n 16 and z 1 down with n 9: (4 * 2 - 3 * 1) / 5 = 1."""
    p = 2 * stats.norm.sf([2.0, 1.0])
    z, both = combine_p_values(p, np.array([0.4, -0.1]), np.array([16.0, 9.0]))
    assert pytest.approx((1.0, 2 * stats.norm.sf(1.0))) == (z, both)
    assert pytest.approx((-1.0, both)) == combine_p_values(p, np.array([-0.4, 0.1]), np.array([16.0, 9.0]))
    assert pytest.approx((0.0, 1.0)) == combine_p_values(np.array([1.0, 0.01]), np.array([0.3, 0.0]), np.array([5.0, 5.0]))


def _comparison() -> pd.DataFrame:
    """Two datasets with two labels each, one model; x on both, y on one dataset, the baseline untested."""
    rows = [
        ("case", "arousal", "x", "a=1", 0.04, 0.5, 30),
        ("case", "arousal", "z", "-", 0.3, -0.2, 29),
        ("case", "valence", "x", "a=1", 0.5, -0.2, 30),
        ("wesad", "stress", "x", "a=1", 0.02, 0.6, 15),
        ("wesad", "stress", "y", "-", 0.001, 0.9, 15),
        ("wesad", "stress", "non_personalized", "-", np.nan, np.nan, 15),
        ("wesad", "stress", "z", "-", 0.4, -0.2, 15),
    ]
    names = ["dataset", "label", "technique", "variant", "p", "difference", "n_participants"]
    return pd.DataFrame(rows, columns=names).assign(model="m", metric="auroc")


def test_one_label_stands_for_a_dataset() -> None:
    """The first label unless another is asked for; a variant needs two datasets; Holm over the variants of the model."""
    combined = stouffer(_comparison()).set_index("technique")
    assert ["x", "z"] == combined.index.tolist()
    assert ("case: arousal (30), wesad: stress (15)", 45, 2, 2) == tuple(
        combined.loc["x", ["datasets", "n_participants", "n_datasets", "family_size"]]
    )
    z, p = combine_p_values(np.array([0.04, 0.02]), np.array([0.5, 0.6]), np.array([30.0, 15.0]))
    assert (z, p, 2 * p) == pytest.approx(tuple(combined.loc["x", ["z", "p", "p_adjusted"]]))
    assert combined.loc["z", "z"] < 0 and combined.loc["z", "p"] == combined.loc["z", "p_adjusted"]
    other = stouffer(_comparison(), {"case": "valence"}).set_index("technique")
    assert ("case: valence (30), wesad: stress (15)", ["x"]) == (other.loc["x", "datasets"], other.index.tolist())
    assert other.loc["x", "z"] < z


def test_a_label_that_was_not_tested_is_refused() -> None:
    """The sentence names the dataset, the label and what there is."""
    with pytest.raises(
        ValueError, match=r"wesad has no tested arousal; the comparison has case arousal, case valence, wesad stress"
    ):
        stouffer(_comparison(), {"wesad": "arousal"})


def test_one_dataset_gives_an_empty_table() -> None:
    """Nothing to combine is no error, nor is nothing tested."""
    comparison = _comparison()
    assert stouffer(comparison[comparison["dataset"].eq("wesad")]).empty
    assert stouffer(comparison[comparison["p"].isna()]).empty
    assert stouffer(comparison.iloc[:0]).empty


def test_less_error_is_a_gain_across_datasets() -> None:
    """Fault of before: of the calibration error z had the sign of the difference, so that a technique that raises it stood as a gain."""
    error = stouffer(_comparison().assign(metric="ece")).set_index("technique")
    area = stouffer(_comparison()).set_index("technique")
    assert pytest.approx((-area.loc["x", "z"], area.loc["x", "p"])) == tuple(error.loc["x", ["z", "p"]])
    assert error.loc["x", "z"] < 0 < error.loc["z", "z"]


def test_entries_of_the_same_windows_are_not_combined() -> None:
    """case and wesad read from the same windows are one sample, not two: nothing to combine; of three entries the first of each windows counts."""
    same = {"case": "windows/a", "wesad": "windows/a"}
    assert stouffer(_comparison(), sources=same).empty
    third = _comparison().query("dataset == 'wesad'").assign(dataset="wesad early")
    combined = stouffer(pd.concat([_comparison(), third]), sources={"wesad": "w", "wesad early": "w", "case": "c"})
    assert ["case: arousal (30), wesad: stress (15)", "case: arousal (29), wesad: stress (15)"] == combined["datasets"].tolist()


def _scores(differences: dict[str, list[float]], metric: str) -> pd.DataFrame:
    """Variant to differences of people to a baseline of 0.5."""
    cell = {"dataset": "d", "label": "l", "model": "m", "seed": 0, "against": "", "scoring": "paired"}
    n = max(len(d) for d in differences.values())
    rows = [cell | {"technique": "non_personalized", "variant": "-", "participant": i, metric: 0.5} for i in range(n)]
    for variant, d in differences.items():
        rows += [cell | {"technique": "t", "variant": variant, "participant": i, metric: 0.5 + x} for i, x in enumerate(d)]
    return pd.DataFrame(rows)


def test_bayesian_probabilities_follow_the_differences() -> None:
    """Gains are better, losses worse, differences under 0.01 equivalent; they add up to 1; a variant of one person is left out."""
    few = {"gain": [0.1] * 12, "loss": [-0.1] * 12, "mixed": [0.1, -0.1, 0.02] * 4, "none": [0.001, -0.002] * 6, "alone": [0.2]}
    table = bayesian_signed_rank(_scores(few, "auroc")).set_index("variant")
    assert ["gain", "loss", "mixed", "none"] == table.index.tolist()
    assert table.loc["gain", "better"] > 0.95 and table.loc["loss", "worse"] > 0.95 and table.loc["none", "equivalent"] > 0.95
    np.testing.assert_allclose(1, table[["worse", "equivalent", "better"]].sum(axis=1))
    assert {12} == set(table["n_participants"])
    pd.testing.assert_frame_equal(table, bayesian_signed_rank(_scores(few, "auroc")).set_index("variant"))


def test_a_lower_calibration_error_is_better() -> None:
    """The Bayesian probabilities say better if the error falls."""
    assert bayesian_signed_rank(_scores({"less": [-0.1] * 12}, "ece"), "ece").loc[0, "better"] > 0.95
