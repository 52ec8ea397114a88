"""Classical models, which are no networks: fitted at once on the windows of a stage, without epochs, gradients or trainable parts.

An estimator takes the place of a network in a trial: it is fitted on the windows that a stage selects, its arrays are stored under the
stage's hash, and it predicts probabilities. It has no parts (trunk, adapter, head), so a technique of several stages, whose later stages
continue from weights, is refused for it (``raylab.trials.compatibility``).
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import ClassVar, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from raylab.errors import InvalidValueError
from raylab.models.batch import Batch

Array = npt.NDArray[np.float64]
Classes = npt.NDArray[np.int64]
People = npt.NDArray[np.integer]
WindowShapes = dict[str, tuple[int, int]]  # channel name to (length, n_features)
ArrayShape = tuple[int, ...]
DECISION = ("decision.weight", "decision.bias")  # arrays of ``Estimator.decide_by``


class Estimator(ABC):
    """A classical model. Everything that it learns is in ``arrays``, and predictions are computed from them alone, so that a stored
    estimator predicts the same bits, without a pickle.

    Args:
        channels: names of the channels, in the order of the trial.
        n_classes: number of classes of the label; a class without a training window gets probability 0.
        seed: seed of everything that the estimator draws.

    Attributes:
        channels: names of the channels that it uses; all of them unless it chose some (``select_channels``).
        arrays: name to array, empty before ``fit``; these are the weights that a stage file holds.
        chooses: whether it chooses its channels; the choice is then stored with the arrays, as ``selected``.
        LIBRARIES: modules that ``fit`` imports.
    """

    LIBRARIES: ClassVar[tuple[str, ...]] = ()

    def __init__(self, channels: Sequence[str], n_classes: int, seed: int) -> None:
        self.channels, self.n_classes, self.seed = list(channels), n_classes, seed
        self.offered, self.chooses = list(channels), False
        self.arrays: dict[str, Array] = {}

    @classmethod
    def load_libraries(cls) -> None:
        """Import what ``fit`` needs, which takes seconds: networks wait for none of it.

        A limit on threads holds for the libraries that are loaded when it is set, so this comes before it.
        """
        for name in cls.LIBRARIES:
            import_module(name)

    @abstractmethod
    def fit(self, batch: Batch, y: Classes, people: People | None = None, weights: Array | None = None) -> None:
        """Learn from these windows (on the processor), their class indexes (n,), who they are of (n,; without it, all of one person), and their
        weights (n,), which only a model that declares ``weighs`` (``raylab.models.registry``) is given.

        Raises:
            InvalidValueError: if there are too few windows to learn from, with a sentence that says so.
        """

    @abstractmethod
    def probabilities(self, batch: Batch) -> Array:
        """Probabilities (n, n_classes), each row summing to 1; 0 for a class that had no training window."""

    def feature_space(self, batch: Batch) -> Array:
        """The fitted model's description of windows, (n, n_features), in which distances mean something.

        Raises:
            InvalidValueError: if the model has none; a study that needs it is refused.
        """
        raise InvalidValueError(f"{type(self).__name__} has no feature space in which a class has a mean")

    def decide_by(self, weight: Array, bias: Array) -> None:
        """Decide from now on by weights (n_classes, n_features) and biases (n_classes,) over ``feature_space``, in place of what was fitted."""
        self.arrays |= {DECISION[0]: weight, DECISION[1]: bias}

    def decide(self, batch: Batch) -> Array:
        """Probabilities (n, n_classes): those of the fitted model, or the softmax of the decision that was put in its place."""
        if DECISION[0] not in self.arrays:
            return self.probabilities(batch)
        weight, bias = (self.arrays[name] for name in DECISION)
        return softmax(self.feature_space(batch) @ weight.T + bias)

    @abstractmethod
    def expected_shapes(self, windows: WindowShapes, n_learned: int, found: Mapping[str, Tensor]) -> dict[str, ArrayShape]:
        """Shapes of the arrays of a fitted estimator; a model file that has others is refused.

        Args:
            windows: shapes of the channels.
            n_learned: how many classes it was fitted on, ``found["classes"]``.
            found: the arrays that a file holds, for numbers that only they know, such as how many support vectors there are.
        """

    @property
    def channels_selected(self) -> tuple[str, ...] | None:
        """The chosen channels; None if the model uses all that it is offered."""
        return tuple(self.channels) if self.chooses else None

    def select_channels(self, names: Sequence[str]) -> None:
        """Use these channels alone from now on.

        Raises:
            InvalidValueError: if none is named, or one that the model is not offered.
        """
        if not names or not set(names) <= set(self.offered):
            raise InvalidValueError(
                f"cannot choose the channels {', '.join(names) or 'none'} of {', '.join(self.offered)}; choose one of them or more"
            )
        self.channels = [name for name in self.offered if name in names]

    def stored_shapes(self, windows: WindowShapes, n_learned: int, found: Mapping[str, Tensor]) -> dict[str, ArrayShape]:
        """``expected_shapes`` of what ``state_of`` gives: with the choice of channels, and of the chosen channels alone."""
        if not self.chooses:
            return self.expected_shapes(windows, n_learned, found)
        selected: dict[str, ArrayShape] = {"selected": (len(self.offered),)}
        if "selected" not in found or tuple(found["selected"].shape) != selected["selected"] or not found["selected"].any():
            return selected
        self.select_channels(self._named(found["selected"]))
        chosen = {name: shape for name, shape in windows.items() if name in self.channels}
        return selected | self.expected_shapes(chosen, n_learned, found)

    def _named(self, selected: Tensor) -> list[str]:
        return [name for name, flag in zip(self.offered, selected.tolist(), strict=True) if flag]

    def state_of(self, parts: Sequence[str]) -> dict[str, Tensor]:
        """All arrays as tensors, whichever parts are asked for: an estimator has no parts. The counterpart of ``Network.state_of``."""
        flags = {"selected": np.array([float(name in self.channels) for name in self.offered])} if self.chooses else {}
        return {name: torch.from_numpy(np.ascontiguousarray(value)) for name, value in (flags | self.arrays).items()}

    def load_parts(self, state: Mapping[str, Tensor]) -> None:
        """Take over the arrays that ``state_of`` gave."""
        if self.chooses:
            self.select_channels(self._named(state["selected"]))
        self.arrays = {name: value.numpy() for name, value in state.items() if name != "selected" or not self.chooses}

    def to(self, device: torch.device) -> Self:
        """The estimator itself: it stays on the processor, whatever the device."""
        return self


def windows_of(batch: Batch, channel: str) -> tuple[Array, npt.NDArray[np.bool_]]:
    """Values of a channel (n, length, n_features) in double precision, and the mask of its valid steps (n, length).

    A channel of a single step holds features, of which NaN is a missing one.

    Raises:
        InvalidValueError: if a valid step is not finite.
    """
    x = batch.values[channel].numpy().astype(np.float64)
    lengths = batch.lengths.get(channel)
    n_steps = np.full(len(x), x.shape[1]) if lengths is None else lengths.numpy()
    valid = np.arange(x.shape[1]) < n_steps[:, None]
    odd = np.isinf(x[valid]) if x.shape[1] == 1 else ~np.isfinite(x[valid])
    if odd.any():
        raise InvalidValueError(f"channel {channel} holds a value that is no number; check the windows for NaN")
    return x, valid


def n_first(found: Mapping[str, Tensor], name: str) -> int:
    """Length of the first axis of an array; 0 if there is none."""
    return found[name].shape[0] if name in found and found[name].dim() else 0


def softmax(scores: Array) -> Array:
    """Softmax over the last axis; a score of minus infinity gives probability 0."""
    exponentials = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return np.asarray(exponentials / exponentials.sum(axis=-1, keepdims=True))
