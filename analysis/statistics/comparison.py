"""Scores to the comparison: each variant against non_personalized, paired over participants (DESIGN, comparison.csv)."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from analysis.errors import AnalysisError
from analysis.scores.chance_levels import CHANCE_LEVELS
from analysis.scores.metrics import METRICS
from analysis.scores.paired_scores import paired_scores
from analysis.scores.scores import CELL, REFERENCE_TECHNIQUE
from analysis.statistics.paired_tests import (
    DECIMALS,
    Differences,
    bca_intervals,
    holm,
    min_attainable_p,
    rank_biserial,
    wilcoxon,
)

COLUMNS = [
    *CELL, "technique", "variant", "metric", "scoring", "n_participants", "n_missing", "n_nonzero", "mean", "sd", "baseline_mean",
    "difference", "ci_low", "ci_high", "effect_size", "p", "p_adjusted", "least_p", "test", "family", "family_size",
]  # fmt: skip
COUNTS = ("n_participants", "n_missing", "n_nonzero", "family_size")


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
            "least_p": min_attainable_p(d, 1),
        }
        if len(d)
        else {"n_nonzero": 0, "p": np.nan, "least_p": np.nan}
        for d, (low, high) in zip(differences, bca_intervals(differences), strict=True)
    ]


def _place(row: dict[str, Any]) -> tuple[Any, ...]:
    """The baseline, the references, then techniques and variants by name."""
    return row["technique"] != REFERENCE_TECHNIQUE, row["technique"] not in CHANCE_LEVELS, row["technique"], row["variant"]


def _untested(cell: pd.DataFrame, metric: str) -> list[dict[str, Any]]:
    """Rows of means alone."""
    own = cell[cell["against"].eq("")].groupby(["technique", "variant", "participant"], observed=True)[metric].mean()
    table = own.groupby(level=[0, 1]).agg(["count", "mean", "std"]).rename(columns={"count": "n_participants", "std": "sd"})
    return [{str(name): value for name, value in row.items()} for row in table.reset_index().to_dict("records")]


def _family(cell: pd.DataFrame, metric: str) -> list[dict[str, Any]]:
    """Rows of the variants set against the baseline: one family. Those for which no participant has a score on both sides are in it: a
    test that could not be made does not make the others easier."""
    rows, differences = [], []
    for (technique, variant), part in paired_scores(cell, metric).groupby(["technique", "variant"], observed=True):
        both = part.dropna(subset=["difference"])
        differences.append(both["difference"].to_numpy(dtype=np.float64))
        rows.append(
            {
                "technique": technique,
                "variant": variant,
                "n_participants": len(both),
                "n_missing": len(part) - len(both),
                "mean": both["score"].mean(),
                "sd": both["score"].std(ddof=1),
                "baseline_mean": both["baseline"].mean(),
            }
        )
    shown = paired_tests(differences)
    adjusted = holm(np.array([tests["p"] for tests in shown]))
    least = holm(np.array([tests["least_p"] for tests in shown]))  # adjusted p values never rise when another p falls
    name, size = " / ".join(str(cell[level].iloc[0]) for level in CELL), len(rows)
    return [
        row | tests | {"p_adjusted": p, "least_p": low, "family": name, "family_size": size}
        for row, tests, p, low in zip(rows, shown, adjusted, least, strict=True)
    ]


def _cell(cell: pd.DataFrame, metric: str) -> list[dict[str, Any]]:
    """The rows of one (dataset, label, model): the baseline and the references stand untested, and so do all without a baseline."""
    alone = cell["technique"].isin([REFERENCE_TECHNIQUE, *CHANCE_LEVELS])
    if not cell["technique"].eq(REFERENCE_TECHNIQUE).any():
        return sorted(_untested(cell, metric), key=_place)
    return sorted(_untested(cell[alone], metric) + _family(cell, metric), key=_place)


def compare(scores: pd.DataFrame, metric: str = "auroc") -> pd.DataFrame:
    """Every variant against non_personalized; p adjusted by Holm over the variants of one (dataset, label, model).

    Args:
        scores: as ``analysis.score`` makes them; without the column ``against`` the one baseline of a cell is used.

    Returns:
        one row per (dataset, label, model, technique, variant), the baseline first, then the references. ``n_missing`` participants had no
        score on one side and were dropped pairwise; ``n_nonzero`` differences are not zero; ``min_attainable_p`` is the least ``p_adjusted`` that
        so many of them and this family allow, whatever their signs.

    Raises:
        AnalysisError: where the scores have no such metric.
    """
    if metric not in scores.columns:
        offered = ", ".join(name for name in METRICS if name in scores.columns)
        raise AnalysisError(f"the scores have no metric {metric!r}; there are {offered}")
    absent = {"against": "", "scoring": "published"}
    scores = scores.assign(**{name: value for name, value in absent.items() if name not in scores.columns})
    rows = []
    for names, cell in scores.groupby(CELL, sort=True, observed=True):
        about = dict(zip(CELL, names, strict=True)) | {"metric": metric, "scoring": cell["scoring"].iloc[0]}
        rows += [about | row for row in _cell(cell, metric)]
    frame = pd.DataFrame(rows, columns=COLUMNS)
    return frame.fillna(dict.fromkeys(COUNTS, 0)).astype(dict.fromkeys(COUNTS, int))
