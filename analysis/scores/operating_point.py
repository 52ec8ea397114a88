"""The threshold at which a model of two classes would be used on a new person, chosen without that person.

Sensitivity and specificity at 0.5 say more of a model's calibration than of what it can tell apart. A user would fix the threshold on people
who were measured before; so each trial's is the one with the largest mean of sensitivity and specificity (Youden 1950) over the windows of the
study's other participants, under the same variant and seed.
"""

import numpy as np

from analysis.arrays import Floats, Ints
from analysis.scores.scored_windows import ScoredWindows

LEVELS = 1000  # thresholds that are tried, at equal distances: their number bounds the work for cohorts of any size


def thresholds(windows: ScoredWindows, group: Ints) -> Floats:
    """The threshold of each trial for the probability of class 1, (n_trials,); NaN for other than two classes, or without other participants.

    Args:
        group: (n_trials,) trials of one variant and seed have the same number.
    """
    n_trials = len(group)
    binary = windows.filter_trials(windows.n_classes(n_trials) == 2)
    result = np.full(n_trials, np.nan)
    if not len(binary.y):
        return result
    level = np.clip((binary.p[:, 1].astype(np.float64) * LEVELS).astype(np.int64), 0, LEVELS - 1)
    trial_rows = np.split(np.arange(len(binary.y)), np.flatnonzero(np.diff(binary.trial)) + 1)
    counts = {
        int(binary.trial[rows[0]]): np.stack([np.bincount(level[rows][binary.y[rows] == k], minlength=LEVELS) for k in (0, 1)])
        for rows in trial_rows
    }
    totals: dict[int, Ints] = {}
    for trial, own in counts.items():
        totals[int(group[trial])] = totals.get(int(group[trial]), np.zeros((2, LEVELS), dtype=np.int64)) + own
    for trial, own in counts.items():
        result[trial] = _best_threshold(totals[int(group[trial])] - own)
    return result


def _best_threshold(counts: Ints) -> float:
    """The threshold with the largest Youden index, the lowest of equal ones; NaN if a class is absent.

    Args:
        counts: (2, LEVELS) windows of each class at each level of probability.
    """
    sizes = counts.sum(axis=1)
    if not sizes.all():
        return float("nan")
    below = np.concatenate([np.zeros((2, 1), dtype=np.int64), np.cumsum(counts, axis=1)], axis=1)
    index = below[0] * sizes[1] - below[1] * sizes[0]  # in whole numbers, so that equal ones are equal
    return float(np.argmax(index) / LEVELS)
