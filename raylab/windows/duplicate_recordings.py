"""Near-identical recordings: one person may be in a dataset under two names, and no held-out evaluation survives that.

Two participants are reported if at least three quarters of one's windows have a near-identical window in the other's recording, all of them
the same time apart. Near-identical: of every channel, the window's mean differs by at most 0.005 and its standard deviation and mean
absolute step by at most 0.015, in units of the normalized signals (0 to 1). The tolerances pass noise of SD 0.01 on windows of at least
40 samples. A stretch in which a recording looks like itself elsewhere (flat, constant, clipped at 0) distinguishes no participants: such
windows do not count, and a recording with fewer than 20 others (of 50 looked at) is not judged. Every share is the larger of the two
directions, so that a copy of a part of a recording is found too.

Limits: found are exact copies, copies with noise up to about 1% of the range, and copies that begin or end elsewhere by whole steps of
the windows. Not found are copies shifted by a part of a step, filtered, resampled, or cut so that their minimum and maximum (and with
them the normalization) became others; nor the same person recorded twice.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from raylab.windows.dataset import WindowIndex

MEAN_TOLERANCE = 0.005
SPREAD_TOLERANCE = 0.015
# WESAD's wrist and Stress-Predict: 0 between different participants; up to 0.36 on the worst single channel (temperature)
SHARE = 0.75
QUERIES = 50  # of a participant's windows, evenly spaced: enough to tell three quarters from a half
MIN_DISTINCT = 20
OWN_SHARE = 0.01  # a window that is near-identical to more of its own recording than this (and its neighbours) is not distinct

Points = npt.NDArray[np.float64]


@dataclass(frozen=True)
class DuplicatePair:
    """Two participants, in the card's order, and the larger of the shares of one's windows that the other has."""

    first: str
    second: str
    share: float


def duplicate_recordings(index: WindowIndex, share: float = SHARE) -> list[DuplicatePair]:
    """Pairs of participants with near-identical recordings, most alike first."""
    points = _points(index)
    everywhere = cKDTree(points)
    best: dict[tuple[int, int], float] = {}
    for number in range(len(index.participants)):
        for other, matched in _matches(index, points, everywhere, number).items():
            pair = (min(number, other), max(number, other))
            best[pair] = max(best.get(pair, 0.0), matched)
    names = index.participants
    pairs = [DuplicatePair(names[a], names[b], matched) for (a, b), matched in best.items() if matched >= share]
    return sorted(pairs, key=lambda pair: (-pair.share, pair.first, pair.second))


def _points(index: WindowIndex) -> Points:
    """(n, n_statistics), each column in units of its tolerance: near-identical is a distance of at most 1 in every column."""
    scaled = []
    features = {channel.name for channel in index.card.channels if channel.features}
    for name, values in index.statistics.items():  # means, standard deviations, mean absolute steps
        if name in features:
            continue
        tolerance = np.repeat([MEAN_TOLERANCE, SPREAD_TOLERANCE, SPREAD_TOLERANCE], values.shape[1] // 3)
        scaled.append(values.astype(np.float64) / tolerance)
    points: Points = np.concatenate(scaled, axis=1)
    broken = ~np.isfinite(points).all(axis=1)  # windows of a tool that lets NaN through: each is put far from every other
    points[broken] = 1e6 * np.arange(1, broken.sum() + 1)[:, None]
    return points


def _matches(index: WindowIndex, points: Points, everywhere: cKDTree, number: int) -> dict[int, float]:
    """Numbers of other participants to the share of this one's distinct windows that they have, at the time difference that fits best."""
    rows = np.flatnonzero(index.participant_index == number)
    if len(rows) < MIN_DISTINCT:
        return {}
    queries = rows[np.unique(np.linspace(0, len(rows) - 1, QUERIES).astype(int))]
    queries = queries[_distinct(points[rows], points[queries])]
    if len(queries) < MIN_DISTINCT:
        return {}
    near = cKDTree(points[queries]).sparse_distance_matrix(everywhere, 1.0, p=np.inf, output_type="ndarray")
    left, right = queries[near["i"]], near["j"]
    left, right = left[index.participant_index[right] != number], right[index.participant_index[right] != number]
    apart = np.round((index.start_s[left] - index.start_s[right]) / index.step_s).astype(np.int64)
    # Each window of this participant once per other participant and time difference; then windows are counted.
    matched = np.unique(np.stack([index.participant_index[right].astype(np.int64), apart, left], axis=1), axis=0)
    pairs, counts = np.unique(matched[:, :2], axis=0, return_counts=True)
    best: dict[int, float] = {}
    for (other, _), count in zip(pairs, counts, strict=True):
        best[int(other)] = max(best.get(int(other), 0.0), float(count) / len(queries))
    return best


def _distinct(recording: Points, queries: Points) -> npt.NDArray[np.bool_]:
    """(n_queries,) whether a window is near-identical to few others of its own recording."""
    near = cKDTree(recording).query_ball_point(queries, 1.0, p=np.inf, return_length=True)
    return np.asarray(near <= max(5, OWN_SHARE * len(recording)))
