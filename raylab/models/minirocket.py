"""``minirocket``: random convolution kernels on every channel, and ridge regression on their features."""

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import numpy.typing as npt
from scipy.linalg import cho_factor, cho_solve
from torch import Tensor

from raylab.errors import InvalidValueError
from raylab.models.batch import Batch
from raylab.models.estimators import Array, ArrayShape, Classes, People, WindowShapes, windows_of
from raylab.models.linear_models import LinearModel
from raylab.models.random_kernels import KERNELS, LENGTH, fit_biases, shares_above
from raylab.models.registry import CLASSICAL_MODELS, implements

FEATURES = 9996  # of all columns of all channels together, the paper's 84 x 119
PENALTIES = np.logspace(-3, 3, 10)  # the paper's
GROUPS = 5


@implements(CLASSICAL_MODELS["minirocket"])
class MiniRocket(LinearModel):
    """MiniROCKET of each column of each channel, standardized by the training windows, and a ridge classifier.

    Dempster, Schmidt and Webb 2021, sections 3 and 4. Departures: the 9,996 features are shared evenly among the columns, each of which has
    kernels of its own (channels have different rates), and the ridge penalty, one of the paper's ten, is the one with the smallest squared error on
    training people that are left out in five groups, not on left-out windows: windows of one person overlap, so leaving out one of them tells
    nothing. Windows of one person are left out in five stretches.

    The decision value becomes a probability by the logistic function or softmax; it ranks windows and is no reliable probability.
    """

    LIBRARIES: ClassVar[tuple[str, ...]] = ("scipy.linalg",)

    def look(self, batch: Batch) -> dict[str, Array]:
        """Biases of the kernels, from training windows.

        Raises:
            InvalidValueError: if a channel has windows of different lengths, or of a single step.
        """
        n_features = {name: batch.values[name].shape[2] for name in self.channels}
        per_kernel = _per_kernel(n_features)
        rng = np.random.default_rng(self.seed)
        biases = []
        for channel in self.channels:
            x, whole = _whole_windows(batch, channel)
            for column in range(n_features[channel]):
                # of a channel that no training window has, the kernels see zeros, and its features are dropped
                windows = x[whole, :, column] if whole.any() else x[:1, :, column]
                biases.append(fit_biases(windows, per_kernel, rng))
        return {"biases": np.concatenate(biases).astype(np.float64)}

    def describe(self, batch: Batch) -> Array:
        """Features (n, 84 * kernels' features * columns); NaN for a channel that a window lacks."""
        n_features = {name: batch.values[name].shape[2] for name in self.channels}
        per_kernel = _per_kernel(n_features)
        biases = self.arrays["biases"].astype(np.float32).reshape(-1, len(KERNELS) * per_kernel)
        columns, place = [], 0
        for channel in self.channels:
            x, whole = _whole_windows(batch, channel)
            for column in range(n_features[channel]):
                features = shares_above(x[:, :, column], biases[place], per_kernel)
                features[~whole] = np.nan
                columns.append(features)
                place += 1
        return np.concatenate(columns, axis=1).astype(np.float64)

    def learn(self, x: Array, target: Classes, people: People, weights: Array | None = None) -> dict[str, Array]:
        """Choose the penalty on people that are left out, and fit all."""
        n_learned = int(target.max()) + 1
        y = np.where(target[:, None] == np.arange(n_learned), 1.0, -1.0)[:, 1 if n_learned == 2 else 0 :]
        intercept = y.mean(axis=0)
        penalty = best_penalty(x, y - intercept, groups_of(people))
        return {
            "coefficients": ridge(x, y - intercept, np.array([penalty]))[0].T,
            "intercept": intercept,
            "penalty": np.array([penalty]),
        }

    def n_described(self, windows: WindowShapes) -> int:
        """84 kernels for every column, with equally many features each."""
        n_features = {name: columns for name, (_, columns) in windows.items()}
        return len(KERNELS) * _per_kernel(n_features) * sum(n_features.values())

    def looked_shapes(self, windows: WindowShapes) -> dict[str, ArrayShape]:
        """One bias for each feature."""
        return {"biases": (self.n_described(windows),)}

    def learned_shapes(self, n_kept: int, n_learned: int, found: Mapping[str, Tensor]) -> dict[str, ArrayShape]:
        """Those of a linear model, and the penalty."""
        return super().learned_shapes(n_kept, n_learned, found) | {"penalty": (1,)}


def groups_of(people: People) -> npt.NDArray[np.int64]:
    """Which of at most five groups each window is left out with: people in turn, or stretches of the windows of one."""
    known, position = np.unique(people, return_inverse=True)
    if len(known) > 1:
        return np.asarray(position % GROUPS)
    return np.arange(len(people)) * GROUPS // len(people)


def best_penalty(x: Array, y: Array, groups: npt.NDArray[np.int64]) -> float:
    """The penalty with the smallest squared error on windows of groups that are left out, each in turn; of equals the largest.

    Args:
        x: (n, n_features) standardized.
        y: (n, n_values) targets, of mean 0.
    """
    error = np.zeros(len(PENALTIES))
    for group in np.unique(groups):
        left_out = groups == group
        if left_out.all():
            continue
        weights = ridge(x[~left_out], y[~left_out], PENALTIES)
        error += [np.square(x[left_out] @ w - y[left_out]).sum() for w in weights]
    return float(PENALTIES[len(error) - 1 - int(error[::-1].argmin())])


def ridge(x: Array, y: Array, penalties: Array) -> list[Array]:
    """Ridge regression without an intercept for each penalty, (n_features, n_values), by the smaller of the two systems of equations."""
    n, p = x.shape
    wide = p > n
    product = x @ x.T if wide else x.T @ x
    right = y if wide else x.T @ y
    solutions = []
    for penalty in penalties:
        system = product.copy()
        np.fill_diagonal(system, system.diagonal() + penalty)
        solved = cho_solve(cho_factor(system, overwrite_a=True, check_finite=False), right, check_finite=False)
        solutions.append(x.T @ solved if wide else solved)
    return solutions


def _per_kernel(n_features: Mapping[str, int]) -> int:
    """Features of a kernel on one column."""
    return max(1, FEATURES // len(KERNELS) // sum(n_features.values()))


def _whole_windows(batch: Batch, channel: str) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    """A channel's windows (n, length, n_features), and which of them have it (n,). Short ones get zeros up to the length of a kernel.

    Raises:
        InvalidValueError: if windows differ in length, or have a single step, which is nothing to convolve.
    """
    x, valid = windows_of(batch, channel)
    whole = np.asarray(valid.all(axis=1))
    single = x.shape[1] == 1
    if single or (valid.any(axis=1) & ~whole).any():
        problem = "has a single step" if single else "has windows of different lengths"
        raise InvalidValueError(
            f"minirocket: channel {channel} {problem}; it needs windows of one length: leave the channel out"
        )
    short = max(LENGTH - x.shape[1], 0)
    return np.pad(x.astype(np.float32), ((0, 0), (0, short), (0, 0))), whole
