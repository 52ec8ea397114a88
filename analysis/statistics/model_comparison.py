"""Models, fusions, modalities and channels set against each other without personalization, paired over participants.

What a study calls a model holds its encoder, fusion, width and modalities, so ablations of all of these are comparisons of models. Entries of
the study that read the same windows and label under several names (with other channels, folds or numbers of participants) are comparisons of
datasets. All sides of a comparison are scored on the windows that all of them were tested on; means are over the seeds that both have.
"""

from collections.abc import Iterator, Mapping
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from analysis.constants import SMALLEST_EFFECT
from analysis.scores.keys import REFERENCE_TECHNIQUE
from analysis.scores.paired_scores import seed_sd
from analysis.scores.run_folder import RunTables
from analysis.scores.scores import score_common
from analysis.statistics.comparison import adjust_family, paired_statistics, tell_apart
from analysis.statistics.dependence import BOUND, retrained_bound

MODELS, DATASETS = "model", "dataset"
ALL_PAIRS = "all pairs"
COLUMNS = [
    "by", "dataset", "label", "model", "compared", "reference", "metric", "n_participants", "n_missing", "n_seeds", "mean", "sd", "seed_sd",
    "reference_mean", "difference", "ci_low", "ci_high", "inner_low", "inner_high", "effect_size", "gainers", "losers", "lopsided", "inflation",
    "inflation_source", "p_above_chance", "p", "p_adjusted", "detectable", "outcome", "test", "family", "family_size",
]  # fmt: skip


def _pairs(names: list[str], reference: str) -> list[tuple[str, str]]:
    """(compared, reference) for each test of a family: every name against the reference, or all pairs."""
    if reference == ALL_PAIRS:
        return [(second, first) for first, second in combinations(names, 2)]
    return [(name, reference) for name in names if name != reference] if reference in names else []


def _row(scores: pd.DataFrame, compared: str, reference: str, axis: str, metric: str) -> dict[str, Any]:
    """One comparison, over the participants and seeds that both sides have."""
    index, sides = ["participant", "seed"], [compared, reference]
    wide, aurocs = (scores.pivot_table(index=index, columns=axis, values=name, observed=True) for name in (metric, "auroc"))
    both = wide.reindex(columns=sides).dropna()  # a side without any score has no column
    people = both.groupby(level="participant", observed=True)
    means, n_all = people.mean(), wide.index.get_level_values("participant").nunique()
    d = (means[compared] - means[reference]).to_numpy(dtype=np.float64)
    of_ranks = aurocs.reindex(index=both.index, columns=sides).groupby(level="participant", observed=True).mean()
    return {
        "compared": compared,
        "reference": reference,
        "n_participants": len(d),
        "n_missing": n_all - len(d),
        "n_seeds": int(people.size().max()) if len(d) else 0,
        "mean": means[compared].mean(),
        "sd": means[compared].std(ddof=1),
        "seed_sd": seed_sd(people[compared].var(ddof=1)),
        "reference_mean": means[reference].mean(),
        **tell_apart(paired_statistics(d, (retrained_bound(len(d)), BOUND)), list(of_ranks.to_numpy(dtype=np.float64).T)),
    }


def _families(tables: RunTables) -> Iterator[tuple[str, dict[str, str], RunTables]]:
    """Of each family its axis, what is common to it, and the trials of the reference technique that it compares."""
    trials = tables.trials[tables.trials["technique"].eq(REFERENCE_TECHNIQUE)]
    for (dataset, label), part in trials.groupby(["dataset", "label"], sort=True, observed=True):
        yield MODELS, {"dataset": str(dataset), "label": str(label)}, tables.with_trials(part)
    source = trials["dataset"].map(tables.sources)
    for (windows, label, model), part in trials.groupby([source, "label", "model"], sort=True, observed=True):
        yield DATASETS, {"dataset": str(windows), "label": str(label), "model": str(model)}, tables.with_trials(part)


def _in_study_order(tables: RunTables, axis: str) -> list[str]:
    """The names of an axis as the study lists them; the first is the reference unless another is asked for."""
    present = set(tables.trials.loc[tables.trials["status"].eq("ok"), axis].astype(str))
    return [name for name in dict.fromkeys(tables.plan[axis].astype(str)) if name in present]


def compare_models(
    tables: RunTables,
    metric: str = "auroc",
    references: Mapping[str, str] | None = None,
    smallest_effect: float = SMALLEST_EFFECT,
) -> pd.DataFrame:
    """Each model against a reference on each (dataset, label), and each dataset entry against another on the same windows; each a family.

    Args:
        references: ``model`` and ``dataset`` to the name that the others are set against, or ``ALL_PAIRS``; the study's first unless given.

    Returns:
        one row per comparison; ``inflation`` is the bound for models that are trained anew, since no surrogate tells models apart.
    """
    rows = []
    for axis, common, part in _families(tables):
        names = _in_study_order(part, axis)
        pairs = _pairs(names, (references or {}).get(axis, names[0])) if len(names) > 1 else []
        if not pairs:
            continue
        scores = score_common(part, across=axis)
        tested = [_row(scores, compared, reference, axis, metric) for compared, reference in pairs]
        family = " / ".join(common.values())
        rows += [
            {"by": axis, "metric": metric, **common, **row} for row in adjust_family(tested, family, metric, smallest_effect)
        ]
    return pd.DataFrame(rows, columns=COLUMNS)
