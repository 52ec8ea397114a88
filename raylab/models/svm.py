"""A support vector machine on statistics of each window: the usual first baseline of speech emotion recognition."""

from itertools import combinations

import numpy as np
import numpy.typing as npt
from scipy.special import expit
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.svm import SVC

from raylab.models.batch import Batch
from raylab.models.estimators import Array, Classes, Estimator, windows_of
from raylab.models.registry import CLASSICAL_MODELS, implements

C = 5.0
STILL = 1e-9  # a spread of this share of the mean is rounding, and the feature stands still
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


def statistics(batch: Batch, channels: list[str]) -> Array:
    """(n, 8 features of all channels): mean, standard deviation, the 5, 25, 50, 75 and 95% quantile and mean absolute step of each feature over
    the valid steps of each window; of a channel of one step its features alone. Not a number where a window lacks the channel."""
    found = []
    for name in channels:
        x, valid = windows_of(batch, name)
        if x.shape[1] == 1:
            found.append(np.where(valid, x[:, 0], np.nan))
            continue
        there, count = valid[:, :, None], valid.sum(axis=1)[:, None]
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = x.sum(axis=1, where=there) / count
            sd = np.sqrt(np.square(x - mean[:, None]).sum(axis=1, where=there) / count)
            steps = np.abs(np.diff(x, axis=1)).sum(axis=1, where=there[:, 1:]) / np.maximum(count - 1, 1)
        described = np.concatenate([mean, sd, *_quantiles(x, valid), steps], axis=1)
        described[count[:, 0] == 0] = np.nan
        found.append(described)
    return np.concatenate(found, axis=1)


def _quantiles(x: Array, valid: npt.NDArray[np.bool_]) -> list[Array]:
    """(n, n_features) of each quantile over the valid steps, between order statistics as numpy has it."""
    rising = np.sort(np.where(valid[:, :, None], x, np.inf), axis=1)
    rising[np.isinf(rising)] = 0.0  # beyond the last valid step, where no quantile lies
    last = np.maximum(valid.sum(axis=1) - 1, 0)
    found = []
    for share in QUANTILES:
        place = share * last
        below = np.floor(place).astype(int)
        low, high = (rising[np.arange(len(x)), at] for at in (below, np.minimum(below + 1, last)))
        found.append(low + (place - below)[:, None] * (high - low))
    return found


@implements(CLASSICAL_MODELS["svm"])
class SVM(Estimator):
    """scikit-learn's SVC (radial kernel, C = 5, gamma 'scale') on statistics normalized by the training windows; one machine for each pair of
    classes, as SVC itself does, so that their arrays can be stored.

    Of two classes a probability is the logistic of the decision. Of more, it is a class's share of the pairs' votes, which decide as in SVC, and
    the mean of its pairs' logistics, which breaks ties (Wu, Lin and Weng 2004, probability estimates for multi-class classification by
    pairwise coupling, section 2.2, have either alone). A missing channel counts as average: a machine has no masks.
    """

    def fit(self, batch: Batch, y: Classes) -> None:
        described = statistics(batch, self.channels)
        known = ~np.isnan(described)
        count = np.maximum(known.sum(axis=0), 1)
        mean = described.sum(axis=0, where=known) / count
        scale = np.sqrt(np.square(described - mean).sum(axis=0, where=known) / count)
        moves = scale > STILL * np.maximum(np.abs(mean), 1.0)
        self.arrays = {"mean": mean, "scale": np.where(moves, scale, 1.0), "classes": np.unique(y).astype(np.float64)}
        x = self._normalized(described)
        self.arrays["gamma"] = np.array([1.0 / (x.shape[1] * (x.var() or 1.0))])
        for one, other in combinations(np.unique(y), 2):
            rows = np.flatnonzero((y == one) | (y == other))
            machine = SVC(C=C, kernel="rbf", gamma=float(self.arrays["gamma"][0])).fit(x[rows], y[rows] == other)
            self.arrays[f"{one}_{other}.vectors"] = machine.support_vectors_
            self.arrays[f"{one}_{other}.coefficients"] = machine.dual_coef_[0]
            self.arrays[f"{one}_{other}.intercept"] = machine.intercept_

    def probabilities(self, batch: Batch) -> Array:
        x = self._normalized(statistics(batch, self.channels))
        classes = self.arrays["classes"].astype(int)
        p = np.zeros((len(x), self.n_classes))
        p[:, classes] = 1.0 if len(classes) == 1 else 0.0
        for one, other in combinations(classes, 2):
            vectors, weights, bias = (self.arrays[f"{one}_{other}.{part}"] for part in ("vectors", "coefficients", "intercept"))
            share = expit(rbf_kernel(x, vectors, gamma=self.arrays["gamma"][0]) @ weights + bias)
            soft, votes = share / (len(classes) - 1), float(len(classes) > 2)
            p[:, other] += soft + votes * (share > 0.5)
            p[:, one] += 1 / (len(classes) - 1) - soft + votes * (share <= 0.5)
        return np.asarray(p / p.sum(axis=1, keepdims=True))

    def _normalized(self, described: Array) -> Array:
        x = (described - self.arrays["mean"]) / self.arrays["scale"]
        return np.where(np.isnan(x), 0.0, x)
