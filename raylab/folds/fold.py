"""One fold: a held-out participant, everyone else, and which windows may serve what."""

import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from raylab.folds.draws import Draws
from raylab.windows.cut import NO_LABEL
from raylab.windows.dataset import WindowIndex

Rows = npt.NDArray[np.int64]
VALIDATION_SHARE = 0.2
NONE: Rows = np.zeros(0, dtype=np.int64)

Draw = Literal["initial", "random"]
Unit = Literal["window", "block"]


class FoldError(ValueError):
    """A fold that cannot be built; the trial is carried as missing with this sentence."""


@dataclass(frozen=True)
class Fold:
    """Leave one participant out.

    All windows are row numbers into the index (only rows that carry the label), int64, rising.

    Attributes:
        index: the windows of the dataset.
        label: which label is learned.
        target: the held-out participant.
        seed: of the study.
        people: train on so many people drawn at random (a smaller number's are among a larger one's); everyone where None.
        channels: those that a model sees; all where None.
    """

    index: WindowIndex
    label: str
    target: str
    seed: int
    people: int | None = None
    channels: tuple[str, ...] | None = None

    @cached_property
    def draws(self) -> Draws:
        return Draws(self.seed, self.index.name, self.label, self.target)

    @cached_property
    def y(self) -> npt.NDArray[np.int8]:
        """Class index of every row of the index, -1 for none."""
        return self.index.labels[self.label]

    def windows_of(self, people: tuple[str, ...] | list[str]) -> Rows:
        """Labelled rows of these participants."""
        numbers = [self.index.participants.index(name) for name in people]
        return np.flatnonzero(np.isin(self.index.person, numbers) & (self.y != NO_LABEL))

    @cached_property
    def target_windows(self) -> Rows:
        return self.windows_of([self.target])

    @cached_property
    def others(self) -> tuple[str, ...]:
        """Everyone one may train on: all but the target who have labelled windows, in the card's order, or a random ``people``.

        Raises:
            FoldError: where there are fewer than ``people``.
        """
        with_label = np.unique(self.index.person[self.y != NO_LABEL])
        everyone = [self.index.participants[i] for i in with_label if self.index.participants[i] != self.target]
        if self.people is None:
            return tuple(everyone)
        if self.people > len(everyone):
            raise FoldError(f"{self.people} people to train on were asked for, there are {len(everyone)}")
        drawn = self.draws.generator("people").permutation(len(everyone))[: self.people]
        return tuple(everyone[i] for i in sorted(drawn))

    @cached_property
    def statistics(self) -> npt.NDArray[np.float32]:
        """(n, n_statistics) of every window's channels: see ``raylab.windows.cut.statistics``."""
        names = self.channels or tuple(self.index.statistics)
        return np.concatenate([self.index.statistics[name] for name in names], axis=1)

    def split_people(self, people: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """(training people, validation people): a fifth of them, rounded up, drawn once per fold.

        The draw ranks everyone else once, and each group takes its first fifth in that order, so that groups of
        different techniques validate on the same people where they can.
        """
        if len(people) < 2:
            raise FoldError(f"{len(people)} person(s) to train on cannot give one for validation")
        rank = {
            name: int(i)
            for i, name in zip(
                self.draws.generator("validation people").permutation(len(self.others)), self.others, strict=True
            )
        }
        count = math.ceil(VALIDATION_SHARE * len(people) - 1e-9)
        chosen = set(sorted(people, key=rank.__getitem__)[:count])
        return tuple(p for p in people if p not in chosen), tuple(p for p in people if p in chosen)

    def blocks(self, rows: Rows) -> npt.NDArray[np.int64]:
        """(n,) number of the run of one label that each row (of one person, in time order) belongs to.

        A run ends where the label or the segment changes, or where a stretch without label lies between.
        """
        if not len(rows):
            return np.zeros(0, dtype=np.int64)
        # Windows further apart than they are long are no gap where the stride is that wide.
        gap = np.diff(self.index.start_s[rows]) > max(self.index.window_s, self.index.step_s) + 1e-6
        change = (np.diff(self.y[rows]) != 0) | (np.diff(self.index.segment[rows]) != 0) | gap
        return np.concatenate([[0], np.cumsum(change)]).astype(np.int64)

    def overlapping(self, rows: Rows, others: Rows) -> Rows:
        """Those of ``rows`` that share a sample with one of ``others``: same person and segment, starts nearer than a window."""
        if not len(rows) or not len(others):
            return rows[:0]
        index = self.index
        # One axis on which windows of different people or segments lie far apart: then the nearest start decides.
        apart = float(index.start_s.max()) + 2 * index.window_s
        place = (index.person.astype(np.float64) * (int(index.segment.max()) + 1) + index.segment) * apart + index.start_s
        there = np.concatenate([[-np.inf], np.sort(place[others]), [np.inf]])
        right = np.searchsorted(there, place[rows])
        nearest = np.minimum(there[right] - place[rows], place[rows] - there[right - 1])
        return np.asarray(rows[nearest < index.window_s - 1e-6])

    def as_dict(self) -> dict[str, Any]:
        """What, beside the windows themselves, decides this fold's draws."""
        return {"dataset": self.index.name, "label": self.label, "target": self.target, "seed": self.seed}


@dataclass(frozen=True)
class Chosen:
    """The windows of one stage.

    Attributes:
        looked_at: windows of the target whose signals, not labels, decided the choice; like trained ones they are not tested on.
    """

    train: Rows
    validation: Rows
    looked_at: Rows = field(default_factory=lambda: NONE)

    def check(self, fold: Fold) -> "Chosen":
        """Refuse samples on both sides.

        Raises:
            FoldError: where a training window is, or overlaps, a validation window.
        """
        if len(np.intersect1d(self.train, self.validation)):
            raise FoldError("a window is in training and validation")
        people = np.intersect1d(fold.index.person[self.train], fold.index.person[self.validation])
        shared = self.validation[np.isin(fold.index.person[self.validation], people)]
        if len(fold.overlapping(shared, self.train)):
            raise FoldError("a validation window shares samples with a training window")
        return self
