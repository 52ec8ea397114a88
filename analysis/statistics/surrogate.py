"""Leave-one-participant-out studies repeated with a linear classifier on the cohort's own windows, to see how far scores depend on each other.

The surrogate of a trained network is the nearest class mean on three statistics of each channel. What its stages train on, which windows
it is tested on, and so who shares training with whom, are those of the study's trials; only labels' luck is drawn anew. One draw: the class
signal is taken out of each participant's windows; the rest is permuted within the participant; the class signal that all participants
certainly share is put back, and each participant's own part of it with a random sign. So a technique has nothing to gain on average that is
not luck of these labels, and whatever makes two participants' scores move together is the training that they share.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from analysis.arrays import Bools, Floats, Ints

Float32s = npt.NDArray[np.float32]

DRAWS = 200
BATCH_SIZE = 2_000_000  # numbers in the draws that are made at once: 8 MB, about what a processor's cache holds
SURE = 1.645  # standard errors that the shared class signal must exceed: one-sided 5%


@dataclass(frozen=True)
class CohortWindows:
    """The labelled windows of a cohort, described by a few features.

    Attributes:
        participant: (n,) position of each window's participant.
        window: (n,) ids.
        y: (n,) class indices.
        x: (n, q) features.
        n_participants: of the cohort.
    """

    participant: Ints
    window: Ints
    y: Ints
    x: Float32s
    n_participants: int

    @cached_property
    def n_classes(self) -> int:
        """Classes that windows have."""
        return int(self.y.max(initial=0)) + 1

    @cached_property
    def counts(self) -> Ints:
        """Windows of each participant and class, (n_participants, n_classes)."""
        cells = self.participant * self.n_classes + self.y
        return np.bincount(cells, minlength=self.n_participants * self.n_classes).reshape(self.n_participants, -1)

    def class_offsets(self, x: Float32s, rows: Ints | None = None) -> Float32s:
        """Class means less the participant's own mean of them, (draws, n_participants, n_classes, q); 0 of a class without windows.

        Args:
            x: (draws, n, q) features.
            rows: those to take; all if None.
        """
        participant, y = (self.participant, self.y) if rows is None else (self.participant[rows], self.y[rows])
        x = x if rows is None else x[:, rows]
        cells, n_cells = participant * self.n_classes + y, self.n_participants * self.n_classes
        counts = np.bincount(cells, minlength=n_cells)
        order = np.argsort(cells, kind="stable")
        present = np.flatnonzero(counts)
        sums = np.zeros((len(x), n_cells, x.shape[2]), dtype=np.float32)
        if len(order):
            starts = np.concatenate([[0], np.cumsum(counts[present])[:-1]])
            sums[:, present] = np.add.reduceat(x[:, order], starts, axis=1)
        shape = (len(x), self.n_participants, self.n_classes, x.shape[2])
        means = (sums / np.maximum(counts, 1)[:, None]).reshape(shape)
        has = (counts > 0).reshape(self.n_participants, self.n_classes)[:, :, None]
        centre = (means * has).sum(axis=2, keepdims=True) / np.maximum(has.sum(axis=1), 1)[None, :, None, :]
        offsets: Float32s = np.where(has, means - centre, 0).astype(np.float32)
        return offsets


@dataclass(frozen=True)
class SurrogateTrial:
    """One trial as the surrogate repeats it.

    Attributes:
        target: position of the held-out participant.
        trained_on: for each stage (n_participants,) who is trained on; the target's windows are then ``calibration``.
        calibration: rows of the cohort, windows of the target that a stage trains on.
        tested: rows of the target that count towards its score.
    """

    target: int
    trained_on: tuple[Bools, ...]
    calibration: Ints
    tested: Ints


@dataclass(frozen=True)
class _Signal:
    """What the classes of a cohort differ by.

    Attributes:
        common: (n_classes, q), what is sure to be shared. ``own``: (n_participants, n_classes, q), the rest, less what noise explains.
        residuals: (n, q) windows without any of it, at the variance of single windows.
    """

    common: Floats
    own: Floats
    residuals: Float32s


def _signal(cohort: CohortWindows) -> _Signal:
    """Split class means into the shared part that is sure, each participant's own part, and residuals.

    The squared length of the shared part is estimated by the products of different participants' class means, which noise does not bias;
    the part of it that exceeds ``SURE`` standard errors stays.
    """
    offsets = cohort.class_offsets(cohort.x[None])[0].astype(np.float64)
    sums = np.zeros((cohort.n_participants * cohort.n_classes, cohort.x.shape[1]))
    cells = cohort.participant * cohort.n_classes + cohort.y
    np.add.at(sums, cells, cohort.x)
    counts = cohort.counts.reshape(-1)
    means = sums / np.maximum(counts, 1)[:, None]
    m = counts[cells]
    residuals = (cohort.x - means[cells]) * np.sqrt(m / np.maximum(m - 1, 1))[:, None]
    weights = 1 / np.maximum(residuals.var(axis=0), 1e-12)
    with_classes = np.flatnonzero((cohort.counts > 0).sum(axis=1) > 1)
    part = offsets[with_classes]
    n = len(part)
    common = part.mean(axis=0)
    flat = (part * np.sqrt(weights)).reshape(n, -1)
    products = flat @ flat.T
    off = products[~np.eye(n, dtype=bool)]
    sure = off.mean() - SURE * np.sqrt(2 * (off**2).sum()) / (n * (n - 1))
    length = (common**2 * weights).sum()
    own = np.zeros_like(offsets)
    own[with_classes] = part - common
    spread = ((own**2) * weights).sum() / max(n - 1, 1)
    share = 1 - 1 / cohort.n_classes
    inverse = np.where(cohort.counts > 0, 1 / np.maximum(cohort.counts, 1), 0)[with_classes]
    noise = cohort.x.shape[1] * share * inverse.sum(axis=1).mean()
    return _Signal(
        common=common * np.sqrt(np.clip(sure / length, 0, 1)) if length > 0 else common,
        own=own * np.sqrt(np.clip(1 - noise / spread, 0, 1)) if spread > 0 else own,
        residuals=residuals.astype(np.float32),
    )


def _draw(cohort: CohortWindows, signal: _Signal, rng: np.random.Generator, draws: int) -> Float32s:
    """Features (draws, n, q) of cohorts that differ from this one by the luck of their labels only."""
    keys = rng.random((draws, len(cohort.y))) + cohort.participant  # sorting them permutes within each participant
    order = np.argsort(cohort.participant, kind="stable")
    permuted = np.empty((draws, len(cohort.y)), dtype=np.int64)
    permuted[:, order] = np.argsort(keys, axis=1)
    signs = rng.choice([-1.0, 1.0], (draws, cohort.n_participants, 1, 1))
    offsets = (signal.common + signs * signal.own).astype(np.float32)
    return np.asarray(signal.residuals[permuted] + offsets[:, cohort.participant, cohort.y])


def _aurocs(scores: Floats | Float32s, y: Ints) -> Floats:
    """AUROC of scores (draws, n, n_classes), one class against the rest and averaged over the classes that windows have; NaN under two."""
    classes = np.unique(y)
    if len(classes) < 2:
        return np.full(len(scores), np.nan)
    columns = classes[1:] if scores.shape[2] == 2 else classes  # of two classes both columns say the same
    values = []
    for k in columns:
        column = scores[:, :, k] if scores.shape[2] > 2 else scores[:, :, k] - scores[:, :, 1 - k]
        positive = (y == k)[np.argsort(column, axis=1)]  # by rank
        n = int((y == k).sum())
        values.append((positive @ np.arange(len(y)) - n * (n - 1) / 2) / (n * (len(y) - n)))
    return np.asarray(np.mean(values, axis=0))


class _Study:
    """One batch of draws, and the scores of trials on it."""

    def __init__(self, cohort: CohortWindows, x: Float32s) -> None:
        self.cohort, self.x = cohort, x
        self.offsets = cohort.class_offsets(x)
        self._means: dict[bytes, Float32s] = {}

    def _mean(self, who: Bools) -> Float32s:
        """Mean class offsets (draws, n_classes, q) of these participants."""
        key = who.tobytes()
        if key not in self._means:
            self._means[key] = self.offsets[:, who].sum(axis=1) if who.any() else np.zeros_like(self.offsets[:, 0])
        return self._means[key]

    def _calibration_offsets(self, rows: Ints) -> Float32s:
        """Class means of these rows of one participant less their mean, (draws, n_classes, q); 0 of a class without windows."""
        y, x = self.cohort.y[rows], self.x[:, rows]
        is_class = (y == np.arange(self.cohort.n_classes)[:, None]).astype(np.float32)  # (n_classes, n_rows)
        counts = is_class.sum(axis=1)
        present = counts > 0
        means = (is_class / np.maximum(counts, 1)[:, None]) @ x
        return np.where(present[:, None], means - means[:, present].mean(axis=1, keepdims=True), 0).astype(np.float32)

    def _weights(self, trial: SurrogateTrial) -> Float32s:
        """(draws, n_classes, q): the mean of each stage's participants, added up over the stages. Of the target a stage has its calibration
        windows, which weigh by their number."""
        cohort = self.cohort
        own = np.zeros_like(self.offsets[:, 0])
        share = 0.0
        if len(trial.calibration):
            own = self._calibration_offsets(trial.calibration)
            share = len(trial.calibration) / max(1, int(cohort.counts[trial.target].sum()))
        total = np.zeros_like(own)
        for who in trial.trained_on:
            others = who.copy()
            others[trial.target] = False
            weight = others.sum() + share * who[trial.target]
            total += (self._mean(others) + share * who[trial.target] * own) / max(weight, 1e-9)
        return total

    def auroc(self, trial: SurrogateTrial, tested: Ints) -> Floats:
        """(draws,) of the trial's classifier on these rows."""
        scores = self.x[:, tested] @ self._weights(trial).transpose(0, 2, 1)
        return _aurocs(scores, self.cohort.y[tested])


def simulated_differences(
    cohort: CohortWindows, pairs: Sequence[Sequence[tuple[SurrogateTrial, SurrogateTrial]]], draws: int = DRAWS, seed: int = 0
) -> list[Floats]:
    """AUROC differences of trials to their reference's on the same windows, in cohorts whose labels hold no luck in common.

    Args:
        pairs: for each technique, the trial and the reference trial of each target.

    Returns:
        for each technique (draws, n_targets).
    """
    rng, signal = np.random.default_rng(seed), _signal(cohort)
    parts: list[list[Floats]] = [[] for _ in pairs]
    batch = max(1, BATCH_SIZE // cohort.x.size)
    for start in range(0, draws, batch):
        study = _Study(cohort, _draw(cohort, signal, rng, min(batch, draws - start)))
        references: dict[tuple[int, bytes], Floats] = {}  # many techniques are tested on the same windows
        for part, technique in zip(parts, pairs, strict=True):
            columns = []
            for trial, reference in technique:
                key = (trial.target, trial.tested.tobytes())
                if key not in references:
                    references[key] = study.auroc(reference, trial.tested)
                columns.append(study.auroc(trial, trial.tested) - references[key])
            part.append(np.stack(columns, axis=1))
    return [np.concatenate(part) for part in parts]


def variance_inflation(differences: Floats) -> float:
    """Variance of the mean over targets, for a new cohort, over s^2 / n; NaN if nothing varies.

    Over draws the mean varies by the luck of labels; over cohorts also by who is in them, which is the spread over targets of the mean over
    draws, less what a finite number of draws adds to it.

    Args:
        differences: (draws, n_targets) of ``simulated_differences``; NaN if a draw has no score.
    """
    d = differences[:, ~np.isnan(differences).any(axis=0)]
    draws, n = d.shape
    if n < 2:
        return float("nan")
    means, naive = d.mean(axis=1), (d.var(axis=1, ddof=1) / n).mean()
    between = ((d - means[:, None]).mean(axis=0) ** 2).sum() / (n - 1) / n - naive / draws
    return float((means.var() + max(0.0, between)) / naive) if naive > 0 else float("nan")
