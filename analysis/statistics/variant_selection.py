"""Scores to one column per technique: the variant chosen for each participant by the others, and beside it the best on test.

The reasons for this choice, and the meaning of its p: ``analysis.statistics.variant_choice``.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from analysis.arrays import Floats, Indices
from analysis.constants import ALPHA, SMALLEST_EFFECT
from analysis.scores.keys import CELL, VARIANT
from analysis.scores.paired_scores import gain_sign, paired_scores, seed_sd
from analysis.statistics.comparison import Inflation, adjust_family, inflation_table, paired_statistics
from analysis.statistics.dependence import BOUND, retrained_bound
from analysis.statistics.variant_choice import choice_inflation, leave_one_out_choice

TECHNIQUE_KEY = VARIANT[:-1]
COLUMNS = [
    *TECHNIQUE_KEY, "metric", "scoring", "n_participants", "n_missing", "mean", "sd", "seed_sd", "baseline_mean", "difference",
    "ci_low", "ci_high", "inner_low", "inner_high", "gainers", "losers", "lopsided", "inflation", "inflation_source", "choice_inflation",
    "p", "p_adjusted", "detectable", "outcome", "test", "family_size", "choices", "best_variant", "best_mean", "best_sd",
]  # fmt: skip


def count_choices(names: Iterable[str]) -> str:
    """How often each name was chosen, the most frequent first: ``budget=0.5 x13, budget=0.4 x2``."""
    counts = Counter(names)
    return ", ".join(f"{name} x{count}" for name, count in counts.most_common())


def _best(scores: pd.DataFrame, sign: int) -> dict[str, Any]:
    """The variant with the best mean on test, as papers print it: optimistic, because luck is part of being best."""
    means = sign * scores.mean()
    if means.isna().all():
        return {}
    best = means.idxmax()
    return {"best_variant": best, "best_mean": scores[best].mean(), "best_sd": scores[best].std(ddof=1)}


def _test(d: pd.DataFrame, chosen: Floats, sign: int, inflation: Inflation) -> dict[str, Any]:
    """Statistics of the chosen differences (n,); with one variant nothing is chosen, and they are the comparison's own."""
    choice = choice_inflation(sign * d.to_numpy(dtype=np.float64), inflation[0])
    statistics = paired_statistics(chosen, (inflation[0] * choice, inflation[1]))
    return statistics | {
        "choice_inflation": choice,
        "test": f"{statistics['test']}{' and for the choice' if d.shape[1] > 1 else ''}",
    }


def _inflation(
    names: tuple[str, ...], variants: list[str], n: int, inflations: Mapping[tuple[str, ...], Inflation]
) -> Inflation:
    """The largest of the chosen variants'."""
    return max(
        (inflations.get((*names, variant), (retrained_bound(n), BOUND)) for variant in variants), key=lambda pair: pair[0]
    )


def _basis(part: pd.DataFrame, metric: str) -> tuple[pd.DataFrame, Indices]:
    """The numbers that variants are chosen by, participants by variants, and the place of the variant chosen for each participant (-1: none).

    Differences to the reference technique, or the scores if a study has none.
    """
    name = "difference" if part["baseline"].notna().any() else "score"
    wide = part.pivot(index="participant", columns="variant", values=name)
    return wide, leave_one_out_choice(gain_sign(metric) * wide.to_numpy(dtype=np.float64))[1]


def chosen_variants(part: pd.DataFrame, metric: str) -> dict[str, str]:
    """Participant to the variant that the other participants choose; without those for whom there is no choice.

    Args:
        part: ``paired_scores`` of one technique of one (dataset, label, model).
    """
    wide, places = _basis(part, metric)
    return {str(name): str(wide.columns[k]) for name, k in zip(wide.index, places, strict=True) if k >= 0}


def _row(
    names: tuple[str, ...], part: pd.DataFrame, metric: str, inflations: Mapping[tuple[str, ...], Inflation]
) -> dict[str, Any]:
    """One technique of one (dataset, label, model). If a study has no reference technique the choice is by the scores, and untested."""
    numbers = ("score", "baseline", "difference", "seed_variance")
    wide = {name: part.pivot(index="participant", columns="variant", values=name) for name in numbers}
    compared = bool(part["baseline"].notna().any())
    sign, (basis, variant) = gain_sign(metric), _basis(part, metric)
    has_choice = variant >= 0
    row = {"n_participants": int(has_choice.sum()), "n_missing": int((~has_choice).sum())} | _best(wide["score"], sign)
    if not has_choice.any():
        return row
    chosen = {name: wide[name].to_numpy(dtype=np.float64)[has_choice, variant[has_choice]] for name in numbers}
    row |= {"mean": chosen["score"].mean(), "choices": count_choices(str(basis.columns[k]) for k in variant if k >= 0)}
    row |= {
        "sd": chosen["score"].std(ddof=1) if has_choice.sum() > 1 else np.nan,
        "seed_sd": seed_sd(pd.Series(chosen["seed_variance"])),
    }
    if not compared:
        return row
    variants = [str(basis.columns[k]) for k in np.unique(variant[has_choice])]
    inflation = _inflation(names, variants, int(has_choice.sum()), inflations)
    row |= {"baseline_mean": chosen["baseline"].mean()}
    return row | _test(basis, chosen["difference"], sign, inflation)


def select_variants(
    scores: pd.DataFrame,
    metric: str = "auroc",
    inflations: pd.DataFrame | None = None,
    smallest_effect: float = SMALLEST_EFFECT,
    primary: str = "",
) -> pd.DataFrame:
    """One row per (dataset, label, model, technique), the variant chosen for each participant by the mean over the others: the study's
    primary question, unless it names another.

    The choice is by the difference to the reference technique, because variants are tested on different windows. p is adjusted by Holm over the
    techniques of a (dataset, label, model); the interval is the inverse of the same test, unadjusted, so it holds 0 if and only if p > 0.05.

    Args:
        scores: as ``analysis.score`` makes them.
        metric: a column of ``scores``.
        inflations, smallest_effect: as ``analysis.compare`` takes them; of the chosen variants the largest inflation counts.
        primary: the technique that the study's primary comparison is about: its p stands alone, Holm is over the others.

    Returns:
        one row per technique, in columns as ``analysis.compare`` has them.
        ``n_missing`` participants have no variant with a score that others have too; ``choices`` says how often each variant was chosen;
        ``best_variant``, ``best_mean`` and ``best_sd`` are of the variant that is best on test: optimistic, and without p.

    Raises:
        AnalysisError: if the scores have no such metric.

    Units:
        those of the metric; p from 0 to 1.

    Source:
        docs/decisions/0019-verdict.md; docs/error_rates.md.
    """
    table, rows = inflation_table(inflations), []
    for cell, cell_pairs in paired_scores(scores, metric).groupby(CELL, sort=True, observed=True):
        family = []
        for technique, part in cell_pairs.groupby("technique", sort=True, observed=True):
            names = (*map(str, cell), str(technique))
            family.append({"p": np.nan} | dict(zip(TECHNIQUE_KEY, names, strict=True)) | _row(names, part, metric, table))
        families = [[row for row in family if (row["technique"] == primary) == first] for first in (True, False)]
        for members in filter(None, families):
            rows += adjust_family(members, " / ".join(map(str, cell)), metric, smallest_effect)
    frame = pd.DataFrame(rows, columns=COLUMNS).assign(metric=metric).sort_values(TECHNIQUE_KEY, ignore_index=True)
    return frame.assign(scoring=scores["scoring"].iloc[0] if "scoring" in scores.columns and len(scores) else "published")


def passed(chosen: pd.DataFrame) -> set[str]:
    """The techniques of one (dataset, label, model) whose own test rejects: only their variants are looked at one by one."""
    return set(chosen.loc[chosen["p_adjusted"].lt(ALPHA), "technique"].astype(str))
