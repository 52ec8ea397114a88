"""What knows no signal: the clock, the run that a window is of, and the person's own class shares. Ceilings of what order alone can reach."""

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from analysis.arrays import Floats, Ints, Probabilities
from analysis.scores.scored_windows import ScoredWindows

ROUNDS, LEAVES = 30, 8
TIMES = ["start_s", "segment_s"]
FittedClocks = dict[tuple[bytes, ...], Floats]  # times, classes and people to the probabilities of a model of them


def order_rows(windows: ScoredWindows, trials: pd.DataFrame, order: pd.DataFrame) -> Ints:
    """The row of ``order`` of each window, -1 if it has none, (n,)."""
    labels = trials["dataset"].astype(str) + "\0" + trials["label"].astype(str)
    known = order["dataset"].astype(str) + "\0" + order["label"].astype(str)
    names = {name: k for k, name in enumerate(known.unique())}
    of_trial = labels.map(names).fillna(-1).to_numpy(dtype=np.int64)
    rows = pd.MultiIndex.from_arrays([known.map(names), order["window"]])
    return np.asarray(rows.get_indexer(pd.MultiIndex.from_arrays([of_trial[windows.trial], windows.window])))


def with_time(windows: ScoredWindows, trials: pd.DataFrame, order: pd.DataFrame) -> tuple[ScoredWindows, Ints]:
    """The windows with the times at which they were recorded, NaN where that is unknown; and their rows of ``order``."""
    rows = order_rows(windows, trials, order) if len(order) else np.full(len(windows.trial), -1)
    start = np.append(order["start_s"].to_numpy(dtype=np.float64), np.nan)
    return ScoredWindows(windows.trial, windows.window, windows.y, windows.p, start[rows]), rows


def clock_probabilities(order: pd.DataFrame, n_classes: int) -> Floats:
    """Probabilities (n, n_classes) of every window by a model of time alone, fitted on all other participants.

    The model: 30 rounds of boosted trees of 8 leaves (scikit-learn's HistGradientBoostingClassifier) on the seconds since the recording and
    since the segment began. Shares of the classes where the other participants have one class only.

    Args:
        order: the windows of one dataset and label, with ``participant``, ``y`` and the times.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier

    x, y = order[TIMES].to_numpy(dtype=np.float64), order["y"].to_numpy(dtype=np.int64)
    person = pd.factorize(order["participant"])[0]
    p = np.zeros((len(y), n_classes))
    for target in range(person.max(initial=-1) + 1):
        held_out = person == target
        classes = np.unique(y[~held_out])
        if len(classes) < 2:
            p[np.ix_(held_out, classes)] = 1.0
            continue
        model = HistGradientBoostingClassifier(max_iter=ROUNDS, max_leaf_nodes=LEAVES, early_stopping=False, random_state=0)
        with threadpool_limits(1):  # trees this small wait for their threads: minutes in place of seconds on a busy machine
            model.fit(x[~held_out], y[~held_out])
            p[np.ix_(held_out, classes)] = model.predict_proba(x[held_out])
    return p


def clock_of_all(order: pd.DataFrame, n_columns: int, fitted: FittedClocks) -> Probabilities:
    """``clock_probabilities`` of each dataset and label, (n, n_columns), in the order of the rows.

    Once for datasets that are the same windows, prepared in several ways.

    Args:
        fitted: those that are known, and afterwards these too: the parts of a run ask for one dataset many times.
    """
    p = np.zeros((len(order), n_columns), dtype=np.float32)
    for rows in order.groupby(["dataset", "label"], observed=True, sort=False).indices.values():
        part = order.iloc[rows]
        n_classes = int(part["y"].max()) + 1
        fitted_on = (part[TIMES].to_numpy(dtype=np.float64), part["y"].to_numpy(), pd.factorize(part["participant"])[0])
        key = tuple(values.tobytes() for values in fitted_on)
        if key not in fitted:
            fitted[key] = clock_probabilities(part, n_classes)
        p[rows, :n_classes] = fitted[key]
    return p
