"""The target's own labels by cross-validation in time: what no technique can have, and so the upper bound of a table (``oracle``)."""

from dataclasses import dataclass

import numpy as np

from raylab.folds.fold import NO_ROWS, Fold, FoldError, RowIds, StageSplit
from raylab.techniques.selection import TARGET_LABELS, by_people


@dataclass(frozen=True)
class OtherBlocks:
    """All windows of the target but one block, and those that share samples with it; the block is predicted.

    A block is the same part of every label's windows in time, so that a target with one run of each label has all of them on both sides.

    Attributes:
        block: which one is predicted, from 0.
        of: the number of blocks.
        with_others: everyone else's training windows are trained on too, and everyone else's validation windows validate.
    """

    block: int
    of: int
    with_others: bool = False

    @property
    def needs(self) -> frozenset[str]:
        return frozenset({TARGET_LABELS})

    def choose(self, fold: Fold) -> StageSplit:
        predicted = self.predicted(fold)
        rest = np.setdiff1d(fold.target_windows, predicted)
        own = np.setdiff1d(rest, fold.overlapping(rest, predicted))
        if not len(own) or not len(predicted):
            raise FoldError(
                f"participant {fold.target} has too few windows for {self.of} blocks: block {self.block + 1} leaves nothing to train on, or is empty"
            )
        if not self.with_others:
            return StageSplit(own, NO_ROWS, predicts=predicted)
        base = by_people(fold, fold.others)
        return StageSplit(np.flatnonzero(fold.in_any(base.train, own)), base.validation, predicts=predicted).check(fold)

    def predicted(self, fold: Fold) -> RowIds:
        """The windows of the block, rising."""
        rows = fold.target_windows
        of_labels = [rows[fold.y[rows] == label] for label in np.unique(fold.y[rows])]
        return np.sort(np.concatenate([NO_ROWS, *(np.array_split(part, self.of)[self.block] for part in of_labels)]))
