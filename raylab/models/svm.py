"""``svm``: a support vector machine on statistics of each window, the usual first baseline of speech emotion recognition."""

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
STILL = 1e-9  # a standard deviation below this share of the mean is rounding: such a feature is constant and is not scaled
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


def statistics(batch: Batch, channels: list[str]) -> Array:
    """Statistics of each window, (n, n_statistics), the channels one after the other; NaN for a channel that a window lacks.

    For each feature of a channel there are 8, over the valid steps: mean, standard deviation, the 5, 25, 50, 75 and 95% quantiles, and the
    mean absolute step. A channel of a single step gives its features as they are. How these statistics were chosen:
    docs/decisions/0015-masks-and-fusion.md.
    """
    columns = []
    for name in channels:
        x, valid = windows_of(batch, name)
        if x.shape[1] == 1:
            columns.append(np.where(valid, x[:, 0], np.nan))
            continue
        mask, count = valid[:, :, None], valid.sum(axis=1)[:, None]
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = x.sum(axis=1, where=mask) / count
            sd = np.sqrt(np.square(x - mean[:, None]).sum(axis=1, where=mask) / count)
            steps = np.abs(np.diff(x, axis=1)).sum(axis=1, where=mask[:, 1:]) / np.maximum(count - 1, 1)
        features = np.concatenate([mean, sd, *_quantiles(x, valid), steps], axis=1)
        features[count[:, 0] == 0] = np.nan
        columns.append(features)
    return np.concatenate(columns, axis=1)


def _quantiles(x: Array, valid: npt.NDArray[np.bool_]) -> list[Array]:
    """Each quantile over the valid steps, (n, n_features), interpolated between order statistics as ``numpy.quantile`` does.

    Windows have different numbers of valid steps, so one sort and a position per window replace a call for each window.
    """
    ordered = np.sort(np.where(valid[:, :, None], x, np.inf), axis=1)
    ordered[np.isinf(ordered)] = 0.0  # beyond the last valid step, where no quantile lies
    last = np.maximum(valid.sum(axis=1) - 1, 0)
    quantiles = []
    for share in QUANTILES:
        position = share * last
        below = np.floor(position).astype(int)
        low, high = (ordered[np.arange(len(x)), rank] for rank in (below, np.minimum(below + 1, last)))
        quantiles.append(low + (position - below)[:, None] * (high - low))
    return quantiles


@implements(CLASSICAL_MODELS["svm"])
class SVM(Estimator):
    """scikit-learn's SVC (radial kernel, C = 5, gamma 'scale') on statistics that are normalized by the training windows.

    There is one machine for each pair of classes, as inside SVC, because SVC's own state cannot be stored without a pickle.

    With two classes the probability is the logistic function of the decision value. With more, a class gets its share of the pairs' votes, which
    decide as in SVC, plus the mean of its pairs' logistic values, which breaks ties (Wu, Lin and Weng 2004, probability estimates for
    multi-class classification by pairwise coupling, section 2.2, have either alone). Neither is a reliable probability. A missing channel counts
    as the average of the training windows: an SVM has no masks.
    """

    def fit(self, batch: Batch, y: Classes) -> None:
        """Normalize the statistics and fit one machine for each pair of classes."""
        features = statistics(batch, self.channels)
        present = ~np.isnan(features)
        count = np.maximum(present.sum(axis=0), 1)
        # What no training window has stays missing: a value of it in a test window has no scale.
        mean = np.where(present.any(axis=0), features.sum(axis=0, where=present) / count, np.nan)
        scale = np.sqrt(np.square(features - mean).sum(axis=0, where=present) / count)
        varies = scale > STILL * np.maximum(np.abs(mean), 1.0)
        self.arrays = {"mean": mean, "scale": np.where(varies, scale, 1.0), "classes": np.unique(y).astype(np.float64)}
        x = self._normalized(features)
        self.arrays["gamma"] = np.array([1.0 / (x.shape[1] * (x.var() or 1.0))])
        for negative, positive in combinations(np.unique(y), 2):
            rows = np.flatnonzero((y == negative) | (y == positive))
            machine = SVC(C=C, kernel="rbf", gamma=float(self.arrays["gamma"][0])).fit(x[rows], y[rows] == positive)
            self.arrays[f"{negative}_{positive}.vectors"] = machine.support_vectors_
            self.arrays[f"{negative}_{positive}.coefficients"] = machine.dual_coef_[0]
            self.arrays[f"{negative}_{positive}.intercept"] = machine.intercept_

    def probabilities(self, batch: Batch) -> Array:
        """Probabilities (n, n_classes) from the stored machines alone."""
        x = self._normalized(statistics(batch, self.channels))
        classes = self.arrays["classes"].astype(int)
        p = np.zeros((len(x), self.n_classes))
        p[:, classes] = 1.0 if len(classes) == 1 else 0.0
        for negative, positive in combinations(classes, 2):
            vectors, weights, bias = (
                self.arrays[f"{negative}_{positive}.{part}"] for part in ("vectors", "coefficients", "intercept")
            )
            logistic = expit(rbf_kernel(x, vectors, gamma=self.arrays["gamma"][0]) @ weights + bias)
            # the logistic values of a class sum to at most 1, so they only decide between classes with equally many votes
            share, vote = logistic / (len(classes) - 1), float(len(classes) > 2)
            p[:, positive] += share + vote * (logistic > 0.5)
            p[:, negative] += 1 / (len(classes) - 1) - share + vote * (logistic <= 0.5)
        return np.asarray(p / p.sum(axis=1, keepdims=True))

    def _normalized(self, features: Array) -> Array:
        x = (features - self.arrays["mean"]) / self.arrays["scale"]
        return np.where(np.isnan(x), 0.0, x)
