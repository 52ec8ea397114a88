"""``hmm_gmm``: a hidden Markov model with Gaussian mixtures for each class, the classical model for sequences."""

import contextlib
import importlib
import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from raylab.errors import InvalidValueError
from raylab.models.batch import Batch
from raylab.models.estimators import Array, ArrayShape, Classes, Estimator, People, WindowShapes, softmax, windows_of
from raylab.models.registry import CLASSICAL_MODELS, implements
from raylab.models.timebase import aggregated

STATES, MIXTURES = 3, 2
FRAMES = 64  # at most so many steps per window: samples are averaged over stretches of equal length
ITERATIONS = 10
PARTS = ("startprob", "transmat", "weights", "means", "covars")
# hmmlearn's priors, as pseudo-frames that every Gaussian sees: one of variance 0.1, a tenth of one for its weight, a hundredth of one at mean 0.
# Without them a Gaussian that saw a single frame would have variance 0, and a state that no window reaches would become NaN.
PRIORS = {"covars_prior": -1.0, "covars_weight": 0.05, "weights_prior": 1.1, "means_weight": 0.01}


@implements(CLASSICAL_MODELS["hmm_gmm"])
class HMMGMM(Estimator):
    """For each channel and class a left-to-right model of 3 states with 2 Gaussians each (diagonal covariance), by hmmlearn.

    Rabiner 1989 (a tutorial on hidden Markov models), sections IV and VI; for speech emotion Schuller, Rigoll and Lang 2003. A window becomes at most
    64 steps: means over stretches of samples, and their changes from step to step, normalized by mean and SD of the training windows.

    The score of a class is its log-likelihood per step, averaged over the channels that the window has. The softmax of these scores ranks
    windows; it is no reliable probability.
    """

    LIBRARIES = ("hmmlearn.hmm",)

    def fit(self, batch: Batch, y: Classes, people: People | None = None, weights: Array | None = None) -> None:
        """Fit one model for each channel and class.

        Raises:
            ValueError: if no window has a channel, or if a class has fewer different steps of a channel than there are Gaussians.
        """
        self.arrays = {"classes": np.unique(y).astype(np.float64)}
        for channel in self.channels:
            windows = self._frames(batch, channel)
            everything = np.concatenate([frames for frames in windows if len(frames)] or [np.zeros((0, 1))])
            if not len(everything):
                raise InvalidValueError(f"no training window has the channel {channel}; leave it out")
            scale = everything.std(axis=0)
            self.arrays[f"{channel}.mean"] = everything.mean(axis=0)
            self.arrays[f"{channel}.scale"] = np.where(scale > 1e-8, scale, 1.0)
            for label in np.unique(y):
                of_class = [frames for frames, its_label in zip(windows, y, strict=True) if its_label == label]
                self._fit_class(channel, label, of_class)

    def _fit_class(self, channel: str, label: int, windows: list[Array]) -> None:
        sequences = [self._normalized(channel, frames) for frames in windows if len(frames)]
        if len(sequences) == 0 or len(np.unique(np.concatenate(sequences), axis=0)) < STATES * MIXTURES:
            raise InvalidValueError(
                f"hmm_gmm: class {label} has fewer than {STATES * MIXTURES} different steps of {channel} to learn {STATES} states from"
            )
        model = _blank(self.seed)
        model.startprob_ = np.eye(STATES)[0]
        model.transmat_ = np.eye(STATES) * 0.5 + np.eye(STATES, k=1) * 0.5
        model.transmat_[-1, -1] = 1.0
        with _seeded(self.seed):
            model.fit(np.concatenate(sequences), [len(frames) for frames in sequences])
        # hmmlearn leaves a row of zeros for a state that no window leaves, and refuses it in score(): such a state keeps to itself instead
        has_transition = model.transmat_.sum(axis=1, keepdims=True) > 0.5
        model.transmat_ = np.where(has_transition, model.transmat_, np.eye(STATES))
        for part in PARTS:
            self.arrays[f"{channel}.{label}.{part}"] = np.asarray(getattr(model, f"{part}_"), dtype=np.float64)

    def probabilities(self, batch: Batch) -> Array:
        """Softmax of the classes' mean log-likelihoods per step, (n, n_classes); uniform over the learned classes if a window has no channel."""
        classes = self.arrays["classes"].astype(int)
        scores = np.full((len(next(iter(batch.values.values()))), self.n_classes), -np.inf)
        scores[:, classes] = 0.0
        n_channels = np.zeros(len(scores))
        for channel in self.channels:
            models = {label: self._model(channel, label) for label in classes}
            for row, frames in enumerate(self._frames(batch, channel)):
                if len(frames):
                    n_channels[row] += 1
                    steps = self._normalized(channel, frames)
                    for label, model in models.items():
                        scores[row, label] += model.score(steps) / len(steps)
        return softmax(scores / np.maximum(n_channels, 1)[:, None])

    def expected_shapes(self, windows: WindowShapes, n_learned: int, found: Mapping[str, Tensor]) -> dict[str, ArrayShape]:
        """Of each channel a scale, and of each class a model."""
        expected: dict[str, ArrayShape] = {"classes": (n_learned,)}
        for channel, (_, n_features) in windows.items():
            expected |= {f"{channel}.{part}": (2 * n_features,) for part in ("mean", "scale")}
            gaussians = (STATES, MIXTURES, 2 * n_features)
            parts: dict[str, ArrayShape] = {"startprob": (STATES,), "transmat": (STATES, STATES), "weights": (STATES, MIXTURES)}
            parts |= {"means": gaussians, "covars": gaussians}
            labels = found["classes"].int().tolist()
            expected |= {f"{channel}.{label}.{part}": shape for label in labels for part, shape in parts.items()}
        return expected

    def _model(self, channel: str, label: int) -> Any:
        model = _blank(self.seed)
        for part in PARTS:
            setattr(model, f"{part}_", self.arrays[f"{channel}.{label}.{part}"])
        model.n_features = model.means_.shape[-1]
        return model

    def _frames(self, batch: Batch, channel: str) -> list[Array]:
        """For each window its steps and their changes, (n_steps, 2 n_features); no step if the window lacks the channel."""
        x, valid = windows_of(batch, channel)
        lengths = torch.from_numpy(valid.sum(axis=1))
        means, counts = aggregated(torch.from_numpy(x), lengths, math.ceil(x.shape[1] / FRAMES))
        changes = np.diff(means.numpy(), axis=1, prepend=means.numpy()[:, :1])
        steps = np.concatenate([means.numpy(), changes], axis=2)
        return [frames[:count] for frames, count in zip(steps, counts.tolist(), strict=True)]

    def _normalized(self, channel: str, frames: Array) -> Array:
        return np.asarray((frames - self.arrays[f"{channel}.mean"]) / self.arrays[f"{channel}.scale"])


@contextlib.contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Seed numpy's global generator inside the block, and restore it after.

    hmmlearn draws the means of a cluster with a single frame from the global generator, whatever its ``random_state``.
    """
    before = np.random.get_state()  # noqa: NPY002  the stream that hmmlearn draws from
    np.random.seed(seed % 2**32)  # noqa: NPY002  the same stream
    try:
        yield
    finally:
        np.random.set_state(before)  # noqa: NPY002  the same stream


def _blank(seed: int) -> Any:
    """An hmmlearn model without parameters. ``init_params`` leaves the start and the transitions to the caller, who sets them left to right."""
    library = importlib.import_module("hmmlearn.hmm")  # comes with an extra: raylab must import without it
    return library.GMMHMM(
        n_components=STATES,
        n_mix=MIXTURES,
        covariance_type="diag",
        init_params="mcw",
        n_iter=ITERATIONS,
        random_state=seed % 2**32,
        **PRIORS,
    )
