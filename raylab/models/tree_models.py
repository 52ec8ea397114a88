"""Ensembles of trees on statistics of each window: ``random_forest`` and ``gradient_boosting``, as scikit-learn grows them.

All trees of a model stand in the same arrays, one after the other, each in the order in which it is walked depth first, so that a node's left
child is the next node.
"""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import expit
from torch import Tensor

from raylab.errors import InvalidValueError
from raylab.models.estimators import Array, ArrayShape, Classes, People, n_first, softmax
from raylab.models.registry import CLASSICAL_MODELS, implements
from raylab.models.statistics_model import StatisticsModel, refuse_other_positions

TREES = 200
NODES = ("split", "threshold", "right")
Tree = tuple[npt.NDArray[np.int64], Array, npt.NDArray[np.int64], npt.NDArray[np.int64], Array]


def tree_arrays(trees: Sequence[Tree]) -> dict[str, Array]:
    """The arrays of an ensemble.

    Args:
        trees: of each tree the split feature (-1 for a leaf), threshold, left and right child, each (n_nodes,), and values (n_nodes, width).

    Returns:
        ``split`` (n,): the feature that a node asks for, or -1 - the row of ``leaf_values`` if it is a leaf; ``threshold`` (n,): a window
        goes left if its value is not above; ``right`` (n,): the right child (0 for a leaf); ``roots`` (n_trees,); ``leaf_values``
        (n_leaves, width).

    Raises:
        RuntimeError: if a tree is not in depth-first order, as another version of scikit-learn may keep it.
    """
    split, threshold, right, roots, values = [], [], [], [], []
    n_nodes = n_leaves = 0
    for feature, limit, left, right_child, value in trees:
        leaf = feature < 0
        if (left[~leaf] != np.flatnonzero(~leaf) + 1).any() or (right_child[~leaf] <= left[~leaf]).any():
            raise RuntimeError("scikit-learn's trees are not in depth-first order; raylab.models.tree_models relies on it")
        roots.append(n_nodes)
        split.append(np.where(leaf, -1 - (n_leaves + np.cumsum(leaf) - 1), feature))
        threshold.append(np.where(leaf, 0.0, limit))
        right.append(np.where(leaf, 0, n_nodes + right_child))
        values.append(value[leaf])
        n_nodes, n_leaves = n_nodes + len(leaf), n_leaves + int(leaf.sum())
    joined = {"split": split, "threshold": threshold, "right": right, "leaf_values": values}
    arrays = {name: np.concatenate(parts).astype(np.float64) for name, parts in joined.items()}
    return {**arrays, "roots": np.array(roots, dtype=np.float64)}


def leaf_values(arrays: Mapping[str, Array], x: Array) -> Array:
    """The value of the leaf that each window comes to in each tree, (n, n_trees, width); all windows go down all trees at once."""
    split, right = arrays["split"].astype(np.int64), arrays["right"].astype(np.int64)
    node = np.tile(arrays["roots"].astype(np.int64), (len(x), 1))
    windows = np.arange(len(x))[:, None]
    while (inner := split[node] >= 0).any():
        goes_left = x[windows, np.maximum(split[node], 0)] <= arrays["threshold"][node]
        node = np.where(inner, np.where(goes_left, node + 1, right[node]), node)
    return np.asarray(arrays["leaf_values"][-1 - split[node]])


class TreeModel(StatisticsModel):
    """An ensemble of trees whose nodes are its arrays."""

    LIBRARIES = ("sklearn.ensemble",)

    @abstractmethod
    def leaf_width(self, n_learned: int) -> int:
        """Numbers that a leaf holds."""

    def learned_shapes(self, n_kept: int, n_learned: int, found: Mapping[str, Tensor]) -> dict[str, ArrayShape]:
        """The numbers of trees, nodes and leaves are the file's own."""
        nodes = {name: (n_first(found, "split"),) for name in NODES}
        leaves = (n_first(found, "leaf_values"), self.leaf_width(n_learned))
        return {**nodes, "roots": (n_first(found, "roots"),), "leaf_values": leaves}

    def load_parts(self, state: Mapping[str, Tensor]) -> None:
        """Take over the arrays that ``state_of`` gave.

        Raises:
            InvalidValueError: if a node leads nowhere, or back, so that a window would go down a tree for ever.
        """
        super().load_parts(state)
        if not self.has_learned:
            return
        split, right, positions = self.arrays["split"], self.arrays["right"], np.arange(len(self.arrays["split"]))
        inner = split >= 0
        refuse_other_positions("roots", self.arrays["roots"], len(split))
        refuse_other_positions("split", split[inner], len(self.arrays["kept"]))
        refuse_other_positions("split", -1 - split[~inner], len(self.arrays["leaf_values"]))
        refuse_other_positions("right", right[inner], len(split))
        if (right[inner] <= positions[inner] + 1).any() or inner[-1:].any():
            raise InvalidValueError("a tree of a classical model leads back to itself; train or export it again")


@implements(CLASSICAL_MODELS["random_forest"])
class RandomForest(TreeModel):
    """200 trees, grown as scikit-learn does by default; the probability is the mean of the leaves' class shares."""

    def leaf_width(self, n_learned: int) -> int:
        """A share for each class."""
        return n_learned

    def learn(self, x: Array, target: Classes, people: People, weights: Array | None = None) -> dict[str, Array]:
        """Grow the trees on one thread."""
        from sklearn.ensemble import RandomForestClassifier

        forest = RandomForestClassifier(TREES, n_jobs=1, random_state=self.seed % 2**32).fit(x, target, weights)
        trees = [estimator.tree_ for estimator in forest.estimators_]
        return tree_arrays(
            [
                (
                    np.where(tree.children_left < 0, -1, tree.feature),
                    tree.threshold,
                    tree.children_left,
                    tree.children_right,
                    tree.value[:, 0],
                )
                for tree in trees
            ]
        )

    def predict(self, x: Array) -> Array:
        """Mean over the trees; a forest compares values in single precision."""
        return np.asarray(leaf_values(self.arrays, x.astype(np.float32)).mean(axis=1))


@implements(CLASSICAL_MODELS["gradient_boosting"])
class GradientBoosting(TreeModel):
    """scikit-learn's HistGradientBoostingClassifier: 100 rounds, without early stopping, which would validate on windows of people it trains on.

    Each round grows one tree for two classes, and one for each class for more. A leaf has at least 20 training windows, so that of fewer than
    40 it learns the shares of their classes only.
    """

    def leaf_width(self, n_learned: int) -> int:
        """What a tree adds to one raw score."""
        return 1

    def learn(self, x: Array, target: Classes, people: People, weights: Array | None = None) -> dict[str, Array]:
        """Grow the trees."""
        from sklearn.ensemble import HistGradientBoostingClassifier

        model = HistGradientBoostingClassifier(early_stopping=False, random_state=self.seed % 2**32).fit(x, target, weights)
        trees = [_boosted(predictor.nodes) for of_round in model._predictors for predictor in of_round]
        return {**tree_arrays(trees), "baseline": np.asarray(model._baseline_prediction, dtype=np.float64).ravel()}

    def predict(self, x: Array) -> Array:
        """Logistic function or softmax of the raw scores: the baseline and what every round adds."""
        added = leaf_values(self.arrays, x)[:, :, 0]
        raw = self.arrays["baseline"] + added.reshape(len(x), -1, len(self.arrays["baseline"])).sum(axis=1)
        if raw.shape[1] > 1:
            return softmax(raw)
        p = expit(raw[:, 0])
        return np.stack([1 - p, p], axis=1)

    def learned_shapes(self, n_kept: int, n_learned: int, found: Mapping[str, Tensor]) -> dict[str, ArrayShape]:
        """The trees come in whole rounds."""
        shapes = super().learned_shapes(n_kept, n_learned, found)
        per_round = 1 if n_learned == 2 else n_learned
        return {**shapes, "roots": (shapes["roots"][0] // per_round * per_round,), "baseline": (per_round,)}


def _boosted(nodes: npt.NDArray[Any]) -> Tree:
    leaf = nodes["is_leaf"].astype(bool)
    split = np.where(leaf, -1, nodes["feature_idx"].astype(np.int64))
    left, right = (nodes[side].astype(np.int64) for side in ("left", "right"))
    return split, nodes["num_threshold"], left, right, nodes["value"][:, None]
