"""Each participant's score under each variant, and the reference technique's on the same windows."""

import pandas as pd

from analysis.errors import AnalysisError
from analysis.scores.chance_levels import CHANCE_LEVELS
from analysis.scores.keys import CELL, REFERENCE_TECHNIQUE, VARIANT, is_bound, variant_label
from analysis.scores.metrics import LESS_IS_BETTER, METRICS


def gain_sign(metric: str) -> int:
    """1 if more of the metric is better, -1 if less is (expected calibration error)."""
    return -1 if metric in LESS_IS_BETTER else 1


def refuse_unknown_metric(scores: pd.DataFrame, metric: str) -> None:
    """Refuse a metric that scores do not have.

    Raises:
        AnalysisError: naming those that they have.
    """
    if metric not in scores.columns:
        offered = ", ".join(name for name in METRICS if name in scores.columns)
        raise AnalysisError(f"the scores have no metric {metric!r}; there are {offered}")


def paired_scores(scores: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Means over seeds; the chance levels, the bounds and the reference technique have no rows of their own.

    A participant's difference is the mean over the seeds that both sides have: a seed that one side lacks would otherwise set the luck of
    other draws beside each other.

    Args:
        scores: as ``analysis.score`` makes them. In paired scoring the reference technique has one row per variant (``against``); if it
            has none for a variant, its one row per participant serves.
        metric: a column of ``scores``, such as ``auroc``.

    Returns:
        one row per dataset, label, model, technique, variant and participant, with ``score``, ``baseline`` and ``difference`` (score -
        baseline) over the ``n_seeds`` seeds that both sides have; if they have none in common, over those that each has, and
        ``difference`` is missing. ``seed_variance``: of the score over these seeds; missing under two.

    Raises:
        AnalysisError: if the scores have no such metric.

    Units:
        scores and differences in those of the metric, ``seed_variance`` in their square.

    Source:
        docs/protocol.md, Scores.
    """
    refuse_unknown_metric(scores, metric)
    scores = scores if "against" in scores.columns else scores.assign(against="")
    scores = scores if "seed" in scores.columns else scores.assign(seed=0)
    scores = scores.assign(against=scores["against"].fillna(""))
    variants = scores[scores["against"].eq("") & ~scores["technique"].isin([REFERENCE_TECHNIQUE, *CHANCE_LEVELS])]
    variants = variants[~variants["technique"].map(is_bound).astype(bool)]
    pairs = variants[[*VARIANT, "participant", "seed", metric]].rename(columns={metric: "score"})
    reference = scores[scores["technique"].eq(REFERENCE_TECHNIQUE)]
    pairs["baseline"] = _baselines(pairs, reference, metric).to_numpy()
    pairs["difference"] = pairs["score"] - pairs["baseline"]
    keys = [*VARIANT, "participant"]
    shared = pairs.groupby(keys, observed=True)["difference"].transform("count").gt(0)
    used = pairs[~shared | pairs["difference"].notna()]
    groups = used.groupby(keys, observed=True)
    means = groups[["score", "baseline", "difference"]].mean()
    return means.assign(n_seeds=groups["score"].count(), seed_variance=groups["score"].var(ddof=1)).reset_index()


def _baselines(pairs: pd.DataFrame, reference: pd.DataFrame, metric: str) -> "pd.Series[float]":
    """The reference technique's score for each row of ``pairs``: on the windows of that variant if it has such rows."""
    by_key = reference.groupby([*CELL, "against", "participant", "seed"], observed=True)[metric].mean()
    variants_with_own_reference = {key[:4] for key in by_key.index}
    keys = [
        (*cell, name if (*cell, name) in variants_with_own_reference else "", participant, seed)
        for *cell, technique, variant, participant, seed in pairs[[*VARIANT, "participant", "seed"]].itertuples(index=False)
        for name in [variant_label(str(technique), str(variant))]
    ]
    return pd.Series([by_key.get(key, float("nan")) for key in keys], dtype=float)


def seed_sd(seed_variance: "pd.Series[float]") -> float:
    """SD between seeds within participants: the root of the mean variance; NaN if no participant has two seeds."""
    return float(seed_variance.mean() ** 0.5)
