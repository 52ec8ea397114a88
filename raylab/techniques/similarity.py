"""Similarity of participants to the target: by traits (the study), by their signals (data), or by both.

docs/protocol.md, Techniques; docs/decisions/0006-similarity-by-data.md. All techniques that train on similar participants use this module.
Scaling and clustering are fitted on the participants who may be trained on, never on the target, who is only assigned.
"""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from raylab.folds.fold import Fold, FoldError, RowIds

By = Literal["traits", "data", "both"]
Vectors = npt.NDArray[np.float64]

UNLABELLED_SHARE = 0.2  # share of the target's windows, the first in time, whose signals (not labels) `data` and `both` use
SILHOUETTE_K = (2, 3, 4, 5)
STARTS = 50  # with a single k-means start another seed puts 11-13 of WESAD's 15 targets into another cluster


def unlabelled(fold: Fold) -> RowIds:
    """The first windows of the target in time: their signals are used, their labels are not.

    They stand for a short recording of a new user. They are looked at before the test, so they are not tested on.
    """
    return first_share(fold.target_windows)


def first_share(rows: RowIds) -> RowIds:
    """The first fifth of a person's windows, rounded up, at least one."""
    return rows[: max(1, int(np.ceil(UNLABELLED_SHARE * len(rows) - 1e-9)))]


def vectors(fold: Fold, by: By) -> tuple[Vectors, Vectors]:
    """Coordinates of the other participants (n_participants, n_dimensions), in the fold's order, and of the target (n_dimensions,).

    Each dimension is scaled to 0..1 on the other participants; the target may lie outside.

    Raises:
        FoldError: if a participant has no value for a trait, or if there is no other participant.
    """
    return fold.own.get_or(("vectors", by), lambda: _vectors(fold, by))


def _vectors(fold: Fold, by: By) -> tuple[Vectors, Vectors]:
    if not fold.others:
        raise FoldError(f"there is nobody else to compare participant {fold.target} with")
    parts = []
    if by in ("traits", "both"):
        parts.append(_traits(fold))
    if by in ("data", "both"):
        parts.append(_statistics(fold))
    # In `both` traits and signals have equal weight in the distance, however many dimensions each has.
    scaled = [
        (others / np.sqrt(others.shape[1]), target / np.sqrt(others.shape[1])) if by == "both" else (others, target)
        for others, target in parts
    ]
    return np.hstack([others for others, _ in scaled]), np.concatenate([target for _, target in scaled])


def _traits(fold: Fold) -> tuple[Vectors, Vectors]:
    """Coordinates by the traits that the dataset's card lists for similarity: of the other participants, and of the target."""
    names = fold.index.card.similarity_traits
    fold.shared.get_or("traits complete", lambda: _require_traits(fold, fold.others, names))
    _require_traits(fold, (fold.target,), names)
    columns = [_trait(fold, name) for name in names]
    return np.hstack([others for others, _ in columns]), np.concatenate([target for _, target in columns])


def _require_traits(fold: Fold, participants: Sequence[str], names: Sequence[str]) -> None:
    """Refuse people of whom a trait is not known.

    Raises:
        FoldError: naming the first of them.
    """
    for participant in participants:
        traits = fold.index.traits(participant)
        missing = [name for name in names if traits.get(name) is None]
        if missing:
            raise FoldError(f"participant {participant} has no value for the trait(s) {', '.join(missing)}")


def _trait(fold: Fold, name: str) -> tuple[Vectors, Vectors]:
    """One trait of the other participants, (n_participants, 1 or n_categories), and of the target, (1 or n_categories,).

    Numbers are scaled to 0..1 on the other participants. Two categories become 0 and 1, more become one-hot columns divided by the root of 2, so
    that two participants of different categories are always 1 apart. The study's public code encodes age by its rank; raylab uses the number
    (docs/protocol.md, Departures).
    """
    index = fold.index
    others: list[Any] = fold.shared.get_or(("trait", name), lambda: [index.traits(other)[name] for other in fold.others])
    own = index.traits(fold.target)[name]
    known: frozenset[str] = fold.shared.get_or(
        ("categories", name), lambda: frozenset(str(v) for v in others if isinstance(v, str))
    )
    if not known and not isinstance(own, str):
        fitted = fold.shared.get_or(("scaled trait", name), lambda: _scaled(np.array(others, dtype=np.float64)[:, None]))
        return fitted[0], np.asarray(fitted[1].transform(np.array([[own]], dtype=np.float64))[0])
    everybody = fold.shared.get_or(("texts", name), lambda: frozenset(map(str, others)))
    categories = tuple(sorted({*everybody, str(own)}))

    def coded(values: Sequence[Any]) -> Vectors:
        hot = np.array([[float(str(value) == category) for category in categories] for value in values])
        return hot[:, :1] if len(categories) <= 2 else hot / np.sqrt(2)

    return fold.shared.get_or(("coded trait", name, categories), lambda: coded(others)), coded([own])[0]


def _scaled(others: Vectors) -> tuple[Vectors, Any]:
    """The columns scaled to 0..1, and what scales others alike."""
    from sklearn.preprocessing import MinMaxScaler

    scaler = MinMaxScaler().fit(others)
    return np.asarray(scaler.transform(others)), scaler


def _statistics(fold: Fold) -> tuple[Vectors, Vectors]:
    """Coordinates by data, of the other participants and of the target, scaled to 0..1 on the former.

    A participant is the mean and the SD, over their windows, of each window's statistics (``Fold.statistics``); the target over the first
    windows only (``unlabelled``).
    """

    def describe(rows: RowIds) -> Vectors:
        of_windows = fold.statistics[rows].astype(np.float64)
        return np.concatenate([of_windows.mean(axis=0), of_windows.std(axis=0)])

    kept: dict[str, Vectors] = fold.index.derived.setdefault(("people described", fold.label, fold.channels), {})

    def described(participant: str) -> Vectors:
        if participant not in kept:
            kept[participant] = describe(fold.windows_of([participant]))
        return kept[participant]

    others, scaler = fold.shared.get_or(
        "scaled statistics", lambda: _scaled(np.stack([described(name) for name in fold.others]))
    )
    return others, np.asarray(scaler.transform(describe(unlabelled(fold))[None])[0])


def distances(fold: Fold, by: By) -> Vectors:
    """Euclidean distance of each other participant to the target, (n_participants,), in the fold's order.

    Raises:
        FoldError: as ``vectors``.
    """
    others, target = vectors(fold, by)
    return np.asarray(np.linalg.norm(others - target, axis=1))


def nearest(fold: Fold, by: By) -> tuple[str, ...]:
    """The most similar participant by Euclidean distance, or all who are tied for it (distances equal within 1e-9).

    Raises:
        FoldError: as ``vectors``.
    """
    distance = distances(fold, by)
    return tuple(fold.others[i] for i in np.flatnonzero(distance <= distance.min() + 1e-9))


def cluster(fold: Fold, by: By, k: int | str) -> tuple[str, ...]:
    """The participants of the cluster with the centre nearest to the target; k-means++ with 50 starts on the other participants.

    Args:
        by: the coordinates, see ``vectors``.
        k: the number of clusters. ``silhouette``: of 2..5 the one with the largest mean silhouette, as the study's slides say;
            ``silhouette_smallest``: the one with the smallest, as its public code does (docs/protocol.md, Departures).

    Raises:
        FoldError: if there are fewer different participants than clusters, or as ``vectors``.
    """
    others, target = vectors(fold, by)

    def clustered() -> Clustering:
        return fold.shared.get_or(
            ("clusters", others.tobytes()), lambda: Clustering(others, fold.draws.integer("k-means") % 2**32)
        )

    clustering = fold.own.get_or(("clusters", by), clustered)
    number = clustering.k_by_silhouette(k) if isinstance(k, str) else k
    labels, centres = clustering.k_means(number)
    nearest_centre = int(np.argmin(np.linalg.norm(centres - target, axis=1)))

    def people() -> tuple[str, ...]:
        return tuple(fold.others[i] for i in np.flatnonzero(labels == nearest_centre))

    return fold.shared.get_or(("people of a cluster", clustering, number, nearest_centre), people)


class Clustering:
    """The clusters of these points for several k, each computed once: several techniques and variants ask for them.

    Args:
        points: (n, n_dimensions).
        seed: of k-means.
    """

    def __init__(self, points: Vectors, seed: int) -> None:
        self.points, self.seed = points, seed
        self.n_distinct = len(set(map(tuple, points)))
        self._clusters: dict[int, tuple[npt.NDArray[np.int32], Vectors]] = {}
        self._k: dict[str, int] = {}

    def k_means(self, k: int) -> tuple[npt.NDArray[np.int32], Vectors]:
        """Cluster number of each point, and the centres (k, n_dimensions); k-means++ with ``STARTS`` starts.

        Raises:
            FoldError: if there are fewer different points than clusters.
        """
        if k not in self._clusters:
            import sklearn
            from sklearn.cluster import KMeans

            if k > self.n_distinct:
                raise FoldError(
                    f"k={k} is larger than the {self.n_distinct} different people that can be clustered (of {len(self.points)})"
                )
            # the checks of its input, once a start, are a seventh of the time
            with sklearn.config_context(assume_finite=True, skip_parameter_validation=True):
                fitted = KMeans(k, init="k-means++", n_init=STARTS, random_state=self.seed).fit(self.points)
            self._clusters[k] = fitted.labels_, fitted.cluster_centers_
        return self._clusters[k]

    def k_by_silhouette(self, rule: str) -> int:
        """Of 2..5 clusters the number with the best mean silhouette by the rule. A silhouette needs at least one cluster of several points.

        Raises:
            FoldError: if there are too few different points to choose.
        """
        if rule not in self._k:
            possible = [k for k in SILHOUETTE_K if k <= min(self.n_distinct, len(self.points) - 1)]
            if not possible:
                raise FoldError(f"{self.n_distinct} different people are too few to choose k by silhouette (2..5)")
            scores = silhouettes(self.points, [self.k_means(k)[0] for k in possible])
            best = np.argmin(scores) if rule == "silhouette_smallest" else np.argmax(scores)
            self._k[rule] = possible[int(best)]
        return self._k[rule]


def silhouettes(points: Vectors, clusterings: Sequence[npt.NDArray[np.int32]]) -> list[float]:
    """The mean silhouette of each of several clusterings of the same points.

    ``sklearn.metrics.silhouette_score`` with the same sums in the same order, but the distances, which take longest, are computed once for all.
    """
    from sklearn.metrics import pairwise_distances_chunked

    sizes = [np.bincount(labels) for labels in clusterings]

    def near(distances: Vectors, start: int) -> Vectors:
        """(n, n_clusterings, 2) sum of the distances to the own cluster, and mean distance to the nearest other one, of n of the points."""
        parts = []
        for labels, size in zip(clusterings, sizes, strict=True):
            sums = np.array([np.bincount(labels, weights=row, minlength=len(size)) for row in distances])
            own = np.arange(len(distances)), labels[start : start + len(distances)]
            within = sums[own]
            sums[own] = np.inf
            parts.append(np.stack([within, (sums / size).min(axis=1)], axis=1))
        return np.stack(parts, axis=1)

    near_and_far = np.concatenate(list(pairwise_distances_chunked(points, reduce_func=near)))
    means = []
    for k, (labels, size) in enumerate(zip(clusterings, sizes, strict=True)):
        within, nearest_other = near_and_far[:, k].T
        with np.errstate(divide="ignore", invalid="ignore"):
            within = within / (size - 1)[labels]
            values = (nearest_other - within) / np.maximum(within, nearest_other)
        means.append(float(np.mean(np.nan_to_num(values))))  # not a number: a cluster of one point, whose silhouette is 0
    return means
