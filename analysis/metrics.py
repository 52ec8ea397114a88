"""Predictions to numbers: one function a metric, arrays in, a float out (NaN where it is undefined).

Shapes: ``y`` (n,) class indices; ``p`` (n, n_classes) probabilities.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

Classes = npt.NDArray[np.integer]
Probabilities = npt.NDArray[np.floating]


def _auroc_of(positive: npt.NDArray[np.bool_], score: npt.NDArray[np.floating]) -> float:
    """Mann-Whitney form, ties count half; NaN where one class only is present."""
    n1 = int(positive.sum())
    n0 = len(positive) - n1
    if not n1 or not n0:
        return float("nan")
    ranks = rankdata(score)
    return float((ranks[positive].sum() - n1 * (n1 + 1) / 2) / (n1 * n0))


def auroc(y: Classes, p: Probabilities) -> float:
    """Two classes: of the probability of class 1. More: one-vs-rest, macro over the classes, undefined if one is absent.

    Never 0.5 or 0 where the test windows hold one class only: that is missing (NaN).
    """
    if p.shape[1] == 2:
        return _auroc_of(y == 1, p[:, 1])
    return float(np.mean([_auroc_of(y == k, p[:, k]) for k in range(p.shape[1])]))


def accuracy(y: Classes, p: Probabilities) -> float:
    """Share of windows whose most probable class is the true one."""
    return float((p.argmax(axis=1) == y).mean()) if len(y) else float("nan")


def _counts(y: Classes, p: Probabilities) -> tuple[npt.NDArray[np.float64], ...]:
    """Per class: true positives, predicted, true."""
    guess, k = p.argmax(axis=1), p.shape[1]
    hits = np.bincount(y[guess == y], minlength=k)
    return hits.astype(float), np.bincount(guess, minlength=k).astype(float), np.bincount(y, minlength=k).astype(float)


def _macro(top: npt.NDArray[np.float64], bottom: npt.NDArray[np.float64], present: npt.NDArray[np.bool_]) -> float:
    """Mean over the classes that occur (in the truth or the guesses, as scikit-learn takes them); 0 where a class has no denominator."""
    if not present.any():
        return float("nan")
    return float(np.divide(top, bottom, out=np.zeros_like(top), where=bottom > 0)[present].mean())


def f1_macro(y: Classes, p: Probabilities) -> float:
    hits, guessed, true = _counts(y, p)
    return _macro(2 * hits, guessed + true, (guessed + true) > 0)


def precision_macro(y: Classes, p: Probabilities) -> float:
    hits, guessed, true = _counts(y, p)
    return _macro(hits, guessed, (guessed + true) > 0)


def recall_macro(y: Classes, p: Probabilities) -> float:
    hits, guessed, true = _counts(y, p)
    return _macro(hits, true, (guessed + true) > 0)


METRICS: dict[str, Callable[[Classes, Probabilities], float]] = {
    "accuracy": accuracy,
    "f1_macro": f1_macro,
    "precision_macro": precision_macro,
    "recall_macro": recall_macro,
    "auroc": auroc,
}
