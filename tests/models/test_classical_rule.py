"""``rule``: which statistic it chooses, and what it makes of it."""

import numpy as np
import pytest
import torch
from builders.classical import CLASSES, made_batch
from sklearn.metrics import roc_auc_score

from raylab.models.batch import Batch
from raylab.models.build import build_estimator
from raylab.models.rule import auroc_of_statistics


def windows(*columns: list[float]) -> Batch:
    """A channel of one step, whose features are their own statistics."""
    return Batch({"a": torch.tensor(columns, dtype=torch.float32).T[:, None, :]})


def test_a_case_computed_by_hand() -> None:
    """Two people; the first statistic has AUROC 1 for one and 0 for the other, the second 0.25 and 0: it is chosen, with the sign minus.

    Person 1 has classes 0, 0, 1, 1 and values 2, 4, 1, 3 (one of four pairs in order), person 2 has 0, 1 and values 6, 5. Mean AUROC 0.125, so
    0.875 with the minus. Signed values of the training windows in order: -6, -5, -4, -3, -2, -1. A new window of 3.5 has three below and three
    above: mid-rank (3 + 3 + 1) / 14 = 1/2, odds 1, and half of the windows are of class 1: probability 1/2. One of 0 has all six below:
    rank 13/14, odds 13.
    """
    y, people = np.array([0, 0, 1, 1, 0, 1]), np.array([1, 1, 1, 1, 2, 2])
    batch = windows([0, 1, 2, 3, 9, 8], [2, 4, 1, 3, 6, 5])
    rule = build_estimator("rule", {"a": (1, 2)}, 2)

    rule.fit(batch, y, people)

    np.testing.assert_array_equal([1.0, 1.0], rule.arrays["chosen"])
    np.testing.assert_array_equal([1.0, -1.0], rule.arrays["sign"])
    np.testing.assert_allclose([0.875, 0.125], rule.arrays["auroc"])
    p = rule.probabilities(windows([7, 7], [3.5, 0]))
    np.testing.assert_allclose([[1 / 2, 1 / 2], [1 / 14, 13 / 14]], p, rtol=1e-6)


def test_people_are_looked_at_one_by_one() -> None:
    """A statistic that tells people apart, of whom one has nearly all windows of a class, is worth nothing for a new one."""
    y, people = np.array([0, 1, 1, 1, 1, 0, 0, 0]), np.array([0] * 4 + [1] * 4)
    who, what = [9, 8, 8, 8, 1, 0, 0, 0], [0, 1, 2, 3, 6, 5, 4, 3]
    rule = build_estimator("rule", {"a": (1, 2)}, 2)

    rule.fit(windows([-w for w in who], what), y, people)
    assert 1 == rule.arrays["chosen"][1] and 1 == rule.arrays["auroc"][1]


def test_auroc_of_statistics_is_scikit_learns() -> None:
    """The mean over the people who have both classes, ties included; all windows together if nobody has."""
    rng = np.random.default_rng(0)
    x, y, people = rng.integers(0, 5, (60, 3)).astype(float), rng.integers(0, 2, 60), np.repeat([0, 1, 2], 20)
    y[people == 2] = 1

    expected = [np.mean([roc_auc_score(y[people == k], x[people == k, j]) for k in (0, 1)]) for j in range(3)]
    np.testing.assert_allclose(expected, auroc_of_statistics(x, y, people), rtol=1e-12)

    apart = np.where(y == 1, 0, 1)
    np.testing.assert_allclose([roc_auc_score(y, x[:, j]) for j in range(3)], auroc_of_statistics(x, y, apart), rtol=1e-12)


def test_as_many_training_windows_are_called_a_class_as_there_are() -> None:
    """The odds of the shares move the threshold, not the order."""
    x, y = np.arange(20.0), np.array([0] * 15 + [1] * 5)
    rule = build_estimator("rule", {"a": (1, 1)}, 2)
    rule.fit(windows(x.tolist()), y)

    p = rule.probabilities(windows(x.tolist()))

    assert 5 == (p[:, 1] > 0.5).sum()
    assert (np.diff(p[:, 1]) > 0).all()
    np.testing.assert_allclose(p.sum(axis=1), 1.0)


def test_three_classes_have_a_statistic_each() -> None:
    """Each is chosen against the other two, and rows sum to 1."""
    y = np.array([0, 1, 2] * 4)
    rng = np.random.default_rng(1)
    columns = [((y == k) * sign + 0.1 * rng.random(12)).tolist() for k, sign in ((0, 1), (1, -1), (2, 1))]
    rule = build_estimator("rule", {"a": (1, 3)}, 3)
    rule.fit(windows(*columns), y)

    p = rule.probabilities(windows(*columns))

    np.testing.assert_array_equal([0, 1, 2], rule.arrays["chosen"])
    np.testing.assert_array_equal([1, -1, 1], rule.arrays["sign"])
    np.testing.assert_array_equal(y, p.argmax(axis=1))
    np.testing.assert_allclose(p.sum(axis=1), 1.0)


@pytest.mark.parametrize("seed", [0, 1])
def test_the_rule_draws_nothing(seed: int) -> None:
    """Equal windows give equal arrays, whatever the seed."""
    rules = [build_estimator("rule", {"a": (20, 2), "b": (9, 1)}, 3, number) for number in (0, seed)]
    for rule in rules:
        rule.fit(made_batch(), CLASSES)
    assert all(np.array_equal(rules[0].arrays[name], rules[1].arrays[name]) for name in rules[0].arrays)
