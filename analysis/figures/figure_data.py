"""The frames that figures show: one function each, of pairs, comparison or predictions; each is written as a csv beside its figure."""

import re

import numpy as np
import pandas as pd

from analysis.scores.metrics import BINS, bin_of
from analysis.scores.paired_scores import gain_sign
from analysis.scores.run_folder import RunTables
from analysis.scores.scored_windows import scored_windows
from analysis.scores.scores import CELL, variant_label
from analysis.statistics.sign_flip_test import leave_one_out_choice


def differences(comparison: pd.DataFrame) -> pd.DataFrame:
    """The rows of a comparison that have a difference, in its order: a forest plot."""
    return comparison[comparison["difference"].notna()]


def gain_table(cell: pd.DataFrame) -> pd.DataFrame:
    """``pairs`` of one cell as differences, variants (index) by participants (columns), both in their first order."""
    names = [variant_label(*row) for row in zip(cell["technique"], cell["variant"], strict=True)]
    wide = cell.assign(name=names).pivot(index="name", columns="participant", values="difference")
    return wide.loc[list(dict.fromkeys(names)), sorted(wide.columns, key=natural_sort_key)]


def selected_variant_pairs(cell: pd.DataFrame, metric: str) -> pd.DataFrame:
    """``pairs`` of one cell, for each technique and participant the one variant that the other participants choose (``flips.choose``)."""
    kept = []
    for _, part in cell.groupby("technique", sort=False):
        wide = part.pivot(index="participant", columns="variant", values="difference")
        which = leave_one_out_choice(gain_sign(metric) * wide.to_numpy(dtype=np.float64))[1]
        taken = [(name, wide.columns[place]) for name, place in zip(wide.index, which, strict=True) if place >= 0]
        rows = pd.MultiIndex.from_frame(part[["participant", "variant"]]).isin(taken)
        kept.append(part[rows])
    return pd.concat(kept, ignore_index=True) if kept else cell


def natural_sort_key(name: object) -> list[tuple[bool, int, str]]:
    """A sort key that puts S2 before S10."""
    return [(part.isdecimal(), int(part) if part.isdecimal() else 0, part) for part in re.split(r"(\d+)", str(name))]


def axis_curves(comparison: pd.DataFrame, axis: str) -> pd.DataFrame:
    """The variants of a comparison that have this axis (``budget``, ``k``), with the axis as a value.

    Returns:
        technique, line (the technique and its other axes), value (as text, in the order to show: numbers first), mean, difference, ci_low, ci_high,
        n_participants. No rows where fewer than two values were run: there is no curve.
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
    told = scored_windows(frames.predictions, frames.trials)
    p = np.nan_to_num(told.p, nan=-1.0)  # a class that this label does not have
    confidence = p.max(axis=1, initial=-1.0).astype(np.float64)
    place = told.trial.astype(np.int64) * BINS + bin_of(confidence)
    right = p.argmax(axis=1) == told.y if len(p) else np.empty(0)
    weights = {"confidence": confidence, "accuracy": right, "windows": np.ones(len(p))}
    sums = pd.DataFrame(
        {name: np.bincount(place, weight, minlength=len(frames.trials) * BINS) for name, weight in weights.items()}
    )
    named = (
        frames.trials[[*CELL, "technique"]]
        .iloc[sums.index // BINS]
        .reset_index(drop=True)
        .assign(bin=sums.index % BINS, **sums)
    )
    named = named[named["windows"] > 0]
    keys = [*CELL, "technique"]
    bins = named.groupby([*keys, "bin"])[["confidence", "accuracy", "windows"]].sum().reset_index().astype({"windows": int})
    bins[["confidence", "accuracy"]] = bins[["confidence", "accuracy"]].div(bins["windows"], axis=0)
    gap = (bins["confidence"] - bins["accuracy"]).abs() * bins["windows"]
    by = bins.assign(gap=gap).groupby(keys)[["gap", "windows"]].transform("sum")
    return bins.assign(ece=by["gap"] / by["windows"])
