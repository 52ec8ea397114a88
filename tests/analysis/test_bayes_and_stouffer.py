"""Stouffer against its formula and scipy's documentation, the Bayesian signed-rank against what it must say of plain cases."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from analysis.statistics.bayes_and_stouffer import bayesian, combined, stouffer


def test_stouffer_is_the_weighted_sum_of_signed_z() -> None:
    """By hand: z 2 up with n 16 and z 1 down with n 9: (4 * 2 - 3 * 1) / 5 = 1."""
    p = 2 * stats.norm.sf([2.0, 1.0])
    z, both = combined(p, np.array([0.4, -0.1]), np.array([16.0, 9.0]))
    assert pytest.approx((1.0, 2 * stats.norm.sf(1.0))) == (z, both)
    assert pytest.approx((-1.0, both)) == combined(p, np.array([-0.4, 0.1]), np.array([16.0, 9.0]))
    assert pytest.approx((0.0, 1.0)) == combined(np.array([1.0, 0.01]), np.array([0.3, 0.0]), np.array([5.0, 5.0]))


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
    names = ["dataset", "label", "technique", "variant", "p", "effect_size", "n_participants"]
    return pd.DataFrame(rows, columns=names).assign(model="m", metric="auroc")


def test_one_label_stands_for_a_dataset() -> None:
    """The first label unless another is asked for; a variant needs two datasets; Holm over the variants of the model."""
    made = stouffer(_comparison()).set_index("technique")
    assert ["x", "z"] == made.index.tolist()
    assert ("case: arousal (30), wesad: stress (15)", 45, 2, 2) == tuple(
        made.loc["x", ["datasets", "n_participants", "n_datasets", "family_size"]]
    )
    z, p = combined(np.array([0.04, 0.02]), np.array([0.5, 0.6]), np.array([30.0, 15.0]))
    assert (z, p, 2 * p) == pytest.approx(tuple(made.loc["x", ["z", "p", "p_adjusted"]]))
    assert made.loc["z", "z"] < 0 and made.loc["z", "p"] == made.loc["z", "p_adjusted"]
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
    made = _comparison()
    assert stouffer(made[made["dataset"].eq("wesad")]).empty
    assert stouffer(made[made["p"].isna()]).empty
    assert stouffer(made.iloc[:0]).empty


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
    made = bayesian(_scores(few, "auroc")).set_index("variant")
    assert ["gain", "loss", "mixed", "none"] == made.index.tolist()
    assert made.loc["gain", "better"] > 0.95 and made.loc["loss", "worse"] > 0.95 and made.loc["none", "equivalent"] > 0.95
    np.testing.assert_allclose(1, made[["worse", "equivalent", "better"]].sum(axis=1))
    assert {12} == set(made["n_participants"])
    pd.testing.assert_frame_equal(made, bayesian(_scores(few, "auroc")).set_index("variant"))


def test_a_lower_calibration_error_is_better() -> None:
    """The Bayesian probabilities say better where the error falls."""
    assert bayesian(_scores({"less": [-0.1] * 12}, "ece"), "ece").loc[0, "better"] > 0.95
