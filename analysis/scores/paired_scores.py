"""Each participant's score under each variant, and the reference technique's on the same windows."""

import pandas as pd

from analysis.scores.chance_levels import CHANCE_LEVELS
from analysis.scores.keys import CELL, REFERENCE_TECHNIQUE, VARIANT, variant_label
from analysis.scores.metrics import LESS_IS_BETTER


def gain_sign(metric: str) -> int:
    """1 if more of the metric is better, -1 if less is (expected calibration error)."""
    return -1 if metric in LESS_IS_BETTER else 1


def paired_scores(scores: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Scores averaged over seeds; the chance levels and the reference technique have no rows of their own.

    Args:
        scores: as ``analysis.score`` makes them. In paired scoring the reference technique has one row per variant (``against``); if it
            has none for a variant, its one row per participant serves.

    Returns:
        one row per dataset, label, model, technique, variant and participant, with ``score``, ``baseline`` and ``difference`` (score -
        baseline), missing if either is undefined in every seed.
    """
    scores = scores if "against" in scores.columns else scores.assign(against="")
    scores = scores.assign(against=scores["against"].fillna(""))
    variants = scores[scores["against"].eq("") & ~scores["technique"].isin([REFERENCE_TECHNIQUE, *CHANCE_LEVELS])]
    pairs = variants.groupby([*VARIANT, "participant"], observed=True)[metric].mean().rename("score").reset_index()
    reference = (
        scores[scores["technique"].eq(REFERENCE_TECHNIQUE)]
        .groupby([*CELL, "against", "participant"], observed=True)[metric]
        .mean()
    )
    variants_with_own_reference = {key[:-1] for key in reference.index}
    reference_keys = [
        (*cell, name if (*cell, name) in variants_with_own_reference else "", participant)
        for *cell, technique, variant, participant in pairs[[*VARIANT, "participant"]].itertuples(index=False)
        for name in [variant_label(str(technique), str(variant))]
    ]
    pairs["baseline"] = [reference.get(key, float("nan")) for key in reference_keys]
    pairs["difference"] = pairs["score"] - pairs["baseline"]
    return pairs
