"""How sure each participant's own score is: its windows, and the interval of its AUROC over them (within_person.csv).

A participant's AUROC is made of a few windows of each class, and a participant whose score is uncertain is no evidence of a technique that works
or fails. The interval is Newcombe's fifth (Statistics in Medicine 25, 2006, part 2): Hanley and McNeil's variance, with the mean of both classes'
windows in place of each, inverted as a test, so that it stays within 0 to 1 and has a width at an AUROC of 1, where DeLong's variance is 0. It takes
windows for independent: windows that overlap, or follow each other, carry less than their number says, and the true interval is wider.
"""

import numpy as np
import pandas as pd
from scipy import stats

from analysis.arrays import Floats
from analysis.constants import ALPHA
from analysis.scores.keys import CELL
from analysis.scores.run_folder import RunTables
from analysis.scores.scored_windows import scored_windows
from analysis.scores.scores import NAMES

STEPS = 60  # halvings of 0 to 1: beyond the precision of a float
KEYS = [*CELL, "technique", "variant", "participant"]
NUMBERS = ["windows", "windows_of_class_1", "auroc"]
COLUMNS = [*KEYS, "n_seeds", *NUMBERS, "auroc_low", "auroc_high"]


def _variance(auroc: Floats, positive: Floats, negative: Floats) -> Floats:
    """Newcombe's variance of an AUROC, by its true value and the windows of either class."""
    half = (positive + negative) / 2 - 1
    spread = 1 + half * (1 - auroc) / (2 - auroc) + half * auroc / (1 + auroc)
    return np.asarray(auroc * (1 - auroc) * spread / (positive * negative))


def auroc_interval(auroc: Floats, positive: Floats, negative: Floats) -> tuple[Floats, Floats]:
    """The 95% interval of AUROCs (n,), ends (n,) each; NaN without windows of both classes.

    The ends are the true values from which the observed one lies as far as a normal quantile of the standard error there.

    Args:
        positive, negative: (n,) windows of class 1 and of class 0.
    """
    z = float(stats.norm.ppf(1 - ALPHA / 2))
    known = ~np.isnan(auroc) & (positive > 0) & (negative > 0)
    n1, n0 = np.where(known, positive, 1.0), np.where(known, negative, 1.0)
    observed = np.where(known, auroc, 0.5)
    ends = []
    for limit in (0.0, 1.0):
        inside, outside = observed, np.full(len(observed), limit)  # the end lies between them
        for _ in range(STEPS):
            middle = (inside + outside) / 2
            covered = (observed - middle) ** 2 <= z**2 * _variance(middle, n1, n0)
            inside, outside = np.where(covered, middle, inside), np.where(covered, outside, middle)
        ends.append(np.where(known, inside, np.nan))
    return ends[0], ends[1]


def _of_trials(tables: RunTables) -> pd.DataFrame:
    """Names and numbers of each trial that ended well."""
    trials = tables.trials
    windows = scored_windows(tables.predictions, trials)
    counts = windows.class_counts(len(trials))
    binary = windows.n_classes(len(trials)) == 2
    numbers = (
        counts.sum(axis=1).astype(np.float64),
        np.where(binary, counts[:, 1], np.nan),
        np.where(binary, windows.scores(len(trials))["auroc"], np.nan),
    )
    return trials[NAMES].assign(**dict(zip(NUMBERS, numbers, strict=True)))[trials["status"].eq("ok")]


def within_person(tables: RunTables) -> pd.DataFrame:
    """Windows and AUROC of each participant under each variant, the reference technique included.

    Args:
        tables: as ``analysis.load`` gives them.

    Returns:
        one row per (dataset, label, model, technique, variant, participant) with a trial that ended well. ``windows`` that were scored, the mean
        over ``n_seeds`` seeds; ``auroc``, the mean over seeds, with the 95% interval ``auroc_low`` to ``auroc_high`` at that mean: more seeds are
        not more windows. These and ``windows_of_class_1`` are missing for labels of more than two classes.

    Units:
        windows; AUROC from 0 to 1.

    Source:
        Newcombe, Statistics in Medicine 25 (2006), part 2, method 5.
    """
    trials = tables.trials
    if trials.empty or not trials["status"].eq("ok").any():
        return pd.DataFrame(columns=COLUMNS)
    rows = pd.concat([_of_trials(part) for part in tables.parts([*CELL, "seed"])])
    people = rows.groupby(KEYS, sort=True, observed=True)
    means = people[NUMBERS].mean().assign(n_seeds=people.size()).reset_index()
    positive = means["windows_of_class_1"].to_numpy(dtype=np.float64)
    negative = means["windows"].to_numpy(dtype=np.float64) - positive
    low, high = auroc_interval(means["auroc"].to_numpy(dtype=np.float64), positive, negative)
    return means.assign(auroc_low=low, auroc_high=high)[COLUMNS]
