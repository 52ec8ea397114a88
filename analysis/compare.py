"""Scores to the comparison: each variant against non_personalized, paired over participants (DESIGN, comparison.csv)."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from analysis.metrics import METRICS
from analysis.references import REFERENCES
from analysis.scores import BASELINE, CELL, against_name
from analysis.significance import DECIMALS, Differences, bca_intervals, holm, least_p, rank_biserial, wilcoxon

COLUMNS = [
    *CELL, "technique", "variant", "metric", "scoring", "n_participants", "n_missing", "n_nonzero", "mean", "sd", "baseline_mean",
    "difference", "ci_low", "ci_high", "effect_size", "p", "p_adjusted", "least_p", "test", "family", "family_size",
]  # fmt: skip
COUNTS = ("n_participants", "n_missing", "n_nonzero", "family_size")

Key = tuple[str, str, str]
People = dict[Key, "pd.Series[float]"]


def _per_participant(cell: pd.DataFrame, metric: str) -> People:
    """For each technique, variant and ``against``: each participant's mean over seeds, missing where every seed is undefined."""
    means = cell.groupby(["technique", "variant", "against", "participant"], observed=True)[metric].mean()
    by_key: Any = means.groupby(level=[0, 1, 2])
    return {key: part.droplevel([0, 1, 2]) for key, part in by_key}


def _place(key: Key) -> tuple[Any, ...]:
    """The baseline, the references, then techniques and variants by name."""
    technique, variant, _ = key
    return technique != BASELINE, technique not in REFERENCES, technique, variant


def paired_tests(differences: Sequence[Differences]) -> list[dict[str, Any]]:
    """What the paired differences (n,) of each variant show, before any adjustment; a p that is missing where there are none."""
    return [
        {
            "n_nonzero": np.count_nonzero(np.round(d, DECIMALS)),
            "difference": d.mean(),
            "ci_low": low,
            "ci_high": high,
            "effect_size": rank_biserial(d),
            **dict(zip(("p", "test"), wilcoxon(d), strict=True)),
            "least_p": least_p(d, 1),
        }
        if len(d)
        else {"n_nonzero": 0, "p": np.nan, "least_p": np.nan}
        for d, (low, high) in zip(differences, bca_intervals(differences), strict=True)
    ]


def _row(people: People, technique: str, variant: str) -> dict[str, Any]:
    """One variant against the baseline on the same windows; references and, where a study has no baseline, all variants stand
    untested (without ``differences``)."""
    row: dict[str, Any] = {"technique": technique, "variant": variant}
    mine = people[technique, variant, ""]
    every = people.get((BASELINE, "-", ""))
    base = people.get((BASELINE, "-", against_name(technique, variant)), every)
    if technique == BASELINE or technique in REFERENCES or base is None:
        mine = mine.dropna()
        return row | {"n_participants": len(mine), "mean": mine.mean(), "sd": mine.std(ddof=1)}
    both = pd.concat([mine.rename("mine"), base.rename("base")], axis=1).reindex(mine.index).dropna()
    d = (both["mine"] - both["base"]).to_numpy(dtype=np.float64)
    row |= {"n_participants": len(d), "n_missing": len(mine) - len(d), "differences": d}
    return row | {"mean": both["mine"].mean(), "sd": both["mine"].std(ddof=1), "baseline_mean": both["base"].mean()}


def _cell(cell: pd.DataFrame, metric: str) -> list[dict[str, Any]]:
    """The rows of one (dataset, label, model). Its family are all variants that are set against the baseline, those too for which
    no participant has a score on both sides: a test that could not be made does not make the others easier."""
    people = _per_participant(cell, metric)
    ordered = sorted((key for key in people if not key[2]), key=_place)
    rows = [_row(people, technique, variant) for technique, variant, _ in ordered]
    family = [row for row in rows if "differences" in row]
    for row, shown in zip(family, paired_tests([row.pop("differences") for row in family]), strict=True):
        row.update(shown)
    adjusted = holm(np.array([row["p"] for row in family]))
    least = holm(np.array([row["least_p"] for row in family]))  # adjusted p values never rise when another p falls
    for row, p, low in zip(family, adjusted, least, strict=True):
        row |= {"p_adjusted": p, "least_p": low, "family_size": len(family)}
    return rows


def compare(scores: pd.DataFrame, metric: str = "auroc") -> pd.DataFrame:
    """Every variant against non_personalized; p adjusted by Holm over the variants of one (dataset, label, model).

    Args:
        scores: as ``analysis.score`` makes them; without the column ``against`` the one baseline of a cell is used.

    Returns:
        one row per (dataset, label, model, technique, variant), the baseline first, then the references. ``n_missing`` participants had no
        score on one side and were dropped pairwise; ``n_nonzero`` differences are not zero; ``least_p`` is the least ``p_adjusted`` that
        so many of them and this family allow, whatever their signs.

    Raises:
        ValueError: where the scores have no such metric.
    """
    if metric not in scores.columns:
        offered = ", ".join(name for name in METRICS if name in scores.columns)
        raise ValueError(f"the scores have no metric {metric!r}; there are {offered}")
    absent = {"against": "", "scoring": "published"}
    scores = scores.assign(**{name: value for name, value in absent.items() if name not in scores.columns})
    rows = []
    for names, cell in scores.groupby(CELL, sort=True, observed=True):
        about = dict(zip(CELL, names, strict=True)) | {"metric": metric, "scoring": cell["scoring"].iloc[0]}
        family = " / ".join(str(name) for name in names)
        rows += [about | row | ({"family": family} if "p" in row else {}) for row in _cell(cell, metric)]
    frame = pd.DataFrame(rows, columns=COLUMNS)
    return frame.fillna(dict.fromkeys(COUNTS, 0)).astype(dict.fromkeys(COUNTS, int))
