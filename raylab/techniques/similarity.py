"""Similarity of participants to the target: by traits (the study), by their signals (data), or by both.

docs/protocol.md, Techniques; docs/decisions/0006-similarity-by-data.md. All techniques that train on similar participants use this module.
Scaling and clustering are fitted on the participants who may be trained on, never on the target, who is only assigned.
"""

from collections.abc import Mapping
from functools import lru_cache
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
    table = {participant: fold.index.traits(participant) for participant in (*fold.others, fold.target)}
    for participant, traits in table.items():
        missing = [name for name in names if traits.get(name) is None]
        if missing:
            raise FoldError(f"participant {participant} has no value for the trait(s) {', '.join(missing)}")
    columns = [_trait(table, fold, name) for name in names]
    joined = np.hstack(columns)
    return joined[:-1], joined[-1]


def _trait(table: Mapping[str, Mapping[str, Any]], fold: Fold, name: str) -> Vectors:
    """One trait as columns, (n_participants + 1, 1 or n_categories), the target in the last row.

    Numbers are scaled to 0..1 on the other participants. Two categories become 0 and 1, more become one-hot columns divided by the root of 2, so
    that two participants of different categories are always 1 apart. The study's public code encodes age by its rank; raylab uses the number
    (docs/protocol.md, Departures).
    """
    from sklearn.preprocessing import MinMaxScaler

    values = [table[participant][name] for participant in (*fold.others, fold.target)]
    if not any(isinstance(value, str) for value in values):
        numbers = np.array(values, dtype=np.float64)[:, None]
        return np.asarray(MinMaxScaler().fit(numbers[:-1]).transform(numbers))
    categories = sorted({str(value) for value in values})
    hot = np.array([[float(str(value) == category) for category in categories] for value in values])
    return hot[:, :1] if len(categories) <= 2 else hot / np.sqrt(2)


def _statistics(fold: Fold) -> tuple[Vectors, Vectors]:
    """Coordinates by data, of the other participants and of the target, scaled to 0..1 on the former.

    A participant is the mean and the SD, over their windows, of each window's statistics (``Fold.statistics``); the target over the first
    windows only (``unlabelled``).
    """
    from sklearn.preprocessing import MinMaxScaler

    def describe(rows: RowIds) -> Vectors:
        of_windows = fold.statistics[rows].astype(np.float64)
        return np.concatenate([of_windows.mean(axis=0), of_windows.std(axis=0)])

    others = np.stack([describe(fold.windows_of([participant])) for participant in fold.others])
    scaler = MinMaxScaler().fit(others)
    return np.asarray(scaler.transform(others)), np.asarray(scaler.transform(describe(unlabelled(fold))[None])[0])


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
    return tuple(name for name, d in zip(fold.others, distance, strict=True) if d <= distance.min() + 1e-9)


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
    seed = fold.draws.integer("k-means") % 2**32
    points = tuple(map(tuple, others))
    if isinstance(k, str):
        k = _k_by_silhouette(points, seed, k)
    labels, centres = _k_means(points, k, seed)
    nearest_centre = int(np.argmin(np.linalg.norm(np.array(centres) - target, axis=1)))
    return tuple(name for name, label in zip(fold.others, labels, strict=True) if label == nearest_centre)


@lru_cache(maxsize=4096)
def _k_means(points: tuple[tuple[float, ...], ...], k: int, seed: int) -> tuple[tuple[int, ...], tuple[tuple[float, ...], ...]]:
    """Cluster number of each point, and the centres.

    Cached, because planning asks for the same clustering once per technique and variant; hence tuples, which can be cache keys.
    """
    from sklearn.cluster import KMeans

    distinct = len(set(points))
    if k > distinct:
        raise FoldError(f"k={k} is larger than the {distinct} different people that can be clustered (of {len(points)})")
    fitted = KMeans(k, init="k-means++", n_init=STARTS, random_state=seed).fit(np.array(points))
    return tuple(int(label) for label in fitted.labels_), tuple(map(tuple, fitted.cluster_centers_))


@lru_cache(maxsize=4096)
def _k_by_silhouette(points: tuple[tuple[float, ...], ...], seed: int, rule: str) -> int:
    """Of 2..5 clusters the number with the best mean silhouette by the rule. A silhouette needs at least one cluster of several points."""
    from sklearn.metrics import silhouette_score

    possible = [k for k in SILHOUETTE_K if k <= min(len(set(points)), len(points) - 1)]
    if not possible:
        raise FoldError(f"{len(set(points))} different people are too few to choose k by silhouette (2..5)")
    scores = [float(silhouette_score(np.array(points), _k_means(points, k, seed)[0])) for k in possible]
    best = np.argmin(scores) if rule == "silhouette_smallest" else np.argmax(scores)
    return possible[int(best)]
