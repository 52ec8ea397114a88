"""Baselines without a network: fitted at once on the windows of a stage, without epochs, gradients or parts to free.

One of them stands where a network stands: it is fitted on what a stage selects, its arrays are stored under the stage's hash, and it predicts
probabilities. It has no parts, so that a technique of several stages, which continues from weights, is refused for it.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from raylab.errors import InvalidValueError
from raylab.models.batch import Batch

Array = npt.NDArray[np.float64]
Classes = npt.NDArray[np.int64]


class Estimator(ABC):
    """A baseline. All that it learns is in ``arrays``, and predictions come from nothing else: a stored one predicts the same bits.

    Args:
        seed: of whatever it draws.
    """

    def __init__(self, channels: Sequence[str], n_classes: int, seed: int) -> None:
        self.channels, self.n_classes, self.seed = list(channels), n_classes, seed
        self.arrays: dict[str, Array] = {}

    @abstractmethod
    def fit(self, batch: Batch, y: Classes) -> None:
        """Learn from these windows, on the processor, and their classes (n,).

        Raises:
            InvalidValueError: where they are too few, in a sentence.
        """

    @abstractmethod
    def probabilities(self, batch: Batch) -> Array:
        """(n, n_classes), rows summing to 1; 0 for a class that was not learned."""

    def state_of(self, parts: Sequence[str]) -> dict[str, Tensor]:
        """Everything it learned, whatever the parts: it has none."""
        return {name: torch.from_numpy(np.ascontiguousarray(value)) for name, value in self.arrays.items()}

    def load_parts(self, state: Mapping[str, Tensor]) -> None:
        self.arrays = {name: value.numpy() for name, value in state.items()}

    def to(self, device: torch.device) -> Self:
        """It stays on the processor."""
        return self


def windows_of(batch: Batch, channel: str) -> tuple[Array, npt.NDArray[np.bool_]]:
    """A channel's (n, length, n_features) in double precision, and which steps are valid, (n, length).

    Raises:
        InvalidValueError: where a valid step is no number.
    """
    x = batch.values[channel].numpy().astype(np.float64)
    lengths = batch.lengths.get(channel)
    n = np.full(len(x), x.shape[1]) if lengths is None else lengths.numpy()
    valid = np.arange(x.shape[1]) < n[:, None]
    if not np.isfinite(x[valid]).all():
        raise InvalidValueError(f"channel {channel} holds a value that is no number; check the windows for NaN")
    return x, valid


def softmax(scores: Array) -> Array:
    """Over the last axis; a score of minus infinity gives 0."""
    e = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return np.asarray(e / e.sum(axis=-1, keepdims=True))
