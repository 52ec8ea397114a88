"""Scores to the comparison: each variant against non_personalized, paired over participants (DESIGN, comparison.csv)."""

from typing import Any

import numpy as np
import pandas as pd

from analysis.references import REFERENCES
from analysis.scores import BASELINE, CELL, against_name
from analysis.significance import bca_interval, holm, rank_biserial, wilcoxon

COLUMNS = [
    *CELL, "technique", "variant", "metric", "scoring", "n_participants", "n_missing", "mean", "sd", "baseline_mean",
    "difference", "ci_low", "ci_high", "effect_size", "p", "p_adjusted", "test", "family", "family_size",
]  # fmt: skip


def _per_participant(scores: pd.DataFrame, metric: str) -> "pd.Series[float]":
    """Mean over seeds; a participant with an undefined score in every seed is missing."""
    return scores.groupby("participant", observed=True)[metric].mean()


def _place(variant: Any) -> tuple[Any, ...]:
    """The baseline, the references, then techniques and variants by name."""
    return variant.technique != BASELINE, variant.technique not in REFERENCES, variant.technique, variant.variant


def _row(cell: pd.DataFrame, technique: str, variant: str, metric: str) -> dict[str, Any]:
    """One variant of one (dataset, label, model) against the baseline on the same windows; references and, where a study has
    no baseline, all variants stand untested."""
    own = cell["against"].eq("")
    mine = _per_participant(cell[own & cell["technique"].eq(technique) & cell["variant"].eq(variant)], metric)
    base = cell[cell["technique"].eq(BASELINE)]
    paired = base[base["against"].eq(against_name(technique, variant))]
    other = _per_participant(paired if len(paired) else base[base["against"].eq("")], metric)
    both = pd.concat([mine.rename("mine"), other.rename("base")], axis=1).reindex(mine.index).dropna()
    row: dict[str, Any] = {"technique": technique, "variant": variant, "metric": metric, "scoring": cell["scoring"].iloc[0]}
    if technique == BASELINE or technique in REFERENCES or not len(other):
        mine = mine.dropna()
        return row | {"n_participants": len(mine), "mean": mine.mean(), "sd": mine.std(ddof=1)}
    d = (both["mine"] - both["base"]).to_numpy(dtype=np.float64)
    row |= {
        "n_participants": len(both),
        "n_missing": len(mine) - len(both),
        "mean": both["mine"].mean(),
        "sd": both["mine"].std(ddof=1),
    }
    if not len(d):
        return row
    low, high = bca_interval(d)
    p, test = wilcoxon(d)
    return row | {
        "baseline_mean": both["base"].mean(),
        "difference": d.mean(),
        "ci_low": low,
        "ci_high": high,
        "effect_size": rank_biserial(d),
        "p": p,
        "test": test,
    }


def compare(scores: pd.DataFrame, metric: str = "auroc") -> pd.DataFrame:
    """Every variant against non_personalized; p adjusted by Holm over the variants of one (dataset, label, model).

    Args:
        scores: as ``analysis.score`` makes them; without the column ``against`` the one baseline of a cell is used.

    Returns:
        one row per (dataset, label, model, technique, variant), the baseline first, then the references. ``n_missing`` participants had no
        score on one side and were dropped pairwise.
    """
    if "against" not in scores.columns:
        scores = scores.assign(against="")
    if "scoring" not in scores.columns:
        scores = scores.assign(scoring="published")
    rows = []
    for names, cell in scores.groupby(CELL, sort=True, observed=True):
        variants = cell[["technique", "variant"]].drop_duplicates()
        ordered = sorted(variants.itertuples(index=False), key=_place)
        made = [_row(cell, str(v.technique), str(v.variant), metric) for v in ordered]
        tested = [row for row in made if "p" in row]
        adjusted = holm(np.array([row["p"] for row in tested]))
        for row, p in zip(tested, adjusted, strict=True):
            row |= {"p_adjusted": p, "family": " / ".join(str(name) for name in names), "family_size": len(tested)}
        rows += [dict(zip(CELL, names, strict=True)) | row for row in made]
    frame = pd.DataFrame(rows, columns=COLUMNS)
    whole = {"n_participants": 0, "n_missing": 0, "family_size": 0}
    return frame.fillna(whole).astype(dict.fromkeys(whole, int))
