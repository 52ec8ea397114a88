"""``rule``: one statistic and its sign, chosen on the training people. Nothing else is learned: what a trained model has to beat."""

from collections.abc import Mapping

import numpy as np
from scipy.stats import rankdata
from torch import Tensor

from raylab.models.estimators import Array, ArrayShape, Classes, People
from raylab.models.registry import CLASSICAL_MODELS, implements
from raylab.models.statistics_model import StatisticsModel, refuse_other_positions


def auroc_of_statistics(x: Array, positive: Classes, people: People) -> Array:
    """AUROC of each statistic on its own, (n_statistics,), the mean over the people who have windows of both kinds.

    If nobody has both, all windows count as one person's.

    Args:
        x: (n, n_statistics).
        positive: (n,) whether a window is of the class.
        people: (n,) who a window is of.
    """
    both = [person for person in np.unique(people) if 0 < positive[people == person].mean() < 1]
    groups = [people == person for person in both] or [np.ones(len(x), dtype=bool)]
    return np.asarray(np.mean([auroc_of_columns(x[rows], positive[rows]) for rows in groups], axis=0))


def auroc_of_columns(x: Array, positive: Classes) -> Array:
    """AUROC of each column on its own, (n_columns,), of x (n, n_columns) for ``positive`` (n,), of which neither all nor none are true.

    From the sum of ranks of the positive windows (Mann and Whitney 1947), ties counting half."""
    n, n_positive = len(x), int(positive.sum())
    ranks = rankdata(x, axis=0)[positive.astype(bool)].sum(axis=0)
    return np.asarray((ranks - n_positive * (n_positive + 1) / 2) / (n_positive * (n - n_positive)))


@implements(CLASSICAL_MODELS["rule"])
class Rule(StatisticsModel):
    """For each class the statistic that, alone and with the right sign, ranks the windows of the training people best.

    Best is the highest AUROC per person (the class against all others), averaged over the training people; of equals the first. With two
    classes both have the same statistic, with opposite signs, so that there is one rule.

    The odds of a class are those of the statistic's rank share among the training windows (how many of them lie below), times the odds of the
    class's share: as many training windows are called a class as there are of it. With more than two classes the odds become
    probabilities one by one and are scaled to sum to 1. Within a class, the probability rises with the signed statistic and nothing else.

    ``arrays``: ``chosen`` the position of each class's statistic among those kept, ``sign``, ``auroc`` what it reached on the training people, and
    ``reference``, the sorted values of the training windows, (n_classes, n_windows).
    """

    def learn(self, x: Array, target: Classes, people: People, weights: Array | None = None) -> dict[str, Array]:
        """Choose a statistic and its sign for each class."""
        n_learned = int(target.max()) + 1
        reached = [auroc_of_statistics(x, target == label, people) for label in range(1, n_learned)]
        # with two classes the first one's AUROC is what the second one's leaves, computed so that ties are decided alike
        first = 1 - reached[0] if n_learned == 2 else auroc_of_statistics(x, target == 0, people)
        auroc = np.stack([first, *reached])
        distance = np.abs(auroc - 0.5) if n_learned > 2 else np.tile(np.abs(reached[0] - 0.5), (2, 1))
        chosen = distance.argmax(axis=1)
        best = auroc[np.arange(n_learned), chosen]
        sign = np.where(best >= 0.5, 1.0, -1.0)
        if n_learned == 2:
            sign[0] = -sign[1]
        reference = np.sort(sign[:, None] * x[:, chosen].T, axis=1)
        return {"chosen": chosen.astype(np.float64), "sign": sign, "auroc": best, "reference": reference}

    def predict(self, x: Array) -> Array:
        """Rank shares, with the odds of the classes' shares."""
        signed = self.arrays["sign"] * x[:, self.arrays["chosen"].astype(int)]
        shares = self.arrays["shares"]
        p = np.empty_like(signed)
        for label, reference in enumerate(self.arrays["reference"]):
            below = np.searchsorted(reference, signed[:, label], "left") + np.searchsorted(reference, signed[:, label], "right")
            rank = (below + 1) / (2 * len(reference) + 2)  # mid-rank, and never 0 or 1
            odds = rank / (1 - rank) * shares[label] / (1 - shares[label])
            p[:, label] = odds / (1 + odds)
        return np.asarray(p / p.sum(axis=1, keepdims=True))

    def learned_shapes(self, n_kept: int, n_learned: int, found: Mapping[str, Tensor]) -> dict[str, ArrayShape]:
        """The number of training windows is the file's own."""
        reference = found.get("reference")
        n_windows = reference.shape[1] if reference is not None and reference.dim() == 2 else 0
        shapes: dict[str, ArrayShape] = dict.fromkeys(("chosen", "sign", "auroc"), (n_learned,))
        return {**shapes, "reference": (n_learned, n_windows)}

    def load_parts(self, state: Mapping[str, Tensor]) -> None:
        """Take over the arrays that ``state_of`` gave.

        Raises:
            InvalidValueError: if they name a statistic that there is none of.
        """
        super().load_parts(state)
        if self.has_learned:
            refuse_other_positions("chosen", self.arrays["chosen"], len(self.arrays["kept"]))
