"""The arrays of a fitted model give scikit-learn's own probabilities; what a file holds in their place is refused."""

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch
from builders.classical import CLASSES, batch_for, made_batch, some_of
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.preprocessing import StandardScaler

from raylab.errors import InvalidValueError
from raylab.live.core.model_bounds import other_weights
from raylab.models.batch import Batch
from raylab.models.build import build_estimator
from raylab.models.network import PARTS, ModelSpec
from raylab.models.registry import CLASSICAL_MODELS
from raylab.models.svm import radial_kernel
from raylab.models.tree_models import tree_arrays
from raylab.models.window_statistics import extended_statistics

SHAPES = {"a": (20, 2), "b": (9, 1)}
SEED = 11
THEIRS: dict[str, Any] = {
    "lda": LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto"),
    "logistic": LogisticRegression(max_iter=2000),
    "random_forest": RandomForestClassifier(200, random_state=SEED),
    "gradient_boosting": HistGradientBoostingClassifier(early_stopping=False, random_state=SEED),
}


def many(copies: int = 4) -> tuple[Batch, Any]:
    """120 windows, with noise of their own: boosting splits no group of fewer than 20."""
    once, noise = made_batch(), torch.Generator().manual_seed(2)
    values = {name: torch.cat([x] * copies) for name, x in once.values.items()}
    a = values["a"] + torch.randn(values["a"].shape, generator=noise)
    return Batch({**values, "a": a}, {"b": torch.cat([once.lengths["b"]] * copies)}), np.tile(CLASSES, copies)


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("name", THEIRS)
def test_probabilities_are_scikit_learns(name: str, classes: int) -> None:
    """On the same standardized statistics, for windows that were not fitted too."""
    batch, y = many()
    fitted = (y < classes) & (np.arange(120) % 4 > 0)
    few, other, y = some_of(batch, fitted), some_of(batch, ~fitted), y[fitted]
    model = build_estimator(name, SHAPES, classes, SEED)
    scaler = StandardScaler().fit(extended_statistics(few, ["a", "b"]))

    model.fit(few, y)
    theirs = THEIRS[name].fit(scaler.transform(extended_statistics(few, ["a", "b"])), y)

    for windows in (few, other):
        expected = theirs.predict_proba(scaler.transform(extended_statistics(windows, ["a", "b"])))
        np.testing.assert_allclose(expected, model.probabilities(windows), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", [*THEIRS, "ridge"])
def test_models_learn_what_120_windows_tell(name: str) -> None:
    """Boosting too, which says of fewer than 40 windows no more than the shares of their classes."""
    batch, y = many()
    model = build_estimator(name, SHAPES, 3)
    model.fit(batch, y)
    assert (model.probabilities(batch).argmax(axis=1) == y).mean() > 0.9


@pytest.mark.parametrize("classes", [2, 3])
def test_ridge_is_the_logistic_function_of_scikit_learns_decision(classes: int) -> None:
    """Or the softmax of all decision values: scikit-learn itself has no probabilities for it."""
    batch, y = many()
    rows = np.flatnonzero(y < classes)
    model = build_estimator("ridge", SHAPES, classes)
    x = StandardScaler().fit_transform(extended_statistics(some_of(batch, rows), ["a", "b"]))
    model.fit(some_of(batch, rows), y[rows])

    decision = RidgeClassifier().fit(x, y[rows]).decision_function(x)

    scores = np.stack([np.zeros(len(rows)), decision], axis=1) if classes == 2 else decision
    expected = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(expected, model.probabilities(some_of(batch, rows)), rtol=1e-9)


def test_the_svms_kernel_has_scikit_learns_bits() -> None:
    """Published scores were computed with theirs."""
    rng = np.random.default_rng(0)
    x, vectors = rng.normal(size=(70, 48)), rng.normal(size=(33, 48))
    np.testing.assert_array_equal(rbf_kernel(x, vectors, gamma=0.02), radial_kernel(x, vectors, 0.02))


def test_lda_needs_more_windows_than_classes() -> None:
    """It says so."""
    batch = some_of(made_batch(), np.array([0, 1]))
    with pytest.raises(InvalidValueError, match="2 windows of 2 classes have no covariance"):
        build_estimator("lda", SHAPES, 3).fit(batch, np.array([0, 1]))


def test_building_models_does_not_load_scikit_learn() -> None:
    """It takes seconds, and a worker that trains networks needs none of it."""
    code = "import raylab.models.build, raylab.training.loop, sys; print('sklearn' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert "False" == result.stdout.strip()


@pytest.mark.parametrize("classes", [1, 2, 3])
@pytest.mark.parametrize("name", [name for name in CLASSICAL_MODELS if name != "hmm_gmm"])
def test_a_file_is_known_by_its_shapes(name: str, classes: int) -> None:
    """The arrays of a fitted model are what a model file may hold; those for other channels, one more or one less are not."""
    model, batch = build_estimator(name, SHAPES, 3), batch_for(name)
    model.fit(batch, CLASSES % classes)
    spec, state = ModelSpec(name), model.state_of(PARTS)

    assert [] == other_weights(spec, SHAPES, 3, False, state)
    assert other_weights(spec, {**SHAPES, "b": (9, 2)}, 3, False, state)
    assert other_weights(spec, SHAPES, 3, False, {**state, "more": torch.zeros(1, dtype=torch.float64)})
    assert all(other_weights(spec, SHAPES, 3, False, {k: v for k, v in state.items() if k != left_out}) for left_out in state)


@pytest.mark.parametrize(
    ("name", "array", "value"),
    [
        ("lda", "kept", 30.0),
        ("lda", "kept", float("nan")),
        ("rule", "chosen", -1.0),
        ("random_forest", "right", 0.0),
        ("random_forest", "right", 1e9),
        ("random_forest", "split", 99.0),
        ("random_forest", "split", -1e6),
        ("gradient_boosting", "roots", 0.5),
    ],
)
def test_numbers_that_lead_nowhere_are_refused(name: str, array: str, value: float) -> None:
    """A model file may hold anything: a tree that led back to itself would be walked for ever."""
    batch, y = many()
    model = build_estimator(name, SHAPES, 3)
    model.fit(batch, y)
    state = {key: tensor.clone() for key, tensor in model.state_of(PARTS).items()}
    state[array][0] = value

    with pytest.raises(InvalidValueError, match="of a classical model"):
        build_estimator(name, SHAPES, 3).load_parts(state)


def test_trees_in_another_order_are_refused() -> None:
    """If scikit-learn stored them so, predictions would silently be others."""
    leaf, value = -1, np.zeros((3, 1))
    left, right = np.array([2, -1, -1]), np.array([1, -1, -1])
    with pytest.raises(RuntimeError, match="depth-first"):
        tree_arrays([(np.array([0, leaf, leaf]), np.zeros(3), left, right, value)])
