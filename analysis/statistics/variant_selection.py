"""Scores to one column per technique: the variant chosen for each participant by the others, and beside it the best on test.

The reasons for this choice, and the meaning of its p: ``analysis.statistics.sign_flip_test``.
"""

from collections import Counter
from typing import Any

import numpy as np
import pandas as pd

from analysis.arrays import Indices
from analysis.scores.keys import VARIANT
from analysis.scores.paired_scores import gain_sign, paired_scores
from analysis.statistics.paired_tests import bca_interval, wilcoxon
from analysis.statistics.sign_flip_test import FLIPS, flip_test, leave_one_out_choice

TECHNIQUE_KEY = VARIANT[:-1]
COLUMNS = [
    *TECHNIQUE_KEY, "metric", "scoring", "n_participants", "n_missing", "mean", "sd", "baseline_mean", "difference", "ci_low", "ci_high",
    "p", "test", "choices", "best_variant", "best_mean", "best_sd",
]  # fmt: skip


def _choices(chosen: Indices, variants: list[str]) -> str:
    """How often each variant was chosen, the most frequent first: ``budget=0.5 x13, budget=0.4 x2``."""
    counts = Counter(variants[k] for k in chosen if k >= 0)
    return ", ".join(f"{name} x{count}" for name, count in counts.most_common())


def _best(scores: pd.DataFrame, sign: int) -> dict[str, Any]:
    """The variant with the best mean on test, as papers print it: optimistic, because luck is part of being best."""
    means = sign * scores.mean()
    if means.isna().all():
        return {}
    best = means.idxmax()
    return {"best_variant": best, "best_mean": scores[best].mean(), "best_sd": scores[best].std(ddof=1)}


def _test(d: pd.DataFrame, sign: int, flips: int) -> dict[str, Any]:
    """p and interval of the chosen differences; with one variant nothing is chosen, and they are the comparison's own."""
    if d.shape[1] == 1:
        differences = d.iloc[:, 0].dropna().to_numpy(dtype=np.float64)
        p, name = wilcoxon(differences)
        low, high = bca_interval(differences)
        return {"p": p, "ci_low": low, "ci_high": high, "test": f"{name}; one variant, nothing chosen"}
    test = flip_test(sign * d.to_numpy(dtype=np.float64), flips)
    low, high = sorted([sign * test.low, sign * test.high])
    number = f"all {test.flips:,}" if test.exact else f"{test.flips - 1:,} random"
    return {
        "p": test.p,
        "ci_low": low,
        "ci_high": high,
        "test": f"sign flips of participants' rows, choice repeated ({number})",
    }


def _row(part: pd.DataFrame, metric: str, flips: int) -> dict[str, Any]:
    """One technique of one (dataset, label, model). If a study has no reference technique the choice is by the scores, and untested."""
    numbers = ("score", "baseline", "difference")
    wide = {name: part.pivot(index="participant", columns="variant", values=name) for name in numbers}
    compared = bool(part["baseline"].notna().any())
    sign, basis = gain_sign(metric), wide["difference" if compared else "score"]
    variant = leave_one_out_choice(sign * basis.to_numpy(dtype=np.float64))[1]
    has_choice = variant >= 0
    row = {"n_participants": int(has_choice.sum()), "n_missing": int((~has_choice).sum())} | _best(wide["score"], sign)
    if not has_choice.any():
        return row
    chosen = {name: wide[name].to_numpy()[has_choice, variant[has_choice]] for name in numbers}
    row |= {"mean": chosen["score"].mean(), "choices": _choices(variant, [str(name) for name in basis.columns])}
    row |= {"sd": chosen["score"].std(ddof=1) if has_choice.sum() > 1 else np.nan}
    if not compared:
        return row
    row |= {"baseline_mean": chosen["baseline"].mean(), "difference": chosen["difference"].mean()}
    return row | _test(basis, sign, flips)


def select_variants(scores: pd.DataFrame, metric: str = "auroc", flips: int = FLIPS) -> pd.DataFrame:
    """One row per (dataset, label, model, technique), the variant chosen for each participant by the mean over the others.

    The choice is by the difference to the reference technique, because variants are tested on different windows. ``p`` is per technique, not
    adjusted; the interval is the inverse of the same test (``FlipTest``), so it holds 0 if and only if p > 0.05.

    Args:
        scores: as ``analysis.score`` makes them.
        flips: how many random flips, if there are more than 15 participants.

    Returns:
        ``n_missing`` participants have no variant with a score that others have too; ``choices`` says how often each variant was chosen;
        ``best_variant``, ``best_mean`` and ``best_sd`` are of the variant that is best on test: optimistic, and without p.
    """
    pairs = paired_scores(scores, metric)
    rows = [
        dict(zip(TECHNIQUE_KEY, names, strict=True)) | _row(part, metric, flips)
        for names, part in pairs.groupby(TECHNIQUE_KEY, sort=True, observed=True)
    ]
    frame = pd.DataFrame(rows, columns=COLUMNS).assign(metric=metric)
    return frame.assign(scoring=scores["scoring"].iloc[0] if "scoring" in scores.columns and len(scores) else "published")
