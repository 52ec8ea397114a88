"""The frames that figures show: one function each, of paired scores, comparison or predictions; each is written as a csv beside its figure."""

import re

import numpy as np
import pandas as pd
from scipy import stats

from analysis.constants import ALPHA
from analysis.scores.keys import CELL, REFERENCE_TECHNIQUE, variant_label
from analysis.scores.metrics import BINS, confidence_bin
from analysis.scores.run_folder import RunTables
from analysis.scores.scored_windows import scored_windows
from analysis.statistics.dependence import retrained_bound
from analysis.statistics.growth import entries_by_people
from analysis.statistics.variant_selection import chosen_variants


def differences(comparison: pd.DataFrame) -> pd.DataFrame:
    """The rows of a comparison that have a difference, in its order: a forest plot."""
    return comparison[comparison["difference"].notna()]


def gain_table(cell: pd.DataFrame) -> pd.DataFrame:
    """``paired_scores`` of one cell as differences: variants (index), in their first order, by participants (columns), in natural order."""
    names = [variant_label(*row) for row in zip(cell["technique"], cell["variant"], strict=True)]
    wide = cell.assign(name=names).pivot(index="name", columns="participant", values="difference")
    return wide.loc[list(dict.fromkeys(names)), sorted(wide.columns, key=natural_sort_key)]


def selected_variant_pairs(cell: pd.DataFrame, metric: str) -> pd.DataFrame:
    """``paired_scores`` of one cell, for each technique and participant the one variant that the other participants choose
    (``analysis.statistics.variant_selection.chosen_variants``)."""
    parts = []
    for _, part in cell.groupby("technique", sort=False):
        chosen = part["participant"].astype(str).map(chosen_variants(part, metric))
        parts.append(part[part["variant"].eq(chosen) & part["difference"].notna()])
    return pd.concat(parts, ignore_index=True) if parts else cell


def natural_sort_key(name: object) -> list[tuple[bool, int, str]]:
    """A sort key that puts S2 before S10."""
    return [(part.isdecimal(), int(part) if part.isdecimal() else 0, part) for part in re.split(r"(\d+)", str(name))]


def axis_curves(comparison: pd.DataFrame, axis: str) -> pd.DataFrame:
    """The variants of a comparison that have this axis (``budget``, ``k``), with the axis as a value.

    Returns:
        technique, line (the technique and its other axes), value (as text, in the order to show: numbers first), mean, difference, ci_low, ci_high,
        n_participants. No rows if fewer than two values were run: there is no curve.
    """
    rows = []
    for row in comparison.to_dict("records"):
        axes = dict(pair.split("=", 1) for pair in str(row["variant"]).split() if "=" in pair)
        if axis not in axes:
            continue
        value = axes.pop(axis)
        line = " ".join([str(row["technique"]), *(f"{name}={other}" for name, other in axes.items())])
        numbers = {name: row[name] for name in ("mean", "difference", "ci_low", "ci_high", "n_participants")}
        rows.append(
            {**{name: row[name] for name in CELL}, "technique": row["technique"], "line": line, "value": value, **numbers}
        )
    frame = pd.DataFrame(
        rows, columns=[*CELL, "technique", "line", "value", "mean", "difference", "ci_low", "ci_high", "n_participants"]
    )
    if frame["value"].nunique() < 2:
        return frame.iloc[:0]
    return frame.sort_values("value", key=lambda values: values.map(_numbers_first), kind="stable", ignore_index=True)


PEOPLE_COLUMNS = [
    *CELL, "technique", "line", "value", "mean", "mean_low", "mean_high", "difference", "ci_low", "ci_high", "n_participants",
]  # fmt: skip


def people_curves(tables: RunTables, comparison: pd.DataFrame, chosen: pd.DataFrame) -> pd.DataFrame:
    """Scores over the number of people trained on, of entries of the study on the same windows that differ in it (``people:``).

    Of entries with the same number the study's first counts. The interval of a mean is t over participants, with the variance inflated by the
    bound for shared training; that of a difference is chosen.csv's own.

    Args:
        comparison: of ``analysis.compare``, for the reference technique. ``chosen``: of ``select_variants``, for the others.

    Returns:
        columns ``PEOPLE_COLUMNS``: ``dataset`` is the windows, ``value`` the number of people as text, ascending. No rows of windows, label and
        model with fewer than two numbers.
    """
    entries = entries_by_people(tables)
    if len(entries) < 2:
        return pd.DataFrame(columns=PEOPLE_COLUMNS)
    references = comparison[comparison["technique"].eq(REFERENCE_TECHNIQUE)]
    both = references if chosen.empty else pd.concat([references, chosen], ignore_index=True)
    rows = both.merge(entries, on="dataset")
    n = rows["n_participants"].to_numpy(dtype=np.float64)
    bounds = np.array([retrained_bound(int(count)) for count in n])
    reach = (
        stats.t.ppf(1 - ALPHA / 2, np.maximum(n - 1, 1))
        * rows["sd"].to_numpy(dtype=np.float64)
        * np.sqrt(bounds / np.maximum(n, 1))
    )
    value = rows["people"].map("{:.0f}".format)
    named = rows.assign(value=value, line=rows["technique"], mean_low=rows["mean"] - reach, mean_high=rows["mean"] + reach)
    named = named.drop(columns="dataset").rename(columns={"windows": "dataset"}).sort_values("people", kind="stable")
    enough = named.groupby(CELL, observed=True)["value"].transform("nunique").gt(1)
    return named.loc[enough, PEOPLE_COLUMNS].reset_index(drop=True)


def _numbers_first(value: str) -> tuple[bool, float, str]:
    try:
        number = float(value)
    except ValueError:
        return True, 0.0, value
    return False, number, value


def reliability(frames: RunTables) -> pd.DataFrame:
    """How often the most probable class is right, by how probable the model holds it, in ten bins of equal width.

    All tested windows of all participants, variants and seeds of a technique are pooled, so this is about its probabilities, not about a person.

    Returns:
        dataset, label, model, technique, bin, confidence (mean), accuracy, windows, ece (expected calibration error of the technique).
    """
    parts = [_reliability(part) for part in frames.parts([*CELL, "technique"])]
    return pd.concat(parts).sort_values([*CELL, "technique", "bin"], kind="stable", ignore_index=True)


def _reliability(frames: RunTables) -> pd.DataFrame:
    """The bins of a part of a run that has all trials of its techniques."""
    windows = scored_windows(frames.predictions, frames.trials)
    p = np.nan_to_num(windows.p, nan=-1.0)  # a class that this label does not have
    confidence = p.max(axis=1, initial=-1.0).astype(np.float64)
    trial_bin = windows.trial.astype(np.int64) * BINS + confidence_bin(confidence)
    correct = p.argmax(axis=1) == windows.y if len(p) else np.empty(0)
    weights = {"confidence": confidence, "accuracy": correct, "windows": np.ones(len(p))}
    sums = pd.DataFrame(
        {name: np.bincount(trial_bin, weight, minlength=len(frames.trials) * BINS) for name, weight in weights.items()}
    )
    keys = [*CELL, "technique"]
    trial_bins = frames.trials[keys].iloc[sums.index // BINS].reset_index(drop=True).assign(bin=sums.index % BINS, **sums)
    trial_bins = trial_bins[trial_bins["windows"] > 0]
    bins = trial_bins.groupby([*keys, "bin"])[["confidence", "accuracy", "windows"]].sum()
    bins = bins.reset_index().astype({"windows": int})
    bins[["confidence", "accuracy"]] = bins[["confidence", "accuracy"]].div(bins["windows"], axis=0)
    gap = (bins["confidence"] - bins["accuracy"]).abs() * bins["windows"]
    totals = bins.assign(gap=gap).groupby(keys)[["gap", "windows"]].transform("sum")
    return bins.assign(ece=totals["gap"] / totals["windows"])
