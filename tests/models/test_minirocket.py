"""``minirocket``: the paper's features to the bit, and a penalty that is chosen on people who are left out."""

from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge

from raylab.errors import InvalidValueError
from raylab.models.batch import Batch
from raylab.models.build import build_estimator
from raylab.models.minirocket import PENALTIES, best_penalty, groups_of, ridge
from raylab.models.random_kernels import KERNELS, dilations_of, fit_biases, shares_above

# Made by aeon 1.6.0: MiniRocket(n_kernels=84 * 7, random_state=1) fitted on `walks(n_steps)`, its biases and its features.
AEON = np.load(Path(__file__).with_name("minirocket_aeon.npz"))


def walks(n_steps: int) -> np.ndarray:  # type: ignore[type-arg]
    """Six random walks."""
    return np.random.default_rng(n_steps).normal(size=(6, n_steps)).cumsum(axis=1).astype(np.float32)


@pytest.mark.parametrize("n_steps", [40, 101])
def test_features_are_aeons(n_steps: int) -> None:
    """With the same biases, to the bit."""
    found = shares_above(walks(n_steps), AEON[f"biases_{n_steps}"], 7)

    np.testing.assert_array_equal(AEON[f"features_{n_steps}"], found)


def test_dilations_fill_the_window() -> None:
    """The widest kernel, 9 weights dilated, still fits; every kernel has the number of features that was asked for."""
    for n_steps in (9, 10, 40, 640):
        for per_kernel in (1, 7, 19, 119):
            dilations = dilations_of(n_steps, per_kernel)
            assert per_kernel == sum(count for _, count in dilations)
            assert all(1 <= dilation and 8 * dilation < n_steps for dilation, _ in dilations)


def test_biases_are_quantiles_of_a_training_windows_convolution() -> None:
    """With one training window: the golden ratio's sequence of quantiles of what each kernel makes of it."""
    x = walks(40)[:1]

    biases = fit_biases(x, 1, np.random.default_rng(0))

    padded = np.pad(x[0], 4)
    for k in (0, 50, 83):
        weights = np.full(9, -1.0)
        weights[list(KERNELS[k])] = 2.0
        convolved = np.correlate(padded, weights.astype(np.float32), "valid")
        expected = np.quantile(convolved, ((k + 1) * (np.sqrt(5) + 1) / 2) % 1)
        np.testing.assert_allclose(expected, biases[k], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("shape", [(30, 8), (8, 30)])
def test_ridge_is_scikit_learns(shape: tuple[int, int]) -> None:
    """By either system of equations."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=shape), rng.normal(size=(shape[0], 2))

    found = ridge(x, y, np.array([0.1, 10.0]))

    for penalty, weights in zip((0.1, 10.0), found, strict=True):
        expected = Ridge(alpha=penalty, fit_intercept=False, solver="svd").fit(x, y).coef_.T
        np.testing.assert_allclose(expected, weights, rtol=1e-8, atol=1e-10)


def test_the_penalty_is_chosen_on_people_who_are_left_out() -> None:
    """A column that tells people apart fits each person's own windows and misleads on others: the large penalty is right for new people, the
    small one for windows of known people."""
    rng = np.random.default_rng(0)
    people = np.repeat(np.arange(50), 6)
    x = rng.normal(size=(50, 40))[people] + 0.1 * rng.normal(size=(300, 40))
    y = np.sign(rng.normal(size=50))[people][:, None]  # a class that the person decides: nothing to learn for others

    of_people, of_windows = best_penalty(x, y - y.mean(), groups_of(people)), best_penalty(x, y - y.mean(), np.arange(300) % 5)

    assert PENALTIES[-1] == of_people
    assert of_windows < 10


def test_groups_leave_out_people_or_stretches_of_one() -> None:
    """At most five groups, none of which shares a person with another if there are several."""
    people = np.repeat([3, 5, 8, 9, 11, 20], 4)
    groups = groups_of(people)
    assert [0, 1, 2, 3, 4, 0] == groups[::4].tolist()
    assert all(1 == len(np.unique(groups[people == person])) for person in people)
    assert [0, 0, 1, 1, 2, 2, 3, 3, 4, 4] == groups_of(np.zeros(10, dtype=int)).tolist()


@pytest.mark.parametrize(
    ("steps", "lengths", "problem"),
    [(1, None, "has a single step"), (20, [20, 20, 20, 7], "has windows of different lengths")],
)
def test_what_the_kernels_do_not_fit_is_refused(steps: int, lengths: list[int] | None, problem: str) -> None:
    """By the name of the channel."""
    batch = Batch({"a": torch.randn(4, steps, 1)}, {"a": torch.tensor(lengths)} if lengths else {})

    with pytest.raises(InvalidValueError, match=f"channel a {problem}"):
        build_estimator("minirocket", {"a": (steps, 1)}, 2).fit(batch, np.array([0, 1, 0, 1]))
