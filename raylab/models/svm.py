"""``svm``: a support vector machine on statistics of each window, the usual first baseline of speech emotion recognition."""

from collections.abc import Mapping
from itertools import combinations

import numpy as np
from scipy.special import expit
from torch import Tensor

from raylab.models.batch import Batch
from raylab.models.estimators import Array, ArrayShape, Classes, Estimator, People, WindowShapes, n_first
from raylab.models.registry import CLASSICAL_MODELS, implements
from raylab.models.window_statistics import N_STATISTICS, n_columns, statistics

C = 5.0
STILL = 1e-9  # a standard deviation below this share of the mean is rounding: such a feature is constant and is not scaled


@implements(CLASSICAL_MODELS["svm"])
class SVM(Estimator):
    """scikit-learn's SVC (radial kernel, C = 5, gamma 'scale') on statistics that are normalized by the training windows.

    There is one machine for each pair of classes, as inside SVC, because SVC's own state cannot be stored without a pickle.

    With two classes the probability is the logistic function of the decision value. With more, a class gets its share of the pairs' votes, which
    decide as in SVC, plus the mean of its pairs' logistic values, which breaks ties (Wu, Lin and Weng 2004, probability estimates for
    multi-class classification by pairwise coupling, section 2.2, have either alone). Neither is a reliable probability. A missing channel counts
    as the average of the training windows: an SVM has no masks.
    """

    LIBRARIES = ("sklearn.svm",)

    def fit(self, batch: Batch, y: Classes, people: People | None = None, weights: Array | None = None) -> None:
        """Normalize the statistics and fit one machine for each pair of classes."""
        from sklearn.svm import SVC

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
            weight = None if weights is None else weights[rows]
            machine = SVC(C=C, kernel="rbf", gamma=float(self.arrays["gamma"][0])).fit(x[rows], y[rows] == positive, weight)
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
            logistic = expit(radial_kernel(x, vectors, self.arrays["gamma"][0]) @ weights + bias)
            # the logistic values of a class sum to at most 1, so they only decide between classes with equally many votes
            share, vote = logistic / (len(classes) - 1), float(len(classes) > 2)
            p[:, positive] += share + vote * (logistic > 0.5)
            p[:, negative] += 1 / (len(classes) - 1) - share + vote * (logistic <= 0.5)
        return np.asarray(p / p.sum(axis=1, keepdims=True))

    def feature_space(self, batch: Batch) -> Array:
        """Normalized statistics, (n, n_statistics)."""
        return self._normalized(statistics(batch, self.channels))

    def expected_shapes(self, windows: WindowShapes, n_learned: int, found: Mapping[str, Tensor]) -> dict[str, ArrayShape]:
        """The number of support vectors is the file's own."""
        width = n_columns(windows, N_STATISTICS)
        expected: dict[str, ArrayShape] = {"classes": (n_learned,), "mean": (width,), "scale": (width,), "gamma": (1,)}
        classes = found["classes"].int().tolist()
        for negative, positive in combinations(classes, 2):
            count = n_first(found, f"{negative}_{positive}.vectors")
            pair: dict[str, ArrayShape] = {"vectors": (count, width), "coefficients": (count,), "intercept": (1,)}
            expected |= {f"{negative}_{positive}.{part}": shape for part, shape in pair.items()}
        return expected

    def _normalized(self, features: Array) -> Array:
        x = (features - self.arrays["mean"]) / self.arrays["scale"]
        return np.where(np.isnan(x), 0.0, x)


def radial_kernel(x: Array, vectors: Array, gamma: float) -> Array:
    """exp(-gamma d²) of the distances d between rows, (n, n_vectors): the operations of scikit-learn's ``rbf_kernel`` in their order, so that the
    bits are equal and a prediction does not wait for scikit-learn."""
    squares = -2 * (x @ vectors.T)
    squares += np.einsum("ij,ij->i", x, x)[:, None]
    squares += np.einsum("ij,ij->i", vectors, vectors)[None, :]
    np.maximum(squares, 0.0, out=squares)
    squares *= -gamma
    return np.exp(squares, out=squares)
