"""Linear models on all channels of windows, on each alone and on all others, and each channel's mean: everyone held out in turn, no network."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pandas as pd

from analysis.scores.channel_scores import ALL, ALONE, MEAN, WITHOUT
from analysis.scores.metrics import auroc
from analysis.scores.order import auroc_halves
from raylab.models.estimators import Array, Classes
from raylab.models.linear_models import LDA
from raylab.models.rule import auroc_of_statistics

Times = npt.NDArray[np.float64]


def channel_predictions(
    statistics: Mapping[str, Array], means: Mapping[str, Array], y: Classes, person: Classes, n_classes: int
) -> dict[str, Array]:
    """Probabilities (n, n_classes) of ``lda`` on the statistics of all channels, of each one alone and of all others; and a score (n, 1), the
    mean of a channel, which is not trained at all (of labels of two classes).

    Args:
        statistics: channel to the statistics of each window, (n, n_statistics); none: no ``lda``.
        means: channel to the mean of each window, (n, 1).
        y, person: (n,) class and person of each window.
    """
    predictions = {}
    if statistics:
        predictions[ALL] = cross_predicted(np.hstack(list(statistics.values())), y, person, n_classes)
    for name in {**statistics, **means}:
        if n_classes == 2 and name in means:
            predictions[f"{MEAN} {name}"] = means[name]
        if name in statistics and len(statistics) > 1:
            predictions[f"{name} {ALONE}"] = cross_predicted(statistics[name], y, person, n_classes)
        if name in statistics and len(statistics) > 2:  # of two, each is what is left without the other
            others = np.hstack([other for channel, other in statistics.items() if channel != name])
            predictions[f"{WITHOUT} {name}"] = cross_predicted(others, y, person, n_classes)
    return predictions


def cross_predicted(x: Array, y: Classes, person: Classes, n_classes: int) -> Array:
    """Probabilities (n, n_classes) of the windows of each person by ``lda`` on the statistics (n, n_statistics) of all others; even ones where
    they have no two windows of two classes to learn from."""
    p = np.full((len(y), n_classes), 1 / n_classes)
    for target in np.unique(person):
        held_out = person == target
        model = LDA([], n_classes, seed=0)
        if len(np.unique(y[~held_out])) > 1:
            model.fit_statistics(x[~held_out], y[~held_out])
            p[held_out] = model.probabilities_of(x[held_out])
    return p


def scores_of_people(
    predictions: Mapping[str, Array], y: Classes, person: Classes, names: Mapping[int, str], time: Times | None
) -> pd.DataFrame:
    """``model``, ``participant``, ``auroc``, ``later``, ``earlier``: one row per model and person of ``names``; halves of the pairs in which the
    class came later, or earlier, missing without times and without such pairs."""
    rows = []
    for model, p in predictions.items():
        for k, name in names.items():
            mine = person == k
            later, earlier = (np.nan, np.nan) if time is None else _halves(y[mine], p[mine], time[mine])
            rows.append((model, name, auroc_of(y[mine], p[mine]), later, earlier))
    return pd.DataFrame(rows, columns=["model", "participant", "auroc", "later", "earlier"])


def auroc_of(y: Classes, p: Array) -> float:
    """AUROC of probabilities (n, n_classes), or of a score (n, 1) for class 1; NaN if a class is absent."""
    if p.shape[1] > 1:
        return auroc(y, p)
    if len(np.unique(y)) < 2:
        return np.nan
    return float(auroc_of_statistics(p, y == 1, np.zeros(len(y), dtype=np.int64))[0])


def _halves(y: Classes, p: Array, time: Times) -> tuple[float, float]:
    if p.shape[1] <= 2:
        return auroc_halves(y == 1, p[:, -1], time)
    later, earlier = np.mean([auroc_halves(y == k, p[:, k], time) for k in range(p.shape[1])], axis=0)
    return float(later), float(earlier)
