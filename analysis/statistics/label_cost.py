"""Labels against gain, and losers that were avoided: descriptive tables of techniques that spend labels (label_cost.csv, losers_avoided.csv).

Both read what the records say: how many labels of its target a trial used (``labels_used``), and whether it kept the general model
(``kept_general``). The tested differences are those of the comparison.
"""

from typing import Any

import numpy as np
import pandas as pd

from analysis.scores.chance_levels import CHANCE_LEVELS
from analysis.scores.keys import CELL, FOLD, REFERENCE_TECHNIQUE, VARIANT, is_bound
from analysis.scores.paired_scores import gain_sign, paired_scores
from analysis.scores.run_folder import RunTables
from analysis.scores.scores import score_common

ADAPTIVE, KEEPS, FIXED = "adaptive", "when_to_personalize", "fine_tuning"
COST_COLUMNS = [*VARIANT, "metric", "n_participants", "labels", "labels_sd", "gain", "gain_per_label", "fixed_gain"]
AVOIDED_COLUMNS = [
    *VARIANT, "metric", "n_participants", "kept_general", "losers", "losers_always", "losers_avoided", "gainers_forgone", "difference",
    "difference_always",
]  # fmt: skip


def _axes(variant: str) -> dict[str, str]:
    """The axes of a variant by its name, with the value of ``layers`` that is not named."""
    return {"layers": "last"} | dict(part.split("=", 1) for part in variant.split() if "=" in part)


def label_cost(tables: RunTables, metric: str = "auroc") -> pd.DataFrame:
    """Of each (dataset, label, model) with the technique ``adaptive``: labels, gain, and gain per label of every variant that uses labels.

    All on the windows that all variants of the cell were tested on. ``fixed_gain``, of ``adaptive`` alone: what fine-tuning the same layers gains
    at the same mean number of labels, on the line between the two nearest fixed budgets; missing outside of them.
    """
    trials = tables.trials
    if trials.empty or "labels_used" not in trials or not trials["technique"].eq(ADAPTIVE).any():
        return pd.DataFrame(columns=COST_COLUMNS)
    scores = score_common(tables).merge(trials[[*VARIANT, *FOLD, "labels_used"]], on=[*VARIANT, *FOLD])
    reference = scores[scores["technique"].eq(REFERENCE_TECHNIQUE)].set_index([*CELL, *FOLD])[metric].rename("reference")
    rows = scores.join(reference, on=[*CELL, *FOLD])
    rows["gain"] = gain_sign(metric) * (rows[metric] - rows["reference"])
    rows = rows[rows["labels_used"].gt(0) & ~rows["technique"].map(is_bound).astype(bool)]
    rows = rows[~rows["technique"].isin([REFERENCE_TECHNIQUE, *CHANCE_LEVELS])].dropna(subset=["gain"])
    people = rows.groupby([*VARIANT, "participant"], observed=True)[["gain", "labels_used"]].mean()
    groups = people.groupby(level=VARIANT)
    table = pd.DataFrame(
        {
            "n_participants": groups.size(),
            "labels": groups["labels_used"].mean(),
            "labels_sd": groups["labels_used"].std(ddof=1),
            "gain": groups["gain"].mean(),
        }
    ).reset_index()
    table["gain_per_label"] = table["gain"] / table["labels"]
    table["fixed_gain"] = [_fixed_gain(row, table) for row in table.to_dict("records")]
    with_adaptive = table.groupby(CELL)["technique"].transform(lambda names: names.eq(ADAPTIVE).any()).astype(bool)
    return table[with_adaptive].assign(metric=metric)[COST_COLUMNS].sort_values([*CELL, "labels"], ignore_index=True)


def _fixed_gain(row: dict[Any, Any], table: pd.DataFrame) -> float:
    """The gain of fixed budgets at the labels of an adaptive row."""
    if row["technique"] != ADAPTIVE:
        return float("nan")
    same = table[table["technique"].eq(FIXED) & (table[CELL] == [row[name] for name in CELL]).all(axis=1)]
    layers = _axes(str(row["variant"]))["layers"]
    same = same[[_axes(str(variant))["layers"] == layers for variant in same["variant"]]].sort_values("labels")
    if len(same) < 2 or not same["labels"].min() <= row["labels"] <= same["labels"].max():
        return float("nan")
    return float(np.interp(row["labels"], same["labels"], same["gain"]))


def losers_avoided(tables: RunTables, scores: pd.DataFrame, metric: str = "auroc") -> pd.DataFrame:
    """``when_to_personalize`` beside fine-tuning always, variant by variant, over the participants who have both.

    Args:
        scores: as ``analysis.score`` makes them.

    Returns:
        ``kept_general``: share of trials that kept the general model; ``losers`` and ``losers_always``: participants who are worse off than without
        personalization, of the technique and of fine-tuning; ``losers_avoided``: of the latter those who are not among the former;
        ``gainers_forgone``: who would gain and do not.
    """
    trials = tables.trials
    if trials.empty or "kept_general" not in trials or not trials["technique"].eq(KEEPS).any():
        return pd.DataFrame(columns=AVOIDED_COLUMNS)
    pairs, sign, rows = paired_scores(scores, metric), gain_sign(metric), list[dict[str, Any]]()
    kept = trials[trials["technique"].eq(KEEPS)].groupby(VARIANT, observed=True)["kept_general"].mean()
    for names, part in pairs[pairs["technique"].eq(KEEPS)].groupby(VARIANT, sort=True, observed=True):
        cell = pairs[(pairs[CELL] == list(names[:3])).all(axis=1) & pairs["technique"].eq(FIXED)]
        always = cell[[_axes(str(variant)) == _axes(str(names[4])) for variant in cell["variant"]]]
        both = part.merge(always, on="participant", suffixes=("", "_always")).dropna(subset=["difference", "difference_always"])
        chosen, tuned = sign * both["difference"].round(12), sign * both["difference_always"].round(12)
        rows.append(
            dict(zip(VARIANT, names, strict=True))
            | {
                "metric": metric,
                "n_participants": len(both),
                "kept_general": float(kept.get(names, np.nan)),
                "losers": int(chosen.lt(0).sum()),
                "losers_always": int(tuned.lt(0).sum()),
                "losers_avoided": int((tuned.lt(0) & chosen.ge(0)).sum()),
                "gainers_forgone": int((tuned.gt(0) & chosen.le(0)).sum()),
                "difference": both["difference"].mean(),
                "difference_always": both["difference_always"].mean(),
            }
        )
    return pd.DataFrame(rows, columns=AVOIDED_COLUMNS)
