"""The frames that figures show: one function each, of scores, comparison or predictions; each is written as a csv beside its figure."""

import re

import numpy as np
import pandas as pd

from analysis.load import Frames
from analysis.references import REFERENCES
from analysis.scores import BASELINE, CELL, against_name

BINS = 10


def differences(comparison: pd.DataFrame) -> pd.DataFrame:
    """The rows of a comparison that have a difference, in its order: a forest plot."""
    return comparison[comparison["difference"].notna()]


def pairs(scores: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Both sides of every difference: one row per cell, technique, variant and participant.

    Returns:
        dataset, label, model, technique, variant, participant, baseline (on the windows of the variant), score, difference; means over seeds.
    """
    keys = [*CELL, "name", "participant"]
    own = scores[~scores["technique"].isin([BASELINE, *REFERENCES])]
    own = own.assign(name=[against_name(*names) for names in zip(own["technique"], own["variant"], strict=True)])
    mine = (
        own.groupby([*CELL, "technique", "variant", "name", "participant"], observed=True)[metric]
        .mean()
        .reset_index(name="score")
    )
    base = scores[scores["technique"].eq(BASELINE)]
    paired = base[base["against"].ne("")].rename(columns={"against": "name"})
    both = mine.merge(paired.groupby(keys, observed=True)[metric].mean().reset_index(name="baseline"), on=keys, how="left")
    alone = base[base["against"].eq("")].groupby(keys[:3] + keys[4:], observed=True)[metric].mean()
    if paired.empty:
        both["baseline"] = both.set_index(keys[:3] + keys[4:]).index.map(alone)
    both["baseline"] = both["baseline"].astype(float)
    both["difference"] = both["score"] - both["baseline"]
    return both.drop(columns="name")


def gain_table(cell: pd.DataFrame) -> pd.DataFrame:
    """``pairs`` of one cell as differences, variants (index) by participants (columns), both in their first order."""
    names = [against_name(*row) for row in zip(cell["technique"], cell["variant"], strict=True)]
    wide = cell.assign(name=names).pivot(index="name", columns="participant", values="difference")
    return wide.loc[list(dict.fromkeys(names)), sorted(wide.columns, key=natural)]


def natural(name: object) -> list[tuple[bool, int, str]]:
    """A sort key that puts S2 before S10."""
    return [(part.isdecimal(), int(part) if part.isdecimal() else 0, part) for part in re.split(r"(\d+)", str(name))]


def over(comparison: pd.DataFrame, axis: str) -> pd.DataFrame:
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
    return frame.sort_values("value", key=lambda values: values.map(_place), kind="stable", ignore_index=True)


def _place(value: str) -> tuple[bool, float, str]:
    try:
        number = float(value)
    except ValueError:
        return True, 0.0, value
    return False, number, value


def reliability(frames: Frames) -> pd.DataFrame:
    """How often the most probable class is right, by how probable the model holds it, in ten bins of equal width.

    All tested windows of all participants, variants and seeds of a technique are pooled, so this is about its probabilities, not about a person.

    Returns:
        dataset, label, model, technique, bin, confidence (mean), accuracy, windows, ece (expected calibration error of the technique).
    """
    told = frames.predictions[~frames.predictions["purged"].to_numpy(dtype=bool)]
    p = told[[name for name in told.columns if name.startswith("p_")]].to_numpy(dtype=np.float64)
    p = np.nan_to_num(p, nan=-1.0)  # a class that this label does not have
    table = pd.DataFrame(
        {
            "trial": told["trial"].to_numpy(),
            "confidence": p.max(axis=1, initial=-1.0),
            "accuracy": p.argmax(axis=1) == told["y_true"].to_numpy() if len(p) else np.empty(0, dtype=bool),
        }
    )
    table["bin"] = np.minimum((table["confidence"] * BINS).astype(int), BINS - 1)
    sums = (
        table.assign(windows=1)
        .groupby(["trial", "bin"], observed=True)[["confidence", "accuracy", "windows"]]
        .sum()
        .reset_index()
    )
    named = sums.merge(frames.trials[["trial", *CELL, "technique"]], on="trial")
    keys = [*CELL, "technique"]
    bins = named.groupby([*keys, "bin"])[["confidence", "accuracy", "windows"]].sum().reset_index()
    bins[["confidence", "accuracy"]] = bins[["confidence", "accuracy"]].div(bins["windows"], axis=0)
    gap = (bins["confidence"] - bins["accuracy"]).abs() * bins["windows"]
    by = bins.assign(gap=gap).groupby(keys)[["gap", "windows"]].transform("sum")
    return bins.assign(ece=by["gap"] / by["windows"])
