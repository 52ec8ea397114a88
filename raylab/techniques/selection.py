"""Selections: the windows a stage trains and validates on. Each selection turns a fold into training and validation windows.

docs/protocol.md, Techniques. A window of the target is selected with its label only if it is a calibration window, except in a random split of
windows, which leaks participants and is named so in every table; ``Unlabelled`` selects windows of the target without labels. Splits are checked
for windows that share samples.
"""

from dataclasses import dataclass, replace
from typing import Literal, Protocol

import numpy as np

from raylab.folds.calibration import calibration
from raylab.folds.fold import NO_ROWS, VALIDATION_SHARE, Draw, Fold, FoldError, RowIds, StageSplit, Unit
from raylab.techniques.method import Which
from raylab.techniques.similarity import By, cluster, distances, nearest, unlabelled

TARGET_LABELS, TARGET_SIGNALS, TRAITS = "target labels", "target signals", "traits"


def chosen(selection: "Selection", fold: Fold) -> StageSplit:
    """The windows that a selection chooses of a fold, matched if the fold is; once per fold, as several stages and models ask for them.

    Raises:
        FoldError: as ``Selection.choose`` and ``Fold.matched_split``.
    """

    def split() -> StageSplit:
        return fold.matched_split(selection.choose(fold))

    try:
        hash(selection)
    except TypeError:  # a plugin's selection may be one that is no key
        return split()
    return fold.own.get_or(("chosen", selection), split)


class Selection(Protocol):
    """The interface of ``Stage.windows``."""

    @property
    def needs(self) -> frozenset[str]:
        """The information that it uses beyond the other participants' windows: target labels, target signals, traits."""
        ...

    def choose(self, fold: Fold) -> StageSplit:
        """Training and validation windows of this fold.

        Raises:
            FoldError: if the fold cannot give these windows; the trial is then carried as missing with this sentence.
        """
        ...


@dataclass(frozen=True)
class EveryoneElse:
    """All participants who are not held out; a fifth of them (rounded up) validates.

    In a random split of windows (``Fold.shares``): its training and validation parts.
    """

    @property
    def needs(self) -> frozenset[str]:
        return frozenset()

    def choose(self, fold: Fold) -> StageSplit:
        if fold.shares:
            train, validation, _ = fold.parts
            return StageSplit(train, validation).check(fold)
        return by_people(fold, fold.others)


@dataclass(frozen=True)
class Calibration:
    """The calibration windows of the target, without a validation part (the windows are too few to split).

    Attributes:
        budget: a share of the target's windows of each label (0 to 1), or a whole number of windows per label; 0 gives none.
        draw: ``initial`` takes the first windows in time (the study), ``random`` draws them.
        unit: ``window``, or ``block`` for whole runs of one label.
    """

    budget: float
    draw: Draw = "initial"
    unit: Unit = "window"

    @property
    def needs(self) -> frozenset[str]:
        return frozenset({TARGET_LABELS})

    def choose(self, fold: Fold) -> StageSplit:
        return StageSplit(self.windows(fold), NO_ROWS)

    def windows(self, fold: Fold) -> RowIds:
        """Row numbers of the calibration windows, rising.

        Raises:
            FoldError: if a label has fewer windows than the budget asks for, or if no window that shares no sample with them is left to
                test on.
        """
        return fold.own.get_or(("calibration", self.budget, self.draw, self.unit), lambda: self._windows(fold))

    def _windows(self, fold: Fold) -> RowIds:
        rows = calibration(fold, self.budget, self.draw, self.unit)
        rest = np.setdiff1d(fold.target_windows, rows)
        if not len(np.setdiff1d(rest, fold.overlapping(rest, rows))):
            raise FoldError(f"a budget of {self.budget:g} ({self.unit}s) leaves participant {fold.target} no test window")
        return rows


@dataclass(frozen=True)
class EveryoneElseAndCalibration(Calibration):
    """All other participants and the calibration windows of the target together; the same participants validate as without the latter."""

    def choose(self, fold: Fold) -> StageSplit:
        base, own = by_people(fold, fold.others), self.windows(fold)
        if fold.index.position[fold.target] in fold.shared.get_or(
            "people who validate", lambda: _people(fold, base.validation)
        ):
            StageSplit(own, base.validation).check(fold)  # the others' are checked
        return StageSplit(_with_rows(base.train, own), base.validation)


def _people(fold: Fold, rows: RowIds) -> frozenset[int]:
    """Positions of the people whose windows these are."""
    return frozenset(np.unique(fold.index.participant_index[rows]).tolist())


def _with_rows(rows: RowIds, more: RowIds) -> RowIds:
    """Both, rising. Those of one person mostly lie together, so that nothing has to be sorted."""
    first, last = np.searchsorted(rows, more[[0, -1]]) if len(more) else (0, 0)
    if first != last:
        return np.union1d(rows, more)
    return np.concatenate([rows[:first], more, rows[first:]])


@dataclass(frozen=True)
class CalibrationBesideSource(Calibration):
    """The calibration windows of the target, and beside them what the training people tell: the windows of the base training (``source``), and the
    people who validated it as pseudo-targets.

    Pseudo-targets are people to whom the trunk was not fitted, as it is not to the target. Each gives the calibration windows of the same budget,
    draw and unit, and is tested on the windows that share no sample with them; one who has too few windows gives none.
    """

    def choose(self, fold: Fold) -> StageSplit:
        base = by_people(fold, fold.others)
        validating = fold.split_participants(fold.others)[1]
        pairs = [pair for name in validating if (pair := self._pseudo_target(fold, name)) is not None]
        return StageSplit(self.windows(fold), NO_ROWS, source=base.train, pseudo_targets=tuple(pairs))

    def _pseudo_target(self, fold: Fold, name: str) -> tuple[RowIds, RowIds] | None:
        own = replace(fold, target=name)
        try:
            given = self.windows(own)
        except FoldError:
            return None
        rest = np.setdiff1d(own.target_windows, given)
        return given, np.setdiff1d(rest, fold.overlapping(rest, given))


@dataclass(frozen=True)
class Unlabelled:
    """Windows of the target without their labels.

    Attributes:
        which: ``past``: each window may look at those before it, and at itself; ``first``: the first share of the windows, which are then
            not tested on (``raylab.techniques.similarity.unlabelled``); ``all``: all of them, also those that are tested on (transductive).
    """

    which: Which = "past"

    @property
    def needs(self) -> frozenset[str]:
        return frozenset({TARGET_SIGNALS})

    def choose(self, fold: Fold) -> StageSplit:
        return with_unlabelled(StageSplit(NO_ROWS, NO_ROWS), fold, self.which)


@dataclass(frozen=True)
class EveryoneElseBesideUnlabelled:
    """The windows of ``EveryoneElse``, and those of the target without their labels.

    Attributes:
        which: as in ``Unlabelled``; ``none``: no window of the target.
        validates: whether the people who validate ``EveryoneElse`` validate here too; else nobody does, as without labels nothing can be.
    """

    which: Which | Literal["none"] = "past"
    validates: bool = True

    @property
    def needs(self) -> frozenset[str]:
        return frozenset() if self.which == "none" else frozenset({TARGET_SIGNALS})

    def choose(self, fold: Fold) -> StageSplit:
        base = by_people(fold, fold.others)
        split = StageSplit(base.train, base.validation if self.validates else NO_ROWS).check(fold)
        return split if self.which == "none" else with_unlabelled(split, fold, self.which)


@dataclass(frozen=True)
class Similar:
    """Participants who are similar to the target, by traits (the study), data or both."""

    by: By = "traits"

    @property
    def needs(self) -> frozenset[str]:
        return frozenset({"traits": {TRAITS}, "data": {TARGET_SIGNALS}, "both": {TRAITS, TARGET_SIGNALS}}[self.by])

    def signals_used(self, fold: Fold) -> RowIds:
        """Windows of the target whose signals decide who is similar; like training windows they are not tested on."""
        return unlabelled(fold) if TARGET_SIGNALS in self.needs else NO_ROWS


@dataclass(frozen=True)
class Cluster(Similar):
    """The participants of the target's cluster.

    Attributes:
        k: the number of clusters, or ``silhouette`` (``raylab.techniques.similarity.cluster``).
        within: validate on the last fifth of each label of each participant (second stage of ``multi_task``) instead of on a fifth of the
            participants. A cluster of one participant is always validated within.
    """

    k: int | str = "silhouette"
    within: bool = False

    def choose(self, fold: Fold) -> StageSplit:
        participants = cluster(fold, self.by, self.k)
        within = self.within or len(participants) == 1
        split = within_people(fold, participants) if within else by_people(fold, participants)
        return replace(split, signals_used=self.signals_used(fold))


@dataclass(frozen=True)
class Nearest(Similar):
    """The most similar participant, or all who are tied for it; the last fifth of each label of each of them validates.

    Ties are the rule with few traits: on WESAD (age, gender) 11 of 15 targets have several nearest participants.
    """

    def choose(self, fold: Fold) -> StageSplit:
        return replace(within_people(fold, nearest(fold, self.by)), signals_used=self.signals_used(fold))


@dataclass(frozen=True)
class SimilarWeigh(Similar):
    """The windows of ``EveryoneElse``, each person's with the weight exp(-d / (temperature x median d)) of the distance d to the target.

    Soft clusters: everyone stays in, and the more similar count more. Weights have mean 1 over the training windows. With all distances equal the
    stage is that of ``EveryoneElse``.

    Attributes:
        temperature: in median distances of the others; the larger, the more alike the weights.
    """

    temperature: float = 0.5

    def choose(self, fold: Fold) -> StageSplit:
        base = by_people(fold, fold.others)
        rows = np.concatenate([base.train, base.validation])
        distance = distances(fold, self.by)
        middle = float(np.median(distance)) or float(distance.max()) or 1.0
        # the nearest person's distance is taken off: the ratios stay, and small temperatures do not underflow
        weight = np.exp(-(distance - distance.min()) / (self.temperature * middle))
        of_person = np.zeros(len(fold.index.participants))
        of_person[[fold.index.position[name] for name in fold.others]] = weight
        weights = of_person[fold.index.participant_index[rows]]
        # They are in the stage's hash: exp and norms differ in their last bits between types of processors, and a plan has to be the same on all.
        weights = np.round(weights / weights[: len(base.train)].mean(), 9)
        alike = bool(np.ptp(weights) < 1e-12)
        return replace(base, signals_used=self.signals_used(fold), weights=None if alike else weights)


def with_unlabelled(split: StageSplit, fold: Fold, which: Which) -> StageSplit:
    """The split with windows of the target without labels, of which only a first share is not tested on (``Unlabelled``)."""
    if which == "first":
        rows = unlabelled(fold)
        return replace(split, unlabelled=rows, signals_used=rows)
    return replace(split, unlabelled=fold.target_windows)


def by_people(fold: Fold, participants: tuple[str, ...]) -> StageSplit:
    """Train on four fifths of these participants and validate on the others (a fifth, rounded up, drawn once per fold).

    Raises:
        FoldError: if there are fewer than two participants.
    """

    def split() -> StageSplit:
        train, validation = fold.split_participants(participants)
        return _kept(StageSplit(fold.windows_of(train), fold.windows_of(validation)).check(fold), fold)

    return fold.shared.get_or(("by people", participants), split)


def within_people(fold: Fold, participants: tuple[str, ...]) -> StageSplit:
    """Validate on the last fifth (rounded up) of each label of each participant, train on the rest; overlapping training windows are purged.

    Raises:
        FoldError: if no window is left to train on.
    """
    return fold.shared.get_or(("within people", participants), lambda: _within_people(fold, participants))


def _within_people(fold: Fold, participants: tuple[str, ...]) -> StageSplit:
    rows = fold.windows_of(participants)
    # all people at once: the windows of each person and label, in time, and each one's place among them
    order = np.lexsort((fold.y[rows], fold.index.participant_index[rows]))
    cell = np.stack([fold.index.participant_index[rows], fold.y[rows]])[:, order]
    begins = np.flatnonzero(np.concatenate([[True], (np.diff(cell) != 0).any(axis=0)])) if len(rows) else NO_ROWS
    counts = np.diff(np.concatenate([begins, [len(rows)]]))
    place = np.arange(len(rows)) - np.repeat(begins, counts)
    # without the 1e-9 a rounding error of 0.2 * n would round up once too often
    trained = counts - np.ceil(VALIDATION_SHARE * counts - 1e-9).astype(np.int64)
    validates = np.zeros(len(rows), dtype=bool)
    validates[order] = place >= np.repeat(trained, counts)
    validation, rest = rows[validates], rows[~validates]
    train = np.setdiff1d(rest, fold.overlapping(rest, validation))
    if not len(train):
        raise FoldError(f"the windows of {', '.join(participants)} are too few to train and to validate on")
    return _kept(StageSplit(train, validation).check(fold), fold)


def _kept(split: StageSplit, fold: Fold) -> StageSplit:
    """The split, whose digests all folds share that hold out the same people."""
    fold.shared.keep(split.train, split.validation)
    return split
