"""Classifiers of scikit-learn, and estimators with its interface, as models of a study: a plugin lists them (docs/extend.md).

A fitted estimator can be stored as a pickle only, and raylab opens none (decision 0020). So its stage file holds what it was fitted on, as plain
arrays, and whoever loads the stage fits the same estimator on them again. That works for every estimator, costs a second fit for a stage that
another process trained, and is right only if equal windows give an equal estimator: some of its probabilities are stored too, and an
estimator that gives others is refused.
"""

import json
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.special import expit
from threadpoolctl import threadpool_limits
from torch import Tensor

from raylab.errors import InvalidValueError, shown
from raylab.models.estimators import Array, ArrayShape, Classes, People, n_first, softmax
from raylab.models.registry import ClassicalModel
from raylab.models.statistics_model import StatisticsModel

REMEMBERED = 16  # training windows whose probabilities are stored, to know the estimator again
TOLERANCE = 1e-6  # of a probability: another processor may round a sum otherwise
ADDRESS = re.compile(r"\b0x[0-9a-fA-F]{4,}")
PLAIN = (str, int, float, bool, type(None))


@dataclass(frozen=True)
class ScikitLearnModel(ClassicalModel):
    """A classifier of scikit-learn as a model that a study may name, among ``CLASSICAL_MODELS`` of a plugin.

    It sees what raylab's ``lda`` sees: ten statistics of each feature of a window, standardized by the windows that it is fitted on, without those
    that do not vary there, a missing one as their mean. Its class, its parameters and the versions of its libraries are part of the hash of the
    stages that it is fitted in. Each ``random_state`` that is None gets the seed of the fold, and an ``n_jobs`` that is given becomes 1, because a
    trial has one processor.

    Attributes:
        name: what a study writes as ``encoder``.
        description: a line for ``raylab models``.
        estimator: a classifier with ``fit``, and ``predict_proba`` or ``decision_function``; it is cloned and never fitted itself. The logistic
            function, or the softmax, of decision values ranks windows and is no reliable probability.
        has_space: whether it decides by distances or directions among the statistics, so that ``prototypes`` may put class means in its place.
        weighs: whether its ``fit`` takes weights of windows (of a pipeline: that of its last step); found out, not given.
        needs, follows_steps, variable: see ``ClassicalModel``; left as they are.

    Raises:
        InvalidValueError: if the estimator has not these methods, cannot be cloned, or has a parameter whose text is another in each process
            (a function, a generator of random numbers): the stage's hash could not know it again.

    Units:
        statistics are standardized, so without a unit.

    Source:
        docs/extend.md, A classifier of scikit-learn; the interface is scikit-learn's, of a classifier.
    """

    estimator: Any = field(default=None, kw_only=True, compare=False)

    def __post_init__(self) -> None:
        refuse_other_estimators(self.name, self.estimator)
        object.__setattr__(self, "weighs", bool(weight_argument(self.estimator)))
        _ = self.identity

    @property
    def identity(self) -> str:
        """The estimator for the hash of its stages: class, parameters and versions, as canonical JSON."""
        import sklearn

        modules = {"sklearn", type(self.estimator).__module__.split(".")[0]}
        versions = {name: version for name in sorted(modules) if (version := getattr(sys.modules.get(name), "__version__", ""))}
        described = {**_described(self.estimator, f"{self.name}: "), "versions": {**versions, "sklearn": sklearn.__version__}}
        return json.dumps(described, sort_keys=True)

    def build(self, *arguments: Any) -> "FittedOnStatistics":
        """A model that has seen nothing.

        Args:
            arguments: names of the channels, number of classes, and seed.

        Returns:
            the model.

        Source:
            ``raylab.models.registry.Declaration``.
        """
        return FittedOnStatistics(self, *arguments)


def refuse_other_estimators(name: str, estimator: Any) -> None:
    """Refuse what cannot be a model: each reason with its remedy.

    Raises:
        InvalidValueError: naming the model.
    """
    from sklearn.base import clone, is_regressor

    if isinstance(estimator, type) or not hasattr(estimator, "fit"):
        raise InvalidValueError(
            f"{name}: estimator is {shown(estimator)}, expected a classifier such as sklearn.neighbors.KNeighborsClassifier(15)"
        )
    if not hasattr(estimator, "get_params"):
        raise InvalidValueError(
            f"{name}: {type(estimator).__name__} has no get_params; make it a sklearn.base.BaseEstimator and a ClassifierMixin"
        )
    if is_regressor(estimator) or not (hasattr(estimator, "predict_proba") or hasattr(estimator, "decision_function")):
        raise InvalidValueError(
            f"{name}: {type(estimator).__name__} has neither predict_proba nor decision_function, so it cannot rank windows; "
            "give a classifier that has one, or wrap it in sklearn.calibration.CalibratedClassifierCV"
        )
    try:
        clone(estimator)
    except Exception as error:  # another's code may raise anything
        raise InvalidValueError(
            f"{name}: {type(estimator).__name__} cannot be cloned ({type(error).__name__}: {error}); its __init__ may only keep its arguments"
        ) from error


def weight_argument(estimator: Any) -> str:
    """The argument of ``fit`` that takes weights of windows, ``step__sample_weight`` for a pipeline; empty if there is none."""
    from sklearn.pipeline import Pipeline
    from sklearn.utils.validation import has_fit_parameter

    if isinstance(estimator, Pipeline):
        step, last = estimator.steps[-1]
        return f"{step}__sample_weight" if weight_argument(last) == "sample_weight" else ""
    return "sample_weight" if has_fit_parameter(estimator, "sample_weight") else ""


def _described(value: Any, place: str) -> Any:
    """A parameter as plain JSON that is the same in every process.

    Raises:
        InvalidValueError: naming the parameter, if its text holds an address in memory.
    """
    if isinstance(value, np.generic | np.ndarray):
        value = value.tolist()  # JSON writes each number so that it is read as the same one
    if isinstance(value, PLAIN):
        return value
    if isinstance(value, list | tuple):
        return [_described(part, place) for part in value]
    if isinstance(value, dict):
        return sorted(([_described(key, place), _described(part, place)] for key, part in value.items()), key=json.dumps)
    if hasattr(value, "get_params") and not isinstance(value, type):
        parameters = {name: part for name, part in value.get_params(deep=False).items() if name != "n_jobs"}
        own = {name: _described(part, f"{place}{name} of {type(value).__name__}, ") for name, part in parameters.items()}
        return {"class": f"{type(value).__module__}.{type(value).__qualname__}", "parameters": own}
    return _stable_text(value, place.removesuffix(", "))


def _stable_text(value: Any, place: str) -> str:
    text = repr(value)
    if ADDRESS.search(text):
        raise InvalidValueError(
            f"{place} is {shown(value)}, which is another text in each process, so that the stages fitted with it could not be "
            "known again; give a number, a text, a list or an estimator (for random_state an integer, or None for the seed of the fold; for a "
            "function, an estimator of your own that has it as a method)"
        )
    return text


class FittedOnStatistics(StatisticsModel):
    """An estimator that was fitted on standardized statistics, and can be fitted on them again from its arrays.

    ``arrays``: ``fitted.x`` (n, n_kept), ``fitted.target`` (n,), ``fitted.weights`` (n, or 0 without weights), ``fitted.seed`` (1,), and
    ``fitted.p`` (at most 16, n_learned), probabilities of the first windows.
    """

    def __init__(self, declared: ScikitLearnModel, channels: list[str], n_classes: int, seed: int) -> None:
        super().__init__(channels, n_classes, seed)
        self.declared = declared
        self._fitted: Any = None

    def learn(self, x: Array, target: Classes, people: People, weights: Array | None = None) -> dict[str, Array]:
        """Fit a clone of the estimator; the arrays are what it was fitted on.

        Raises:
            InvalidValueError: with the estimator's own message, if it cannot be fitted on these windows or gives no probabilities.
        """
        fitted_on = {
            "fitted.x": np.ascontiguousarray(x),
            "fitted.target": target.astype(np.float64),
            "fitted.weights": np.zeros(0) if weights is None else np.asarray(weights, dtype=np.float64),
            "fitted.seed": np.array([float(self.seed % 2**31)]),
        }
        self._fitted = self._fit_on(fitted_on)
        return {**fitted_on, "fitted.p": self.predict(x[:REMEMBERED])}

    def predict(self, x: Array) -> Array:
        """Probabilities (n, n_learned_classes) of standardized statistics (n, n_kept), from the estimator's own methods.

        Raises:
            InvalidValueError: if they are no probabilities, or the estimator is another one than was stored.
        """
        if self._fitted is None:
            self._fitted = self._fit_again()
        return self._of(self._fitted, x)

    def learned_shapes(self, n_kept: int, n_learned: int, found: Mapping[str, Tensor]) -> dict[str, ArrayShape]:
        """The number of windows is the file's own."""
        n = n_first(found, "fitted.x")
        weights = n if n_first(found, "fitted.weights") else 0
        shapes: dict[str, ArrayShape] = {"fitted.x": (n, n_kept), "fitted.target": (n,), "fitted.weights": (weights,)}
        return {**shapes, "fitted.seed": (1,), "fitted.p": (min(n, REMEMBERED), n_learned)}

    def load_parts(self, state: Mapping[str, Tensor]) -> None:
        """Take over the arrays that ``state_of`` gave; the estimator is fitted again if something is predicted."""
        self._fitted = None
        super().load_parts(state)

    def _fit_again(self) -> Any:
        fitted, expected = self._fit_on(self.arrays), self.arrays["fitted.p"]
        off = float(np.abs(self._of(fitted, self.arrays["fitted.x"][: len(expected)]) - expected).max(initial=0.0))
        if not off <= TOLERANCE:
            raise InvalidValueError(
                f"{self.declared.name}: fitted again on its stored windows, {type(fitted).__name__} gives other probabilities (by up to {off:.2g}), "
                "so equal windows do not give an equal estimator; give it a random_state, or a setting that draws nothing"
            )
        return fitted

    def _fit_on(self, arrays: Mapping[str, Array]) -> Any:
        from sklearn.base import clone

        estimator, seed = clone(self.declared.estimator), int(arrays["fitted.seed"][0])
        parameters = estimator.get_params()
        changes = {name: seed for name, value in parameters.items() if _is(name, "random_state") and value is None}
        changes |= {name: 1 for name, value in parameters.items() if _is(name, "n_jobs") and value is not None}
        weights = {weight_argument(estimator): arrays["fitted.weights"]} if len(arrays["fitted.weights"]) else {}
        x, target = arrays["fitted.x"], arrays["fitted.target"].astype(np.int64)
        try:
            with threadpool_limits(1):
                return estimator.set_params(**changes).fit(x, target, **weights)
        except Exception as error:  # another's code may raise anything
            raise InvalidValueError(
                f"{self.declared.name}: {type(estimator).__name__} cannot be fitted on {len(x)} windows of {len(np.unique(target))} classes "
                f"and {x.shape[1]} statistics ({type(error).__name__}: {error})"
            ) from error

    def _of(self, fitted: Any, x: Array) -> Array:
        """Probabilities of a fitted estimator, (n, n_learned)."""
        n_learned = len(self.arrays["classes"])
        p = _probabilities(fitted, x) if len(x) else np.zeros((0, n_learned))
        sound = p.shape == (len(x), n_learned) and np.isfinite(p).all() and (p >= 0).all()
        if not sound or not np.allclose(p.sum(axis=1), 1.0, atol=1e-3):
            raise InvalidValueError(
                f"{self.declared.name}: {type(fitted).__name__} gave {shown(p.tolist())} of shape {p.shape} for {len(x)} windows of {n_learned} "
                "classes, expected a probability for each class, which sum to 1; its decision_function has to have a column for each class too"
            )
        return np.asarray(p / p.sum(axis=1, keepdims=True))


def _is(parameter: str, name: str) -> bool:
    """Whether it is this parameter, of the estimator or of one within it."""
    return parameter == name or parameter.endswith(f"__{name}")


def _probabilities(fitted: Any, x: Array) -> Array:
    if hasattr(fitted, "predict_proba"):
        return np.asarray(fitted.predict_proba(x), dtype=np.float64)
    scores = np.asarray(fitted.decision_function(x), dtype=np.float64)
    if scores.ndim > 1:
        return softmax(scores)
    p = expit(scores)
    return np.stack([1 - p, p], axis=1)
