"""Whose windows a stage trains on. Each selection turns a fold into training and validation windows."""

from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np

from raylab.folds.calibration import NONE, calibration
from raylab.folds.fold import Chosen, Draw, Fold, FoldError, Rows, Unit


class Selection(Protocol):
    """What a stage's ``windows`` must offer.

    Attributes:
        needs: what of the target or the dataset it uses: ``target labels``, ``traits``, ``target signals``.
    """

    needs: ClassVar[frozenset[str]]

    def choose(self, fold: Fold) -> Chosen: ...


TARGET_LABELS = "target labels"


@dataclass(frozen=True)
class EveryoneElse:
    """Everyone but the target; a fifth of the people (rounded up) validate."""

    needs: ClassVar[frozenset[str]] = frozenset()

    def choose(self, fold: Fold) -> Chosen:
        train, validation = fold.split_people(fold.others)
        return Chosen(fold.windows_of(train), fold.windows_of(validation)).check(fold)


@dataclass(frozen=True)
class Calibration:
    """The target's calibration windows, without a validation part."""

    budget: float
    draw: Draw = "initial"
    unit: Unit = "window"
    needs: ClassVar[frozenset[str]] = frozenset({TARGET_LABELS})

    def choose(self, fold: Fold) -> Chosen:
        return Chosen(self.windows(fold), NONE)

    def windows(self, fold: Fold) -> Rows:
        """The calibration windows.

        Raises:
            FoldError: where nothing would be left to test on.
        """
        rows = calibration(fold, self.budget, self.draw, self.unit)
        left = np.setdiff1d(fold.target_windows, rows)
        if not len(np.setdiff1d(left, fold.overlapping(left, rows))):
            raise FoldError(f"a budget of {self.budget:g} ({self.unit}s) leaves participant {fold.target} no test window")
        return rows
