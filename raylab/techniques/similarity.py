"""Who is like the target: by traits (the paper), by their signals, or by both. One part, used by every technique that asks.

All scaling and clustering is fitted on the people one may train on, never on the target.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from raylab.folds.fold import Fold, FoldError, RowIds

By = Literal["traits", "data", "both"]
Vectors = npt.NDArray[np.float64]

UNLABELLED_SHARE = 0.2  # of the target's windows, the first ones, whose signals (not labels) `data` and `both` look at
SILHOUETTE_K = (2, 3, 4, 5)
STARTS = 50  # a single k-means start puts 11-13 of WESAD's 15 targets elsewhere with another seed


def unlabelled(fold: Fold) -> RowIds:
    """The target's first windows in time, for similarity by data: their signals are used, their labels are not."""
    rows = fold.target_windows
    return rows[: max(1, int(np.ceil(UNLABELLED_SHARE * len(rows) - 1e-9)))]


def vectors(fold: Fold, by: By) -> tuple[Vectors, Vectors]:
    """Everyone else (n_people, n_dimensions) in the fold's order, and the target (n_dimensions,), scaled to 0..1 on everyone else.

    Raises:
        FoldError: where a person has no value for a trait, or there is nobody else.
    """
    if not fold.others:
        raise FoldError(f"there is nobody else to compare participant {fold.target} with")
    parts = []
    if by in ("traits", "both"):
        parts.append(_traits(fold))
    if by in ("data", "both"):
        parts.append(_statistics(fold))
    # Each kind of similarity weighs the same in `both`, however many dimensions it has.
    scaled = [
        (people / np.sqrt(people.shape[1]), target / np.sqrt(people.shape[1])) if by == "both" else (people, target)
        for people, target in parts
    ]
    return np.hstack([people for people, _ in scaled]), np.concatenate([target for _, target in scaled])


def _traits(fold: Fold) -> tuple[Vectors, Vectors]:
    names = list(fold.index.card["similarity_traits"])
    table = {person: fold.index.traits(person) for person in (*fold.others, fold.target)}
    for person, traits in table.items():
        missing = [name for name in names if traits.get(name) is None]
        if missing:
            raise FoldError(f"participant {person} has no value for the trait(s) {', '.join(missing)}")
    columns = [_trait(table, fold, name) for name in names]
    joined = np.hstack(columns)
    return joined[:-1], joined[-1]


def _trait(table: Mapping[str, Mapping[str, Any]], fold: Fold, name: str) -> Vectors:
    """(n_people + 1, 1 or n_categories), the target last: numbers scaled to 0..1 on everyone else; two categories 0/1, more one-hot / sqrt 2,
    so that two people who differ are 1 apart."""
    from sklearn.preprocessing import MinMaxScaler

    values = [table[person][name] for person in (*fold.others, fold.target)]
    if not any(isinstance(value, str) for value in values):
        numbers = np.array(values, dtype=np.float64)[:, None]
        return np.asarray(MinMaxScaler().fit(numbers[:-1]).transform(numbers))
    categories = sorted({str(value) for value in values})
    hot = np.array([[float(str(value) == category) for category in categories] for value in values])
    return hot[:, :1] if len(categories) <= 2 else hot / np.sqrt(2)


def _statistics(fold: Fold) -> tuple[Vectors, Vectors]:
    """People by the mean and SD, over their windows, of what each window's channels do; scaled to 0..1 on everyone else."""
    from sklearn.preprocessing import MinMaxScaler

    def describe(rows: RowIds) -> Vectors:
        of_windows = fold.statistics[rows].astype(np.float64)
        return np.concatenate([of_windows.mean(axis=0), of_windows.std(axis=0)])

    people = np.stack([describe(fold.windows_of([person])) for person in fold.others])
    scaler = MinMaxScaler().fit(people)
    return np.asarray(scaler.transform(people)), np.asarray(scaler.transform(describe(unlabelled(fold))[None])[0])


def nearest(fold: Fold, by: By) -> tuple[str, ...]:
    """The most similar person by Euclidean distance, with everyone tied for it."""
    people, target = vectors(fold, by)
    distance = np.linalg.norm(people - target, axis=1)
    return tuple(name for name, d in zip(fold.others, distance, strict=True) if d <= distance.min() + 1e-9)


def cluster(fold: Fold, by: By, k: int | str) -> tuple[str, ...]:
    """The people of the cluster that the target falls into: k-means++ with 50 starts on everyone else.

    ``k``: a number, or ``silhouette``: of 2..5 the one with the largest mean silhouette (as the slides say);
    ``silhouette_smallest`` takes the smallest, as the public code does.

    Raises:
        FoldError: where there are fewer different people than clusters.
    """
    people, target = vectors(fold, by)
    seed = fold.draws.integer("k-means") % 2**32
    points = tuple(map(tuple, people))
    if isinstance(k, str):
        k = _k_by_silhouette(points, seed, k)
    labels, centres = _k_means(points, k, seed)
    mine = int(np.argmin(np.linalg.norm(np.array(centres) - target, axis=1)))
    return tuple(name for name, label in zip(fold.others, labels, strict=True) if label == mine)


@lru_cache(maxsize=4096)
def _k_means(points: tuple[tuple[float, ...], ...], k: int, seed: int) -> tuple[tuple[int, ...], tuple[tuple[float, ...], ...]]:
    """Labels and centres; the same points, k and seed are clustered once, whichever technique asks."""
    from sklearn.cluster import KMeans

    distinct = len(set(points))
    if k > distinct:
        raise FoldError(f"k={k} is larger than the {distinct} different people that can be clustered (of {len(points)})")
    fitted = KMeans(k, init="k-means++", n_init=STARTS, random_state=seed).fit(np.array(points))
    return tuple(int(label) for label in fitted.labels_), tuple(map(tuple, fitted.cluster_centers_))


@lru_cache(maxsize=4096)
def _k_by_silhouette(points: tuple[tuple[float, ...], ...], seed: int, rule: str) -> int:
    from sklearn.metrics import silhouette_score

    possible = [k for k in SILHOUETTE_K if k <= min(len(set(points)), len(points) - 1)]
    if not possible:
        raise FoldError(f"{len(set(points))} different people are too few to choose k by silhouette (2..5)")
    scores = [float(silhouette_score(np.array(points), _k_means(points, k, seed)[0])) for k in possible]
    best = np.argmin(scores) if rule == "silhouette_smallest" else np.argmax(scores)
    return possible[int(best)]
