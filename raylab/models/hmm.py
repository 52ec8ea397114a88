"""A hidden Markov model with Gaussian mixtures for each class: the classical baseline for sequences."""

import contextlib
import importlib
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from raylab.errors import InvalidValueError
from raylab.models.batch import Batch
from raylab.models.estimators import Array, Classes, Estimator, softmax, windows_of
from raylab.models.registry import CLASSICAL_MODELS, implements
from raylab.models.timebase import aggregated

STATES, MIXTURES = 3, 2
FRAMES = 64  # of a window at most: the means over as many stretches of it
ITERATIONS = 10
PARTS = ("startprob", "transmat", "weights", "means", "covars")
# One frame of variance 0.1 is added to what a Gaussian saw, a tenth of a frame to its weight, a hundredth at its mean 0: one that saw a single
# frame would have no variance, and a state that no window reaches would be no number.
PRIORS = {"covars_prior": -1.0, "covars_weight": 0.05, "weights_prior": 1.1, "means_weight": 0.01}


@implements(CLASSICAL_MODELS["hmm_gmm"])
class HMMGMM(Estimator):
    """For each channel and class a left-to-right model of 3 states with 2 Gaussians each (diagonal), by hmmlearn.

    Rabiner 1989 (a tutorial on hidden Markov models), sections IV and VI; for speech emotion Schuller, Rigoll and Lang 2003. Steps are means over at
    most 64 stretches of a window and their changes, normalized by the training windows. A class's score is its log-likelihood per step, averaged
    over the channels that a window has; their softmax ranks windows and is no calibrated probability.
    """

    def fit(self, batch: Batch, y: Classes) -> None:
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
                self._fit_class(channel, label, [frames for frames, of in zip(windows, y, strict=True) if of == label])

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
        # a state that no window leaves has learned no move, which hmmlearn leaves at a row of zeros: it stays where it is
        left = model.transmat_.sum(axis=1, keepdims=True) > 0.5
        model.transmat_ = np.where(left, model.transmat_, np.eye(STATES))
        for part in PARTS:
            self.arrays[f"{channel}.{label}.{part}"] = np.asarray(getattr(model, f"{part}_"), dtype=np.float64)

    def probabilities(self, batch: Batch) -> Array:
        classes = self.arrays["classes"].astype(int)
        scores = np.full((len(next(iter(batch.values.values()))), self.n_classes), -np.inf)
        scores[:, classes] = 0.0
        voted = np.zeros(len(scores))
        for channel in self.channels:
            models = {label: self._model(channel, label) for label in classes}
            for row, frames in enumerate(self._frames(batch, channel)):
                if len(frames):
                    voted[row] += 1
                    seen = self._normalized(channel, frames)
                    for label, model in models.items():
                        scores[row, label] += model.score(seen) / len(seen)
        return softmax(scores / np.maximum(voted, 1)[:, None])

    def _model(self, channel: str, label: int) -> Any:
        model = _blank(self.seed)
        for part in PARTS:
            setattr(model, f"{part}_", self.arrays[f"{channel}.{label}.{part}"])
        model.n_features = model.means_.shape[-1]
        return model

    def _frames(self, batch: Batch, channel: str) -> list[Array]:
        """Of each window its steps and their changes, (n_steps, 2 n_features); without steps where it lacks the channel."""
        x, valid = windows_of(batch, channel)
        lengths = torch.from_numpy(valid.sum(axis=1))
        means, left = aggregated(torch.from_numpy(x), lengths, math.ceil(x.shape[1] / FRAMES))
        changes = np.diff(means.numpy(), axis=1, prepend=means.numpy()[:, :1])
        both = np.concatenate([means.numpy(), changes], axis=2)
        return [frames[:count] for frames, count in zip(both, left.tolist(), strict=True)]

    def _normalized(self, channel: str, frames: Array) -> Array:
        return np.asarray((frames - self.arrays[f"{channel}.mean"]) / self.arrays[f"{channel}.scale"])


@contextlib.contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """hmmlearn draws means of a cluster with a single frame from numpy's global stream, whatever its ``random_state``."""
    before = np.random.get_state()  # noqa: NPY002  the stream that hmmlearn draws from
    np.random.seed(seed % 2**32)  # noqa: NPY002  the same stream
    try:
        yield
    finally:
        np.random.set_state(before)  # noqa: NPY002  the same stream


def _blank(seed: int) -> Any:
    """A model to be fitted from a start and transitions that are given, or to be filled from arrays."""
    library = importlib.import_module("hmmlearn.hmm")  # an extra: a raylab without it must import
    return library.GMMHMM(
        n_components=STATES,
        n_mix=MIXTURES,
        covariance_type="diag",
        init_params="mcw",
        n_iter=ITERATIONS,
        random_state=seed % 2**32,
        **PRIORS,
    )
