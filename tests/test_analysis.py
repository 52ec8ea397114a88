"""Analysis: metrics, tests and tables against other implementations and answers known by hand."""

from itertools import product

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn import metrics as sk

import analysis
from analysis.metrics import METRICS, auroc
from analysis.scores import score
from analysis.significance import bca_interval, holm, rank_biserial, wilcoxon
from analysis.tables import gains, markdown


@pytest.mark.parametrize("classes", [2, 3])
def test_metrics_equal_scikit_learns(classes: int) -> None:
    """Accuracy, macro F1, precision, recall and AUROC (ties included) are scikit-learn's."""
    rng = np.random.default_rng(classes)
    y = rng.integers(0, classes, 200)
    p = np.round(rng.dirichlet(np.ones(classes), 200), 1)
    guess = p.argmax(axis=1)
    options = {"average": "macro", "zero_division": 0}
    expected = {
        "accuracy": sk.accuracy_score(y, guess),
        "f1_macro": sk.f1_score(y, guess, **options),
        "precision_macro": sk.precision_score(y, guess, **options),
        "recall_macro": sk.recall_score(y, guess, **options),
        "auroc": np.mean([sk.roc_auc_score(y == k, p[:, k]) for k in range(classes)])
        if classes > 2
        else sk.roc_auc_score(y, p[:, 1]),
    }
    assert pytest.approx(expected) == {name: metric(y, p) for name, metric in METRICS.items()}


def test_auroc_of_one_class_is_missing() -> None:
    """One class among the test windows gives NaN, never 0.5 or 0; so does an absent class of three."""
    p = np.array([[0.2, 0.8], [0.6, 0.4]])
    assert np.isnan(auroc(np.array([1, 1]), p))
    assert np.isnan(auroc(np.array([0, 1]), np.full((2, 3), 1 / 3)))


def _by_enumeration(d: np.ndarray) -> float:
    """Two-sided p of the signed-rank sum over all sign flips, written out."""
    ranks = stats.rankdata(np.abs(d))
    keep = d != 0
    ranks, signs = ranks[keep], np.sign(d[keep])
    observed = abs((ranks * signs).sum())
    flips = [abs((ranks * np.array(flip)).sum()) for flip in product([-1, 1], repeat=len(ranks))]
    return float(np.mean([value >= observed - 1e-9 for value in flips]))


@given(st.lists(st.integers(-4, 4), min_size=1, max_size=9))
def test_wilcoxon_is_the_complete_sign_flip_distribution(values: list[int]) -> None:
    """With zeros and ties, the p is the share of sign flips at least as extreme."""
    d = np.array(values, dtype=float)
    assert pytest.approx(_by_enumeration(d) if d.any() else 1.0) == wilcoxon(d)[0]


def test_wilcoxon_without_ties_is_scipys_exact() -> None:
    """No zeros and no ties: scipy's exact method gives the same p; above 20 the normal approximation with Pratt's zeros does."""
    rng = np.random.default_rng(0)
    d = rng.normal(0.3, 1, 15)
    assert pytest.approx(stats.wilcoxon(d, method="exact").pvalue) == wilcoxon(d)[0]
    d = np.concatenate([rng.normal(0.3, 1, 30), np.zeros(3)])
    assert (
        pytest.approx(stats.wilcoxon(d, zero_method="pratt", method="asymptotic").pvalue),
        "Wilcoxon signed-rank (Pratt, normal)",
    ) == wilcoxon(d)


def test_holm_by_hand() -> None:
    """p = .01, .04, .03, .005 adjust to .03, .06, .06, .02 (R: p.adjust(..., "holm"))."""
    np.testing.assert_allclose([0.03, 0.06, 0.06, 0.02], holm(np.array([0.01, 0.04, 0.03, 0.005])))


def test_effect_size_and_interval() -> None:
    """All gains give an effect of 1, all losses -1, none 0; the interval holds the mean and shrinks with the spread."""
    d = np.array([0.1, 0.2, 0.3, 0.4, 0.2, 0.15])
    assert (rank_biserial(d), rank_biserial(-d), rank_biserial(0 * d)) == (1.0, -1.0, 0.0)
    low, high = bca_interval(d)
    assert low < d.mean() < high
    assert bca_interval(np.full(5, 0.1)) == (0.1, 0.1)
    assert np.isnan(bca_interval(np.array([0.1]))).all()


def _frames(y: dict[str, list[int]], p: dict[tuple[str, str], list[float]], hold: dict[str, int]) -> analysis.Frames:
    """A run of non_personalized and fine_tuning: people's classes, (technique, person) to p(1); fine_tuning was trained on the first ``hold``."""
    trials, rows = [], []
    for (technique, person), scores in p.items():
        key = f"{technique}-{person}"
        names = {
            "dataset": "d",
            "label": "l",
            "model": "m",
            "technique": technique,
            "variant": "-",
            "participant": person,
            "seed": 0,
        }
        trials.append({**names, "trial": key, "status": "ok"})
        first = hold[person] if technique == "fine_tuning" else 0
        rows += [
            {
                "trial": key,
                "participant": person,
                "window": i,
                "y_true": y[person][i],
                "purged": technique == "fine_tuning" and i == first,
                "p_0": 1 - s,
                "p_1": s,
            }
            for i, s in enumerate(scores)
            if i >= first
        ]
    plan = pd.DataFrame(trials).drop(columns="status")
    return analysis.Frames(plan, pd.DataFrame(trials), pd.DataFrame(rows), ())


def test_paired_scoring_scores_both_sides_on_the_same_windows() -> None:
    """The baseline is right on windows 0-2 and wrong after; fine-tuning trains on 0 and 1, 2 is purged: paired against it the
    baseline's accuracy is 0, published it is 0.6."""
    y = {"A": [0, 0, 0, 1, 0]}
    frames = _frames(
        y, {("non_personalized", "A"): [0.1, 0.1, 0.1, 0.1, 0.9], ("fine_tuning", "A"): [0.0, 0.0, 0.1, 0.9, 0.1]}, {"A": 2}
    )
    paired, published = score(frames), score(frames, "published")
    by = paired.set_index(["technique", "against"])
    assert tuple(by.loc[("non_personalized", "fine_tuning"), ["accuracy", "n_test"]]) == (0.0, 2)
    assert tuple(by.loc[("fine_tuning", ""), ["accuracy", "n_test"]]) == (1.0, 2)
    assert by.loc[("non_personalized", ""), "accuracy"] == 0.6
    assert {""} == set(published["against"])


def test_compare_pairs_participants_and_drops_missing_ones() -> None:
    """Mean over seeds first, difference on the baseline's matching windows, a person without a score on one side dropped and counted."""
    rows = []
    for person, gain in zip("ABCDEFG", (0.1, 0.2, 0.3, 0.05, 0.15, 0.25, np.nan), strict=True):
        for seed in (0, 1):
            names = {"dataset": "d", "label": "l", "model": "m", "participant": person, "seed": seed, "scoring": "paired"}
            rows.append({**names, "technique": "non_personalized", "variant": "-", "against": "", "auroc": 0.1})
            rows.append(
                {**names, "technique": "non_personalized", "variant": "-", "against": "x a=1", "auroc": 0.5 + seed / 10}
            )
            rows.append({**names, "technique": "x", "variant": "a=1", "against": "", "auroc": 0.5 + seed / 10 + gain})
    made = analysis.compare(pd.DataFrame(rows)).set_index("technique")
    x = made.loc["x"]
    assert (x["n_participants"], x["n_missing"], x["family_size"]) == (6, 1, 1)
    assert pytest.approx((0.175, 0.55, 0.725)) == (x["difference"], x["baseline_mean"], x["mean"])
    assert pytest.approx(2 / 2**6) == x["p"] == x["p_adjusted"]
    assert pytest.approx(0.1) == made.loc["non_personalized", "mean"]
    assert "1 missing" in markdown(made.reset_index())
    assert pytest.approx(0.3) == gains(pd.DataFrame(rows)).loc[("d", "l", "m", "x a=1"), "C"]


def test_the_table_says_when_no_p_can_be_significant() -> None:
    """With 4 people the smallest p is 0.125: the caption says that no adjusted p can fall under it."""
    rows = [
        {
            "dataset": "d",
            "label": "l",
            "model": "m",
            "participant": person,
            "seed": 0,
            "technique": t,
            "variant": "-",
            "auroc": score,
        }
        for person in "ABCD"
        for t, score in (("non_personalized", 0.5), ("x", 0.7))
    ]
    assert "can fall under 0.125" in markdown(analysis.compare(pd.DataFrame(rows)))


def test_load_says_what_is_not_a_run(tmp_path: object) -> None:
    """A folder without a plan is named, with how to start a run."""
    with pytest.raises(FileNotFoundError, match="is no run folder"):
        analysis.load(str(tmp_path))


def test_references_stand_in_every_table_untested() -> None:
    """The majority class is that of the other people, its AUROC is 0.5; both references have no p and are in no family."""
    y = {"A": [0, 0, 0, 1], "B": [0, 0, 1, 1], "C": [1, 1, 1, 0]}
    p = {("non_personalized", person): [0.2, 0.4, 0.6, 0.8] for person in y}
    scores = score(_frames(y, p, {}))
    majority = scores[scores["technique"] == "majority_class"].set_index("participant")
    assert [0.25, 0.5, 0.25] == majority["accuracy"].tolist()
    assert [0.5, 0.5, 0.5] == majority["auroc"].tolist()
    made = analysis.compare(scores).set_index("technique")
    assert {"non_personalized", "majority_class", "random_guess"} == set(made.index)
    assert made["p"].isna().all()


def test_trials_that_ended_badly_are_missing_and_counted() -> None:
    """A variant whose fold could not be built for one of three people is compared over two and says one missing."""
    y = {person: [0, 0, 0, 1, 0] for person in "ABC"}
    p = {(t, person): [0.1, 0.3, 0.2, 0.9, 0.4] for t in ("non_personalized", "fine_tuning") for person in "ABC"}
    frames = _frames(y, p, dict.fromkeys("ABC", 1))
    frames.trials.loc[frames.trials["trial"] == "fine_tuning-B", "status"] = "missing"
    kept = frames.predictions[frames.predictions["trial"] != "fine_tuning-B"]
    made = analysis.compare(score(analysis.Frames(frames.plan, frames.trials, kept, ()))).set_index("technique")
    assert (2, 1) == tuple(made.loc["fine_tuning", ["n_participants", "n_missing"]])


def test_without_a_baseline_nothing_is_tested() -> None:
    """A study of techniques alone gets its means, no difference and no p."""
    y = {"A": [0, 0, 0, 1, 1], "B": [0, 0, 0, 1, 1]}
    made = analysis.compare(
        score(_frames(y, {("fine_tuning", person): [0.2, 0.4, 0.5, 0.6, 0.8] for person in y}, {"A": 1, "B": 1}))
    )
    assert ["fine_tuning"] == made["technique"].tolist()
    assert made["p"].isna().all() and made["mean"].notna().all()
