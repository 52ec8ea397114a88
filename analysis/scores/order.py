"""Order-balanced scores: pairs of windows with class 1 later and with class 1 earlier, each on their own.

Signals drift, and a protocol has an order: whatever rises with time ranks a class that always comes later above the other, whether it has to do
with it or not. Among the pairs in which that class came earlier the same drift ranks the wrong way round. The mean of both halves is what is
left of an AUROC if drift is all there is: 0.5.
"""

import numpy as np

from analysis.arrays import Floats, Integers

Halves = tuple[float, float]


def auroc_halves(positive: Integers, p: Floats, time: Floats) -> Halves:
    """AUROC among the pairs (one window of the class, one of the rest) in which the class came later, and among those in which it came
    earlier; NaN if there are no such pairs. Ties of probabilities count half, pairs of the same time not at all.

    Args:
        positive: (n,) whether a window is of the class.
        p: (n,) its probability.
        time: (n,) when the window was recorded; only the order matters.
    """
    of_class = positive.astype(bool)
    ahead = p[of_class][:, None] - p[~of_class]
    wins = (ahead > 0) + 0.5 * (ahead == 0)
    after = time[of_class][:, None] - time[~of_class]
    later, earlier = (float(wins[pairs].mean()) if pairs.any() else np.nan for pairs in (after > 0, after < 0))
    return later, earlier


def balanced(later: Floats, earlier: Floats) -> Floats:
    """Mean of both halves; missing where one of them is."""
    return np.asarray((np.asarray(later) + np.asarray(earlier)) / 2)
