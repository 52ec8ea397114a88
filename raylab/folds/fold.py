"""One fold: a held-out participant, the other participants, and the windows that may train, validate, calibrate and test."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from raylab.errors import RaylabError
from raylab.folds.seeding import FoldSeeds
from raylab.folds.shared import Shared, latest
from raylab.folds.split_scheme import held_out_key
from raylab.windows.dataset import WindowIndex
from raylab.windows.segmentation import NO_LABEL

RowIds = npt.NDArray[np.int64]
VALIDATION_SHARE = 0.2
NO_ROWS: RowIds = np.zeros(0, dtype=np.int64)

MATCH_S = 60.0  # seconds since the recording's start within which windows count as of one time

Draw = Literal["initial", "random"]
Unit = Literal["window", "block"]


def label_runs(index: WindowIndex, y: npt.NDArray[np.int8], rows: RowIds) -> npt.NDArray[np.int64]:
    """(n,) number of the run of one label that each row of one participant belongs to: see ``Fold.label_runs``."""
    if not len(rows):
        return np.zeros(0, dtype=np.int64)
    # Windows further apart than they are long are no gap if the stride is that wide.
    gap = np.diff(index.start_s[rows]) > max(index.window_s, index.step_s) + 1e-6
    change = (np.diff(y[rows]) != 0) | (np.diff(index.segment[rows]) != 0) | gap
    return np.concatenate([[0], np.cumsum(change)]).astype(np.int64)


NO_MATCH = "of {} people to train or to validate on too few have the other order of the classes: in no minute are there windows of every class"


class FoldError(RaylabError, ValueError):
    """A fold that cannot be built; the trial is carried as missing with this sentence."""


@dataclass(frozen=True)
class Fold:
    """Leave one participant out; with ``held_out_with`` several are held out, each the target of a fold of its own; with
    ``shares`` none is.

    All windows are row numbers into the index (only rows that carry the label), int64, rising.

    Attributes:
        index: the windows of the dataset.
        label: the label that is learned.
        target: the held-out participant.
        seed: of the study.
        n_participants: train on so many participants drawn at random (a smaller number's are among a larger one's); on all if None.
        channels: those that a model sees; all if None.
        held_out_with: participants held out together with the target: none of them is trained or validated on.
        shares: of a random split of windows into training, validation and test; participants leak. Empty for folds by participants.
        match: ``clock``: trained on as many windows of each class in every minute since the recordings began, and tested in these minutes
            only (``matched``); empty for all windows.
    """

    index: WindowIndex
    label: str
    target: str
    seed: int
    n_participants: int | None = None
    channels: tuple[str, ...] | None = None
    held_out_with: tuple[str, ...] = ()
    shares: tuple[float, ...] = ()
    match: str = ""

    @cached_property
    def draws(self) -> FoldSeeds:
        """The fold's random streams."""
        return FoldSeeds(self.seed, self.index.name, self.label, self.held_out)

    @cached_property
    def held_out(self) -> str:
        """The fold's name in draws: folds that hold out the same participants share their draws, and with them the training on all others."""
        if self.shares:
            return f"random split {'/'.join(map(str, self.shares))}"
        return held_out_key(self.target, self.held_out_with)

    @property
    def known(self) -> "Fold":
        """This fold as it was asked for before, with what it has computed; itself the first time."""
        own = (
            self.label,
            self.target,
            self.seed,
            self.n_participants,
            self.channels,
            self.held_out_with,
            self.shares,
            self.match,
        )
        return latest(self.index, "folds").get_or(own, lambda: self)

    @cached_property
    def shared(self) -> Shared:
        """What this fold has in common with those that hold out the same people."""
        held_out = tuple(sorted({self.target, *self.held_out_with}))
        key = (self.label, held_out, self.seed, self.n_participants, self.channels, self.shares, self.match)
        return latest(self.index, "held out").get_or(key, Shared)

    @cached_property
    def own(self) -> Shared:
        """What this fold alone has computed."""
        return Shared()

    @cached_property
    def y(self) -> npt.NDArray[np.int8]:
        """Class index of every row of the index, -1 for none."""
        return self.index.labels[self.label]

    def windows_of(self, participants: Sequence[str]) -> RowIds:
        """Labelled rows of these participants."""
        position = self.index.position
        return self.index.rows_with(self.label).of_people([position[name] for name in participants])

    @cached_property
    def target_windows(self) -> RowIds:
        """Those of the target that may be tested on; in a random split, the part of them that it gives to the test; matched by the clock,
        those of the minutes in which the others have windows of every class."""
        rows = self.windows_of([self.target])
        if self.match:
            others = self.windows_of(self.others)
            return rows[np.isin(self._minute(rows), self._minute(self.matched(others)))]
        return np.intersect1d(rows, self.parts[2]) if self.shares else rows

    def _minute(self, rows: RowIds) -> RowIds:
        return np.asarray(self.index.start_s[rows] // MATCH_S, dtype=np.int64)

    def matched(self, rows: RowIds) -> RowIds:
        """Those of these windows, of other participants, of which every minute since the start of a recording has as many of each class as of
        any other, so that the time tells nothing of the class; which of a class's windows is drawn once per fold.

        Coarsened exact matching of Iacus, King and Porro (Political Analysis 2012) on the time alone.
        """
        classes = np.unique(self.y[self.windows_of(self.others)])
        minutes, minute = np.unique(self._minute(rows), return_inverse=True)
        cell = minute * len(classes) + np.searchsorted(classes, self.y[rows])
        counts = np.bincount(cell, minlength=len(minutes) * len(classes)).reshape(len(minutes), len(classes))
        rank = self.draws.generator("windows matched in time").permutation(len(self.y))[rows]
        order = np.lexsort((rank, cell))
        first = np.concatenate([[0], np.cumsum(counts.ravel())[:-1]])
        place = np.empty(len(rows), dtype=np.int64)
        place[order] = np.arange(len(rows)) - first[cell[order]]
        return np.asarray(rows[place < counts.min(axis=1, initial=len(rows))[minute]])

    @property
    def parts(self) -> tuple[RowIds, RowIds, RowIds]:
        """A random split of all participants' windows by ``shares``: training, validation, test. Of two windows that share samples the one
        in the earlier part is left out."""
        return latest(self.index, "parts").get_or((self.label, self.seed, self.channels, self.shares), self._parts)

    def _parts(self) -> tuple[RowIds, RowIds, RowIds]:
        rows = np.flatnonzero(self.y != NO_LABEL)
        ends = np.round(np.cumsum(self.shares)[:2] * len(rows)).astype(np.int64)
        train, validation, test = np.split(self.draws.generator("random split").permutation(rows), ends)
        validation = np.setdiff1d(validation, self.overlapping(validation, test))
        train = np.setdiff1d(train, self.overlapping(train, np.concatenate([validation, test])))
        return train, validation, np.sort(test)

    @cached_property
    def others(self) -> tuple[str, ...]:
        """Participants that may be trained on: all who have labelled windows and are not held out, in the card's order, or
        ``n_participants`` of them drawn at random.

        Raises:
            FoldError: if there are fewer than ``n_participants``.
        """
        return self.shared.get_or("others", self._others)

    def _others(self) -> tuple[str, ...]:
        held_out = {self.target, *self.held_out_with}
        with_label = [self.index.participants[i] for i in self.index.rows_with(self.label).people]
        candidates = [name for name in with_label if name not in held_out]
        if self.n_participants is None:
            return tuple(candidates)
        if self.n_participants > len(candidates):
            raise FoldError(f"{self.n_participants} people to train on were asked for, there are {len(candidates)}")
        # The purposes of draws are seeds: another word would draw others.
        sample = self.draws.generator("people").permutation(len(candidates))[: self.n_participants]
        return tuple(candidates[i] for i in sorted(sample))

    @cached_property
    def statistics(self) -> npt.NDArray[np.float32]:
        """(n, n_statistics) of every window's channels: see ``raylab.windows.segmentation.statistics``."""
        return self.index.described(self.channels)

    @cached_property
    def reach_s(self) -> float:
        """Seconds of signal, ending with a window, that the model's channels see: a window, or more if features look further back."""
        return self.index.card.reach_s(self.channels)

    def split_participants(self, participants: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """(training participants, validation participants): a fifth of them, rounded up, drawn once per fold.

        The draw ranks all others once, and each group takes its first fifth in that order, so that groups of
        different techniques validate on the same participants if they can. Matched by the clock, see ``_matched_people``.

        Raises:
            FoldError: if there are fewer than two, or too few to match.
        """
        if len(participants) < 2:
            raise FoldError(f"{len(participants)} person(s) to train on cannot give one for validation")
        rank = self._validation_rank
        count = math.ceil(VALIDATION_SHARE * len(participants) - 1e-9)
        drawn = sorted(participants, key=rank.__getitem__)
        validation = set(self._matched_people(drawn, count) if self.match else drawn[:count])
        return tuple(p for p in participants if p not in validation), tuple(p for p in participants if p in validation)

    @cached_property
    def _validation_rank(self) -> dict[str, int]:
        """The place of each of the others in the draw of who validates."""
        ranks = self.draws.generator("validation people").permutation(len(self.others))
        return {name: int(i) for i, name in zip(ranks, self.others, strict=True)}

    def _matched_people(self, drawn: Sequence[str], count: int) -> tuple[str, ...]:
        """The first ``count`` of these people, and as many more as it takes until they have windows of every class in one minute; whoever the
        rest needs for that is passed over.

        Raises:
            FoldError: if there are too few of either order.
        """
        chosen: list[str] = []
        for name in drawn:
            if len(chosen) >= count and len(self.matched(self.windows_of(chosen))):
                break
            if len(self.matched(self.windows_of([other for other in drawn if other not in (*chosen, name)]))):
                chosen.append(name)
        if not len(self.matched(self.windows_of(chosen))):
            raise FoldError(f"match: clock: {NO_MATCH.format(len(drawn))}")
        return tuple(chosen)

    def digest(self, rows: RowIds) -> str:
        """Hash of the ids of these windows, which are stored with the data; row numbers are a matter of how the index is laid out."""
        return (self.shared if self.shared.holds(rows) else self.own).digest(rows, self.index)

    def in_any(self, *parts: RowIds) -> npt.NDArray[np.bool_]:
        """(n,) whether a row of the index is in any of these."""
        marks = np.zeros(len(self.index.window), dtype=bool)
        for rows in parts:
            marks[rows] = True
        return marks

    def label_runs(self, rows: RowIds) -> npt.NDArray[np.int64]:
        """(n,) number of the run of one label that each row (of one participant, in time order) belongs to.

        A run ends at a change of label or segment, and at a stretch without label.
        """
        return label_runs(self.index, self.y, rows)

    def overlapping(self, rows: RowIds, others: RowIds) -> RowIds:
        """Those of ``rows`` that share a sample with one of ``others``: same participant and segment, starts nearer than what a window sees."""
        if not len(rows) or not len(others):
            return rows[:0]
        position = self._place(rows)
        sorted_others = np.concatenate([[-np.inf], np.sort(self._place(others)), [np.inf]])
        right = np.searchsorted(sorted_others, position)
        nearest = np.minimum(sorted_others[right] - position, position - sorted_others[right - 1])
        return np.asarray(rows[nearest < self.reach_s - 1e-6])

    def _place(self, rows: RowIds) -> npt.NDArray[np.float64]:
        """Of each row on one axis on which windows of different participants or segments lie far apart: then the nearest start decides."""
        index = self.index
        if "longest" not in index.derived:
            index.derived["longest"] = float(index.start_s.max()), int(index.segment.max()) + 1
        latest_start_s, segments = index.derived["longest"]
        segment = index.participant_index[rows].astype(np.float64) * segments + index.segment[rows]
        return np.asarray(segment * (latest_start_s + 2 * self.reach_s) + index.start_s[rows])

    def matched_split(self, split: "StageSplit") -> "StageSplit":
        """The same windows if nothing is matched; else those of other participants matched, training and validation each, and the target's own.

        Raises:
            FoldError: if nothing is left of either.
        """
        if not self.match:
            return split
        target = self.index.position[self.target]
        parts = []
        for rows in (split.train, split.validation, split.source):
            own = self.index.participant_index[rows] == target
            parts.append(np.union1d(self.matched(rows[~own]), rows[own]))
            if len(rows) and not len(parts[-1]):
                raise FoldError(f"match: clock: {NO_MATCH.format(len(np.unique(self.index.participant_index[rows])))}")
        train, validation, source = parts
        weights = split.weights
        if weights is not None:
            kept = np.concatenate([np.isin(split.train, train), np.isin(split.validation, validation)])
            weights = weights[kept] / weights[kept][: len(train)].mean()
        return replace(split, train=train, validation=validation, source=source, weights=weights)

    def as_dict(self) -> dict[str, Any]:
        """All that decides this fold's draws, apart from the windows themselves."""
        return {"dataset": self.index.name, "label": self.label, "target": self.held_out, "seed": self.seed}


@dataclass(frozen=True)
class StageSplit:
    """The windows of one stage.

    Attributes:
        train: windows to train on, with their labels.
        validation: windows to validate on; may be empty.
        signals_used: windows of the target whose signals (not labels) were looked at before the test; like trained ones they are not tested on.
        unlabelled: windows of the target that the stage receives without their labels. Only those in ``signals_used`` are purged from the test.
        source: windows of training people that the stage's method reads beside the training windows, with their labels.
        pseudo_targets: of some training people each the calibration windows that they would give, and the windows left to test on. What a method
            chooses for the target it chooses on them.
        weights: (n_train + n_validation,) weight of each training and then of each validation window in the loss, mean 1 over the training windows;
            None: all alike.
        predicts: windows of the target that are predicted with this stage's weights; None if the last stage predicts all
            (``raylab.training.stage_tree``).
    """

    train: RowIds
    validation: RowIds
    signals_used: RowIds = field(default_factory=lambda: NO_ROWS)
    unlabelled: RowIds = field(default_factory=lambda: NO_ROWS)
    source: RowIds = field(default_factory=lambda: NO_ROWS)
    pseudo_targets: tuple[tuple[RowIds, RowIds], ...] = ()
    weights: npt.NDArray[np.float64] | None = None
    predicts: RowIds | None = None

    def check(self, fold: Fold) -> "StageSplit":
        """Refuse samples on both sides.

        Raises:
            FoldError: if a training window is, or overlaps, a validation window.
        """
        person = fold.index.participant_index
        trained = np.zeros(len(fold.index.participants), dtype=bool)
        trained[person[self.train]] = True
        shared = self.validation[trained[person[self.validation]]]
        if not len(shared):
            return self
        if fold.in_any(self.train)[shared].any():
            raise FoldError("a window is in training and validation")
        if len(fold.overlapping(shared, self.train)):
            raise FoldError("a validation window shares samples with a training window")
        return self
