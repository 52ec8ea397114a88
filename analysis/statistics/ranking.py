"""Descriptive: how variants rank against each other over the participants of one (dataset, label, model).

Friedman's test asks whether the columns of a table could be swapped within participants. That is more than equal means: skewed differences to
one reference deny it (docs/error_rates.md). So this is an appendix, never the verdict.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import scikit_posthocs
from scipy import stats

from analysis.arrays import Floats
from analysis.constants import ALPHA
from analysis.scores.chance_levels import CHANCE_LEVELS
from analysis.scores.keys import CELL, VARIANT, is_bound, variant_label
from analysis.scores.paired_scores import gain_sign
from analysis.statistics.paired_tests import DECIMALS

COLUMNS = [
    *VARIANT, "metric", "scoring", "n_participants", "n_missing", "mean", "rank", "statistic", "p", "critical_difference", "test",
]  # fmt: skip


@dataclass(frozen=True)
class Friedman:
    """Ranks of variants over participants (1 is best, ties share), and whether they differ (Demsar 2006).

    Attributes:
        ranks: variant to mean rank.
        statistic: Friedman's chi-square, corrected for ties (Demsar prints it without); NaN under three variants or two participants.
        p: of it; NaN likewise.
        n: participants with a score for every variant. ``n_missing``: the others, left out.
        critical_difference: of mean ranks, Nemenyi, at 0.05.
        nemenyi: p of every pair, (n_variants, n_variants).
    """

    ranks: "pd.Series[float]"
    statistic: float
    p: float
    n: int
    n_missing: int
    critical_difference: float
    nemenyi: pd.DataFrame


def friedman_test(scores: Floats) -> tuple[float, float]:
    """Friedman's statistic and p of complete scores (n_participants, n_variants); 0 and 1 if every participant's are all tied."""
    n, k = scores.shape
    if n < 2 or k < 3:
        return float("nan"), float("nan")
    if (scores == scores[:, :1]).all():
        return 0.0, 1.0
    test = stats.friedmanchisquare(*scores.T)
    return float(test.statistic), float(test.pvalue)


def friedman(table: pd.DataFrame, less_is_better: bool = False) -> Friedman:
    """Ranks, Friedman's test and Nemenyi's of ``table`` (participants x variants)."""
    complete = table.dropna().round(DECIMALS)
    n, k = complete.shape
    ranks = complete.rank(axis=1, ascending=less_is_better).mean()
    q = stats.studentized_range.ppf(1 - ALPHA, k, np.inf) / np.sqrt(2) if k > 1 else float("nan")
    nemenyi = pd.DataFrame(np.nan, index=table.columns, columns=table.columns)
    if n and k > 1:
        nemenyi = scikit_posthocs.posthoc_nemenyi_friedman(complete)
    cd = float(q * np.sqrt(k * (k + 1) / (6 * n))) if n else float("nan")
    return Friedman(ranks, *friedman_test(complete.to_numpy(dtype=np.float64)), n, len(table) - n, cd, nemenyi)


def rank_tables(scores: pd.DataFrame, metric: str) -> dict[tuple[str, ...], pd.DataFrame]:
    """For each (dataset, label, model) the scores, participants x variants (named as ``variant_label``), the reference technique included.

    Args:
        scores: as ``analysis.scores.scores.score_common`` makes them: all variants on the same windows. Means over seeds are taken here.
    """
    trained = scores[~scores["technique"].isin(CHANCE_LEVELS)]
    trained = trained[~trained["technique"].map(is_bound).astype(bool)]
    if "against" in trained.columns:
        trained = trained[trained["against"].fillna("").eq("")]
    names = [variant_label(str(t), str(v)) for t, v in zip(trained["technique"], trained["variant"], strict=True)]
    means = trained.assign(name=names).groupby([*CELL, "participant", "name"], observed=True)[metric].mean().reset_index()
    return {
        tuple(str(name) for name in cell): part.pivot(index="participant", columns="name", values=metric)
        for cell, part in means.groupby(CELL, sort=True, observed=True)
    }


def ranking(scores: pd.DataFrame, metric: str = "auroc") -> pd.DataFrame:
    """One row per variant, the best first, with the test of its (dataset, label, model). Descriptive.

    Args:
        scores: as ``analysis.scores.scores.score_common`` makes them.
    """
    variants = {variant_label(str(t), str(v)): (t, v) for t, v in scores[["technique", "variant"]].drop_duplicates().to_numpy()}
    rows: list[dict[str, Any]] = []
    for cell, table in rank_tables(scores, metric).items():
        test = friedman(table, gain_sign(metric) < 0)
        means = table.dropna().mean()
        shared = dict(zip(CELL, cell, strict=True)) | {"metric": metric, "scoring": scores["scoring"].iloc[0]}
        shared |= {"n_participants": test.n, "n_missing": test.n_missing, "statistic": test.statistic, "p": test.p}
        shared |= {"critical_difference": test.critical_difference, "test": f"Friedman, {table.shape[1]} variants; Nemenyi"}
        for name in test.ranks.sort_values(kind="stable").index:
            technique, variant = variants[name]
            rows.append(shared | {"technique": technique, "variant": variant, "mean": means[name], "rank": test.ranks[name]})
    return pd.DataFrame(rows, columns=COLUMNS)
