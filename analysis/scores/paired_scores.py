"""Each participant's score under each variant, beside the baseline's on the same windows."""

import pandas as pd

from analysis.scores.chance_levels import CHANCE_LEVELS
from analysis.scores.metrics import LESS_IS_BETTER
from analysis.scores.scores import CELL, REFERENCE_TECHNIQUE, variant_label

VARIANT = [*CELL, "technique", "variant"]


def gain_sign(metric: str) -> int:
    """1 where more of the metric is better, -1 where less is (calibration error)."""
    return -1 if metric in LESS_IS_BETTER else 1


def paired_scores(scores: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Scores averaged over seeds, the references and the baseline's own rows left out.

    Args:
        scores: as ``analysis.score`` makes them. In paired scoring the baseline stands once per variant (``against``); where it does
            not, its one row per participant serves.

    Returns:
        one row per dataset, label, model, technique, variant and participant, with ``score``, ``baseline`` and ``difference`` (score -
        baseline), missing where either is undefined in every seed.
    """
    scores = scores if "against" in scores.columns else scores.assign(against="")
    scores = scores.assign(against=scores["against"].fillna(""))
    own = scores[scores["against"].eq("") & ~scores["technique"].isin([REFERENCE_TECHNIQUE, *CHANCE_LEVELS])]
    made = own.groupby([*VARIANT, "participant"], observed=True)[metric].mean().rename("score").reset_index()
    base = (
        scores[scores["technique"].eq(REFERENCE_TECHNIQUE)]
        .groupby([*CELL, "against", "participant"], observed=True)[metric]
        .mean()
    )
    paired = {key[:-1] for key in base.index}
    wanted = [
        (*cell, name if (*cell, name) in paired else "", participant)
        for *cell, technique, variant, participant in made[[*VARIANT, "participant"]].itertuples(index=False)
        for name in [variant_label(str(technique), str(variant))]
    ]
    made["baseline"] = [base.get(key, float("nan")) for key in wanted]
    made["difference"] = made["score"] - made["baseline"]
    return made
