"""Scores to the comparison: each variant against the reference technique, paired over participants (comparison.csv).

The columns and their statistics: ``analysis.statistics.columns``.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from analysis.arrays import Floats
from analysis.errors import AnalysisError
from analysis.scores.chance_levels import CHANCE_LEVELS
from analysis.scores.keys import CELL, REFERENCE_TECHNIQUE
from analysis.scores.metrics import METRICS
from analysis.scores.paired_scores import paired_scores
from analysis.statistics import columns
from analysis.statistics.paired_tests import bca_intervals, holm, wilcoxon


def paired_statistics(differences: Sequence[Floats]) -> list[dict[str, Any]]:
    """Every statistic of the paired differences (n,) of each variant, before any adjustment; a p that is missing if there are none."""
    rows: list[dict[str, Any]] = []
    for d, (low, high) in zip(differences, bca_intervals(differences), strict=True):
        if not len(d):
            rows.append({"n_nonzero": 0, "p": np.nan, "least_p": np.nan})
            continue
        p, test = wilcoxon(d)
        statistics = {column.name: column.statistic(d) for column in columns.COLUMNS if column.statistic}
        rows.append(statistics | {"ci_low": low, "ci_high": high, "p": p, "test": test})
    return rows


def adjust_family(rows: Sequence[dict[str, Any]], family: str) -> list[dict[str, Any]]:
    """The rows of one family of tests, with Holm's adjustment over all of them.

    Rows without a p are in it: a test that could not be made does not make the others easier.
    """
    adjusted = holm(np.array([row["p"] for row in rows]))
    least_p = holm(np.array([row["least_p"] for row in rows]))  # adjusted p values never rise when another p falls
    return [
        row | {"p_adjusted": p, "least_p": min_p, "family": family, "family_size": len(rows)}
        for row, p, min_p in zip(rows, adjusted, least_p, strict=True)
    ]


def _place(row: dict[str, Any]) -> tuple[Any, ...]:
    """The reference technique, the chance levels, then techniques and variants by name."""
    return row["technique"] != REFERENCE_TECHNIQUE, row["technique"] not in CHANCE_LEVELS, row["technique"], row["variant"]


def _untested(cell: pd.DataFrame, metric: str) -> list[dict[str, Any]]:
    """Rows of means alone."""
    own_windows = cell[cell["against"].eq("")]
    means = own_windows.groupby(["technique", "variant", "participant"], observed=True)[metric].mean()
    table = means.groupby(level=[0, 1]).agg(["count", "mean", "std"]).rename(columns={"count": "n_participants", "std": "sd"})
    return [{str(name): value for name, value in row.items()} for row in table.reset_index().to_dict("records")]


def _family(cell: pd.DataFrame, metric: str) -> list[dict[str, Any]]:
    """Rows of the variants set against the reference technique: one family."""
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
    name = " / ".join(str(cell[level].iloc[0]) for level in CELL)
    return adjust_family([row | statistics for row, statistics in zip(rows, paired_statistics(differences), strict=True)], name)


def _cell(cell: pd.DataFrame, metric: str) -> list[dict[str, Any]]:
    """The rows of one (dataset, label, model): the reference technique and the chance levels stand untested, and so do all without a
    reference."""
    if not cell["technique"].eq(REFERENCE_TECHNIQUE).any():
        return sorted(_untested(cell, metric), key=_place)
    untested = cell["technique"].isin([REFERENCE_TECHNIQUE, *CHANCE_LEVELS])
    return sorted(_untested(cell[untested], metric) + _family(cell, metric), key=_place)


def compare(scores: pd.DataFrame, metric: str = "auroc") -> pd.DataFrame:
    """Every variant against non_personalized; p adjusted by Holm over the variants of one (dataset, label, model).

    Args:
        scores: as ``analysis.score`` makes them; without the column ``against`` the one row of non_personalized of a fold is used.

    Returns:
        one row per (dataset, label, model, technique, variant), the reference technique first, then the chance levels. ``n_missing``
        participants had no score on one side and were dropped pairwise; ``n_nonzero`` differences are not zero; ``least_p`` is the least
        ``p_adjusted`` that so many of them and this family allow, whatever their signs.

    Raises:
        AnalysisError: if the scores have no such metric.
    """
    if metric not in scores.columns:
        offered = ", ".join(name for name in METRICS if name in scores.columns)
        raise AnalysisError(f"the scores have no metric {metric!r}; there are {offered}")
    defaults = {"against": "", "scoring": "published"}
    scores = scores.assign(**{name: value for name, value in defaults.items() if name not in scores.columns})
    rows = []
    for cell_names, cell in scores.groupby(CELL, sort=True, observed=True):
        shared = dict(zip(CELL, cell_names, strict=True)) | {"metric": metric, "scoring": cell["scoring"].iloc[0]}
        rows += [shared | row for row in _cell(cell, metric)]
    declared = columns.reference_columns()
    counts = [column.name for column in declared if column.is_count]
    frame = pd.DataFrame(rows, columns=columns.names(declared))
    return frame.fillna(dict.fromkeys(counts, 0)).astype(dict.fromkeys(counts, int))
