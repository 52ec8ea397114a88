"""The target's windows that are given as labelled examples, to calibrate with (PROTOCOL, Folds and techniques)."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from raylab.folds.fold import NO_ROWS, Draw, Fold, FoldError, RowIds, Unit, label_runs
from raylab.windows.dataset import WindowIndex


def wanted(budget: float, count: int) -> int:
    """The number of windows, of ``count``, that a budget asks for: an integer is a number of windows, a fraction a share rounded up.

    Raises:
        FoldError: on a share outside 0..1 or a negative number.
    """
    if isinstance(budget, int):
        if budget < 0:
            raise FoldError(f"a budget of {budget} windows per label is below 0")
        return budget
    if not 0 <= budget < 1:
        raise FoldError(f"a budget of {budget:g} is neither a share (0 to 1) nor a number of windows")
    return math.ceil(budget * count - 1e-9)


def calibration(fold: Fold, budget: float, draw: Draw = "initial", unit: Unit = "window") -> RowIds:
    """The target's calibration windows: of each label the first (or randomly drawn) windows that the budget asks for.

    With ``unit="block"`` whole runs of one label are taken, first ones first (or drawn), until the budget is reached.

    Raises:
        FoldError: if a label has fewer windows than the budget asks for.
    """
    rows = fold.target_windows
    chosen: list[npt.NDArray[np.int64]] = [NO_ROWS]
    for label in np.unique(fold.y[rows]):
        candidates = rows[fold.y[rows] == label]
        count = wanted(budget, len(candidates))
        if count > len(candidates):
            name = fold.index.classes(fold.label)[label]
            raise FoldError(f"participant {fold.target} has {len(candidates)} windows of {name!r}, the budget asks for {count}")
        rng = fold.draws.generator(f"calibration of label {label}")
        choose = {"window": _windows, "block": _blocks}[unit]  # "auto" is resolved when a trial is planned
        chosen.append(choose(fold, candidates, count, draw, rng))
    return np.sort(np.concatenate(chosen))


def _windows(fold: Fold, candidates: RowIds, count: int, draw: Draw, rng: np.random.Generator) -> RowIds:
    return candidates[:count] if draw == "initial" else candidates[rng.permutation(len(candidates))[:count]]


def _blocks(fold: Fold, candidates: RowIds, count: int, draw: Draw, rng: np.random.Generator) -> RowIds:
    """Whole runs of the label, as many as it takes to have ``count`` windows."""
    runs = fold.label_runs(fold.target_windows)[np.searchsorted(fold.target_windows, candidates)]
    order = np.unique(runs) if draw == "initial" else rng.permutation(np.unique(runs))
    blocks: list[RowIds] = [NO_ROWS]
    for run in order:
        if sum(len(block) for block in blocks) >= count:
            break
        blocks.append(candidates[runs == run])
    return np.concatenate(blocks)


@dataclass(frozen=True)
class RunCounts:
    """How many runs of a label's classes people have.

    Attributes:
        fewest: (n_people,) of each person who has windows of two classes or more: the runs of the class of which there are the fewest.
        timed: whether the windows were cut from running signals; utterances, one recording each, have no runs.
    """

    fewest: npt.NDArray[np.int64]
    timed: bool

    @property
    def people(self) -> int:
        """People who have windows of two classes or more."""
        return len(self.fewest)

    @property
    def several(self) -> int:
        """Those of them who have at least two runs of each of their classes."""
        return int((self.fewest > 1).sum())

    @property
    def unit(self) -> Unit:
        """What ``unit: auto`` means: ``block`` if more than half of these people have at least two runs of each class."""
        return "block" if self.timed and 2 * self.several > self.people else "window"


def run_counts(index: WindowIndex, label: str, participants: Iterable[str]) -> RunCounts:
    """The runs of these participants, by the same rule that ``unit="block"`` takes them by."""
    y, fewest = index.labels[label], []
    for participant in participants:
        rows = index.rows_with(label).of_people([index.position[participant]])
        runs = label_runs(index, y, rows)
        of_classes = [len(np.unique(runs[y[rows] == k])) for k in np.unique(y[rows])]
        if len(of_classes) > 1:
            fewest.append(min(of_classes))
    return RunCounts(np.array(fewest, dtype=np.int64), index.card.kind == "signals")
