"""Trainings that came out the wrong way round by chance: a person is ranked backwards in one seed and rightly in the others.

A network of few weights may learn the reverse of what it learns from other initial weights, and the mean over seeds hides it, as a study of one seed
cannot show it. A technique that begins with such a training gains by any new start, and its gain is then that of one training and no adaptation.
Found in WESAD's wrist (docs/results/techniques.md): one training of 45 carried the whole gain of every technique that "gained". The bounds are
raylab's own: far enough from 0.5 that scores at chance are not told of.
"""

import pandas as pd

from analysis.scores.keys import CELL, REFERENCE_TECHNIQUE

BACKWARDS, RIGHTLY = 0.3, 0.7  # AUROC at most, and at least
COLUMNS = [*CELL, "participant", "seed", "auroc", "others"]


def failed_trainings(scores: pd.DataFrame) -> pd.DataFrame:
    """The trainings without personalization whose AUROC is at most 0.3 where the median of the person's other seeds is at least 0.7.

    Args:
        scores: as ``analysis.score`` gives them.

    Returns:
        one row each, the columns ``COLUMNS``, the lowest AUROC first; ``others`` is that median. None without at least two other seeds: of two that
        disagree nobody knows which one failed.
    """
    alone = scores[scores["technique"].eq(REFERENCE_TECHNIQUE) & scores["against"].eq("")].dropna(subset=["auroc"])
    found = []
    for names, group in alone.groupby([*CELL, "participant"], sort=True, observed=True):
        for row in group.to_dict("records"):
            others = group.loc[group["seed"].ne(row["seed"]), "auroc"]
            if row["auroc"] <= BACKWARDS and len(others) > 1 and others.median() >= RIGHTLY:
                found.append([*names, row["seed"], row["auroc"], float(others.median())])
    return pd.DataFrame(found, columns=COLUMNS).sort_values("auroc", kind="stable", ignore_index=True)
