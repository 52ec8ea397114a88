"""Whose windows a stage trains on. Each selection turns a fold into training and validation windows."""

import math
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from raylab.folds.calibration import calibration
from raylab.folds.fold import NO_ROWS, VALIDATION_SHARE, Draw, Fold, FoldError, RowIds, StageSplit, Unit
from raylab.techniques.similarity import By, cluster, nearest, unlabelled

TARGET_LABELS, TARGET_SIGNALS, TRAITS = "target labels", "target signals", "traits"


class Selection(Protocol):
    """What a stage's ``windows`` must offer."""

    @property
    def needs(self) -> frozenset[str]:
        """What of the target or the dataset it uses: target labels, target signals, traits."""
        ...

    def choose(self, fold: Fold) -> StageSplit: ...


@dataclass(frozen=True)
class EveryoneElse:
    """Everyone but the target; a fifth of the people (rounded up) validate. In a random split, its training and validation windows."""

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
    """The target's calibration windows, without a validation part."""

    budget: float
    draw: Draw = "initial"
    unit: Unit = "window"

    @property
    def needs(self) -> frozenset[str]:
        return frozenset({TARGET_LABELS})

    def choose(self, fold: Fold) -> StageSplit:
        return StageSplit(self.windows(fold), NO_ROWS)

    def windows(self, fold: Fold) -> RowIds:
        """The calibration windows.

        Raises:
            FoldError: where nothing would be left to test on.
        """
        rows = calibration(fold, self.budget, self.draw, self.unit)
        left = np.setdiff1d(fold.target_windows, rows)
        if not len(np.setdiff1d(left, fold.overlapping(left, rows))):
            raise FoldError(f"a budget of {self.budget:g} ({self.unit}s) leaves participant {fold.target} no test window")
        return rows


@dataclass(frozen=True)
class EveryoneElseAndCalibration(Calibration):
    """Everyone else together with the target's calibration windows; validation people as without them."""

    def choose(self, fold: Fold) -> StageSplit:
        base = by_people(fold, fold.others)
        return StageSplit(np.union1d(base.train, self.windows(fold)), base.validation).check(fold)


@dataclass(frozen=True)
class Similar:
    """People like the target, by traits (the paper), data or both."""

    by: By = "traits"

    @property
    def needs(self) -> frozenset[str]:
        return frozenset({"traits": {TRAITS}, "data": {TARGET_SIGNALS}, "both": {TRAITS, TARGET_SIGNALS}}[self.by])

    def signals_used(self, fold: Fold) -> RowIds:
        """The target's windows whose signals decide who is similar: they are not tested on."""
        return unlabelled(fold) if TARGET_SIGNALS in self.needs else NO_ROWS


@dataclass(frozen=True)
class Cluster(Similar):
    """The target's cluster: ``k`` a number or ``silhouette``. ``within`` chooses how it validates: a fifth of its people, or the
    last fifth of each label of each person (multi-task's second stage)."""

    k: int | str = "silhouette"
    within: bool = False

    def choose(self, fold: Fold) -> StageSplit:
        people = cluster(fold, self.by, self.k)
        chosen = within_people(fold, people) if self.within or len(people) == 1 else by_people(fold, people)
        return replace(chosen, signals_used=self.signals_used(fold))


@dataclass(frozen=True)
class Nearest(Similar):
    """The most similar person, with everyone tied; the last fifth of each label of each validates."""

    def choose(self, fold: Fold) -> StageSplit:
        return replace(within_people(fold, nearest(fold, self.by)), signals_used=self.signals_used(fold))


def by_people(fold: Fold, people: tuple[str, ...]) -> StageSplit:
    """A fifth of the people, rounded up, validate."""
    train, validation = fold.split_participants(people)
    return StageSplit(fold.windows_of(train), fold.windows_of(validation)).check(fold)


def within_people(fold: Fold, people: tuple[str, ...]) -> StageSplit:
    """The last fifth (rounded up) of each label of each person validates; training windows that overlap it are purged.

    Raises:
        FoldError: where that leaves nothing to train on.
    """
    validation: list[RowIds] = [NO_ROWS]
    for person in people:
        rows = fold.windows_of([person])
        for label in np.unique(fold.y[rows]):
            mine = rows[fold.y[rows] == label]
            validation.append(mine[len(mine) - math.ceil(VALIDATION_SHARE * len(mine) - 1e-9) :])
    held = np.sort(np.concatenate(validation))
    rest = np.setdiff1d(fold.windows_of(people), held)
    train = np.setdiff1d(rest, fold.overlapping(rest, held))
    if not len(train):
        raise FoldError(f"the windows of {', '.join(people)} are too few to train and to validate on")
    return StageSplit(train, held).check(fold)
