"""What the models on statistics of windows share: normalization by the training windows, and what is constant or missing."""

from abc import abstractmethod
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
from torch import Tensor

from raylab.errors import InvalidValueError
from raylab.models.batch import Batch
from raylab.models.estimators import Array, ArrayShape, Classes, Estimator, People, WindowShapes, n_first
from raylab.models.window_statistics import N_EXTENDED, extended_statistics, n_columns

STILL = 1e-9  # a standard deviation below this share of the mean is rounding: such a statistic is constant


class StatisticsModel(Estimator):
    """A model on ``extended_statistics``, standardized by the windows that it is fitted on.

    A statistic that does not vary over them is dropped. A missing one (of a channel that a window lacks) counts as their mean;
    ``arrays["missing"]`` says of how many training windows each was missing. With windows of one class only, or without a statistic that
    varies, the probabilities are the shares of the classes in the training windows.
    """

    def fit(self, batch: Batch, y: Classes, people: People | None = None, weights: Array | None = None) -> None:
        """Standardize the statistics, in which weights have no part, and learn from them."""
        self.arrays = self.look(batch)
        self.fit_statistics(self.describe(batch), y, people, weights)

    def fit_statistics(self, features: Array, y: Classes, people: People | None = None, weights: Array | None = None) -> None:
        """``fit`` on a description (n, n_described) that is computed already."""
        present = ~np.isnan(features)
        count = np.maximum(present.sum(axis=0), 1)
        mean = features.sum(axis=0, where=present) / count
        scale = np.sqrt(np.square(features - mean).sum(axis=0, where=present) / count)
        classes, target, counts = np.unique(y, return_inverse=True, return_counts=True)
        self.arrays |= {
            "mean": mean,
            "scale": scale,
            "missing": (~present).sum(axis=0).astype(np.float64),
            "kept": np.flatnonzero(scale > STILL * np.maximum(np.abs(mean), 1.0)).astype(np.float64),
            "classes": classes.astype(np.float64),
            "shares": counts / len(y),
        }
        if self.has_learned:
            everyone = np.zeros(len(y), dtype=np.int64) if people is None else people
            self.arrays |= self.learn(self._standardized(features), target, everyone, weights)

    def probabilities(self, batch: Batch) -> Array:
        """Probabilities (n, n_classes) from the arrays alone."""
        return self.probabilities_of(self.describe(batch))

    def probabilities_of(self, features: Array) -> Array:
        """``probabilities`` of a description (n, n_described) that is computed already."""
        p = np.zeros((len(features), self.n_classes))
        classes = self.arrays["classes"].astype(int)
        p[:, classes] = self.predict(self._standardized(features)) if self.has_learned else self.arrays["shares"]
        return p

    def feature_space(self, batch: Batch) -> Array:
        """Standardized statistics, (n, n_kept)."""
        return self._standardized(self.describe(batch))

    def look(self, batch: Batch) -> dict[str, Array]:
        """What a description needs to know of the training windows, as arrays; nothing for statistics."""
        return {}

    def describe(self, batch: Batch) -> Array:
        """Description of each window, (n, n_described), NaN where something is missing: its statistics, unless a model has other features."""
        return extended_statistics(batch, self.channels)

    def n_described(self, windows: WindowShapes) -> int:
        """Number of columns of ``describe``."""
        return n_columns(windows, N_EXTENDED)

    def looked_shapes(self, windows: WindowShapes) -> dict[str, ArrayShape]:
        """Shapes of the arrays that ``look`` gives."""
        return {}

    @abstractmethod
    def learn(self, x: Array, target: Classes, people: People, weights: Array | None = None) -> dict[str, Array]:
        """The arrays of the model.

        Args:
            x: (n, n_kept) standardized statistics, none of them NaN.
            target: (n,) position of each window's class among the classes that there are, of which there are at least two.
            people: (n,) who each window is of.
            weights: (n,) weight of each window, with mean near 1; None: all alike.
        """

    @abstractmethod
    def predict(self, x: Array) -> Array:
        """Probabilities (n, n_learned_classes) of standardized statistics (n, n_kept), from ``arrays`` alone."""

    @abstractmethod
    def learned_shapes(self, n_kept: int, n_learned: int, found: Mapping[str, Tensor]) -> dict[str, ArrayShape]:
        """Shapes of the arrays that ``learn`` gives, for this many statistics and classes."""

    @property
    def has_learned(self) -> bool:
        """Whether there was something to tell classes apart by, and more than one class."""
        return len(self.arrays["classes"]) > 1 and len(self.arrays["kept"]) > 0

    def expected_shapes(self, windows: WindowShapes, n_learned: int, found: Mapping[str, Tensor]) -> dict[str, ArrayShape]:
        """The number of statistics that vary is the file's own."""
        width, kept = self.n_described(windows), n_first(found, "kept")
        shapes: dict[str, ArrayShape] = self.looked_shapes(windows) | dict.fromkeys(("mean", "scale", "missing"), (width,))
        shapes |= {"kept": (kept,), "classes": (n_learned,), "shares": (n_learned,)}
        return shapes | (self.learned_shapes(kept, n_learned, found) if kept and n_learned > 1 else {})

    def load_parts(self, state: Mapping[str, Tensor]) -> None:
        """Take over the arrays that ``state_of`` gave.

        Raises:
            InvalidValueError: if they name a statistic that there is none of; a model file may hold anything.
        """
        super().load_parts(state)
        refuse_other_positions("kept", self.arrays["kept"], len(self.arrays["mean"]))

    def _standardized(self, features: Array) -> Array:
        kept = self.arrays["kept"].astype(int)
        x = (features[:, kept] - self.arrays["mean"][kept]) / self.arrays["scale"][kept]
        return np.where(np.isnan(x), 0.0, x)


def refuse_other_positions(name: str, positions: npt.NDArray[np.float64], count: int) -> None:
    """Refuse an array that should hold positions from 0 to ``count`` - 1 and does not.

    Raises:
        InvalidValueError: naming the array.
    """
    if not np.isin(positions, np.arange(count)).all():
        raise InvalidValueError(
            f"the array {name} of a classical model holds other numbers than 0 to {count - 1}; train or export it again"
        )
