"""The threshold of sensitivity and specificity: a small case by hand, scikit-learn's Youden point, and that it never sees its own participant."""

import numpy as np
import pytest
from sklearn.metrics import roc_curve

from analysis.scores.operating_point import LEVELS, thresholds
from analysis.scores.scored_windows import ScoredWindows


def _windows(trials: list[tuple[list[int], list[float]]], classes: int = 2) -> ScoredWindows:
    """(y, probability of class 1) of each trial; the rest is of class 0."""
    trial = np.concatenate([np.full(len(y), k) for k, (y, _) in enumerate(trials)])
    y, p1 = (np.concatenate([np.array(part[i]) for part in trials]) for i in (0, 1))
    p = np.zeros((len(y), classes), dtype=np.float32)
    p[:, 0], p[:, 1] = 1 - p1, p1
    return ScoredWindows(trial, np.arange(len(y)), y.astype(np.int64), p)


A, B, C = ([0, 1], [0.2, 0.6]), ([0, 1], [0.3, 0.9]), ([0, 0, 1], [0.1, 0.7, 0.8])


def test_thresholds_by_hand() -> None:
    """For A, over B and C: negatives at 0.1, 0.3, 0.7, positives at 0.8 and 0.9: 0.7, which 0.7 of a float32 is below. For C, over A and B: above
    0.3. For B, over A and C: at 0.2+ two of three negatives are below and no positive is (0.67), above 0.7 all negatives and half of the
    positives (0.5): above 0.2."""
    assert pytest.approx([0.7, 0.201, 0.301]) == thresholds(_windows([A, B, C]), np.zeros(3, dtype=np.int64)).tolist()


def test_a_threshold_separates_as_it_was_chosen() -> None:
    """Probabilities that are a hair apart, on a level's edge as float32 has it: what is above by the choice is above when it is used."""
    p = np.array([0.699, 0.6995, 0.7, 0.701], dtype=np.float32)
    threshold = thresholds(_windows([([0, 0, 1, 1], p.tolist()), A]), np.zeros(2, dtype=np.int64))[1]
    level = (p.astype(np.float64) * LEVELS).astype(int)
    assert (level >= round(threshold * LEVELS)).tolist() == (p >= threshold).tolist()


def test_of_equal_thresholds_the_lowest_counts() -> None:
    """Above each of the three negatives the Youden index is a third (1/3 - 0, 2/3 - 1/3, 3/3 - 2/3), which floats would tell apart."""
    y, p = [0, 1, 0, 1, 0, 1], [0.05, 0.15, 0.25, 0.35, 0.45, 0.55]
    assert pytest.approx(0.051, abs=0.001) == thresholds(_windows([(y, p), A]), np.zeros(2, dtype=np.int64))[1]


def test_groups_are_apart_and_a_participant_does_not_set_its_own() -> None:
    """A alone in its group has none; changing C's labels moves A's and B's thresholds, not C's."""
    group = np.array([1, 0, 0])
    alone = thresholds(_windows([A, B, C]), group)
    assert np.isnan(alone[0]) and pytest.approx(0.7) == alone[1]
    changed = ([1, 1, 0], C[1])
    before, after = (thresholds(_windows([A, B, c]), np.zeros(3, dtype=np.int64)) for c in (C, changed))
    assert before[2] == after[2] and before[0] != after[0]


@pytest.mark.parametrize("seed", range(5))
def test_the_threshold_is_scikit_learns_youden_point(seed: int) -> None:
    """Two participants: one's threshold has the Youden index that is the largest of the other's ROC curve."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, 60)
    p = (rng.integers(0, 100, 60) + 40 * y) % 140 / 140
    threshold = thresholds(_windows([(y.tolist(), p.tolist()), ([0, 1], [0.5, 0.5])]), np.zeros(2, dtype=np.int64))[1]
    false, true, _ = roc_curve(y, p, drop_intermediate=False)
    above = p.astype(np.float32) >= threshold
    assert pytest.approx((true - false).max()) == above[y == 1].mean() - above[y == 0].mean()
    assert threshold * LEVELS == pytest.approx(round(threshold * LEVELS))


def test_other_than_two_classes_have_none() -> None:
    """Three classes, or others with one class alone."""
    three = _windows([([0, 1, 2], [0.1, 0.8, 0.2]), ([0, 1, 2], [0.2, 0.5, 0.3])], classes=3)
    assert np.isnan(thresholds(three, np.zeros(2, dtype=np.int64))).all()
    one_class = thresholds(_windows([A, ([1, 1], [0.3, 0.9])]), np.zeros(2, dtype=np.int64))
    assert np.isnan(one_class[0]) and not np.isnan(one_class[1])


def test_sensitivity_and_specificity_at_the_threshold() -> None:
    """At 0.5: two of three of class 1 are at it or above, one of two of class 0 below it; missing without a threshold."""
    windows = _windows([([1, 1, 1, 0, 0], [0.5, 0.9, 0.4, 0.49, 0.6])])
    metrics = windows.scores(1, np.array([0.5]))
    assert pytest.approx((2 / 3, 1 / 2)) == (metrics["sensitivity"][0], metrics["specificity"][0])
    for missing in (windows.scores(1), windows.scores(1, np.array([np.nan]))):
        assert np.isnan([missing["sensitivity"][0], missing["specificity"][0]]).all()
