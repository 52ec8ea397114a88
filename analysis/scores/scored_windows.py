"""The windows that count towards scores, of all trials at once."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd

from analysis.arrays import Bools, Floats, Integers, Ints, NamedArrays, Probabilities
from analysis.errors import AnalysisError
from analysis.scores.metrics import METRICS, PredictionBatch
from analysis.scores.predictions import SUM_TOLERANCE

BLOCK = 200_000  # rows evaluated at once: they fit the processor's cache, and the memory needed is bounded


@dataclass(frozen=True)
class ScoredWindows:
    """Arrays of equal length, sorted by trial, then window.

    Attributes:
        trial: (n,) position of the trial in the frame of trials.
        window: (n,) ids of the windows.
        y: (n,) true classes.
        p: (n, columns) probabilities, NaN beyond the classes of the trial's label.
        time: (n,) when the windows were recorded, NaN where that is unknown; None if it is for all.
    """

    trial: Integers
    window: Ints
    y: Integers
    p: Probabilities
    time: Floats | None = None

    def take(self, rows: Ints) -> "ScoredWindows":
        """These rows (``take`` copies rows of a narrow array several times quicker than an index does)."""
        time = None if self.time is None else self.time[rows]
        return ScoredWindows(self.trial[rows], self.window[rows], self.y[rows], self.p.take(rows, axis=0), time)

    def filter_trials(self, chosen: Bools) -> "ScoredWindows":
        """The rows of the trials that are chosen, (n_trials,)."""
        return self if chosen.all() else self.take(np.flatnonzero(chosen[self.trial]))

    def _keys(self, trial: Integers) -> Ints:
        """Trial and window as one whole number, which orders as the two do."""
        return trial.astype(np.int64) * (int(self.window.max(initial=0)) + 1) + self.window

    def ordered(self) -> "ScoredWindows":
        """Sorted, if it is not yet."""
        keys = self._keys(self.trial)
        return self if (keys[1:] > keys[:-1]).all() else self.take(np.argsort(keys))

    def match_windows(self, other: Ints) -> Ints:
        """For each row the row of the same window in another trial, -1 if that has none.

        Args:
            other: (n_trials,) for each trial, which one to look in; -1: none.
        """
        keys, other_keys = self._keys(self.trial), self._keys(other[self.trial])
        rows = np.minimum(np.searchsorted(keys, other_keys), len(keys) - 1)
        return np.where(keys[rows] == other_keys, rows, -1)

    def n_classes(self, n_trials: int) -> Ints:
        """How many classes each trial's label has, (n_trials,): the probabilities that are not NaN; 0 without windows."""
        counts = np.zeros(n_trials, dtype=np.int64)
        first = np.flatnonzero(np.diff(self.trial, prepend=-1))
        if len(first):
            counts[self.trial[first]] = np.logical_or.reduceat(~np.isnan(self.p), first, axis=0).sum(axis=1)
        return counts

    def class_counts(self, n_trials: int) -> Ints:
        """Windows of each trial and class, (n_trials, columns)."""
        columns = self.p.shape[1]
        cells = self.trial.astype(np.int64) * columns + self.y
        return np.bincount(cells, minlength=n_trials * columns).reshape(n_trials, columns)

    def blocks(self) -> Iterator["ScoredWindows"]:
        """Parts of about ``BLOCK`` rows that hold whole trials."""
        first = np.flatnonzero(np.diff(self.trial, prepend=-1))
        block_starts = np.searchsorted(first, np.arange(0, len(self.trial), BLOCK), side="right") - 1
        for begin, end in pairwise([*np.unique(first[block_starts]), len(self.trial)]):
            rows = slice(begin, end)
            time = None if self.time is None else self.time[rows]
            yield ScoredWindows(self.trial[rows], self.window[rows], self.y[rows], self.p[rows], time)

    def scores(self, n_trials: int, thresholds: Floats | None = None) -> NamedArrays:
        """``n_test`` and every metric of each trial, (n_trials,) each; NaN for a trial without windows.

        Args:
            thresholds: (n_trials,) for sensitivity and specificity, which are missing without them.
        """
        metrics: NamedArrays = {name: np.full(n_trials, np.nan) for name in METRICS}
        n_classes = self.n_classes(n_trials)
        for k in np.unique(n_classes[n_classes > 0]):
            for block in self.filter_trials((n_classes == k) | (n_classes == 0)).blocks():
                begins = np.diff(block.trial, prepend=-1) > 0
                trials = block.trial[begins]
                cuts = None if thresholds is None else thresholds[trials]
                batch = PredictionBatch(block.y, block.p[:, :k], np.cumsum(begins) - 1, len(trials), cuts, block.time)
                for name, metric in METRICS.items():
                    metrics[name][trials] = metric(batch)
        return {"n_test": np.bincount(self.trial, minlength=n_trials), **metrics}


def scored_windows(predictions: pd.DataFrame, trials: pd.DataFrame) -> ScoredWindows:
    """The windows of the trials that ended well, without the purged ones.

    Raises:
        AnalysisError: if a prediction is impossible (NaN, no probability, a class that there is not, a window twice), with its trial and window.
    """
    names = predictions["trial"].astype("category").cat
    position = pd.Index(trials["trial"]).get_indexer(names.categories)
    ended_well = np.append(trials["status"].eq("ok"), False)  # the last is that of position -1: no such trial
    trial = np.where(ended_well[position], position, -1).astype(np.int32)[names.codes]
    p = predictions[[name for name in predictions.columns if name.startswith("p_")]].to_numpy()
    window = predictions["window"].to_numpy(dtype=np.int64)
    rows = np.flatnonzero((trial >= 0) & ~predictions["purged"].to_numpy(dtype=bool))
    windows = ScoredWindows(trial, window, predictions["y_true"].to_numpy(), p).take(rows).ordered()
    if damage := _damage(windows, windows.n_classes(len(trials))):
        row, problem = damage
        name = trials["trial"].iloc[int(windows.trial[row])]
        raise AnalysisError(
            f"trial {name} has {problem} for window {windows.window[row]}; remove trials.parquet, trials/{name}.json "
            f"and predictions/{name}.parquet from the run folder and run the study again"
        )
    return windows


def _damage(windows: ScoredWindows, n_classes: Ints) -> tuple[int, str] | None:
    """The first row that no model and no label can have given, and the problem in words.

    A trial's last columns may be NaN all the way (another label has more classes); any other NaN is damage, and so is a trial of NaN alone.

    Args:
        n_classes: (n_trials,) as the columns that are not NaN tell.
    """
    if not len(windows.trial):
        return None
    n_columns, of_row = windows.p.shape[1], n_classes[windows.trial]
    nan = np.isnan(windows.p).sum(axis=1)
    with np.errstate(invalid="ignore"):
        outside = ((windows.p < 0) | (windows.p > 1)).any(axis=1)
        off = np.abs(np.nansum(windows.p, axis=1, dtype=np.float64) - 1) > SUM_TOLERANCE
    repeated = np.zeros(len(nan), dtype=bool)
    repeated[1:] = (np.diff(windows.trial) == 0) & (np.diff(windows.window) == 0)
    for damaged, problem in (
        ((nan != n_columns - of_row) | (of_row == 0), "NaN among its probabilities"),
        (outside, "a probability below 0 or above 1"),
        (off, "probabilities that do not sum to 1"),
        ((windows.y < 0) | (windows.y >= of_row), "a class that its label does not have"),
        (repeated, "a second prediction"),
    ):
        if damaged.any():
            return int(damaged.argmax()), problem
    return None
