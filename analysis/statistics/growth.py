"""Whether more people to train on help each technique (growth.csv): entries of a study on the same windows that differ in ``people:``.

A technique's score with the most people is set against its own with the fewest, paired over the participants who are tested: same windows, same
variant, the seeds that both have. The variant is chosen for each participant by the others, with the most people. The trainings of all sides are
shared among participants, so the variance is inflated by the bound for models that are trained anew. The slope beside it uses every number in
between and is descriptive: a mean of straight lines over the logarithm of the number, in metric units a doubling.
"""

from typing import Any

import numpy as np
import pandas as pd

from analysis.constants import SMALLEST_EFFECT
from analysis.scores.chance_levels import CHANCE_LEVELS
from analysis.scores.keys import CELL, REFERENCE_TECHNIQUE, is_bound
from analysis.scores.paired_scores import paired_scores
from analysis.scores.run_folder import RunTables
from analysis.statistics.comparison import adjust_family, paired_statistics, tell_apart
from analysis.statistics.dependence import BOUND, retrained_bound
from analysis.statistics.variant_selection import chosen_variants

COLUMNS = [
    *CELL, "technique", "metric", "smallest", "largest", "n_participants", "n_missing", "reference_mean", "mean", "difference", "ci_low", "ci_high",
    "inner_low", "inner_high", "effect_size", "gainers", "losers", "lopsided", "inflation", "inflation_source", "slope", "p_above_chance",
    "p", "p_adjusted", "detectable", "outcome", "test", "family", "family_size",
]  # fmt: skip


def entries_by_people(tables: RunTables) -> pd.DataFrame:
    """The study's entries with the number of people that their models without personalization are trained on (the most of any trial).

    Returns:
        dataset, people, windows (the source); of entries on the same windows with the same number the study's first.
    """
    trials, people = tables.trials, pd.Series(dtype=float)
    if "people" in trials:
        references = trials[trials["technique"].eq(REFERENCE_TECHNIQUE) & trials["status"].eq("ok")]
        people = references.dropna(subset=["people"]).groupby("dataset", observed=True)["people"].max()
    order = [name for name in dict.fromkeys(tables.plan["dataset"].astype(str)) if name in people.index]
    entries = pd.DataFrame({"dataset": order, "people": [float(people[name]) for name in order]})
    entries["windows"] = [tables.sources.get(name, name) for name in order]
    return entries.drop_duplicates(["windows", "people"])


def _variants(largest: pd.DataFrame, technique: str, metric: str) -> dict[str, str]:
    """Participant to the variant of the technique that the others choose, in the entry with the most people.

    Args:
        largest: scores of that entry, of one label and model.
    """
    if technique == REFERENCE_TECHNIQUE:
        return dict.fromkeys(largest["participant"].astype(str).unique(), "-")
    of_technique = largest[largest["technique"].isin([technique, REFERENCE_TECHNIQUE])]
    return chosen_variants(paired_scores(of_technique, metric), metric)


def _row(part: pd.DataFrame, variants: dict[str, str], metric: str) -> dict[str, Any]:
    """One technique of one (windows, label, model).

    Args:
        part: its scores, with ``people``; each on its own windows.
    """
    used = part[part["variant"].astype(str).eq(part["participant"].astype(str).map(variants))]
    wide, aurocs = (
        used.pivot_table(index=["participant", "seed"], columns="people", values=name, observed=True)
        for name in (metric, "auroc")
    )
    smallest, largest = wide.columns.min(), wide.columns.max()
    both = wide.dropna(subset=[smallest, largest])
    means = both.groupby(level="participant", observed=True).mean()
    d = (means[largest] - means[smallest]).to_numpy(dtype=np.float64)
    of_ranks = aurocs.reindex(index=both.index, columns=[largest, smallest]).groupby(level="participant", observed=True).mean()
    complete = means.dropna(axis=1)  # a number that somebody lacks would tilt that person's line
    slopes = np.polyfit(np.log2(complete.columns.to_numpy(dtype=np.float64)), complete.to_numpy().T, 1)[0] if len(d) else []
    return {
        "smallest": int(smallest),
        "largest": int(largest),
        "n_participants": len(d),
        "n_missing": part["participant"].nunique() - len(d),
        "reference_mean": means[smallest].mean(),
        "mean": means[largest].mean(),
        "slope": float(np.mean(slopes)) if len(d) else np.nan,
        **tell_apart(paired_statistics(d, (retrained_bound(len(d)), BOUND)), list(of_ranks.to_numpy(dtype=np.float64).T)),
    }


def growth(
    tables: RunTables, scores: pd.DataFrame, metric: str = "auroc", smallest_effect: float = SMALLEST_EFFECT
) -> pd.DataFrame:
    """One row per technique of each (windows, label, model) that was trained on several numbers of people; Holm over its techniques.

    Args:
        scores: as ``analysis.score`` makes them.

    Returns:
        columns ``COLUMNS``: ``dataset`` is the windows; ``mean`` with the ``largest`` number, ``reference_mean`` with the ``smallest``.
    """
    entries = entries_by_people(tables)
    entries = entries[entries.groupby("windows")["people"].transform("nunique").gt(1)]
    own = scores[scores["against"].fillna("").eq("") & ~scores["technique"].isin(CHANCE_LEVELS)]
    own = own[~own["technique"].map(is_bound)].merge(entries, on="dataset")
    rows: list[dict[str, Any]] = []
    for (windows, label, model), cell in own.groupby(["windows", "label", "model"], sort=True, observed=True):
        names, family = dict(zip(CELL, map(str, (windows, label, model)), strict=True)), list[dict[str, Any]]()
        last = cell.loc[cell["people"].eq(cell["people"].max()), "dataset"].iloc[0]
        largest = scores[scores["dataset"].eq(last) & scores["label"].eq(names["label"]) & scores["model"].eq(names["model"])]
        for technique, part in cell.groupby("technique", sort=True, observed=True):
            if part["people"].nunique() > 1:
                variants = _variants(largest, str(technique), metric)
                family.append({**names, "technique": technique, "metric": metric, **_row(part, variants, metric)})
        rows += adjust_family(family, " / ".join(names.values()), metric, smallest_effect) if family else []
    return pd.DataFrame(rows, columns=COLUMNS)
