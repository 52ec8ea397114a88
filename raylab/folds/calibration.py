"""Which of the target's windows are given to calibrate with (PROTOCOL, Folds and techniques)."""

import math

import numpy as np
import numpy.typing as npt

from raylab.folds.fold import NO_ROWS, Draw, Fold, FoldError, RowIds, Unit


def wanted(budget: float, count: int) -> int:
    """How many of ``count`` windows a budget asks for: an integer is a number of windows, a fraction a share rounded up.

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
        FoldError: where a label has fewer windows than the budget asks for.
    """
    rows = fold.target_windows
    chosen: list[npt.NDArray[np.int64]] = [NO_ROWS]
    for label in np.unique(fold.y[rows]):
        mine = rows[fold.y[rows] == label]
        count = wanted(budget, len(mine))
        if count > len(mine):
            name = fold.index.classes(fold.label)[label]
            raise FoldError(f"participant {fold.target} has {len(mine)} windows of {name!r}, the budget asks for {count}")
        rng = fold.draws.generator(f"calibration of label {label}")
        chosen.append(_windows(mine, count, draw, rng) if unit == "window" else _blocks(fold, mine, count, draw, rng))
    return np.sort(np.concatenate(chosen))


def _windows(mine: RowIds, count: int, draw: Draw, rng: np.random.Generator) -> RowIds:
    return mine[:count] if draw == "initial" else mine[rng.permutation(len(mine))[:count]]


def _blocks(fold: Fold, mine: RowIds, count: int, draw: Draw, rng: np.random.Generator) -> RowIds:
    numbers = fold.label_runs(fold.target_windows)[np.searchsorted(fold.target_windows, mine)]
    order = np.unique(numbers) if draw == "initial" else rng.permutation(np.unique(numbers))
    taken: list[RowIds] = [NO_ROWS]
    for number in order:
        if sum(len(part) for part in taken) >= count:
            break
        taken.append(mine[numbers == number])
    return np.concatenate(taken)
