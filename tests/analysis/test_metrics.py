"""Metrics: answers known by hand, and scikit-learn's on random predictions."""

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from analysis.scores.metrics import LESS_IS_BETTER, METRICS, ORDER_METRICS, PRIMARY_METRICS, PredictionBatch, auroc, evaluate


def _two(p: list[float]) -> np.ndarray:
    """Probabilities of two classes from that of class 1."""
    return np.stack([1 - np.array(p), np.array(p)], axis=1).astype(np.float32)


def _plain_ece(y: np.ndarray, p: np.ndarray) -> float:
    """Guo et al. 2017, equation 3, as it is written, with bins (0, 0.1], (0.1, 0.2], ..."""
    confidence, right, total = p.max(axis=1).astype(float), p.argmax(axis=1) == y, 0.0
    for m in range(10):
        inside = (confidence * 10 > m) & (confidence * 10 <= m + 1)
        if inside.any():
            total += inside.sum() / len(y) * abs(right[inside].mean() - confidence[inside].mean())
    return total


def _plain_brier(y: np.ndarray, p: np.ndarray) -> float:
    """Of two classes the mean squared error of class 1's probability; of more, summed over the classes."""
    errors = (p.astype(float) - np.eye(p.shape[1])[y]) ** 2
    return float(errors[:, 1].mean() if p.shape[1] == 2 else errors.sum(axis=1).mean())


def _plain_log_loss(y: np.ndarray, p: np.ndarray) -> float:
    """Mean of -ln p of the true class, p at least 1e-7."""
    return float(-np.log(np.maximum(p[np.arange(len(y)), y].astype(float), 1e-7)).mean())


def _sklearns(y: np.ndarray, p: np.ndarray) -> dict[str, float]:
    guess, classes = p.argmax(axis=1), range(p.shape[1])
    macro = {"average": "macro", "zero_division": 0}
    all_there = len(set(y)) == p.shape[1]
    ranked = [sk.roc_auc_score(y == k, p[:, k]) for k in classes] if all_there else [np.nan]
    return {
        "accuracy": sk.accuracy_score(y, guess),
        "f1_macro": sk.f1_score(y, guess, **macro),
        "precision_macro": sk.precision_score(y, guess, **macro),
        "recall_macro": sk.recall_score(y, guess, **macro),
        "auroc": float(np.mean(ranked)),  # with two classes both are the same
        "balanced_accuracy": sk.recall_score(y, guess, labels=np.unique(y), **macro),
        "mcc": sk.matthews_corrcoef(y, guess) if len(set(y)) > 1 else np.nan,
        **dict.fromkeys(ORDER_METRICS, np.nan),  # they need times (test_order.py)
        "sensitivity": np.nan,  # they need a threshold, which is chosen on other participants
        "specificity": np.nan,
        "brier": _plain_brier(y, p),
        "log_loss": _plain_log_loss(y, p),
        "ece": _plain_ece(y, p),
    }


@settings(phases=[Phase.generate], deadline=None)
@given(classes=st.integers(2, 4), n=st.integers(1, 60), decimals=st.sampled_from([1, 2, 7]), seed=st.integers(0, 2**32 - 1))
def test_metrics_equal_scikit_learns(classes: int, n: int, decimals: int, seed: int) -> None:
    """Every metric is scikit-learn's, ties (few decimals), absent classes and single windows included; ECE is the paper's sum written out."""
    rng = np.random.default_rng(seed)
    y, p = rng.integers(0, classes, n), np.round(rng.dirichlet(np.ones(classes), n), decimals).astype(np.float32)
    if classes == 2:
        p[:, 0] = 1 - p[:, 1]  # so that both columns order alike
    assert pytest.approx(_sklearns(y, p), nan_ok=True) == evaluate(y, p)


@pytest.mark.parametrize("seed", range(4))
def test_losses_equal_scikit_learns(seed: int) -> None:
    """Brier score and log loss of two classes are scikit-learn's, and log loss of three if probabilities are not cut."""
    rng = np.random.default_rng(seed)
    y, p = np.append(rng.integers(0, 2, 50), [0, 1]), _two(rng.uniform(0.01, 0.99, 52).tolist())
    metrics = evaluate(y, p)
    assert pytest.approx(sk.brier_score_loss(y, p[:, 1]), abs=1e-6) == metrics["brier"]
    assert pytest.approx(sk.log_loss(y, p[:, 1].astype(float)), abs=1e-6) == metrics["log_loss"]
    y3, p3 = np.append(rng.integers(0, 3, 50), [0, 1, 2]), rng.dirichlet(np.full(3, 5), 53)
    assert pytest.approx(sk.log_loss(y3, p3)) == evaluate(y3, p3)["log_loss"]


def test_the_right_probabilities_have_the_least_brier_score() -> None:
    """A proper score: at 40 windows, saying the true 0.7 costs less on average than saying 0.6 or 0.9; its ECE is 0.05 or more all the same."""
    rng = np.random.default_rng(0)
    draws = [(rng.random(40) < 0.7).astype(int) for _ in range(300)]
    means = {p: np.mean([evaluate(y, _two([p] * 40))["brier"] for y in draws]) for p in (0.6, 0.7, 0.9)}
    assert means[0.7] == min(means.values())
    assert np.mean([evaluate(y, _two([0.7] * 40))["ece"] for y in draws]) > 0.05


def test_a_certain_mistake_has_a_finite_loss() -> None:
    """Probability 0 of the true class counts as 1e-7."""
    assert pytest.approx(-np.log(1e-7) / 2) == evaluate(np.array([0, 1]), _two([1.0, 1.0]))["log_loss"]


def test_a_verdict_may_be_about_what_cannot_be_won_by_one_class() -> None:
    """Not ECE (bias), nor sensitivity or specificity or one half of the pairs alone; less is better of the three errors."""
    assert set(METRICS) - set(PRIMARY_METRICS) == {"ece", "sensitivity", "specificity", "auroc_later", "auroc_earlier"}
    assert set(LESS_IS_BETTER) == {"brier", "log_loss", "ece"}
    for name in LESS_IS_BETTER:
        right, wrong = (evaluate(np.array([0, 1]), _two(p))[name] for p in ([0.1, 0.9], [0.9, 0.1]))
        assert right < wrong


def test_auroc_with_ties() -> None:
    """Of the four pairs three stand in order and one is a tie: 3.5 / 4. If all scores are equal it is a half."""
    assert auroc(np.array([0, 0, 1, 1]), _two([0.1, 0.4, 0.4, 0.8])) == 0.875
    assert auroc(np.array([0, 1, 1]), _two([0.3, 0.3, 0.3])) == 0.5


def test_auroc_of_one_class_is_missing() -> None:
    """One class among the test windows gives NaN, never 0.5 or 0; so does an absent class of three, and no window at all."""
    assert np.isnan(auroc(np.array([1, 1]), _two([0.8, 0.4])))
    assert np.isnan(auroc(np.array([0, 1]), np.full((2, 3), 1 / 3)))
    assert np.isnan(list(evaluate(np.array([], dtype=int), np.empty((0, 2))).values())).all()


def test_auroc_of_three_classes_is_the_mean_of_one_against_the_rest() -> None:
    """By hand: class 0 stands above both others (1), class 1 above one of two (1/2), class 2 above one and level with one (3/4)."""
    p = np.array([[0.6, 0.3, 0.1], [0.2, 0.2, 0.6], [0.3, 0.1, 0.6]])
    assert pytest.approx((1 + 1 / 2 + 3 / 4) / 3) == auroc(np.array([0, 1, 2]), p)


def test_auroc_ranks_the_smallest_probabilities() -> None:
    """Probabilities far under any rounding still stand in order, and zero is level with minus zero."""
    assert auroc(np.array([0, 1, 0, 1]), _two([0.0, 1e-40, 1e-42, 1e-30])) == 1.0
    p = np.array([[1, -0.0], [1, 0.0]], dtype=np.float32)
    assert auroc(np.array([1, 0]), p) == 0.5


def test_balanced_accuracy_leaves_out_classes_that_the_truth_lacks() -> None:
    """Three of four windows of the one class are found: 0.75; the macro recall counts the guessed other class as 0."""
    metrics = evaluate(np.array([0, 0, 0, 0]), _two([0.1, 0.1, 0.9, 0.1]))
    assert (0.75, 0.375) == (metrics["balanced_accuracy"], metrics["recall_macro"])


def test_calibration_error_by_hand() -> None:
    """At 0.875 one of two is right (gap 0.375), at 1.0 both of two are (0): half of 0.375."""
    p = _two([0.875, 0.875, 1.0, 0.0])
    assert evaluate(np.array([1, 0, 1, 0]), p)["ece"] == 0.1875


def test_a_bin_of_the_calibration_error_holds_its_upper_edge() -> None:
    """0.8 is the edge of two bins. One right at 0.8 and one wrong at 0.75 share the lower one: |1 - 1.55| / 2; in two bins the gaps would be
    0.2 and 0.75."""
    p = np.array([[0.2, 0.8], [0.25, 0.75]])
    assert pytest.approx(0.55 / 2) == evaluate(np.array([1, 0]), p)["ece"]


@pytest.mark.parametrize("classes", [2, 3])
def test_many_trials_at_once_are_scored_as_one_by_one(classes: int) -> None:
    """Groups in any order and of any size give what each gives alone; one without windows is missing."""
    rng = np.random.default_rng(classes)
    group, y = rng.choice([0, 1, 2, 3, 5], 300, p=[0.4, 0.3, 0.2, 0.07, 0.03]), rng.integers(0, classes, 300)
    p = np.round(rng.dirichlet(np.ones(classes), 300), 2).astype(np.float32)
    batch = PredictionBatch(y, p, group, 6)
    metrics = {name: metric(batch) for name, metric in METRICS.items()}
    for g in range(6):
        expected = evaluate(y[group == g], p[group == g])
        assert pytest.approx(expected, nan_ok=True) == {name: values[g] for name, values in metrics.items()}


def test_errors_of_probabilities_are_scikit_learns() -> None:
    """Brier score of two classes and log loss of two to four, of probabilities that are not 0 or 1."""
    rng = np.random.default_rng(3)
    for classes in (2, 3, 4):
        y, p = rng.integers(0, classes, 50), rng.dirichlet(np.ones(classes), 50)
        metrics = evaluate(y, p)
        assert pytest.approx(sk.log_loss(y, p, labels=range(classes))) == metrics["log_loss"]
        if classes == 2:
            assert pytest.approx(sk.brier_score_loss(y, p[:, 1])) == metrics["brier"]
