"""Scores to the comparison: each variant against the reference technique, paired over participants (comparison.csv).

The columns and their statistics: ``analysis.statistics.columns``.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from analysis.arrays import Floats
from analysis.constants import SMALLEST_EFFECT
from analysis.scores.chance_levels import CHANCE_LEVELS
from analysis.scores.keys import CELL, REFERENCE_TECHNIQUE, VARIANT, is_bound
from analysis.scores.paired_scores import gain_sign, paired_scores, refuse_unknown_metric, seed_sd
from analysis.statistics import columns
from analysis.statistics.dependence import BOUND, p_above_chance, retrained_bound
from analysis.statistics.outcome import BETTER, WORSE, outcome_of
from analysis.statistics.paired_tests import holm, mean_test

TEST = "t of the mean difference, variance inflated for shared training"
EITHER_ABOVE = "p not below that of either model being above chance"
Inflation = tuple[float, str]  # and its source


def paired_statistics(d: Floats, inflation: Inflation) -> dict[str, Any]:
    """Every statistic of the paired differences (n,) of one variant, before any adjustment; a p that is missing if there are none."""
    if not len(d):
        return {"p": np.nan}
    test = mean_test(d, inflation[0])
    statistics = {column.name: column.statistic(d) for column in columns.COLUMNS if column.statistic}
    statistics |= {
        "p": test.p,
        "ci_low": test.low,
        "ci_high": test.high,
        "inner_low": test.inner_low,
        "inner_high": test.inner_high,
    }
    return statistics | {
        "detectable": test.detectable, "inflation": inflation[0], "inflation_source": inflation[1], "test": TEST,
    }  # fmt: skip


def tell_apart(statistics: dict[str, Any], aurocs: Sequence[Floats]) -> dict[str, Any]:
    """The statistics of two models' difference, of which at least one has to be above chance: two that are not are not told apart.

    A model that knows nothing can differ from another one that knows nothing. Where nothing is to be learned, what each fold learns by luck
    depends on the same few people, so the mean of a model that chooses (the rule: a statistic and its sign) varies more than the bound for
    retrained models allows, the more the more it chooses from (docs/decisions/0019-verdict.md, "Two models at chance"). So p is the larger of two:
    that of the difference, and that of either model being above chance (Bonferroni over both sides), which is a test of both claims together
    (Berger, Technometrics 24, 1982). Surely learned signal makes the second one 0. The interval stays that of the difference.

    Args:
        statistics: as ``paired_statistics`` gives them.
        aurocs: of each side (n_participants,); a side without any says nothing of chance, and p stays.
    """
    found = [p for side in aurocs if not np.isnan(p := p_above_chance(side))]
    if len(found) < len(aurocs):
        return statistics | {"p_above_chance": np.nan}
    p = min(1.0, len(found) * min(found))
    return statistics | {"p": max(statistics["p"], p), "p_above_chance": p, "test": f"{statistics['test']}; {EITHER_ABOVE}"}


def adjust_family(
    rows: Sequence[dict[str, Any]], family: str, metric: str, smallest_effect: float = SMALLEST_EFFECT
) -> list[dict[str, Any]]:
    """The rows of one family of tests, with Holm's adjustment over all of them, and their outcomes.

    Rows without a p are in it: a test that could not be made does not make the others easier. ``gainers`` and ``losers`` are of the metric's
    better and worse side, and a verdict on a mean that goes against the ranks of most differences is marked as ``lopsided``.
    """
    adjusted = holm(np.array([row["p"] for row in rows]))
    tested = [
        row | {"p_adjusted": p, "family": family, "family_size": len(rows)} for row, p in zip(rows, adjusted, strict=True)
    ]
    return [_with_outcome(row, metric, smallest_effect) for row in tested]


def _with_outcome(row: dict[str, Any], metric: str, smallest_effect: float) -> dict[str, Any]:
    """A tested row with its outcome, and what goes with it."""
    outcome = outcome_of(row, metric, smallest_effect)
    sides = ("gainers", "losers") if gain_sign(metric) > 0 else ("losers", "gainers")
    result = (
        row
        | {"outcome": outcome}
        | {new: row[old] for new, old in zip(("gainers", "losers"), sides, strict=True) if old in row}
    )
    if outcome in (BETTER, WORSE) and row["difference"] * row["effect_size"] < 0:
        result["lopsided"] = True
    return result


def inflation_table(inflations: pd.DataFrame | None) -> Mapping[tuple[str, ...], Inflation]:
    """``analysis.statistics.dependence.variance_inflations`` by (dataset, label, model, technique, variant)."""
    if inflations is None:
        return {}
    names = inflations[VARIANT].astype(str).itertuples(index=False, name=None)
    return dict(zip(names, zip(inflations["inflation"], inflations["inflation_source"], strict=True), strict=True))


def _place(row: dict[str, Any]) -> tuple[Any, ...]:
    """The reference technique, the chance levels, techniques and variants by name, then the bounds."""
    name = row["technique"]
    return name != REFERENCE_TECHNIQUE, name not in CHANCE_LEVELS, is_bound(name), name, row["variant"]


def _means(scores: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Means of each technique and variant on its own windows, over all cells at once: a group is the same rows in the same order."""
    own_windows = scores[scores["against"].eq("")]
    seeds = own_windows.groupby([*VARIANT, "participant"], observed=True)[metric].agg(["mean", "var", "count"])
    variants = seeds.groupby(level=list(range(len(VARIANT))))
    table = variants["mean"].agg(["count", "mean", "std"]).rename(columns={"count": "n_participants", "std": "sd"})
    table = table.assign(seed_sd=variants["var"].agg(seed_sd), n_seeds=variants["count"].max())
    return table.reset_index()


def _untested(means: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows of means alone."""
    return [{str(name): value for name, value in row.items()} for row in means.drop(columns=CELL).to_dict("records")]


def _family(
    names: tuple[str, ...],
    pairs: pd.DataFrame,
    metric: str,
    inflations: Mapping[tuple[str, ...], Inflation],
    smallest_effect: float,
) -> list[dict[str, Any]]:
    """Rows of the variants set against the reference technique: one family."""
    rows = []
    for (technique, variant), part in pairs.groupby(["technique", "variant"], observed=True):
        both = part.dropna(subset=["difference"])
        means = {
            "technique": technique,
            "variant": variant,
            "n_participants": len(both),
            "n_missing": len(part) - len(both),
            "n_seeds": both["n_seeds"].max(),
            "mean": both["score"].mean(),
            "sd": both["score"].std(ddof=1),
            "seed_sd": seed_sd(both["seed_variance"]),
            "baseline_mean": both["baseline"].mean(),
        }
        bound = retrained_bound(len(both)), BOUND
        inflation = inflations.get((*names, str(technique), str(variant)), bound)
        rows.append(means | paired_statistics(both["difference"].to_numpy(dtype=np.float64), inflation))
    return adjust_family(rows, " / ".join(names), metric, smallest_effect)


def _stands_untested(technique: object) -> bool:
    """Whether a technique has a mean and no test in a cell with a reference: the reference itself, the chance levels and the bounds."""
    return technique in (REFERENCE_TECHNIQUE, *CHANCE_LEVELS) or is_bound(str(technique))


def compare(
    scores: pd.DataFrame,
    metric: str = "auroc",
    inflations: pd.DataFrame | None = None,
    smallest_effect: float = SMALLEST_EFFECT,
) -> pd.DataFrame:
    """Every variant against non_personalized; p adjusted by Holm over the variants of one (dataset, label, model).

    Args:
        scores: as ``analysis.score`` makes them; without the column ``against`` the one row of non_personalized of a fold is used.
        metric: a column of ``scores``; the study's own is ``RunTables.primary_metric``.
        inflations: as ``analysis.variance_inflations`` makes them; a variant without one is tested with the bound for models that are trained
            anew for every participant, which is never too small and finds less.
        smallest_effect: of interest; differences that are surely smaller are called equivalent.

    Returns:
        one row per (dataset, label, model, technique, variant), the reference technique first, then the chance levels. ``n_missing``
        participants had no score on one side and were dropped pairwise; means are over the seeds that both sides have.

    Raises:
        AnalysisError: if the scores have no such metric.

    Units:
        means, differences and their intervals in those of the metric; p from 0 to 1; ``effect_size`` from -1 to 1.

    Source:
        docs/decisions/0019-verdict.md; Holm, Scandinavian Journal of Statistics 6 (1979); Nadeau and Bengio, Machine Learning 52 (2003).
    """
    refuse_unknown_metric(scores, metric)
    defaults = {"against": "", "scoring": "published"}
    scores = scores.assign(**{name: value for name, value in defaults.items() if name not in scores.columns})
    table = inflation_table(inflations)
    means, pairs = (
        dict(list(frame.groupby(CELL, observed=True))) for frame in (_means(scores, metric), paired_scores(scores, metric))
    )
    rows = []
    for cell_names, cell in scores.groupby(CELL, sort=True, observed=True):
        shared = dict(zip(CELL, cell_names, strict=True)) | {"metric": metric, "scoring": cell["scoring"].iloc[0]}
        own = _untested(means[cell_names]) if cell_names in means else []
        if cell["technique"].eq(REFERENCE_TECHNIQUE).any():
            own = [row for row in own if _stands_untested(row["technique"])]
            names = tuple(map(str, cell_names))
            own += _family(names, pairs[cell_names], metric, table, smallest_effect) if cell_names in pairs else []
        rows += [shared | row for row in sorted(own, key=_place)]
    declared = columns.reference_columns()
    counts = [column.name for column in declared if column.is_count]
    frame = pd.DataFrame(rows, columns=columns.names(declared))
    return frame.fillna(dict.fromkeys(counts, 0)).astype(dict.fromkeys(counts, int))
